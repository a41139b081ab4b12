"""The memory that a compiled program holds while it runs, equation by equation: an estimate.

`ir.cost.live_memory` says what the program as written holds. A compiler that fuses and reuses memory holds less:

- values that are fused (`ir.fusion`) have no memory;
- a result takes the place of an operand of its size that is not needed any more, where each element is read only
  as its own is written;
- the carry of a loop is changed in place, from the memory of its first value if nothing else reads that; what the
  loop stacks is written to its place; an iteration holds what its body holds at its peak;
- of branches, the largest counts; a `replay` keeps states in its slots;
- the memory of a result holds other things until the result is written.

Arguments and results are memory of the caller's, held throughout; all else comes and goes. This predicts what XLA
calls temporary memory. It knows neither the order in which XLA schedules nor the layouts that it chooses.
Linear. Imports the core of `ir` only.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ir.core import Eqn, Function, Value, inner_first, nested_functions
from ir.fusion import Fusion, Kernel, fusion

_LOOKED_AT = 32  # results whose memory might be lent


@dataclass(frozen=True, slots=True)
class Held:
    """A value that has memory at some time.

    Attributes:
      value: what it holds; one that no function knows for what is not an `eqn`.
      eqn: the equation that made it, or for which it was made.
      bytes: how many.
      what: `eqn`: a result of that equation; `copy`: a value in another order of its axes; `zeros`: what loops
        stack upon; `within`: what the functions inside the equation hold.
    """

    value: Value | None
    eqn: Eqn
    bytes: int
    what: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Memory over the equations of a function.

    Attributes:
      arguments: bytes of the params.
      results: bytes of the results.
      temporary: bytes of what is neither, during each equation.
      peak: the greatest of these; 0 for a function without equations.
      position: index of the equation at the peak, the first of several; `None` where nothing is held.
      held: what is held there, largest first.
    """

    arguments: int
    results: int
    temporary: tuple[int, ...]
    peak: int
    position: int | None
    held: tuple[Held, ...]

    @property
    def total(self) -> int:
        """Bytes beside the arguments: results and the peak of the rest."""
        return self.results + self.peak


def timeline(function: Function) -> Timeline:
    """The time line of a function as a whole program."""
    found = function._cache.get("timeline")
    if found is None:
        for below in inner_first(function):  # so that nothing recurses
            for eqn in below.eqns:
                if eqn.attrs:
                    _within(eqn)
        found = function._cache["timeline"] = _timeline(function)
    return found


def at_peak(function: Function) -> tuple[tuple[Held, Function, tuple[Eqn, ...]], ...]:
    """What `timeline` holds at the peak, with the function that it belongs to and the equations around that.

    What functions inside an equation hold is taken apart. The rest of it, such as states that a `replay` keeps, is one.
    """
    out: list[tuple[Held, Function, tuple[Eqn, ...]]] = []
    held, around = timeline(function).held, tuple[Eqn, ...]()
    while held:
        out.extend([(each, function, around) for each in held if each.what != "within"])
        whole = next((each for each in held if each.what == "within"), None)
        if whole is None:
            break
        bodies = _bodies(whole.eqn)
        inner, carries = max(bodies, key=lambda body: _inside(*body))
        swept = _swept(inner, carries)
        if whole.bytes > swept.peak:
            out.append((replace(whole, bytes=whole.bytes - swept.peak), function, around))
        function, around, held = inner, (*around, whole.eqn), tuple(swept.held)
    return tuple(out)


def _bodies(eqn: Eqn) -> list[tuple[Function, int]]:
    """The functions inside an equation, and from which result on each writes to places of stacked arrays."""
    if eqn.op.name == "scan":
        return [(eqn.attrs["function"], eqn.attrs["num_carry"])]
    return [(f, len(f.results)) for f in nested_functions(eqn)]


def _within(eqn: Eqn) -> int:
    """Bytes that the functions inside an equation hold, beyond what the equation itself holds."""
    within = max([_inside(*body) for body in _bodies(eqn)], default=0)
    return within + _replayed(eqn) if eqn.op.name == "replay" else within


def _replayed(eqn: Eqn) -> int:
    """States that a `replay` in reverse keeps on its inner levels, and on the outer one where nothing recorded it."""
    attrs = eqn.attrs
    if not attrs["reverse"]:
        return 0
    outer, middle, inner = attrs["slots"]
    count = attrs["num_state"]
    first = attrs["num_consts"] + (2 + count if attrs["recorded"] else 1)
    kept: int = middle + inner + (0 if attrs["recorded"] else outer)
    return kept * sum([v.type.nbytes for v in eqn.operands[first : first + count]])


def _inside(function: Function, carries: int) -> int:
    """The peak of a body whose results from `carries` on are written to places of stacked arrays."""
    known: dict[int, int] = function._cache.setdefault("peaks inside", {})
    if carries not in known:
        known[carries] = _swept(function, carries).peak
    return known[carries]


