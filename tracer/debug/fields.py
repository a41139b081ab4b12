"""Fields of messages, as in `str.format`: whether there is an argument for each."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from ir.errors import ArgumentError


def positional(what: str, message: str, count: int, names: Sequence[str]) -> str:
    """The message with fields for positional arguments alone, `names` last.

    Args:
      what: the function that was given the message.
      message: with fields for its arguments.
      count: how many arguments there are without names.
      names: of the others.

    Raises:
      ArgumentError: no format, or one with fields for other arguments.
    """
    out, automatic = [], 0
    try:
        parts = list(string.Formatter().parse(message))
    except ValueError as error:
        raise ArgumentError(f"{what}: expected a format, got {message!r}: {error}") from error
    for literal, name, spec, conversion in parts:
        out.append(literal.replace("{", "{{").replace("}", "}}"))
        if name is None:
            continue
        first = name.partition(".")[0].partition("[")[0]
        if first == "":
            at, automatic = automatic, automatic + 1
        elif first.isdigit():
            at = int(first)
        else:
            at = count + names.index(first) if first in names else -1
        if not 0 <= at < count + len(names) or (first in ("", str(at)) and at >= count):
            raise ArgumentError(
                f"{what}: expected fields for {count} arguments and {list(names)} in {message!r}, got {{{name}}}"
            )
        mark = f"!{conversion}" if conversion else ""
        out.append("{" + f"{at}{name[len(first) :]}{mark}" + (f":{spec}" if spec else "") + "}")
    return "".join(out)


class _Fields(string.Formatter):
    """Formats nothing, but finds the argument of each field, also of those inside the others' specifications."""

    def __init__(self, what: str, message: str) -> None:
        self.what, self.message = what, message
        self.wrong: list[str] = []

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
        first = field_name.partition(".")[0].partition("[")[0]
        key = int(first) if first.isdigit() else first
        if key not in (range(len(args)) if isinstance(key, int) else kwargs):
            self.wrong.append(
                f"{self.what}: expected fields for {len(args)} arguments and {list(kwargs)} in {self.message!r}, "
                f"got {{{field_name}}}"
            )
        return "", key

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def check_unused_args(self, used_args: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        keys = (*range(len(args)), *kwargs)
        if unused := [key for key in keys if key not in used_args]:
            self.wrong.append(
                f"{self.what}: expected a field for each argument in {self.message!r}, got none for {unused} "
                "(of an f-string only the text is known, not the values)"
            )


def require_fields(what: str, message: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Require a format whose fields are those of the arguments.

    Raises:
      ArgumentError: it is none, has fields for other arguments, or none for some.
    """
    if not isinstance(message, str):
        raise ArgumentError(f"{what}: expected a format first, got {type(message).__name__}")
    fields = _Fields(what, message)
    try:
        fields.vformat(message, args, kwargs)
    except ValueError as error:
        raise ArgumentError(f"{what}: expected a format, got {message!r}: {error}") from error
    if fields.wrong:
        raise ArgumentError(fields.wrong[0])


__all__ = ["positional", "require_fields"]
