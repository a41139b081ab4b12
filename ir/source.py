"""Where an equation comes from in the user's program.

Recording must cost next to nothing, since every traced equation does it: a location is a code
object with an instruction offset, and turns into file, line and function only when asked.
Imports the standard library only.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType

# Modules whose frames are never the user's; a name is internal if its first part is listed.
_INTERNAL = frozenset({"ir", "lowering", "tracer", "numpy", "jax", "jaxlib", "functools", "contextlib"})
_internal_names: dict[str, bool] = {}


# The line of each instruction, by the id of the code object, which is kept: reading them anew for every equation of a
# long function would be quadratic, and so would hashing it.
_lines_of: dict[int, tuple[CodeType, list[int | None]]] = {}
_CODES = 64


def _lines(code: CodeType) -> list[int | None]:
    found = _lines_of.get(id(code))
    if found is None:
        if len(_lines_of) >= _CODES:
            _lines_of.clear()
        found = _lines_of[id(code)] = (code, [position[0] for position in code.co_positions()])
    return found[1]


class Source:
    """A source location, with those it was merged from.

    Attributes:
      others: further locations of a fused or merged equation.
      traced: whether an equation of a finished trace has it: what has it later was derived from that.
      derivative: whether the equation is part of a derivative of what stands at this location.
    """

    __slots__ = ("_code", "_derived", "_lasti", "_where", "derivative", "others", "traced")

    def __init__(
        self, code: CodeType | None, lasti: int, others: tuple[Source, ...] = (), derivative: bool = False
    ) -> None:
        self._code = code
        self._lasti = lasti
        self._where: tuple[str, int, str] | None = None
        self._derived: Source | None = None
        self.others = others
        self.traced = False
        self.derivative = derivative

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
                line = _lines(code)[self._lasti // 2] if self._lasti >= 0 else None
                self._where = (code.co_filename, line or code.co_firstlineno, code.co_qualname)
        return self._where

    @property
    def code(self) -> CodeType | None:
        """The code object of the user's function; `None` where only a place in a text is known."""
        return self._code

    @property
    def offset(self) -> int:
        """The offset of the instruction within `code`."""
        return self._lasti

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
        return self._with(())

    def _with(self, others: tuple[Source, ...], *, derivative: bool | None = None) -> Source:
        """This location with other ones."""
        made = Source(self._code, self._lasti, others, self.derivative if derivative is None else derivative)
        made._where, made.traced = self._where, self.traced
        return made

    def derived(self) -> Source:
        """This location, of an equation that is part of a derivative; always the same object."""
        if self.derivative or self is UNKNOWN:
            return self
        if self._derived is None:
            self._derived = self._with(self.others, derivative=True)
        return self._derived

    def within(self, outer: Source | None) -> Source:
        """This location, or `outer`, that of what the equation is a part of, where this is not known.

        What JAX traced once for all calls of a function knows no line of the user's, nor do rules of our own.
        """
        return outer if self is UNKNOWN and outer is not None else self

    def _forward(self) -> Source:
        return self._with(self.others, derivative=False)

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
    return first._with(tuple(others[:MAX_OTHERS]), derivative=derivative)


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