def _swept(function: Function, carries: int) -> _Sweep:
    stacked = [v for v in function.results[carries:] if v not in function.results[:carries]]
    return _Sweep(function, fusion(function, stacked), frozenset(function.params))


def _timeline(function: Function) -> Timeline:
    made = fusion(function)
    # The first result that is written where it is returned; others are copies of it.
    returned = frozenset({made.root(v) for v in function.results})
    swept = _Sweep(function, made, frozenset((*function.params, *returned)), _Places(made, returned))
    arguments = sum([v.type.nbytes for v in function.params])
    results = sum([v.type.nbytes for v in function.results])
    held = sorted(swept.held, key=lambda each: -each.bytes)
    return Timeline(arguments, results, tuple(swept.temporary), swept.peak, swept.position, tuple(held))


class _Places:
    """Memory of results, lent to other values until the results are written.

    Where several would do, the smallest is lent; of very many, some are looked at.
    """

    def __init__(self, made: Fusion, returned: frozenset[Value]) -> None:
        found = [(v.type.nbytes, k.position) for k in made.kernels for v in k.writes if v in returned]
        found.sort()
        self.sizes = [size for size, _ in found]
        self.written = [position for _, position in found]
        self.free_from = [0] * len(found)

    def lend(self, size: int, first: int, last: int) -> bool:
        """Whether there is a place for so many bytes from one equation to another, which is then taken."""
        begin = bisect.bisect_left(self.sizes, size)
        for k in range(begin, min(begin + _LOOKED_AT, len(self.sizes))):
            if self.free_from[k] <= first and last < self.written[k]:
                self.free_from[k] = last + 1
                return True
        return False


class _Sweep:
    """Memory that comes and goes over the kernels of a function.

    Attributes:
      temporary: bytes during each equation.
      peak, position, held: see `Timeline`.
    """

    def __init__(
        self, function: Function, made: Fusion, outside: frozenset[Value], places: _Places | None = None
    ) -> None:
        self.outside = outside
        self.lent: set[Value] = set()
        self.made = made
        end = len(function.eqns)
        last: dict[Value, int] = {}
        for kernel in made.kernels:
            for value in kernel.reads:
                last[value] = kernel.position
        for value in function.results:
            last[made.root(value)] = end
        self.last = last
        self.within = 0
        self.temporary: list[int] = []
        self.peak, self.position = 0, None
        dying: list[list[Value]] = [[] for _ in range(end + 1)]
        at: list[list[Kernel]] = [[] for _ in range(end + 1)]
        for kernel in made.kernels:
            at[kernel.position].append(kernel)
        now = within = 0
        for i in range(end):
            during = now
            for kernel in at[i]:
                inside = _within(kernel.eqn) if kernel.eqn is not None and kernel.eqn.attrs else 0
                for value in self.kept(kernel):
                    until = max(last.get(value, i), i)
                    if places is not None and places.lend(value.type.nbytes, i, until):
                        self.lent.add(value)
                        continue
                    now += value.type.nbytes
                    dying[until].append(value)
                reused = self.in_place(kernel)
                if now - reused + inside > during:
                    during, within = now - reused + inside, inside
            if during > self.peak:
                self.peak, self.position, self.within = during, i, within
            self.temporary.append(during)
            for value in dying[i]:
                now -= value.type.nbytes
        self.held = self.at_peak(function)

    def kept(self, kernel: Kernel) -> Iterator[Value]:
        """Results of a kernel that are temporary memory; arrays of constants are part of the executable."""
        eqn = kernel.eqn
        if eqn is None or eqn.op.name != "constant" or eqn.attrs["value"].shape == ():
            yield from (v for v in kernel.writes if v not in self.outside)

    def in_place(self, kernel: Kernel) -> int:
        """Bytes of operands whose memory results take over."""
        sizes = [
            value.type.nbytes
            for value in kernel.aligned
            if value not in self.outside
            and value not in self.lent
            and self.last.get(value) == kernel.position
        ]
        reused = 0
        for value in kernel.writes:
            if value.type.nbytes in sizes and value not in self.outside and value not in self.lent:
                sizes.remove(value.type.nbytes)
                reused += value.type.nbytes
        return reused

    def at_peak(self, function: Function) -> list[Held]:
        """What is held at the peak."""
        if self.position is None:
            return []
        out: list[Held] = []
        for kernel in self.made.kernels:
            if kernel.position <= self.position:
                for value in self.kept(kernel):
                    if value not in self.lent and self.last.get(value, kernel.position) >= self.position:
                        eqn = kernel.eqn or function.eqns[kernel.position]
                        out.append(Held(value, eqn, value.type.nbytes, kernel.what))
        if self.within:
            out.append(Held(None, function.eqns[self.position], self.within, "within"))
        return out


__all__ = ["Held", "Timeline", "at_peak", "timeline"]
