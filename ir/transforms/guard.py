"""Before differentiation: no derivative is taken where a selection throws the value away.

    y = log(x)                          s = select(p, x, 1)
    z = select(p, y, c)     becomes     y = log(s)
                                        z = select(p, y, c)

Both programs have the same results. But the cotangent of y is 0 where p fails, and there log'(x) may be
infinite, so that the first gives 0 * inf = NaN; the second gives 0, forwards, backwards and in every order.

Which elements of a value count is found backwards from the results. An element of a case of `select` counts
where it is chosen; elementwise ops ask of their operands what is asked of them; a few ops that move elements
pass it on; whatever else asks for all elements. Uses without a derivative, such as comparisons, ask for
nothing: where elements do not count they are given the value as it was. So the invariant is that every value
of the new program equals that of the old one in the elements that count, and in all where it has no
derivative. An element that counts keeps its derivative, a NaN included.

Only ops with `tame` operands are guarded: elementwise ones that have infinite values or derivatives at
finite operands. What depends on operands that are infinite or NaN themselves stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ir.contents import has_effects
from ir.core import Eqn, Function, Value, inner_first
from ir.op import ZERO, Builder, Op, building
from ir.ops import arithmetic as ar
from ir.ops import logic
from ir.ops import reduce as rd
from ir.ops import shape as sh
from ir.ops.calls import call
from ir.rewriter import constant_number

# More alternatives than these, or more conditions in one, and elements are taken to count that do not.
_ALTERNATIVES = 4
_CONDITIONS = 4
# More equations than these are not written twice for the conditions of a guard. It is then left out, wherever
# it was to stand: the steps of a loop stay alike, and what is written twice is computed twice.
_COPIES = 32
# Nor are more equations than these looked through, so that a guard costs no more than this.
_LOOK_AHEAD = 512
# Smaller divisors, or nearly as small ones, are 0 in some types.
_SMALLEST = 1e-4


@dataclass(frozen=True, slots=True)
class _Condition:
    """A bool for each element: `base`, or its negation, moved by `steps` of (op, attributes).

    Attributes:
      order: where `base` stands in the program.
    """

    base: Value | _Condition
    holds: bool
    order: int
    steps: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = ()

    @property
    def negated(self) -> _Condition:
        return replace(self, holds=not self.holds)

    def moved(self, op: Op, **attrs: object) -> _Condition:
        return replace(self, steps=(*self.steps, (op.name, tuple(attrs.items()))))

    @property
    def key(self) -> tuple[object, ...]:
        """What conditions are sorted by, so that equal programs are guarded in equal ways."""
        inner = self.base.key if isinstance(self.base, _Condition) else ()
        return (self.order, self.holds, str(self.steps), str(inner))


# Which elements count: those for which all conditions of some alternative hold. No alternative: none do; one
# without conditions: all do.
_Count = frozenset[frozenset[_Condition]]
_NONE: _Count = frozenset()
_ALL: _Count = frozenset([frozenset()])


def guarded(function: Function, nonzero: Iterable[bool], conditions: int = _CONDITIONS) -> Function:
    """`function`, or one with the same results whose derivative by the params where `nonzero` is guarded.

    Args:
      conditions: of so many selections, the innermost ones, each guard takes account.
    """
    if not any(e.op is logic.select for each in inner_first(function) for e in each.eqns):
        return function
    flat = _without_calls(function)
    active = _active(flat, nonzero)
    exposed = [e for e in flat.eqns if e.op.tame is not None and not active.isdisjoint(e.operands)]
    # (What gives no result is in the way of no condition, and is not moved.)
    if not exposed or any(e.results and has_effects(e) for e in flat.eqns):
        return function
    plan = _Plan(flat, active, conditions)
    guards = {e: plan.count(e.results[0]) for e in exposed}
    guards = {
        e: counted for e, counted in guards.items() if counted not in (_ALL, _NONE) and _numbers(plan, e)
    }
    guards = _affordable(plan, guards)
    return _Rewriter(plan, guards).function() if guards else function


def _numbers(plan: _Plan, eqn: Eqn) -> tuple[float | None, ...] | None:
    """What operands are given where the result does not count; None if they may stay as they are."""
    assert eqn.op.tame is not None
    numbers = eqn.op.tame(**eqn.attrs)
    if eqn.op in _QUOTIENTS:
        divisor = constant_number(plan.filled(eqn.operands[1]))
        if divisor is not None and abs(divisor) >= _SMALLEST:  # (less may be flushed to 0; NaN is not)
            return None
    return None if all(n is None for n in numbers) else numbers


def _affordable(plan: _Plan, guards: dict[Eqn, _Count]) -> dict[Eqn, _Count]:
    """The guards whose conditions are known without writing many equations twice.

    A condition may depend on values that are guarded: those are needed as they were as well. Guards that come from
    one place in the program are left out together.
    """
    changed: set[Value] = set()
    for eqn in plan.function.eqns:
        if eqn in guards or not changed.isdisjoint(eqn.operands):
            changed.update(eqn.results)
    places: dict[_Count, dict[object, set[Eqn]]] = {}
    for eqn, counted in guards.items():
        places.setdefault(counted, {}).setdefault((eqn.op, eqn.source.place), set()).add(eqn)
    kept: dict[Eqn, _Count] = {}
    for counted, groups in places.items():
        bases = [_base(c) for one in counted for c in one]
        first = min(plan.order[v] for v in bases)
        cone = _needed(plan, bases, changed)
        for group in groups.values():
            # What comes after the conditions they do not need.
            early = [e for e in group if plan.order[e.results[0]] < first]
            if not early or (cone is not None and _copies(cone, group) <= _COPIES):
                kept.update(dict.fromkeys(group, counted))
    return kept


def _needed(plan: _Plan, bases: Iterable[Value], changed: set[Value]) -> list[Eqn] | None:
    """The equations that conditions need and guards may change, in order; None if that takes long to find out."""
    seen: set[Value] = set()
    found: set[Eqn] = set()
    left = list(bases)
    while left:
        value = left.pop()
        if value in seen or value not in changed or (value in plan.active and plan.count(value) == _ALL):
            continue
        seen.add(value)
        eqn = plan.made_by[value]
        found.add(eqn)
        if len(found) > _LOOK_AHEAD:
            return None
        left.extend(eqn.operands)
    return sorted(found, key=lambda e: plan.order[e.results[0]])


def _copies(cone: Iterable[Eqn], group: set[Eqn]) -> int:
    """How many of the equations in order these guards change."""
    changed: set[Value] = set()
    for eqn in cone:
        if eqn in group or not changed.isdisjoint(eqn.operands):
            changed.update(eqn.results)
    return len(changed)


def _without_calls(function: Function) -> Function:
    """Plain calls replaced by their bodies, which may hold the selection or what it selects."""
    if not any(e.op is call for e in function.eqns):
        return function
    builder = Builder()
    env: dict[Value, Value] = {}

    def append(eqns: Sequence[Eqn], env: dict[Value, Value]) -> None:
        for eqn in eqns:
            operands = tuple([env.get(v, v) for v in eqn.operands])
            if eqn.op is call:
                body = eqn.attrs["function"]
                inside = dict(zip(body.params, operands, strict=True))
                append(body.eqns, inside)
                env.update(zip(eqn.results, [inside.get(v, v) for v in body.results], strict=True))
            else:
                env.update(zip(eqn.results, builder.copy(eqn, operands), strict=True))

    append(function.eqns, env)
    results = tuple([env.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(builder.eqns), results=results)


def _active(function: Function, nonzero: Iterable[bool]) -> set[Value]:
    """Values that may have a tangent."""
    active = {p for p, moves in zip(function.params, nonzero, strict=True) if moves}
    for eqn in function.eqns:
        if eqn.op.jvp is not ZERO and not active.isdisjoint(eqn.operands):
            active.update([r for r in eqn.results if r.type.dtype.is_inexact])
    return active


# Which elements count --------------------------------------------------------------------------------


def _key(alternative: frozenset[_Condition]) -> tuple[object, ...]:
    return (len(alternative), *sorted([c.key for c in alternative]))


def _either(a: _Count, b: _Count) -> _Count:
    alternatives = set(a | b)
    pair = True
    while pair:
        pair = False
        for one in sorted(alternatives, key=_key):
            for condition in sorted(one, key=lambda c: c.key):
                rest = one - {condition}
                other = rest | {condition.negated}
                if other in alternatives:  # (r and c) or (r and not c) = r
                    alternatives -= {one, other}
                    alternatives.add(rest)
                    pair = True
                    break
            if pair:
                break
    least = frozenset([x for x in alternatives if not any(y < x for y in alternatives)])
    return least if len(least) <= _ALTERNATIVES else _ALL


def _both(a: _Count, condition: _Condition, most: int) -> _Count:
    out = _NONE
    for one in a:
        if condition.negated in one:
            continue
        # Without a condition that is one too many, more elements count. The last ones are of outer selections.
        held = sorted({*one, condition}, key=lambda c: (c is not condition, c.key))[:most]
        out = _either(out, frozenset([frozenset(held)]))
    return out


def _through(counts: _Count, move: Callable[[_Condition], _Condition]) -> _Count:
    out = _NONE
    for one in counts:
        out = _either(out, frozenset([frozenset([move(condition) for condition in one])]))
    return out


def _asks_for_nothing(eqn: Eqn) -> bool:
    """Whether no derivative goes through it: what prints or checks a value is given all of it as it was."""
    return eqn.op.jvp is ZERO or not eqn.results


class _Plan:
    """Which elements of the values of a function count.

    Attributes:
      function: without calls.
      active: values that may have a tangent.
      made_by: the equation of each value that is no param.
      conditions: how many may decide over an element.
      counts: of active values that are asked for.
    """

    def __init__(self, function: Function, active: set[Value], conditions: int) -> None:
        self.function = function
        self.active = active
        self.conditions = conditions
        self.made_by = {r: e for e in function.eqns for r in e.results}
        self.order = {v: i for i, v in enumerate((*function.params, *self.made_by))}
        self.counts: dict[Value, _Count] = dict.fromkeys(function.results, _ALL)
        for eqn in reversed(function.eqns):
            if _asks_for_nothing(eqn):
                continue
            asked = self.count(eqn.results[0]) if len(eqn.results) == 1 else _ALL
            for position, operand in enumerate(eqn.operands):
                if operand in active:
                    self.counts[operand] = _either(self.count(operand), self._asked_of(eqn, position, asked))

    def count(self, value: Value) -> _Count:
        """The elements of a value that count; of a value without tangent, all."""
        return self.counts.get(value, _NONE if value in self.active else _ALL)

    def filled(self, value: Value) -> Eqn | None:
        """The equation of the constant whose number fills a value, if one does."""
        eqn = self.made_by.get(value)
        return self.made_by.get(eqn.operands[0]) if eqn is not None and eqn.op is sh.broadcast_in_dim else eqn

    def _asked_of(self, eqn: Eqn, position: int, asked: _Count) -> _Count:
        """Which elements of an operand count where those of the result do that are asked for."""
        op, attrs = eqn.op, eqn.attrs
        if op is logic.select:
            return _both(asked, self._condition(eqn.operands[0], position == 1), self.conditions)
        if op.elementwise or asked == _NONE:
            return asked
        source = eqn.operands[position].type
        if op is sh.reshape:
            return _through(asked, lambda c: c.moved(sh.reshape, shape=source.shape))
        if op is sh.transpose:
            back = tuple([attrs["perm"].index(axis) for axis in range(source.rank)])
            return _through(asked, lambda c: c.moved(sh.transpose, perm=back))
        if op in _REDUCTIONS:
            kept = tuple([a for a in range(source.rank) if a not in attrs["axes"]])
            return _through(asked, lambda c: c.moved(sh.broadcast_in_dim, shape=source.shape, dims=kept))
        if op is sh.broadcast_in_dim:
            return _through(asked, lambda c: self._anywhere(c, eqn))
        return _ALL  # one element may become part of all

    def _condition(self, pred: Value, holds: bool) -> _Condition:
        """A predicate, negations taken off."""
        eqn = self.made_by.get(pred)
        while eqn is not None and eqn.op is logic.not_:
            pred, holds = eqn.operands[0], not holds
            eqn = self.made_by.get(pred)
        return _Condition(pred, holds, self.order[pred])

    def _anywhere(self, condition: _Condition, eqn: Eqn) -> _Condition:
        """Whether a condition on a broadcast value holds for any of the elements that one element becomes."""
        source, dims = eqn.operands[0].type, eqn.attrs["dims"]
        if isinstance(condition.base, Value) and not condition.steps:
            spread = self.made_by.get(condition.base)
            if (
                spread is not None
                and spread.op is sh.broadcast_in_dim
                and spread.attrs["dims"] == dims
                and spread.operands[0].type.shape == source.shape
            ):  # broadcast in the same way
                return self._condition(spread.operands[0], condition.holds)
        # Axes that are new, and axes of size 1 that are larger now.
        whole = eqn.results[0].type
        grown = [d for d, n in zip(dims, source.shape, strict=True) if n != whole.shape[d]]
        axes = tuple(sorted({*range(whole.rank)} - {*dims} | {*grown}))
        found = _Condition(condition, True, condition.order).moved(rd.reduce_or, axes=axes)
        return found.moved(sh.reshape, shape=source.shape)


# Their derivatives are infinite only where the divisor is 0.
_QUOTIENTS = frozenset({ar.div, ar.rem})
# Reductions over axes: an element of the result comes from the elements along these axes alone.
_REDUCTIONS = frozenset({rd.reduce_sum, rd.reduce_max, rd.reduce_min, rd.reduce_prod})


# The new program -------------------------------------------------------------------------------------


class _Rewriter:
    """Writes the program of a plan with `guards`: equations, with the elements of their results that count.

    Attributes:
      env: values that are others now, equal in the elements that count.
      exact: values that had to be kept or computed again as they were.
      written: equations that stand in the new program as they are.
      done: equations that have their place in it, changed or not.
    """

    def __init__(self, plan: _Plan, guards: dict[Eqn, _Count]) -> None:
        self.plan = plan
        self.guards = guards
        self.builder = Builder()
        self.env: dict[Value, Value] = {}
        self.exact: dict[Value, Value] = {}
        self.written: set[Eqn] = set()
        self.done: set[Eqn] = set()

    def function(self) -> Function:
        whole = self.plan.function
        with building(self.builder):
            for eqn in whole.eqns:
                # What has no derivative asks for no elements and is given all as they were.
                version = self._exactly if _asks_for_nothing(eqn) else self._now
                ins = tuple([version(v) for v in eqn.operands])
                if eqn in self.guards:
                    ins = self._tamed(eqn, ins)
                self._write(eqn, ins, self.env)
                self.done.add(eqn)
        results = tuple([self._now(v) for v in whole.results])
        return whole.replace(eqns=tuple(self.builder.eqns), results=results)

    def _now(self, value: Value) -> Value:
        return self.env.get(value, value)

    def _write(self, eqn: Eqn, ins: tuple[Value, ...], into: dict[Value, Value]) -> None:
        if ins != eqn.operands:
            into.update(zip(eqn.results, self.builder.copy(eqn, ins), strict=True))
        elif eqn not in self.written:
            self.builder.append(eqn)
            self.written.add(eqn)

    def _known_exactly(self, value: Value) -> Value | None:
        """What equals a value of the old program in every element, if it is there already."""
        if value in self.exact:
            return self.exact[value]
        eqn = self.plan.made_by.get(value)
        if eqn is None or eqn in self.written:
            return value
        if eqn in self.done and self.plan.count(value) == _ALL:
            return self._now(value)
        return None

    def _exactly(self, value: Value) -> Value:
        """What equals a value of the old program in every element; what it needs is written in the old order."""
        needed: set[Eqn] = set()
        left = [value]
        while left:
            missing = left.pop()
            if self._known_exactly(missing) is None and (eqn := self.plan.made_by[missing]) not in needed:
                needed.add(eqn)
                left.extend(eqn.operands)
        for eqn in sorted(needed, key=lambda e: self.plan.order[e.results[0]]):
            self._write(eqn, tuple([self._exact(v) for v in eqn.operands]), self.exact)
        return self._exact(value)

    def _exact(self, value: Value) -> Value:
        found = self._known_exactly(value)
        assert found is not None
        return found

    def _tamed(self, eqn: Eqn, operands: tuple[Value, ...]) -> tuple[Value, ...]:
        """Operands at which the op has finite derivatives, where its result does not count."""
        numbers = _numbers(self.plan, eqn)
        assert numbers is not None
        self.builder.source = eqn.source
        mask: Any = None
        for one in sorted(self.guards[eqn], key=_key):
            term: Any = None
            for condition in sorted(one, key=lambda c: c.key):
                value = self._value_of(condition)
                term = value if term is None else logic.and_(term, value)
            mask = term if mask is None else logic.or_(mask, term)
        safe = [
            v if n is None else logic.select(mask, v, sh.full_like(v, n))
            for v, n in zip(operands, numbers, strict=True)
        ]
        self.builder.source = None
        return tuple(safe)

    def _value_of(self, condition: _Condition) -> Value:
        base = condition.base
        value = self._exactly(base) if isinstance(base, Value) else self._value_of(base)
        if not condition.holds:
            value = logic.not_(value)
        for name, attrs in condition.steps:
            value = _MOVES[name](value, **dict(attrs))
        return value


def _base(condition: _Condition) -> Value:
    base = condition.base
    while isinstance(base, _Condition):
        base = base.base
    return base


_MOVES = {op.name: op for op in (sh.reshape, sh.transpose, sh.broadcast_in_dim, rd.reduce_or)}

__all__ = ["guarded"]
