"""Re-rolling: the loops that tracing has unrolled are found again.

    t0 = x[0] * x[0]                        xs = x[0:1000]
    s0 = 0.0 + t0                           s  = 0.0 + reduce_sum(xs * xs)
    t1 = x[1] * x[1]            becomes
    s1 = s0 + t1
    ...

Equations that repeat are found by their tokens (`sequence`), read as the iterations of a loop
(`iterations`), planned (`plan`) and written (`write`): what no iteration takes from another is computed for all
of them at once, what a carry goes through becomes a scan. The innermost loops come first; what they become is
what the next round finds repeated. Where much is left, equations are taken level by level instead (`lanes`).
"""

from __future__ import annotations

import bisect
import functools
from collections.abc import Collection, Sequence
from dataclasses import replace

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.calls import stop_gradient
from ir.ops.shape import concatenate, constant, reshape
from ir.passes.dce import dce
from ir.passes.nested import inside
from ir.passes.replacing import renamed
from ir.passes.rolling.collecting import MANY, REPEATS, collected
from ir.passes.rolling.dead import dead_equations, versions, without_most_dead
from ir.passes.rolling.grids import sliced
from ir.passes.rolling.iterations import Loop, loops
from ir.passes.rolling.lanes import side_by_side
from ir.passes.rolling.one_size import with_one_size
from ir.passes.rolling.plan import Plan, planned
from ir.passes.rolling.sequence import Stretch, Tokens, periods, stretches, tokens
from ir.passes.rolling.stacking import Stacker
from ir.passes.rolling.write import Unprofitable, Writer
from ir.remarks import remark, remarks

# Loops nested deeper than this are not all found.
_ROUNDS = 8
# Fewer iterations than these are no loop.
_FEWEST = 4
# Programs of fewer equations stay as they are.
_SMALL = 24
# Where more are left than this, equations that do not need each other are taken together, if that makes the program so
# many times shorter.
_LONG = 450
_SHORTER = 2


def roll(function: Function, counted: int | None = None) -> Function:
    """Roll up what is repeated, where that pays.

    Args:
      counted: how many results are going to be differentiated, the first ones; all by default.
    """
    return sliced(_rolled(inside(_inner, function), exact=False, counted=counted))


def roll_exact(function: Function, counted: int | None = None) -> Function:
    """As `roll`; sums keep the order of their terms."""
    return sliced(_rolled(inside(_inner_exact, function), exact=True, counted=counted))


def _inner(function: Function) -> Function:
    return _rolled(function, exact=False)


def _inner_exact(function: Function) -> Function:
    return _rolled(function, exact=True)


def _rolled(function: Function, *, exact: bool, counted: int | None = None) -> Function:
    """Rolled with loops that do not pay by themselves if there are such, and the program is shorter with them."""
    with remarks() as said:
        new, has_alike = _rounds(function, exact=exact, counted=counted, alike=True)
    if has_alike:
        with remarks() as said_without:
            without, _ = _rounds(function, exact=exact, counted=counted, alike=False)
        if len(without.eqns) <= len(new.eqns):
            new, said = without, said_without
    if len(new.eqns) >= _LONG:
        with remarks() as said_by_level:
            by_level = _by_level(function, exact=exact, counted=counted)
        if _SHORTER * len(by_level.eqns) <= len(new.eqns):
            new, said = by_level, said_by_level
    for each in said:
        remark(each.by, each.source, each.text, declined=each.declined)
    return new


def _by_level(function: Function, *, exact: bool, counted: int | None) -> Function:
    """Equal equations that do not need each other written as one, then rolled."""
    live = dce(function)
    packed = side_by_side(live, without_derivative(live, counted, ()), exact=exact)
    packed = dce(packed)
    if len(packed.eqns) >= len(live.eqns):  # more lanes to take apart than were put together
        return function
    return _rounds(packed, exact=exact, counted=counted, alike=False)[0]


def _rounds(function: Function, *, exact: bool, counted: int | None, alike: bool) -> tuple[Function, bool]:
    """The function rolled, and whether loops were taken because there are ones like them.

    Args:
      alike: such loops may be taken.
    """
    # What nothing uses has no derivative; in a loop with what is used it would have one of zeros.
    now = begin = without_most_dead(function)
    has_alike = False
    for _ in range(_ROUNDS):
        if len(now.eqns) < _SMALL:
            break
        this = _Round(now, exact=exact, counted=counted, alike=alike)
        new = this.function()
        has_alike = has_alike or this.has_alike
        if new is now:
            new = _with_one_size(now, exact=exact, counted=counted)
        if new is now:
            break
        now = without_most_dead(new)
    return dce(function if now is begin else now), has_alike


def _with_one_size(function: Function, *, exact: bool, counted: int | None) -> Function:
    """A loop over arrays whose size changes, rolled, if there is one."""
    for candidate, repeated in with_one_size(function):
        new = _Round(candidate, exact=exact, counted=counted, alike=False).function()
        if new is not candidate and len(new.eqns) + repeated // 4 <= len(function.eqns):
            return new
    return function


