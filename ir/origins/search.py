"""The search for the equation that made a number which is not finite, backwards from a result that holds one.

At each level every value is looked at once. From the result, the search goes to the operands that hold such a
number too; an equation none of whose operands does is an origin, and so is a param. Equations that hold functions
are entered, so that what a loop or a branch masks is no origin. Of several origins the first in program order is
reported. Running the programs costs a compilation for each level, and for each loop on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.core import Eqn, Function, Value
from ir.ops.carries import live_part
from ir.ops.loops import scan
from ir.origins.flagged import counted, flagged, looked_at, opened, says
from ir.origins.inside import EVERY, Given, Inside, before_step, holds_functions, inside
from ir.origins.kinds import Kind
from ir.passes.silent import silent

# Results of a program at given operands.
Run = Callable[[Function, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Trip:
    """A loop or branch on the way from the program to the origin.

    Attributes:
      eqn: the equation that was entered.
      what: "iteration" or "branch".
      index: which one, from 0; of a loop that runs backwards, as the loop forwards counts them.
    """

    eqn: Eqn
    what: str
    index: int


@dataclass(frozen=True, slots=True)
class Origin:
    """The equation that made the number.

    Attributes:
      eqn: none of its operands holds one, a result does.
      function: where it stands.
      operands, results: their arrays.
      trips: the loops and branches it stands in, outermost first.
      kind: what was looked for.
      cause: of NaN that comes of infinite operands, what made those, if it is known.
    """

    eqn: Eqn
    function: Function
    operands: tuple[Any, ...]
    results: tuple[Any, ...]
    trips: tuple[Trip, ...]
    kind: Kind
    cause: Origin | Argument | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """The params of the program that held the number from the start.

    Attributes:
      positions: which.
    """

    positions: tuple[int, ...]


def search(
    function: Function, operands: Sequence[Any], run: Run, kind: Kind, *, everywhere: bool = False
) -> Origin | Argument | None:
    """Where a number of this kind in a result of `function` comes from; None if no result holds one.

    Args:
      run: evaluates programs.
      everywhere: look at every equation, whether or not a result depends on it.
    """
    wanted = None if everywhere else range(len(function.results))
    found = _Level(function, operands, run, kind, ()).origin(wanted)
    return Argument(tuple(sorted(found))) if isinstance(found, frozenset) else found


class _Level:
    """One function, run on known operands.

    Attributes:
      trips: how it was reached.
    """

    def __init__(
        self, function: Function, operands: Sequence[Any], run: Run, kind: Kind, trips: tuple[Trip, ...]
    ) -> None:
        self.function = opened(silent(function))
        self.operands = tuple(operands)
        self.run = run
        self.kind = kind
        self.trips = trips

    def origin(self, wanted: Sequence[int] | None) -> Origin | frozenset[int] | None:
        """The origin, or the params that hold such a number and reach a wanted result; None where none does.

        Args:
          wanted: positions of results; None to look at all equations.
        """
        if wanted is None:
            return self._anywhere()
        whole = self.function
        return self._from(tuple([whole.results[k] for k in wanted]))

    def _from(self, ends: tuple[Value, ...]) -> Origin | frozenset[int] | None:
        function = live_part(self.function.replace(results=ends))
        bad = self._bad(function)
        reached = bad.intersection(ends)
        if not reached:
            return None
        first: Origin | None = None
        for eqn in reversed(function.eqns):
            ours = [k for k, r in enumerate(eqn.results) if r in reached]
            if not ours:
                continue
            sources = [v for v in eqn.operands if v in bad]
            if holds_functions(eqn):
                found, entered = self._enter(eqn, ours)
                if found is not None:
                    first = found
                elif not entered:  # run once more, it gave no such number
                    entered = set(sources)
                    first = first if sources else self._at(eqn)
                reached.update(entered)
            elif sources:
                reached.update(sources)
            else:
                first = self._at(eqn)
        held = frozenset([i for i, p in enumerate(function.params) if p in reached])
        if held:
            return held
        return None if first is None else self._explained(first)

    def _bad(self, function: Function) -> set[Value]:
        (flags,) = self.run(flagged(function, self.kind), self.operands)
        values = looked_at(function)
        return {v for v, flag in zip(values, np.asarray(flags).tolist(), strict=True) if flag}

    def _values(self, values: Sequence[Value]) -> tuple[Any, ...]:
        """Arrays of values of this function."""
        return tuple(self.run(live_part(self.function.replace(results=tuple(values))), self.operands))

    def _at(self, eqn: Eqn) -> Origin:
        return Origin(eqn, self.function, (), (), self.trips, self.kind)

    def _explained(self, origin: Origin) -> Origin:
        """An origin with its arrays, and of NaN with what made the infinite operands."""
        if origin.trips != self.trips or origin.results:
            return origin
        eqn = origin.eqn
        arrays = self._values((*eqn.operands, *eqn.results))
        n = len(eqn.operands)
        cause: Origin | Argument | None = None
        if self.kind is Kind.NAN:
            found = _Level(self.function, self.operands, self.run, Kind.INF, self.trips)._from(eqn.operands)
            if isinstance(found, Origin):
                cause = found
            elif found and not self.trips:  # (of a loop, what it was given may come from anywhere)
                cause = Argument(tuple(sorted(found)))
        return replace(origin, operands=arrays[:n], results=arrays[n:], cause=cause)

    # Into loops and branches ------------------------------------------------------------------------------

    def _enter(self, eqn: Eqn, ours: Sequence[int]) -> tuple[Origin | None, set[Value]]:
        """(an origin inside, operands that hold such a number and reach one of these results)."""
        operands = self._values(eqn.operands)
        reached: set[Value] = set()
        left: list[tuple[int, int, bool]] = [(k, EVERY, False) for k in ours]
        seen = set(left)
        while left:
            position, limit, states = left.pop(0)
            entry = inside(eqn, position, self.kind, states=states)
            assert entry is not None
            level, trip = self._level(entry, eqn, operands, limit)
            if level is None:
                continue
            found = level.origin([entry.wanted])
            if isinstance(found, Origin):
                return found, reached
            for i in found or ():
                given = entry.given[i]
                before = self._before(eqn, operands, given, states, trip)
                if given.carry is None or not before:
                    reached.add(eqn.operands[given.operand])
                elif (step := (given.carry, before, given.states)) not in seen:
                    seen.add(step)
                    left.append(step)
        return None, reached

    def _before(self, eqn: Eqn, operands: Sequence[Any], given: Given, states: bool, trip: int) -> int:
        """How many trips came before the one whose carry this is."""
        if given.states and not states:
            return before_step(eqn, _trips(operands), trip)
        return trip

    def _level(
        self, entry: Inside, eqn: Eqn, operands: Sequence[Any], limit: int
    ) -> tuple[_Level | None, int]:
        """The function that is entered, on its operands, and the trip."""
        outs = self.run(entry.program, (np.int32(limit), *operands))
        index = int(np.asarray(outs[0]))
        if index < 0:
            return None, index
        branch = index if entry.what == "branch" else 0
        place = index
        if eqn.attrs.get("reverse"):
            last = eqn.attrs["length"] if eqn.op is scan else _trips(operands)
            place = last - 1 - index
        way = (*self.trips, Trip(eqn, entry.what, place)) if entry.what else self.trips
        return _Level(entry.functions[branch], outs[1:], self.run, self.kind, way), index

    # Everywhere -------------------------------------------------------------------------------------------

    def _anywhere(self) -> Origin | frozenset[int] | None:
        """The first equation in program order that made such a number, whatever becomes of it."""
        held = self._bad(self.function.replace(eqns=(), results=()))
        if held:
            return frozenset([i for i, p in enumerate(self.function.params) if p in held])
        return _Level(counted(self.function, self.kind), self.operands, self.run, self.kind, ())._first()

    def _first(self) -> Origin | None:
        """Of a function whose loops and branches say whether they gave such a number."""
        bad = self._bad(self.function)
        for eqn in self.function.eqns:
            if not holds_functions(eqn) or not says(eqn):
                if not bad.isdisjoint(eqn.results) and bad.isdisjoint(eqn.operands):
                    return self._explained(self._at(eqn))
                continue
            position = says(eqn) - 1
            if eqn.results[position] in bad:
                operands = self._values(eqn.operands)
                entry = inside(eqn, position, self.kind)
                assert entry is not None
                level, _ = self._level(entry, eqn, operands, EVERY)
                found = None if level is None else level._first()
                if found is not None:
                    return found
        return None


def _trips(operands: Sequence[Any]) -> int:
    """Of a `replay`."""
    return int(np.asarray(operands[0]))


__all__ = ["Argument", "Origin", "Run", "Trip", "search"]
