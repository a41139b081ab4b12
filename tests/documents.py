"""Documents as programs: the ```python blocks of a Markdown file, what they print, and how they are run.

The blocks of a file run in order in one namespace, so that a later block may use what an earlier one defined. A block
is left out only by a comment on the line before it that gives the reason:

    <!-- not run: needs two accelerators -->

An ```output block holds what the Python block before it prints. It is compared: fractions to about three digits,
white space in any amount, and a line of three dots stands for any lines. `python -m tests.documents --update FILE...`
writes the blocks that differ; look at what changed before committing it. Line numbers in tracebacks are those of
the Markdown file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import linecache
import math
import os
import re
import sys
import tempfile
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})\s*(?P<language>[\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run\b\s*:?\s*(?P<reason>.*?)\s*-->\s*$")
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d*)?(?:e[+-]?\d+)?(?!\w)")


@dataclass(frozen=True)
class Output:
    """What a block is said to print, and the 1-based lines of the text: from the first up to the closing fence."""

    text: str
    first: int
    end: int


@dataclass(frozen=True)
class Block:
    """A fenced Python block: its code, the 1-based line of its first line, why it is not run, what it prints."""

    code: str
    line: int
    not_run: str | None
    output: Output | None = None


def python_blocks(text: str) -> Iterator[Block]:
    """The Python blocks of a Markdown document, in order."""
    held: Block | None = None
    for language, code, line, before in _fenced(text.splitlines()):
        if language == "output":
            if held is None or held.not_run is not None:
                raise ValueError(f"line {line - 1}: expected a Python block that runs before the output")
            yield Block(held.code, held.line, None, Output(code, line, line + len(code.splitlines())))
            held = None
            continue
        if held is not None:
            yield held
            held = None
        if language in {"python", "py", "python3"}:
            marker = NOT_RUN.search(before)
            if marker and not marker["reason"]:
                raise ValueError(f"line {line - 2}: expected a reason, `<!-- not run: reason -->`")
            held = Block(code, line, marker["reason"] if marker else None)
    if held is not None:
        yield held


def _fenced(lines: list[str]) -> Iterator[tuple[str, str, int, str]]:
    """Language, text, 1-based first line and the line before the fence, of each fenced block."""
    position = 0
    while position < len(lines):
        opening = FENCE.match(lines[position])
        position += 1
        if not opening:
            continue
        start = position
        closing = re.compile(rf"^\s*{re.escape(opening['fence'][0])}{{{len(opening['fence'])},}}\s*$")
        while position < len(lines) and not closing.match(lines[position]):
            position += 1
        if position == len(lines):
            raise ValueError(f"line {start}: expected a closing fence, got the end of the file")
        text = textwrap.dedent("".join([line + "\n" for line in lines[start:position]]))
        position += 1
        yield opening["language"].lower(), text, start + 1, lines[start - 2] if start > 1 else ""


Printed = Callable[[Block, str], None]


def execute(path: Path, namespace: dict[str, object], printed: Printed | None = None) -> None:
    """Runs the blocks of the file in order in `namespace`, and compares what they print.

    The code keeps its place: each block is compiled at its own lines, and the text that tracebacks and
    `inspect` find under the file's name is the file with all but its code blanked.

    Args:
      path: the file.
      namespace: the globals of the code.
      printed: is given each block with an output and what it printed, instead of a comparison.

    Raises:
      AssertionError: a block prints something else than its output says.
    """
    text = path.read_text(encoding="utf-8")
    blocks = [block for block in python_blocks(text) if block.not_run is None]
    source = [""] * len(text.splitlines())
    for block in blocks:
        code = block.code.splitlines()
        source[block.line - 1 : block.line - 1 + len(code)] = code
    # Without a modification time, linecache keeps the entry.
    linecache.cache[str(path)] = (len(text), None, [line + "\n" for line in source], str(path))
    try:
        for block in blocks:
            code = "\n" * (block.line - 1) + block.code
            compiled = compile(code, str(path), "exec", dont_inherit=True)
            if block.output is None:
                exec(compiled, namespace)
                continue
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(compiled, namespace)
            (printed or compare)(block, stream.getvalue())
    finally:
        del linecache.cache[str(path)]


def compare(block: Block, printed: str) -> None:
    """An error where a block printed something else than its output says."""
    assert block.output is not None
    assert same_text(block.output.text, printed), (
        f"line {block.output.first}: expected the block before to print\n{block.output.text}\ngot\n{printed}"
    )


def same_text(expected: str, got: str) -> bool:
    """Whether a text is as expected, up to white space and the last digits of fractions; `...` is any lines."""
    want, have = _lines(expected), _lines(got)
    parts: list[list[str]] = [[]]
    for line in want:
        if line == "...":
            parts.append([])
        else:
            parts[-1].append(line)
    first, *others = parts
    if not others:
        return len(first) == len(have) and all(map(_same_line, first, have))
    last = others.pop()
    if len(have) < len(first) + len(last) or not all(map(_same_line, first, have)):
        return False
    if last and not all(map(_same_line, last, have[-len(last) :])):
        return False
    rest = have[len(first) : len(have) - len(last)]
    for part in others:  # leftmost is enough: a later place leaves less for the parts after it
        place = next(
            (i for i in range(len(rest) - len(part) + 1) if all(map(_same_line, part, rest[i:]))), None
        )
        if place is None:
            return False
        rest = rest[place + len(part) :]
    return True


def _lines(text: str) -> list[str]:
    return [joined for line in text.splitlines() if (joined := " ".join(line.split()))]


def _same_line(expected: str, got: str) -> bool:
    if expected == got:
        return True
    if NUMBER.sub("0", expected) != NUMBER.sub("0", got):
        return False
    pairs = zip(NUMBER.findall(expected), NUMBER.findall(got), strict=True)
    return all(a == b or _same_number(a, b) for a, b in pairs)


def _same_number(expected: str, got: str) -> bool:
    fraction = any(c in ".e" for c in expected + got)
    return fraction and math.isclose(float(expected), float(got), rel_tol=2e-3, abs_tol=1e-6)


def update(path: Path) -> bool:
    """Write what the blocks of a file print into their outputs; whether the file changed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[tuple[Output, str]] = []

    def printed(block: Block, text: str) -> None:
        assert block.output is not None
        if not same_text(block.output.text, text):
            found.append((block.output, text))

    module = types.ModuleType("document")
    sys.modules["document"] = module
    home = os.getcwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            execute(path, vars(module), printed)
        finally:
            os.chdir(home)
    for output, text in reversed(found):
        lines[output.first - 1 : output.end - 1] = [line.rstrip() for line in text.rstrip().splitlines()]
    if found:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return bool(found)


def main() -> int:
    """1 if an output is not what its block prints now, and is not updated."""
    parser = argparse.ArgumentParser(prog="python -m tests.documents", description=__doc__)
    parser.add_argument("--update", action="store_true", required=True, help="write what the blocks print")
    parser.add_argument("files", nargs="+", type=Path)
    for path in parser.parse_args().files:
        if update(path.resolve()):
            print(f"updated {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