def without_derivative(function: Function, counted: int | None, dead: Collection[Eqn]) -> set[Eqn]:
    """Equations that no differentiated result depends on, but through a `stop_gradient`, and that are not dead.

    They are in no loop with others: there they would have a derivative of zeros, which infinite slopes make NaN.
    """
    results = function.results if counted is None else function.results[:counted]
    if len(results) == len(function.results) and not any(e.op is stop_gradient for e in function.eqns):
        return set()
    live = {v for v in results if v.type.dtype.is_inexact}
    apart: set[Eqn] = set()
    for eqn in reversed(function.eqns):
        if eqn in dead:
            continue
        if eqn.op is stop_gradient or live.isdisjoint(eqn.results):
            apart.add(eqn)
        else:
            live.update([v for v in eqn.operands if v.type.dtype.is_inexact])
    return apart


def _body(sequence: Tokens, start: int, period: int) -> tuple[int, ...]:
    """The tokens of an iteration, wherever it begins."""
    return tuple(sorted(sequence[start : start + period].tolist()))


class _Choice:
    """Loops that do not overlap, short bodies offered first.

    A loop that another one holds, its inner loop, comes before it. Of loops that overlap otherwise, the one of
    more equations stays.

    Attributes:
      plans: in order.
    """

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self._starts: list[int] = []

    def _touching(self, start: int, stop: int) -> tuple[int, int]:
        """Positions of those that overlap the range: (first, last + 1)."""
        first = bisect.bisect_right(self._starts, start)
        if first and self.plans[first - 1].loop.stop > start:
            first -= 1
        return first, bisect.bisect_left(self._starts, stop)

    def holds(self, start: int, stop: int) -> bool:
        """Whether one of them spans the range."""
        return any(p.loop.start <= start and stop <= p.loop.stop for p in self._among(start, stop))

    def _among(self, start: int, stop: int) -> list[Plan]:
        first, last = self._touching(start, stop)
        return self.plans[first:last]

    def takes(self, start: int, stop: int) -> bool:
        """Whether a loop there would be taken."""
        others = self._among(start, stop)
        inner = any(start <= p.loop.start and p.loop.stop <= stop for p in others)
        return not inner and sum(p.loop.stop - p.loop.start for p in others) < stop - start

    def add(self, plan: Plan) -> None:
        first, last = self._touching(plan.loop.start, plan.loop.stop)
        self.plans[first:last] = [plan]
        self._starts[first:last] = [plan.loop.start]


