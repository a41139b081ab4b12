"""Maxima that only keep exponentials in range have no derivative; said before a program is differentiated.

m = reduce_max(x); y = add(log(reduce_sum(exp(sub(x, m)))), m)     becomes
m = reduce_max(x); s = stop_gradient(m); y = add(log(reduce_sum(exp(sub(x, s)))), s)

The results of log-sum-exp and softmax are the same whatever is subtracted, so their derivatives by it are zero, of
every order; left alone, the derivative of the maximum looks for it once more and multiplies it by rounding errors. The
values stay bit for bit.

What becomes of `m` when a number d is added to it is followed forwards: a value v changes to v + k d (a shift) or to
v exp(k d) (a scale), or not at all. Uses of `m` that reach only what does not change are stopped; others stay, with
their derivatives. Only uses `x - m` with m a maximum of that x are begun with: no exponential then overflows, so the
derivatives that are left are finite wherever they were, and a row that holds nothing but -inf, or inf or nan, has the
derivative nan, as before. Linear: the way from a maximum is followed for at most `_FAR` equations.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import isfinite
from typing import Final

from ir.core import EMPTY_ATTRS, Eqn, Function, Value
from ir.op import ZERO
from ir.ops.calls import stop_gradient
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.cumulative import cumsum
from ir.ops.elementwise import add, div, exp, log, max, mul, neg, rsqrt, select, sqrt, square, sub
from ir.ops.reduce import reduce_max, reduce_sum
from ir.ops.shape import broadcast_in_dim, reshape, transpose
from ir.passes.blocking.axes import axes
from ir.passes.nested import deep
from ir.rewriter import constant_number

_FAR: Final = 64
_MAXIMA: Final = (reduce_max, max, select)
_MOVES: Final = (broadcast_in_dim, reshape, transpose)
_SUMS: Final = (cumsum, dot_general, reduce_sum)
_POWERS: Final = {square: Fraction(2), sqrt: Fraction(1, 2), rsqrt: Fraction(-1, 2)}

# For each axis of the maximum, the axis along which a value changes with it; None for axes of size 1.
_Axes = tuple[int | None, ...]
_Use = tuple[int, int]  # equation, operand


@dataclass(frozen=True, slots=True)
class _Change:
    """How a value changes with the maximum.

    Attributes:
      scales: whether it is multiplied, by exp(k d); otherwise k d is added.
      k: never 0.
      axes: where the maximum's axes are.
      uses: of the maximum, by which it does.
      bounded: whether it is x - m, up to a positive factor, for an x that is at most m.
    """

    scales: bool
    k: Fraction
    axes: _Axes
    uses: frozenset[_Use]
    bounded: bool = False


@dataclass(frozen=True, slots=True)
class _Maximum:
    """A maximum, the values that are it in another shape, and what it is no less than.

    Attributes:
      shapes: for each such value where the axes of the maximum are.
      bounded: the values that are nowhere greater, and along which of their axes the maximum lies for that.
    """

    value: Value
    shapes: dict[Value, _Axes]
    bounded: dict[Value, _Axes]


@deep
def stop_shifts(function: Function) -> Function:
    """Stop the derivatives of maxima that the results do not depend on."""
    ops = {eqn.op for eqn in function.eqns}
    if exp not in ops or not (reduce_max in ops or max in ops):
        return function
    return _Shifts(function).stopped()


class _Shifts:
    """A function, with its definitions and uses by position."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.definitions = {r: eqn for eqn in function.eqns for r in eqn.results}
        self.uses: dict[Value, list[_Use]] = {}
        for i, eqn in enumerate(function.eqns):
            for k, v in enumerate(eqn.operands):
                self.uses.setdefault(v, []).append((i, k))
        self.results = frozenset(function.results)

    def stopped(self) -> Function:
        found: dict[_Use, Value] = {}
        maxima = []
        for eqn in self.function.eqns:
            if eqn.op in _MAXIMA and eqn.results[0].type.dtype.is_float:
                maximum = self.maximum(eqn.results[0])
                uses = self.without_effect(maximum) if maximum.bounded else ()
                if uses:
                    maxima.append(maximum)
                    found.update({(i, k): self.function.eqns[i].operands[k] for i, k in uses})
        return self.written(maxima, found) if found else self.function

    # What is a maximum --------------------------------------------------------------------------------

    def maximum(self, value: Value) -> _Maximum:
        start = _placed(value, _long(value))
        shapes, pending = {value: start}, [value]
        while pending:
            v = pending.pop()
            for i, _ in self.uses.get(v, ()):
                eqn = self.function.eqns[i]
                moved = _through(eqn, 0, shapes[v]) if eqn.op in _MOVES else None
                if moved is not None:
                    shapes[eqn.results[0]] = moved
                    pending.append(eqn.results[0])
        return _Maximum(value, shapes, dict(self.bounded(value)))

    def bounded(self, value: Value) -> Iterator[tuple[Value, _Axes]]:
        """What is at most `value`; a selected maximum counts, which may be replaced where it is infinite."""
        pending = [value]
        for _ in range(_FAR):
            if not pending:
                return
            eqn = self.definitions.get(pending.pop())
            if eqn is None:
                continue
            if eqn.op is reduce_max:
                x = eqn.operands[0]
                yield x, _placed(value, [d for d in _long(x) if d not in eqn.attrs["axes"]])
            elif eqn.op is max:
                yield from [(x, _placed(value, _long(x))) for x in eqn.operands]
                pending.extend(eqn.operands)
            elif eqn.op is select:
                pending.extend(eqn.operands[1:])
            elif eqn.op is reshape and _only_ones(eqn):
                pending.append(eqn.operands[0])

    # What changes with it -----------------------------------------------------------------------------

    def without_effect(self, maximum: _Maximum) -> frozenset[_Use]:
        """The uses that no result depends on, together."""
        uses = {
            (i, k)
            for v in maximum.shapes
            for i, k in self.uses.get(v, ())
            if maximum.shapes.keys().isdisjoint((eqn := self.function.eqns[i]).results)
            and eqn.op.jvp is not ZERO
        }
        while any(self.function.eqns[i].op is sub for i, _ in uses):
            escaped = self.escaping(maximum, uses)
            if not escaped:
                return frozenset(uses)
            uses -= escaped
        return frozenset()

    def escaping(self, maximum: _Maximum, uses: set[_Use]) -> frozenset[_Use]:
        """Uses by which a result changes, or may; empty where there is none."""
        changes: dict[Value, _Change] = {}
        pending = sorted({i for i, _ in uses})
        seen = set(pending)
        for _ in range(_FAR):
            if not pending:
                return frozenset()
            i = heapq.heappop(pending)
            eqn = self.function.eqns[i]
            ins: list[_Change | None] = []
            for k, v in enumerate(eqn.operands):
                if (i, k) in uses:
                    ins.append(_Change(False, Fraction(1), maximum.shapes[v], frozenset([(i, k)])))
                else:
                    ins.append(changes.get(v))
            by = frozenset().union(*[c.uses for c in ins if c is not None])
            change = self.changed(eqn, ins, maximum, by)
            if change is None:
                return by
            if change.k:
                out = eqn.results[0]
                if out in self.results:
                    return by
                changes[out] = change
                for j, _ in self.uses.get(out, ()):
                    if j not in seen:
                        seen.add(j)
                        heapq.heappush(pending, j)
        return frozenset(uses)

    def changed(
        self, eqn: Eqn, ins: Sequence[_Change | None], maximum: _Maximum, by: frozenset[_Use]
    ) -> _Change | None:
        """How the result of an equation changes, with k = 0 where it does not; None where that is not known."""
        op, found = eqn.op, [c for c in ins if c is not None]
        first = found[0]
        if any(c.axes != first.axes or c.scales != first.scales for c in found):
            return None
        made = replace(first, uses=by, bounded=False)
        if op in (add, sub) and first.scales:
            return made if len(found) == 2 and found[1].k == first.k else None
        if op in (add, sub) or (op in (mul, div) and first.scales):
            x, y = [Fraction() if c is None else c.k for c in ins]
            below = op is sub and eqn.operands[1] in maximum.shapes and ins[0] is None
            bounded = below and maximum.bounded.get(eqn.operands[0]) == first.axes
            return replace(made, k=x + y if op in (add, mul) else x - y, bounded=bounded)
        if op in (mul, div):
            factor = self.factor(eqn, ins)
            if factor is None:
                return None
            return replace(made, k=first.k * factor, bounded=first.bounded and factor > 0)
        if op is exp:
            return replace(made, scales=True) if first.bounded else None
        if op is log:
            return replace(made, scales=False) if first.scales else None
        if op is neg:
            return made if first.scales else replace(made, k=-first.k)
        if op in _POWERS:
            return replace(made, k=first.k * _POWERS[op]) if first.scales else None
        if op is convert:
            return replace(made, bounded=first.bounded) if eqn.results[0].type.dtype.is_float else None
        moves = op in _MOVES
        if not moves and not (first.scales and op in _SUMS and len(found) == 1):
            return None
        moved = _through(eqn, ins.index(first), first.axes)
        return None if moved is None else replace(made, axes=moved, bounded=moves and first.bounded)

    def factor(self, eqn: Eqn, ins: Sequence[_Change | None]) -> Fraction | None:
        """The number by which a product or quotient multiplies its first operand."""
        if ins[1] is not None:
            return None if eqn.op is div or ins[0] is not None else self.number(eqn.operands[0])
        number = self.number(eqn.operands[1])
        return number and (number if eqn.op is mul else 1 / number)

    def number(self, value: Value) -> Fraction | None:
        """What fills a constant, a number other than 0."""
        number = constant_number(self.definitions.get(value))
        return Fraction(number) if isinstance(number, (int, float)) and number and isfinite(number) else None

    # Writing ------------------------------------------------------------------------------------------

    def written(self, maxima: Sequence[_Maximum], found: dict[_Use, Value]) -> Function:
        """The program in which those uses are of a copy without derivative, in the shapes that they need."""
        copies: dict[Value, Value] = {}
        owner = {v: m for m in maxima for v in m.shapes}
        needed: set[Value] = set()
        for v in found.values():
            while v not in needed:
                needed.add(v)
                v = v if v is owner[v].value else self.definitions[v].operands[0]
        eqns: list[Eqn] = []
        for i, eqn in enumerate(self.function.eqns):
            operands = tuple([copies[v] if (i, k) in found else v for k, v in enumerate(eqn.operands)])
            eqns.append(
                eqn if operands == eqn.operands else Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)
            )
            for v in eqn.results:
                if v in needed:
                    copies[v] = Value(v.type)
                    if v is owner[v].value:
                        eqns.append(Eqn(stop_gradient, (v,), EMPTY_ATTRS, (copies[v],), eqn.source))
                    else:
                        eqns.append(
                            Eqn(eqn.op, (copies[eqn.operands[0]],), eqn.attrs, (copies[v],), eqn.source)
                        )
        return self.function.replace(eqns=tuple(eqns))


# Axes ---------------------------------------------------------------------------------------------


def _long(value: Value) -> list[int]:
    """The axes of more or less than one element."""
    return [d for d, n in enumerate(value.type.shape) if n != 1]


def _placed(value: Value, at: Sequence[int]) -> _Axes:
    """The axes `at`, one for each long axis of `value`."""
    places = iter(at)
    return tuple([None if n == 1 else next(places, None) for n in value.type.shape])


def _only_ones(eqn: Eqn) -> bool:
    """Whether a reshape adds and drops axes of size 1 only."""
    x, y = eqn.operands[0], eqn.results[0]
    return [x.type.shape[d] for d in _long(x)] == [y.type.shape[d] for d in _long(y)]


def _through(eqn: Eqn, k: int, at: _Axes) -> _Axes | None:
    """Where axes of the operand `k` are in the result; None where one of them is gone."""
    places = {a.operands[k]: a.results[0] for a in axes(eqn) if a.combine is None}
    if any(d is not None and d not in places for d in at):
        return None
    return tuple([None if d is None else places[d] for d in at])


__all__ = ["stop_shifts"]
