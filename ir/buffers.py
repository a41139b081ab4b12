"""The memory that the values of one function share: which takes the place of which, and from when to when it is held.

A value takes the place of an operand of its size that is not needed any more, where each element is read only as its
own is written. What is returned has a place of its own, the caller's or that of a carry of the loop, which holds other
things until then.

Near-linear. Imports the core of `ir` only.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ir.core import Function, Value
from ir.fusion import Fusion, Kernel

_LOOKED_AT = 32  # places that might hold a value


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that holds one value after the other.

    Attributes:
      size: bytes.
      end: index of the kernel that reads it last; how many there are, for what is returned.
      held: the values, each with the index of the kernel that writes it.
    """

    size: int
    end: int
    held: list[tuple[int, Value]] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Index of the kernel that writes it first."""
        return self.held[0][0]

    def at(self, index: int) -> tuple[int, Value]:
        """What it holds after a kernel, and the index of that which wrote it."""
        return next(each for each in reversed(self.held) if each[0] <= index)


@dataclass(frozen=True, slots=True, eq=False)
class _Stay:
    """A value in memory, from the index of the kernel that writes it to that of the last that reads it.

    What was there before has no kernel.
    """

    start: int
    end: int
    kernel: Kernel | None
    value: Value

    def meets(self, later: _Stay) -> bool:
        """Whether one that begins later cannot have the same memory."""
        if self.end != later.start or later.kernel is None:
            return self.end >= later.start
        return self.value.type.nbytes != later.value.type.nbytes or self.value not in later.kernel.aligned


class _Place:
    """Memory in which a value is returned, and what it holds before, in order."""

    def __init__(self, first: list[_Stay], returned: _Stay) -> None:
        self.size = returned.value.type.nbytes
        self.written = returned.start
        self.stays = [*first, returned]

    def take(self, stay: _Stay) -> bool:
        """Whether it can hold this besides the others, which it then does."""
        k = bisect.bisect_left(self.stays, (stay.start, stay.end), key=lambda each: (each.start, each.end))
        around = (k > 0 and self.stays[k - 1].meets(stay)) or stay.meets(self.stays[k])
        if not around:
            self.stays.insert(k, stay)
        return not around


def buffers(function: Function, made: Fusion, returned: Mapping[Value, Value | None]) -> list[Buffer]:
    """The memory of a function's values, besides that of params and the places of what it returns.

    Args:
      function: what is compiled.
      made: its kernels.
      returned: values that are written where they are returned; and for a carry of a loop the param whose place that
        is.
    """
    last: dict[Value, int] = {}
    for i, kernel in enumerate(made.kernels):
        last.update(dict.fromkeys(kernel.reads, i))
    last.update(dict.fromkeys([made.root(v) for v in function.results], len(made.kernels)))
    stays = [
        _Stay(i, last.get(value, i), kernel, value)
        for i, kernel in enumerate(made.kernels)
        for value in _written(kernel)
    ]
    elsewhere = _placed(stays, returned, last)
    home: dict[Value, Buffer] = {}
    out: list[Buffer] = []
    for stay in stays:
        if stay in elsewhere:
            continue
        value = stay.value
        ending = [
            home[v]
            for v in made.kernels[stay.start].aligned
            if v in home and last[v] == stay.start and home[v].size == value.type.nbytes
        ]
        # (Where another result has taken the place already, its last value is another one.)
        ending = [buffer for buffer in ending if buffer.held[-1][0] != stay.start]
        if ending:
            buffer = min(ending, key=lambda buffer: buffer.start)  # (a set has no order)
            buffer.end = stay.end
        else:
            buffer = Buffer(value.type.nbytes, stay.end)
            out.append(buffer)
        home[value] = buffer
        buffer.held.append((stay.start, value))
    return out


def _written(kernel: Kernel) -> Iterator[Value]:
    """Results of a kernel that have memory; arrays of constants are part of the executable."""
    eqn = kernel.eqn
    if eqn is None or eqn.op.name != "constant" or eqn.attrs["value"].shape == ():
        yield from kernel.writes


def _placed(
    stays: Sequence[_Stay], returned: Mapping[Value, Value | None], last: Mapping[Value, int]
) -> set[_Stay]:
    """Those that need no memory of their own: what is returned, and what its places hold before.

    The largest first. A carry whose param is still read when it is written has no place.
    """
    out: set[_Stay] = set()
    places: list[_Place] = []
    for stay in stays:
        if stay.value in returned:
            before = returned[stay.value]
            first = [] if before is None else [_Stay(-1, last.get(before, -1), None, before)]
            if not any(each.meets(stay) for each in first):
                places.append(_Place(first, stay))
                out.add(stay)
    places.sort(key=lambda place: (place.size, place.written))
    sizes = [place.size for place in places]
    for stay in sorted(stays, key=lambda each: -each.value.type.nbytes):
        if stay not in out:
            begin = bisect.bisect_left(sizes, stay.value.type.nbytes)
            if any(place.take(stay) for place in places[begin : begin + _LOOKED_AT]):
                out.add(stay)
    return out


__all__ = ["Buffer", "buffers"]