class _Round:
    """One pass over a function.

    Attributes:
      eqns: those that are no constants, with constants of equal value made one.
      dead: those that no result depends on.
      alike: whether loops that do not pay may be taken where there are others like them.
      has_alike: whether any were.
      same: the constant that stands for an equal one.
    """

    def __init__(self, function: Function, *, exact: bool, counted: int | None, alike: bool) -> None:
        self.whole, self.exact, self.alike, self.has_alike = function, exact, alike, False
        self.dead = dead_equations(function)
        self.apart = without_derivative(function, counted, self.dead)
        self.same: dict[Value, Value] = {}
        self.constants: list[Eqn] = []
        self.eqns: list[Eqn] = []
        seen: dict[object, Value] = {}
        for eqn in function.eqns:
            if eqn.op is constant:
                key = (eqn.attrs["value"], eqn.attrs["shape"])
                kept = seen.setdefault(key, eqn.results[0])
                if kept is eqn.results[0]:
                    self.constants.append(eqn)
                else:
                    self.same[eqn.results[0]] = kept
            else:
                held = renamed(eqn, self.same)
                self.eqns.append(held)
                for marked in (self.apart, self.dead):
                    if eqn in marked:
                        marked.add(held)

    @functools.cached_property
    def where(self) -> dict[Value, tuple[int, int]]:
        """(position, which result) of the values that the equations make."""
        return {v: (i, k) for i, eqn in enumerate(self.eqns) for k, v in enumerate(eqn.results)}

    @functools.cached_property
    def last(self) -> dict[Value, int]:
        """Positions of the last equations that use values; results of the function are used after all."""
        found = {v: i for i, eqn in enumerate(self.eqns) for v in eqn.operands}
        found.update(dict.fromkeys([self.same.get(v, v) for v in self.whole.results], len(self.eqns)))
        return found

    @functools.cached_property
    def users(self) -> dict[Value, list[int]]:
        """Positions of the equations that use values."""
        found: dict[Value, list[int]] = {}
        for i, eqn in enumerate(self.eqns):
            for v in eqn.operands:
                found.setdefault(v, []).append(i)
        for v in self.whole.results:
            found.setdefault(v, []).append(len(self.eqns))
        return found

    def function(self) -> Function:
        plans = self._plans()
        gathered = any(e.op is concatenate and len(e.operands) >= MANY for e in self.eqns)
        if not plans and not gathered:
            return self.whole
        return self._written(plans)

    # Finding -------------------------------------------------------------------------------------------

    def _plans(self) -> list[Plan]:
        """Loops that pay and do not overlap, in order."""
        sequence = tokens(self.eqns, self.apart, exact=self.exact)
        chosen = _Choice()
        lengths: dict[tuple[int, ...], set[int]] = {}
        for period in periods(sequence):
            work = stretches(sequence, period, _FEWEST)
            while work:
                stretch = work.pop()
                if chosen.holds(stretch.start, stretch.stop):
                    continue
                found, anew = loops(self.eqns, self.where, stretch, _FEWEST)
                for loop in found:
                    body = _body(sequence, loop.start, len(loop.nodes))
                    lengths.setdefault(body, set()).add(loop.trips)
                pays = [loop for loop in found if self._takes(loop, chosen)]
                if not pays and anew and anew * stretch.period * _FEWEST <= stretch.length:
                    # Too little for loops of their own: bodies of several such iterations.
                    work.append(Stretch(anew * stretch.period, stretch.start, stretch.length))
        if self.alike:
            bodies = {body for body, trips in lengths.items() if len(trips) >= _FEWEST}
            self._take_alike(sequence, bodies, chosen)
        return chosen.plans

    def _takes(self, loop: Loop, chosen: _Choice) -> bool:
        for version, dead in versions(loop, self.dead, 2 if loop.level else _FEWEST):
            if chosen.takes(version.start, version.stop):
                plan = planned(version, dead, self.last, self._collected, exact=self.exact)
                if plan is not None:
                    chosen.add(plan)
                    return True
        return False

    def _take_alike(self, sequence: Tokens, bodies: Collection[tuple[int, ...]], chosen: _Choice) -> None:
        """Loops that do not pay by themselves, where there are ones of the same bodies and of several lengths.

        Such are the inner loops of `for i in range(n): for j in range(i)`, which are iterations of one around them.
        """
        for period in sorted({len(body) for body in bodies}):
            for stretch in stretches(sequence, period, 2):
                if chosen.holds(stretch.start, stretch.stop):
                    continue
                if _body(sequence, stretch.start, period) in bodies:
                    for loop in loops(self.eqns, self.where, stretch, 2)[0]:
                        if self._takes(replace(loop, level=True), chosen):
                            self.has_alike = True

    def _collected(self, value: Value, after: int) -> bool:
        """Whether, from that position on, it is only put beside others, reshaped or not."""
        for at in self.users.get(value, ()):
            if at < after:
                continue
            if at == len(self.eqns):
                return False
            eqn = self.eqns[at]
            if eqn.op is reshape:
                if not all(
                    i < len(self.eqns) and self.eqns[i].op is concatenate
                    for i in self.users.get(eqn.results[0], ())
                ):
                    return False
            elif eqn.op is not concatenate or len(eqn.operands) < MANY:
                return False
        return True

    # Writing -------------------------------------------------------------------------------------------

    def _written(self, plans: Sequence[Plan]) -> Function:
        builder = Builder()
        stacker = Stacker()
        env: dict[Value, Value] = {}
        changed = False
        # The short ones of loops that are alike are collected as the long ones are.
        fewest, repeats = (2, 2) if self.has_alike else (MANY, REPEATS)
        for eqn in self.constants:
            builder.append(eqn)
        position = 0
        rest = iter(plans)
        plan = next(rest, None)
        stacker.see(builder.eqns)
        with building(builder):
            while position < len(self.eqns):
                if plan is not None and position == plan.loop.start:
                    mark = len(builder.eqns)
                    loop = plan.loop
                    try:
                        Writer(plan, env, stacker, builder).write()
                        position = loop.stop
                        changed = True
                        remark("roll", plan.source, f"{plan.loop.size} became {plan.summary}")
                    except Unprofitable as reason:
                        remark(
                            "roll", plan.source, f"{plan.loop.size} stay as they are: {reason}", declined=True
                        )
                        del builder.eqns[mark:]
                        builder.source = None
                        for eqn in self.eqns[loop.start : loop.stop]:
                            self._copy(builder, eqn, env)
                        position = loop.stop
                    plan = next(rest, None)
                else:
                    eqn = self.eqns[position]
                    whole = None
                    if eqn.op is concatenate and len(eqn.operands) >= fewest:
                        builder.source = eqn.source
                        parts = [env.get(v, v) for v in eqn.operands]
                        whole = collected(parts, eqn.attrs["axis"], stacker, repeats)
                        builder.source = None
                    if whole is None:
                        self._copy(builder, eqn, env)
                    else:
                        env[eqn.results[0]] = whole
                        changed = True
                    position += 1
                stacker.see(builder.eqns)
        if not changed:
            return self.whole
        results = tuple([env.get(self.same.get(v, v), self.same.get(v, v)) for v in self.whole.results])
        return self.whole.replace(eqns=tuple(builder.eqns), results=results)

    @staticmethod
    def _copy(builder: Builder, eqn: Eqn, env: dict[Value, Value]) -> None:
        if env.keys().isdisjoint(eqn.operands):
            builder.append(eqn)
        else:
            operands = tuple([env.get(v, v) for v in eqn.operands])
            env.update(zip(eqn.results, builder.copy(eqn, operands), strict=True))


__all__ = ["roll", "roll_exact"]
