"""Calls from the user's lines: what an equation emits carries the line that it comes from.

JAX takes the origin of an operation from the Python frames around it, which are our own while a program is emitted. So
each rule is called by a function whose code says that it stands at the user's line. JAX's tracebacks, the locations
in StableHLO and XLA's metadata then name it, and what JAX traces of a program of ours is imported again with its lines,
whatever JAX made of it before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from ir.source import Source

Call = Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any]], Any]

_calls: dict[tuple[object, bool, tuple[object, ...]], Call] = {}
_MANY = 16384


def _call(rule: Callable[..., Any], operands: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
    return rule(*operands, **attrs)


def _linetable(code: CodeType) -> bytes:
    """The first line for all instructions, its first column (the format of CPython 3.11 and later)."""
    left = len(code.co_code) // 2
    entries = b""
    while left:
        units = min(left, 8)
        entries += bytes([0x80 | 14 << 3 | units - 1, 0, 0, 1, 1])
        left -= units
    return entries


_LINETABLE = _linetable(_call.__code__)


def call_at(source: Source) -> Call:
    """A function that calls a rule with operands and attributes, from the line of `source`."""
    key = (source.place, source.derivative, tuple([other.place for other in source.others]))
    found = _calls.get(key)
    if found is None:
        if len(_calls) >= _MANY:
            _calls.clear()
        found = _calls[key] = _made(source) if 0 < source.line < 1 << 31 else _call
    return found


def _made(source: Source) -> Call:
    qualified = source.function or "<module>"
    code = _call.__code__
    code = code.replace(
        co_filename=source.file,
        co_firstlineno=source.line,
        co_linetable=_LINETABLE,
        co_name=qualified.rpartition(".")[2],
        co_qualname=qualified,
        co_consts=(*code.co_consts, source),
    )
    return FunctionType(code, globals())


def source_in(code: CodeType) -> Source | None:
    """The location that the code of such a function carries."""
    last = code.co_consts[-1] if code.co_consts else None
    return last if isinstance(last, Source) else None


__all__ = ["call_at", "source_in"]
