"""Text of the IR to tokens, and errors that point into the text.

White space separates tokens and means nothing else; `#` starts a comment that ends with its line.
Imports `ir.errors` only.
"""

from __future__ import annotations

import re
import sys

from ir.errors import ParseError

_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf\b|nan\b)"
_PART = r"(?:[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|inf|nan)"
_SCANNER = re.compile(
    rf"""
      (?P<space>\s+|\#[^\n]*)
    | (?P<complex>[-+]?{_PART}[-+]{_PART}j\b)
    | (?P<hex>0x[0-9a-fA-F]+\b)
    | (?P<number>[-+]{_NUMBER}|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)
    | (?P<name>key<\w+>|[^\W\d]\w*)
    | (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<mark>->|\.\.\.|[()\[\]{{}}:,=<>])
    | (?P<bad>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:U([0-9a-fA-F]{8})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}
_WIDTH = 100  # of an excerpt


class Tokens:
    """The tokens of a text, with the reading position `at`.

    Attributes:
      kinds, texts, starts: of each token; the last is of kind `end`. A character that starts no
        token is of kind `bad` and ends the list, since nothing can follow it.
    """

    __slots__ = ("at", "kinds", "starts", "text", "texts")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.starts: list[int] = []
        for match in _SCANNER.finditer(text):
            kind = match.lastgroup or "bad"
            if kind == "space":
                continue
            self.kinds.append(kind)
            self.texts.append(match.group())
            self.starts.append(match.start())
            if kind == "bad":
                break
        self.kinds.append("end")
        self.texts.append("")
        self.starts.append(len(text))

    def error(self, message: str, at: int | None = None) -> ParseError:
        """A ParseError that points at token number `at`, or at the one to be read next."""
        start = self.starts[self.at if at is None else at]
        begin = self.text.rfind("\n", 0, start) + 1
        end = self.text.find("\n", start)
        line = self.text[begin : len(self.text) if end < 0 else end].rstrip("\r")
        column = start - begin
        left = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
        shown = line[left : left + _WIDTH]
        padding = "".join(c if c == "\t" else " " for c in shown[: column - left])
        number = self.text.count("\n", 0, begin) + 1
        return ParseError(f"{number}:{column + 1}: {message}", note=f"{shown}\n{padding}^")

    def unexpected(self, wanted: str) -> ParseError:
        """A ParseError for the next token, where `wanted` was expected."""
        kind, text = self.kinds[self.at], self.texts[self.at]
        if kind == "end":
            return self.error(f"expected {wanted}, got the end of the text")
        if text == "...":
            return self.error("the constant was elided when it was printed and cannot be read back")
        if text == "<":
            return self.error(
                f"expected {wanted}, got `<`: a Python rule is printed as `<name>` and does not parse"
            )
        if text == '"':
            return self.error(f"expected {wanted}, got a string that does not end on its line")
        return self.error(f"expected {wanted}, got {text if len(text) <= 40 else text[:40] + '…'}")

    def take(self, text: str) -> bool:
        """Whether the next token is `text`; then it is read."""
        if self.texts[self.at] == text:
            self.at += 1
            return True
        return False

    def expect(self, text: str) -> None:
        """Read `text`; ParseError where the next token is another."""
        if self.texts[self.at] != text:
            raise self.unexpected(f"`{text}`")
        self.at += 1

    def name(self, wanted: str) -> str:
        """Read a name; `wanted` says of what."""
        if self.kinds[self.at] != "name":
            raise self.unexpected(wanted)
        self.at += 1
        return self.texts[self.at - 1]


def quote(text: str) -> str:
    """A string as a token; `unquote` gives it back, whatever its characters."""
    out = []
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char == "\n":
            out.append("\\n")
        elif char.isprintable():
            out.append(char)
        else:
            out.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
    return f'"{"".join(out)}"'


def unquote(token: str) -> str:
    """The string that a token stands for; ValueError for an unknown escape."""
    return _ESCAPE.sub(_unescape, token[1:-1])


def _unescape(match: re.Match[str]) -> str:
    wide, narrow, named = match.groups()
    code = wide or narrow
    if code is not None:
        if int(code, 16) > sys.maxunicode:
            raise ValueError(f"expected a code point of at most {sys.maxunicode:x}, got {code}")
        return chr(int(code, 16))
    if named not in _NAMED:
        raise ValueError(f'expected \\n, \\t, \\r, \\", \\\\, \\uXXXX or \\UXXXXXXXX, got \\{named}')
    return _NAMED[named]
