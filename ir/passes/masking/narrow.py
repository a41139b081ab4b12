"""The body of a loop for some of the columns of a mask, with what makes sure that the others do not matter.

    s = select(allowed, scores, -1e9);  m = reduce_max(s);  p = exp(s - m);  o = dot_general(p, v)

Outside the columns that are computed, s is -1e9, so that p is exp(-1e9 - m) there: one number for each row, which is
computed too. Where it is 0, as it is unless all scores of a row are about as low, the other columns add nothing to the
product. Nothing here knows of attention: each equation says what is outside its result from what is outside its
operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ir.core import Eqn, Function, Value
from ir.numerics.precision import finfo
from ir.op import current_builder
from ir.ops import elementwise as ew
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.reduce import reduce, reduce_and, reduce_max, reduce_min, reduce_or, reduce_sum
from ir.ops.shape import broadcast_in_dim, full, full_like, reshape, transpose
from ir.passes.blocking.axes import Axis
from ir.passes.blocking.joins import sliced, updated
from ir.passes.blocking.loops import computed
from ir.passes.masking.bounds import Bounds
from ir.passes.masking.labels import Labels
from ir.passes.masking.outside import PLACES, RISING, UNKNOWN, Outside, filled, guess
from ir.types import f32, i32

_MOVES = (broadcast_in_dim, convert, reshape, transpose)
# Of zeros these make zeros.
_KEEP_ZERO = (*_MOVES, ew.neg, ew.abs, ew.or_, ew.and_, ew.add, ew.sub, reduce_sum)
_EXTREMA = (reduce_max, reduce_min, reduce_and, reduce_or)
# Masks are made of numbers below, and only with these a bound is worth computing.
_LOW = -1e3
_FINITE = frozenset({
    broadcast_in_dim, reshape, transpose, ew.abs, ew.ceil, ew.clamp, ew.cos, ew.floor, ew.logistic, ew.max,
    ew.min, ew.neg, ew.select, ew.sign, ew.sin, ew.tanh,
})  # fmt: skip


class Unfit(Exception):
    """The columns outside matter, so that there is nothing to narrow."""


class Narrow:
    """Writes the equations of a body for some columns, to the current builder.

    Attributes:
      sure: booleans that all hold where the columns outside do not matter, if `factors` are finite.
      factors: params that zeros are multiplied by.
    """

    def __init__(
        self,
        body: Function,
        labels: Labels,
        columns: dict[Value, int],
        fixed: Callable[[Value], float | None],
        width: int,
        start: Value,
        given: Iterable[Value],
    ) -> None:
        """Prepare to write.

        Args:
          columns: which dimension of values the columns are.
          fixed: the number that a value is outside the columns; None where it is not known to be one.
          width: so many columns are computed.
          start: where they begin.
          given: params that are no carries.
        """
        self.body, self.labels, self.columns, self.fixed = body, labels, columns, fixed
        self.width, self.start = width, start
        self.sure: list[Value] = []
        self.factors: list[Value] = []
        self._whole: dict[Value, Value] = {}
        self._part: dict[Value, Value] = {}
        self._outside: dict[Value, Outside] = {}
        self._axis: dict[Eqn, Axis] = {}
        self._given, self._checked = set(given), set[Value]()
        self._definitions = {v: eqn for eqn in body.eqns for v in eqn.results}
        self._bounds = Bounds(columns, self._definitions, self.outside, self._whole.get, self._one_of)

    def write(self, params: Sequence[Value]) -> list[Value]:
        """The results of the body.

        Raises:
          Unfit: the columns outside matter.
        """
        self._whole.update(zip(self.body.params, params, strict=True))
        builder = current_builder()
        usual = builder.source
        for eqn in self.body.eqns:
            builder.source = eqn.source
            axis = self.labels.axis(eqn, self.columns)
            if eqn.op is reduce and eqn.operands[0] in self.columns:
                self._whole.update(zip(eqn.results, self._first_extremum(eqn), strict=True))
            elif axis is None:
                made = builder.copy(eqn, tuple([self.whole(v) for v in eqn.operands]))
                self._whole.update(zip(eqn.results, made, strict=True))
            elif axis.combine is None:
                self._axis[eqn] = axis
                operands = [self._taken(v) for v in eqn.operands]
                made = computed(eqn, axis, operands, self.start, self.width)
                self._part.update(zip(eqn.results, made, strict=True))
                for k, v in enumerate(eqn.results):
                    self._outside[v] = self._derived(eqn, axis, k)
            else:
                self._whole[eqn.results[0]] = self._joined(eqn, axis)
        builder.source = usual
        return [self.whole(v) for v in self.body.results]

    def whole(self, value: Value) -> Value:
        """A value with all its columns; Unfit where those outside are not known."""
        if value not in self._whole:
            known, dim = self.outside(value), self.columns[value]
            if known.like is not None:
                around = known.like
            elif known.known:
                rank = value.type.rank
                around = broadcast_in_dim(known.one, shape=value.type.shape, dims=tuple(range(rank)))
            else:
                raise Unfit
            self._whole[value] = updated(around, dim, self.start, self._part[value])
        return self._whole[value]

    def outside(self, value: Value) -> Outside:
        """What is known of a value outside the columns."""
        found = self._outside.get(value)
        if found is None or (not found.known and value in self._part):
            number = self.fixed(value)
            if number is not None:
                found = filled(value.type, self.columns[value], number)
            elif found is None:
                found = Outside(like=self._whole.get(value))
            self._outside[value] = found
        return found

    def _taken(self, value: Value) -> Value:
        """The columns of a value that are computed; all of it where it has none."""
        if value not in self.columns:
            return self._whole[value]
        if value not in self._part:
            self._part[value] = sliced(self._whole[value], self.columns[value], self.start, self.width)
        return self._part[value]

    def _one_of(self, eqn: Eqn, operands: list[Value]) -> Value | None:
        """The first result of an equation with one column."""
        axis = self._axis.get(eqn)
        return None if axis is None else computed(eqn, axis, operands, self.start, 1)[0]

    # What is outside a result --------------------------------------------------------------------------------

    def _derived(self, eqn: Eqn, axis: Axis, k: int) -> Outside:
        """What is outside the result `k`."""
        result = eqn.results[k]
        number = self.fixed(result)
        if number is not None:
            return filled(result.type, self.columns[result], number)
        if axis.counts:
            return PLACES
        given = [self.outside(v) if v in self.columns else None for v in eqn.operands]
        if eqn.op is ew.select and given[0] is not None:
            holds = self.fixed(eqn.operands[0])
            if holds is not None:
                return self.outside(eqn.operands[1 if holds else 2])
        if eqn.op is dot_general and any(g is not None and g.likely_zero for g in given):
            return self._dot(eqn)
        if all(g is None or g.known for g in given):
            return self._alike(eqn, axis, k, given)
        rule = _RULES.get(eqn.op)
        if rule is not None:
            return rule(self, eqn, *[g for g in given if g is not None])
        if eqn.op in _MOVES and given[0] is not None and given[0].places and result.type.dtype.is_integer:
            return PLACES
        if eqn.op in _MOVES or eqn.op.name == "stop_gradient":
            return self._risen(eqn, given[0], positive=given[0] is not None and given[0].positive)
        if eqn.op in RISING:
            found = self._risen(eqn, given[0], positive=RISING[eqn.op])
            return self._zero(result, found) or found
        return UNKNOWN

    def _alike(self, eqn: Eqn, axis: Axis, k: int, given: Sequence[Outside | None]) -> Outside:
        """Of operands whose columns are all alike."""
        result = eqn.results[k]
        ones = [self._whole[v] if g is None else g.column for v, g in zip(eqn.operands, given, strict=True)]
        column = computed(eqn, axis, [x for x in ones if x is not None], self.start, 1)[k]
        number = guess(eqn, [1.0 if g is None else g.guess for g in given])
        zeros = [g is not None and g.zero for g in given]
        stays = eqn.op in _KEEP_ZERO and all(zeros)
        if eqn.op is ew.mul and any(zeros):
            factor = self.fixed(eqn.operands[zeros.index(True) - 1])
            stays = factor is not None and math.isfinite(factor)
        if stays and any(zeros):
            return filled(result.type, self.columns[result], 0)
        return Outside(column, number)

    def _risen(self, eqn: Eqn, given: Outside | None, *, positive: bool) -> Outside:
        """Of an equation that does not fall."""
        if given is None or given.column is None:
            return UNKNOWN
        column = self._one_of(eqn, [given.column])
        assert column is not None
        return given.below(column, guess(eqn, [given.guess]), positive=positive)

    def _sum(self, eqn: Eqn, x: Outside, y: Outside) -> Outside:
        for k, other in enumerate((y, x)):
            if self.prove(eqn.operands[k]):
                return other
        if x.bounded and y.bounded:
            return UNKNOWN
        # One of the two is a mask, and the other has a bound.
        for k, (mask, other) in enumerate(((x, y), (y, x))):
            if mask.known and (mask.guess < _LOW or other.bounded):
                bound = other.one if other.bounded else self._bounds.of(eqn.operands[1 - k])
                if bound is not None:
                    number = mask.guess + (other.guess if other.bounded else 0)
                    return UNKNOWN.below(ew.add(bound, mask.one), number)
        return UNKNOWN

    def _difference(self, eqn: Eqn, x: Outside, y: Outside) -> Outside:
        if self.prove(eqn.operands[1]):
            return x
        if not y.known:
            return UNKNOWN
        bound, number = x.column, x.guess
        if not x.bounded:
            bound, number = (self._bounds.of(eqn.operands[0]) if y.guess > -_LOW else None), 0.0
        return UNKNOWN if bound is None else UNKNOWN.below(ew.sub(bound, y.one), number - y.guess)

    def _product(self, eqn: Eqn, x: Outside, y: Outside) -> Outside:
        for k, other, known in ((0, x, y), (1, y, x)):
            if self.prove(eqn.operands[k]):
                self._finite(eqn.operands[1 - k])
                return self.outside(eqn.operands[k])
            factor = self.fixed(eqn.operands[1 - k])
            if other.bounded and factor is not None and factor > 0:
                return other.below(ew.mul(other.one, known.one), other.guess * factor)
        return UNKNOWN

    def _quotient(self, eqn: Eqn, x: Outside, y: Outside) -> Outside:
        factor = self.fixed(eqn.operands[1])
        if x.bounded and factor is not None and factor > 0:
            return x.below(ew.div(x.one, y.one), x.guess / factor)
        return UNKNOWN

    def _equal(self, eqn: Eqn, x: Outside, y: Outside) -> Outside:
        (result,) = eqn.results
        for one, other in ((x, y), (y, x)):
            if not other.known:
                continue
            if one.places and eqn.operands[0].type.dtype is i32:
                # A place of one of the columns that are computed is none of the others.
                shape = other.one.type.shape
                first = broadcast_in_dim(self.start, shape=shape, dims=())
                last = ew.add(first, full(shape, self.width, i32))
                inside = ew.and_(ew.ge(other.one, first), ew.lt(other.one, last))
                self._require(ew.or_(inside, ew.lt(other.one, full(shape, 0, i32))))
                return filled(result.type, self.columns[result], 0)
            if one.bounded and one.guess < other.guess:
                self._require(ew.lt(one.one, other.one))
                return filled(result.type, self.columns[result], 0)
        return UNKNOWN

    def _dot(self, eqn: Eqn, *_: Outside) -> Outside:
        (result,) = eqn.results
        if self._annulled(eqn):
            return filled(result.type, self.columns[result], 0)
        return UNKNOWN

    # What makes sure -----------------------------------------------------------------------------------------

    def prove(self, value: Value) -> bool:
        """Whether a value is 0 outside, where `sure` holds."""
        known = self.outside(value)
        found = known if known.zero else self._zero(value, known)
        if found is None:
            return False
        self._outside[value] = found
        return True

    def _zero(self, value: Value, known: Outside) -> Outside | None:
        if not known.likely_zero:
            return None
        self._require(ew.eq(known.one, full_like(known.one, 0)))
        return filled(value.type, self.columns[value], 0)

    def _annulled(self, eqn: Eqn) -> bool:
        """Whether a product is of zeros outside, where `sure` holds."""
        for v, other in (eqn.operands, eqn.operands[::-1]):
            if v in self.columns and self.prove(v):
                self._finite(other)
                return True
        return False

    def _finite(self, value: Value) -> None:
        """See to it that zero times a value is zero: that it is finite outside.

        Raises:
          Unfit: nothing tells.
        """
        pending = [value]
        while pending:
            v = pending.pop()
            if v in self._checked or not v.type.dtype.is_inexact:
                continue
            self._checked.add(v)
            if v.type.dtype.is_complex:
                raise Unfit
            if v in self._given:
                self.factors.append(v)
            elif v in self.columns and (number := self.fixed(v)) is not None:
                if not math.isfinite(number):
                    raise Unfit
            elif v not in self.columns or v not in self._part:
                self._require(ew.is_finite(self._whole[v]))
            elif self.outside(v).known:
                self._require(ew.is_finite(self.outside(v).one))
            elif _stays_finite(self._definitions[v]):
                pending += self._definitions[v].operands
            else:
                bound = self._bounds.of(v)
                if bound is None:
                    raise Unfit
                self._require(ew.is_finite(bound))

    def _require(self, holds: Value) -> None:
        self.sure.append(reduce_and(holds, axes=tuple(range(holds.type.rank))))

    # Reductions along the columns ----------------------------------------------------------------------------

    def _joined(self, eqn: Eqn, axis: Axis) -> Value:
        """The result of an equation that joins all columns."""
        builder, attrs = current_builder(), eqn.attrs

        def emitted(*operands: Value | None) -> Value:
            return builder.emit(eqn.op, tuple([x for x in operands if x is not None]), attrs)[0]

        if eqn.op is dot_general:
            if not self._annulled(eqn):
                raise Unfit
            return emitted(*[self._taken(v) for v in eqn.operands])
        (operand,) = eqn.operands
        part = emitted(self._taken(operand))
        part.name = eqn.results[0].name
        if eqn.op is reduce_sum and self.prove(operand):
            return part
        known = self.outside(operand)
        if eqn.op in _EXTREMA and known.known:
            assert axis.combine is not None
            return axis.combine(part, emitted(known.column))  # type: ignore[no-any-return]
        if eqn.op is reduce_max and known.bounded:
            self._require(ew.ge(part, emitted(known.column)))
            return part
        if eqn.op is reduce_sum and known.known:
            return ew.add(part, self._times(emitted(known.column), operand))  # type: ignore[no-any-return]
        raise Unfit

    def _times(self, one: Value, operand: Value) -> Value:
        """A number as often as there are columns outside; integers wrap, small floats are multiplied as larger ones."""
        rest, dtype = operand.type.shape[self.columns[operand]] - self.width, one.type.dtype
        if dtype.is_integer:
            count = int(np.asarray(rest, np.int64).astype(dtype.np))
            return ew.mul(one, full(one.type.shape, count, dtype))  # type: ignore[no-any-return]
        if dtype.bits < 32:
            return convert(self._times(convert(one, dtype=f32), operand), dtype=dtype)  # type: ignore[no-any-return]
        return ew.mul(one, full(one.type.shape, rest, dtype))  # type: ignore[no-any-return]

    def _first_extremum(self, eqn: Eqn) -> tuple[Value, ...]:
        """The largest element along the columns, and where it is."""
        builder = current_builder()
        operand, *others = eqn.operands
        dims = {self.columns.get(v) for v in eqn.operands[:2]}
        known = self.outside(operand)
        if (
            len(others) != 3
            or len(dims) != 1
            or known.column is None
            or not _first_of_largest(eqn.attrs["function"])
        ):
            raise Unfit
        if eqn.attrs["axes"] != tuple(dims):
            raise Unfit
        made = builder.copy(eqn, (*[self._taken(v) for v in eqn.operands[:2]], *map(self.whole, others[1:])))
        outside = reduce_max(known.column, axes=eqn.attrs["axes"])
        self._require(ew.gt(made[0], outside))
        return made


def _stays_finite(eqn: Eqn) -> bool:
    """Whether the result is finite wherever the operands are."""
    if eqn.op is convert:
        old, new = eqn.operands[0].type.dtype, eqn.results[0].type.dtype
        return not old.is_float or float(finfo(old.np).max) <= float(finfo(new.np).max)
    return eqn.op in _FINITE or eqn.op.name == "stop_gradient"


def _first_of_largest(function: Function) -> bool:
    """Whether of two pairs, of a number and something else, a function gives that of the larger number."""
    if len(function.params) != 4 or len(function.eqns) != 3:
        return False
    test, *selects = function.eqns
    a, b, c, d = function.params
    cases = [((test.results[0], a, c)), (test.results[0], b, d)]
    return (
        test.op in (ew.ge, ew.gt)
        and test.operands == (a, c)
        and all(e.op is ew.select and e.operands in cases for e in selects)
        and function.results == tuple([e.results[0] for x in cases for e in selects if e.operands == x])
    )


_RULES: dict[object, Callable[..., Outside]] = {
    ew.add: Narrow._sum,
    ew.sub: Narrow._difference,
    ew.mul: Narrow._product,
    ew.div: Narrow._quotient,
    ew.eq: Narrow._equal,
    dot_general: Narrow._dot,
}

__all__ = ["Narrow", "Unfit"]
