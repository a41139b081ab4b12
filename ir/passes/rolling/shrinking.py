"""Loops over arrays that shrink: all of them get the size of the largest, and the loop is like any other.

    b: f32[9] = add(a[1:10], a[0:9])                  b: f32[9] = add(a[1:10], a[0:9])
    c: f32[8] = add(b[1:9],  b[0:8])      becomes     c: f32[9] = add(first(rotated(b), 8), first(b, 8))
    ...                                               ...

So are trees of prices, divided differences and de Casteljau's scheme written. The elements that the program knows
come first. What follows is never used, but it is computed with, and must do no harm: a cotangent of 0 times an
infinite slope is NaN. So it always equals the first element, where there is no slope that the program does not
have itself, and no cotangent of it goes on: wherever elements move, `select(i < length, x, stop_gradient(x[0]))`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ir.contents import has_effects
from ir.core import Dense, Eqn, Function, Value, attr_key
from ir.op import Builder, building
from ir.ops.calls import stop_gradient
from ir.ops.elementwise import lt, select
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    constant_shape,
    full,
    iota,
    reshape,
    reshape_to,
    slice,
    slice_axis,
)
from ir.passes.rolling.iterations import aligned
from ir.passes.rolling.sequence import Stretch, Tokens, periods, stretches
from ir.remarks import remark
from ir.types import i32

# Fewer iterations are no loop of this kind.
_FEWEST = 8
# Larger arrays, in elements, are left: what is added to them takes longer than a call of an operation.
_LARGEST = 1 << 13
# So many times as many elements may be computed as before.
_WASTE = 3

_Sizes = npt.NDArray[np.int64]


@dataclass(slots=True)
class _Shrinking:
    """Iterations of a stretch in which sizes fall by the same number each time.

    Attributes:
      axes: for each equation of an iteration, the axis of its result that shrinks, if one does.
      size: that all get.
    """

    period: int
    start: int
    trips: int
    axes: list[int | None]
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.trips * self.period


def grown(function: Function) -> Iterable[tuple[Function, int]]:
    """The function with the arrays of one loop grown to one size, and how many equations it has; each such loop."""
    eqns = [eqn for eqn in function.eqns if eqn.op is not constant]
    if len({v.type for eqn in eqns for v in eqn.results}) < _FEWEST:
        return  # what shrinks has another type each time
    where = {v: (i, k) for i, eqn in enumerate(eqns) for k, v in enumerate(eqn.results)}
    sequence = _tokens(eqns)
    for period in periods(sequence):
        for stretch in stretches(sequence, period, _FEWEST):
            found = _shrinking(eqns, aligned(eqns, where, stretch, _FEWEST))
            if found is not None:
                new = _Grower(function, eqns, found).function()
                if new is not None:
                    yield new, found.trips * found.period


def _tokens(eqns: Sequence[Eqn]) -> Tokens:
    """A number for each equation, whatever the sizes of its arrays."""
    known: dict[object, int] = {}
    out = np.empty(len(eqns), np.int64)
    for i, eqn in enumerate(eqns):
        attrs: object
        if eqn.op is slice:
            attrs = eqn.attrs["strides"]
        elif eqn.op is broadcast_in_dim:
            attrs = eqn.attrs["dims"]
        elif eqn.op is reshape:
            attrs = ()
        elif eqn.op.effect or (eqn.attrs and has_effects(eqn)):
            attrs = ("effect", i)
        else:
            attrs = tuple([attr_key(a) for a in eqn.attrs.values()])
        types = [(v.type.dtype, v.type.rank) for v in (*eqn.operands, *eqn.results)]
        out[i] = known.setdefault((eqn.op, attrs, tuple(types)), len(known))
    return out


def _shrinking(eqns: Sequence[Eqn], stretch: Stretch) -> _Shrinking | None:
    """The longest such range of a stretch."""
    period, repeats = stretch.period, stretch.repeats
    body = eqns[stretch.start : stretch.start + period]
    if any(len(eqn.results) != 1 for eqn in body):
        return None
    sizes = np.asarray(
        [
            [n for eqn in eqns[at : at + period] for n in eqn.results[0].type.shape]
            for at in range(stretch.start, stretch.start + repeats * period, period)
        ],
        np.int64,
    )
    first, trips = _steady(sizes)
    if trips < _FEWEST:
        return None
    axes: list[int | None] = []
    step = sizes[first + 1] - sizes[first]
    if not np.all(sizes[first + trips - 1, step != 0]):  # nothing is left there that could be the first
        trips -= 1
    column = 0
    for eqn in body:
        rank = eqn.results[0].type.rank
        moving = np.flatnonzero(step[column : column + rank])
        column += rank
        if len(moving) > 1:
            return None
        axes.append(int(moving[0]) if len(moving) else None)
    start = stretch.start + first * period
    types = [eqn.results[0].type for eqn in eqns[start : start + period]]
    size = max(t.shape[axis] for t, axis in zip(types, axes, strict=True) if axis is not None)
    found = _Shrinking(period, start, trips, axes, size)
    return found if _is_cheap(found, eqns) else None


def _steady(sizes: _Sizes) -> tuple[int, int]:
    """(first, count) of the most rows from one to the next of which some sizes fall by one number, and none rises."""
    steps = np.diff(sizes, axis=0)
    best = (0, 0)
    at = 0
    while at < len(steps):
        stop = at + 1
        while stop < len(steps) and np.array_equal(steps[stop], steps[at]):
            stop += 1
        falling = steps[at][steps[at] != 0]
        if len(falling) and falling[0] < 0 and np.all(falling == falling[0]) and stop - at + 1 > best[1]:
            best = (at, stop - at + 1)
        at = stop
    return best


def _is_cheap(found: _Shrinking, eqns: Sequence[Eqn]) -> bool:
    before = after = 0
    for at in range(found.start, found.stop):
        axis = found.axes[(at - found.start) % found.period]
        if axis is not None:
            shape = eqns[at].results[0].type.shape
            whole = math.prod(shape[:axis]) * found.size * math.prod(shape[axis + 1 :])
            if whole > _LARGEST:
                return False
            before, after = before + math.prod(shape), after + whole
    return after <= _WASTE * before


class _Unknown(Exception):
    """Something that is not known here, by its name."""


class _Grower:
    """Writes the function with the arrays of a loop grown.

    Attributes:
      env: what stands for a value; for one that shrinks, the same elements with more after them.
      axis: along which a value that shrinks does.
      outer: values from outside with more elements, by value, axis and size.
    """

    def __init__(self, function: Function, eqns: Sequence[Eqn], found: _Shrinking) -> None:
        self.whole, self.eqns, self.found = function, eqns, found
        self.env: dict[Value, Value] = {}
        self.axis: dict[Value, int] = {}
        self.made_by = {eqn.results[0]: eqn for eqn in function.eqns if eqn.op is constant}
        self.outer: dict[tuple[Value, int, int], Value] = {}

    def function(self) -> Function | None:
        found = self.found
        builder = Builder()
        for eqn in self.whole.eqns:
            if eqn.op is constant:
                builder.append(eqn)
        for eqn in self.eqns[: found.start]:
            builder.append(eqn)
        after: dict[Value, Value] = {}
        with building(builder):
            try:
                for at in range(found.start, found.stop):
                    builder.source = self.eqns[at].source
                    self._write(self.eqns[at], (at - found.start) % found.period)
            except _Unknown as reason:
                loop = f"{found.trips} iterations of {found.period} equations over arrays that shrink"
                remark("roll", self.eqns[found.start].source, f"{loop} stay as they are: {reason}")
                return None
            builder.source = None

            def own(v: Value) -> Value:
                if v not in self.env:
                    return v
                if v not in after:
                    axis = self.axis.get(v)
                    grown = self.env[v]
                    after[v] = grown if axis is None else slice_axis(grown, axis, 0, v.type.shape[axis])
                return after[v]

            for eqn in self.eqns[found.stop :]:
                operands = tuple([own(v) for v in eqn.operands])
                builder.append(Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source))
            results = tuple([own(v) for v in self.whole.results])
        return self.whole.replace(eqns=tuple(builder.eqns), results=results)

    # Equations -------------------------------------------------------------------------------------------

    def _write(self, eqn: Eqn, j: int) -> None:
        axis = self.found.axes[j]
        (result,) = eqn.results
        if axis is None:
            self.env[result] = self._fixed(eqn)
            return
        if eqn.op.elementwise:
            out = eqn.op(*[self._operand(v, axis, eqn) for v in eqn.operands], **eqn.attrs)
        elif eqn.op is slice:
            out = self._slice(eqn, axis)
        elif eqn.op is broadcast_in_dim:
            out = self._broadcast(eqn, axis)
        elif eqn.op is reshape:
            out = self._reshape(eqn, axis)
        else:
            raise _Unknown(eqn.op.name)
        self.axis[result] = axis
        self.env[result] = out

    def _own_or_first(self, x: Value, axis: int, length: int) -> Value:
        """The elements that are its own, and the first one in the place of the others."""
        index = iota(shape=x.type.shape, dtype=i32, axis=axis)
        limit = broadcast_in_dim(full((), length, i32), shape=x.type.shape, dims=())
        return select(lt(index, limit), x, _first(x, axis, x.type.shape[axis]))  # type: ignore[no-any-return]

    def _fixed(self, eqn: Eqn) -> Value:
        """Of a result that does not shrink; of what does, it may take a part."""
        operands = [self.env.get(v, v) for v in eqn.operands]
        if any(v in self.axis for v in eqn.operands) and eqn.op is not slice:
            raise _Unknown(eqn.op.name)
        out: Value = eqn.op(*operands, **eqn.attrs)
        return out

    def _operand(self, v: Value, axis: int, eqn: Eqn) -> Value:
        """An operand of the shape of the result, grown."""
        if v.type.shape != eqn.results[0].type.shape or self.axis.get(v, axis) != axis:
            raise _Unknown(eqn.op.name)
        if v in self.axis:
            return self.env[v]
        if v in self.env:
            raise _Unknown(eqn.op.name)
        return self._padded(v, axis, self.found.size)

    def _padded(self, v: Value, axis: int, size: int) -> Value:
        """A value from outside, followed by its first element."""
        eqn = self.made_by.get(v)
        shape = list(v.type.shape)
        more = size - shape[axis]
        shape[axis] = size
        if eqn is not None and constant_shape(eqn.attrs["value"]) == ():
            return constant(value=eqn.attrs["value"], shape=tuple(shape))  # type: ignore[no-any-return]
        if not more:
            return v
        if eqn is not None:
            array = np.broadcast_to(eqn.attrs["value"].array, v.type.shape)
            first = np.take(array, [0] * more, axis)
            whole = np.concatenate([array, first], axis)
            return constant(value=Dense(whole, v.type.dtype), shape=whole.shape)  # type: ignore[no-any-return]
        found = self.outer.get((v, axis, size))
        if found is None:
            found = self.outer[v, axis, size] = concatenate(v, _first(v, axis, more), axis=axis)
        return found

    def _slice(self, eqn: Eqn, axis: int) -> Value:
        (x,) = eqn.operands
        starts, limits, strides = (list(eqn.attrs[name]) for name in ("starts", "limits", "strides"))
        if strides[axis] != 1:
            raise _Unknown(eqn.op.name)
        start, size = starts[axis], self.found.size
        if x in self.axis:
            if self.axis[x] != axis:
                raise _Unknown(eqn.op.name)
            whole = self.env[x]
            starts[axis], limits[axis] = 0, size
            part = _sliced(whole, starts, limits, strides)
            if start:  # what comes round from the other end is not used
                rest, begin = slice_axis(part, axis, start, size), slice_axis(part, axis, 0, start)
                part = concatenate(rest, begin, axis=axis)
        elif x in self.env:
            raise _Unknown(eqn.op.name)
        else:
            whole = self._padded(x, axis, x.type.shape[axis] + size)
            limits[axis] = start + size
            part = _sliced(whole, starts, limits, strides)
        return self._own_or_first(part, axis, eqn.results[0].type.shape[axis])

    def _broadcast(self, eqn: Eqn, axis: int) -> Value:
        (x,) = eqn.operands
        dims, shape = eqn.attrs["dims"], list(eqn.attrs["shape"])
        shape[axis] = self.found.size
        at = dims.index(axis) if axis in dims else None
        if x in self.axis:
            if at != self.axis[x]:
                raise _Unknown(eqn.op.name)
            x = self.env[x]
        elif at is not None and x.type.shape[at] != 1:
            if x in self.env:
                raise _Unknown(eqn.op.name)
            x = self._padded(x, at, self.found.size)
        else:
            x = self.env.get(x, x)
        return broadcast_in_dim(x, shape=tuple(shape), dims=dims)  # type: ignore[no-any-return]

    def _reshape(self, eqn: Eqn, axis: int) -> Value:
        (x,) = eqn.operands
        shape = list(eqn.results[0].type.shape)
        old = self.axis.get(x)
        if old is None or x.type.shape[old] != shape[axis]:
            raise _Unknown(eqn.op.name)
        if math.prod(x.type.shape[:old]) != math.prod(shape[:axis]):
            raise _Unknown(eqn.op.name)
        shape[axis] = self.found.size
        return reshape_to(self.env[x], tuple(shape))


def _first(x: Value, axis: int, count: int) -> Value:
    """The first element so many times."""
    first = slice_axis(x, axis, 0, 1)
    if x.type.dtype.is_inexact:
        first = stop_gradient(first)
    shape = (*x.type.shape[:axis], count, *x.type.shape[axis + 1 :])
    return broadcast_in_dim(first, shape=shape, dims=tuple(range(x.type.rank)))  # type: ignore[no-any-return]


def _sliced(x: Value, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int]) -> Value:
    if (*starts,) == (0,) * x.type.rank and (*limits,) == x.type.shape and all(n == 1 for n in strides):
        return x
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))  # type: ignore[no-any-return]


__all__ = ["grown"]
