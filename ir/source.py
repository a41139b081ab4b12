"""Where an equation comes from in the user's program.

Recording must cost next to nothing, since every traced equation does it: a location is a code
object with an instruction offset, and turns into file, line and function only when asked.
Imports the standard library only.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Protocol

# Modules whose frames are never the user's; a name is internal if its first part is listed.
_INTERNAL = frozenset({"ir", "lowering", "tracer", "numpy", "jax", "functools", "contextlib"})
_internal_names: dict[str, bool] = {}


class Whereabouts(Protocol):
    """Something that finds file, line and function when asked; equal where it would find the same."""

    def resolve(self) -> tuple[str, int, str]: ...


class Source:
    """A source location, with those it was merged from.

    Attributes:
      others: further locations of a fused or merged equation.
      derivative: whether the equation is part of a derivative of what stands at this location.
    """

    __slots__ = ("_code", "_derived", "_lasti", "_where", "derivative", "others")

    def __init__(
        self, code: CodeType | None, lasti: int, others: tuple[Source, ...] = (), derivative: bool = False
    ) -> None:
        self._code = code
        self._lasti = lasti
        self._where: tuple[str, int, str] | Whereabouts | None = None
        self._derived: Source | None = None
        self.others = others
        self.derivative = derivative

    @classmethod
    def lazily(cls, where: Whereabouts) -> Source:
        """A location that something outside knows how to find."""
        made = cls(None, 0)
        made._where = where
        return made

    @classmethod
    def at(cls, file: str, line: int, function: str = "") -> Source:
        """A location known by its text."""
        made = cls(None, 0)
        made._where = (file, line, function)
        return made

    def _resolve(self) -> tuple[str, int, str]:
        if self._where is None:
            if self._code is None:
                self._where = ("<unknown>", 0, "")
            else:
                code = self._code
                positions = list(code.co_positions())
                line = positions[self._lasti // 2][0] if self._lasti >= 0 else None
                self._where = (code.co_filename, line or code.co_firstlineno, code.co_qualname)
        elif not isinstance(self._where, tuple):
            self._where = self._where.resolve()
        return self._where

    @property
    def file(self) -> str:
        return self._resolve()[0]

    @property
    def line(self) -> int:
        return self._resolve()[1]

    @property
    def function(self) -> str:
        return self._resolve()[2]

    def text(self) -> str:
        """The code of the line, as it stands in the file; empty where nobody can tell."""
        import linecache

        file, line, _ = self._resolve()
        return linecache.getline(file, line).strip()

    def __str__(self) -> str:
        file, line, function = self._resolve()
        return f"{file}:{line} ({function})" if function else f"{file}:{line}"

    def __repr__(self) -> str:
        return f"Source({self})"

    def _alone(self) -> Source:
        """This location without the others."""
        if not self.others:
            return self
        made = Source(self._code, self._lasti, (), self.derivative)
        made._where = self._where
        return made

    def derived(self) -> Source:
        """This location, of an equation that is part of a derivative; always the same object."""
        if self.derivative or self is UNKNOWN:
            return self
        if self._derived is None:
            made = Source(self._code, self._lasti, self.others, derivative=True)
            made._where = self._where
            self._derived = made
        return self._derived

    def within(self, outer: Source | None) -> Source:
        """This location, or `outer`, that of what the equation is a part of, where this is not known.

        What JAX traced once for all calls of a function knows no line of the user's.
        """
        if self._code is not None or outer is None or outer is self:
            return self
        if self is UNKNOWN:
            return outer
        made = Source(None, 0, self.others, self.derivative)
        made._where = _FirstKnown(self, outer)
        return made

    def _forward(self) -> Source:
        made = Source(self._code, self._lasti, self.others)
        made._where = self._where
        return made

    def same(self, other: Source) -> bool:
        """Whether both are the same place, without looking up the line."""
        return self is other or self.place == other.place

    @property
    def place(self) -> object:
        """Equal for the same place, without looking up the line."""
        return self._where if self._code is None else (id(self._code), self._lasti)

    def all(self) -> tuple[Source, ...]:
        """This location and all it was merged from, without repetition, in order."""
        seen: dict[tuple[str, int, str], Source] = {}
        stack = [self]
        while stack:
            item = stack.pop()
            seen.setdefault(item._resolve(), item)
            stack.extend(reversed(item.others))
        return tuple(seen.values())


@dataclass(frozen=True, slots=True)
class _FirstKnown:
    """The inner location if it is known, otherwise the outer one."""

    inner: Source
    outer: Source

    def resolve(self) -> tuple[str, int, str]:
        found = self.inner._resolve()
        return found if found[1] else self.outer._resolve()


UNKNOWN = Source(None, 0)


# Further locations that a merged equation keeps; constants may be merged thousands of times.
MAX_OTHERS = 8


def merge(first: Source, second: Source) -> Source:
    """The location of an equation that stands for two; remembers at most `MAX_OTHERS` more.

    It is part of a derivative where both are.
    """
    derivative = first.derivative and second.derivative
    if first.derivative and not derivative:
        first = first._forward()
    if first is second or second is UNKNOWN or len(first.others) >= MAX_OTHERS:
        return first
    if first is UNKNOWN:
        return second
    others = list(first.others)
    for each in (second, *second.others):
        if not any(each.same(held) for held in (first, *others)):
            others.append(each._alone())
    if len(others) == len(first.others):
        return first
    made = Source(first._code, first._lasti, tuple(others[:MAX_OTHERS]), derivative)
    made._where = first._where
    return made


def is_internal(module: str) -> bool:
    """Whether frames of this module are never shown to a user as theirs."""
    known = _internal_names.get(module)
    if known is None:
        known = _internal_names[module] = module.partition(".")[0] in _INTERNAL
    return known


def capture(depth: int = 1) -> Source:
    """The innermost frame that is the user's, from `depth` calls above the caller."""
    frame: FrameType | None = sys._getframe(depth)
    names = _internal_names
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        known = names.get(name)
        if known is None:
            known = is_internal(name)
        if not known:
            return Source(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return UNKNOWN
