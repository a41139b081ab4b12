"""Arrays whose size changes get the size of the largest, so that the loop is like any other.

    b: f32[9] = add(a[1:10], a[0:9])                  b: f32[9] = add(a[1:10], a[0:9])
    c: f32[8] = add(b[1:9],  b[0:8])      becomes     c: f32[9] = add(first(rotated(b), 8), first(b, 8))
    ...                                               ...

The elements that the program knows come first. What follows is never used, but it is computed with, and must do no
harm: a cotangent of 0 times an infinite slope is NaN. So it always equals the first element, where there is no slope
that the program does not have itself, and no cotangent of it goes on: wherever elements move,
`select(i < length, x, stop_gradient(x[0]))`. What is added to a list is written behind the elements that are known.
Reductions and contractions take the elements that the program knows, and neutral ones in the place of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from ir.core import Dense, Eqn, Function, Value
from ir.op import Builder, Op, building
from ir.ops.calls import stop_gradient
from ir.ops.contraction import dot_general
from ir.ops.elementwise import lt, select
from ir.ops.indexing import dynamic_slice, dynamic_update_slice
from ir.ops.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod, reduce_sum
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    constant_shape,
    full,
    full_like,
    iota,
    reshape,
    reshape_to,
    rev,
    slice,
    slice_axis,
    transpose,
)
from ir.ops.windows import identity_of
from ir.passes.rolling.changing import Changing, chained, changing
from ir.passes.rolling.stacking import sliced
from ir.remarks import remark
from ir.types import DType, i32

# What changes no result of a reduction.
_NEUTRAL: dict[Op, Callable[[DType], object]] = {
    reduce_sum: lambda dtype: 0,
    reduce_prod: lambda dtype: 1,
    reduce_max: lambda dtype: identity_of("max", dtype),
    reduce_min: lambda dtype: identity_of("min", dtype),
    reduce_and: lambda dtype: True,
    reduce_or: lambda dtype: False,
}


def with_one_size(function: Function) -> Iterable[tuple[Function, int]]:
    """The function with the arrays of one loop given one size, and how many equations it has; each such loop."""
    for whole in dict.fromkeys((function, chained(function))):
        eqns = [eqn for eqn in whole.eqns if eqn.op is not constant]
        for found in changing(eqns):
            new = _Grower(whole, eqns, found).function()
            if new is not None:
                yield new, found.trips * found.period


class _Unknown(Exception):
    """Something that is not known here, by its name."""


class _Grower:
    """Writes the function with the arrays of a loop grown.

    Attributes:
      env: what stands for a value; for one whose size changes, the same elements with more after them.
      axis: along which the size of a value changes.
      before: makes what is made once, before the loop.
      outer: values from outside with more elements, by value, axis and size.
      moving: for each operand of each equation of an iteration the axis along which its size changes, if it does.
      reach: how far slices of values from outside go, by value and axis.
    """

    def __init__(self, function: Function, eqns: Sequence[Eqn], found: Changing) -> None:
        self.whole, self.eqns, self.found = function, eqns, found
        self.env: dict[Value, Value] = {}
        self.axis: dict[Value, int] = {}
        self.made_by = {eqn.results[0]: eqn for eqn in function.eqns if eqn.op is constant}
        self.before = Builder()
        self.outer: dict[tuple[Value, int, int], Value] = {}
        self.reach: dict[tuple[Value, int], int] = {}
        self.moving = found.moving
        for at in range(found.start, found.stop):
            eqn, axis = eqns[at], found.axes[(at - found.start) % found.period]
            if eqn.op is slice and axis is not None:
                key = (eqn.operands[0], axis)
                self.reach[key] = max(self.reach.get(key, 0), eqn.attrs["starts"][axis] + found.size)

    def function(self) -> Function | None:
        found = self.found
        start, builder = Builder(), Builder()
        for eqn in self.whole.eqns:
            if eqn.op is constant:
                start.append(eqn)
        for eqn in self.eqns[: found.start]:
            start.append(eqn)
        after: dict[Value, Value] = {}
        with building(builder):
            try:
                for at in range(found.start, found.stop):
                    builder.source = self.eqns[at].source
                    self._write(self.eqns[at], (at - found.start) % found.period)
            except _Unknown as reason:
                loop = f"{found.trips} iterations of {found.period} equations over arrays whose size changes"
                remark(
                    "roll", self.eqns[found.start].source, f"{loop} stay as they are: {reason}", declined=True
                )
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
        eqns = (*start.eqns, *self.before.eqns, *builder.eqns)
        return self.whole.replace(eqns=eqns, results=results)

    # Equations -------------------------------------------------------------------------------------------

    def _write(self, eqn: Eqn, j: int) -> None:
        axis = self.found.axes[j]
        (result,) = eqn.results
        if axis is None:
            self.env[result] = self._fixed(eqn, j)
            return
        if eqn.op.elementwise:
            out: Value = eqn.op(*[self._whole(eqn, j, k) for k in range(len(eqn.operands))], **eqn.attrs)
        elif eqn.op is slice:
            out = self._slice(eqn, axis)
        elif eqn.op is broadcast_in_dim:
            out = self._broadcast(eqn, axis)
        elif eqn.op is reshape:
            out = self._reshape(eqn, j, axis)
        elif eqn.op is transpose and eqn.attrs["perm"][axis] == self.moving[j][0]:
            out = transpose(self._whole(eqn, j, 0), **eqn.attrs)
        elif eqn.op is rev and axis == self.moving[j][0]:
            out = self._reversed(eqn, j, axis)
        elif eqn.op is concatenate:
            out = self._concatenated(eqn, j, axis)
        elif eqn.op is iota:
            shape = (*result.type.shape[:axis], self.found.size, *result.type.shape[axis + 1 :])
            out = self._own_or_first(eqn.op(**{**eqn.attrs, "shape": shape}), axis, result.type.shape[axis])
        elif eqn.op in _NEUTRAL and _kept(eqn.attrs["axes"], self.moving[j][0]) == axis:
            out = eqn.op(self._whole(eqn, j, 0), **eqn.attrs)
        elif eqn.op is dot_general and _free(eqn, self.moving[j]) == axis:
            out = eqn.op(*[self._whole(eqn, j, k) for k in (0, 1)], **eqn.attrs)
        else:
            raise _Unknown(eqn.op.name)
        self.axis[result] = axis
        self.env[result] = out

    def _whole(self, eqn: Eqn, j: int, k: int) -> Value:
        """An operand with more elements, if its size changes."""
        v, axis = eqn.operands[k], self.moving[j][k]
        if v in self.axis:
            if self.axis[v] != axis:
                raise _Unknown(eqn.op.name)
            return self.env[v]
        if axis is None:
            return self.env.get(v, v)
        if v in self.env:
            raise _Unknown(eqn.op.name)
        return self._padded(v, axis, self.found.size)

    def _known(self, eqn: Eqn, j: int, k: int, neutral: Callable[[DType], object]) -> Value:
        """An operand with neutral elements where the program has none."""
        whole, axis = self._whole(eqn, j, k), self.moving[j][k]
        if axis is None:
            return whole
        length = eqn.operands[k].type.shape[axis]
        return select(_below(whole, axis, length), whole, full_like(whole, neutral(whole.type.dtype)))  # type: ignore[no-any-return]

    def _reversed(self, eqn: Eqn, j: int, axis: int) -> Value:
        whole: Value = rev(self._whole(eqn, j, 0), **eqn.attrs)
        if axis not in eqn.attrs["axes"]:
            return whole
        # What the program knows is at the end now.
        length = eqn.results[0].type.shape[axis]
        twice = concatenate(whole, whole, axis=axis)
        starts = _starts(whole, axis, self.found.size - length)
        return self._own_or_first(dynamic_slice(twice, *starts, sizes=whole.type.shape), axis, length)

    def _concatenated(self, eqn: Eqn, j: int, axis: int) -> Value:
        along, moving = eqn.attrs["axis"], self.moving[j]
        if along != axis:
            return concatenate(*[self._whole(eqn, j, k) for k in range(len(moving))], axis=along)  # type: ignore[no-any-return]
        at = [k for k, moves in enumerate(moving) if moves == axis]
        parts = [self.env.get(v, v) for v in eqn.operands]
        if len(at) != 1 or any(v in self.axis for k, v in enumerate(eqn.operands) if k != at[0]):
            raise _Unknown(eqn.op.name)
        whole = self._whole(eqn, j, at[0])
        before, after = parts[: at[0]], parts[at[0] + 1 :]
        length = eqn.results[0].type.shape[axis]
        if before:
            rest = self.found.size - sum(v.type.shape[axis] for v in before)
            whole = concatenate(*before, slice_axis(whole, axis, 0, rest), axis=axis)
        position = length - sum(v.type.shape[axis] for v in after)
        for part in after:
            whole = dynamic_update_slice(whole, part, *_starts(whole, axis, position))
            position += part.type.shape[axis]
        return self._own_or_first(whole, axis, length) if before else whole

    def _own_or_first(self, x: Value, axis: int, length: int) -> Value:
        """The elements that are its own, and the first one in the place of the others."""
        return select(_below(x, axis, length), x, _first(x, axis, x.type.shape[axis]))  # type: ignore[no-any-return]

    def _fixed(self, eqn: Eqn, j: int) -> Value:
        """Of a result whose size stays; of what changes, it may take a part, or all of it together."""
        moving = self.moving[j]
        if eqn.op in _NEUTRAL and moving[0] is not None:
            out: Value = eqn.op(self._known(eqn, j, 0, _NEUTRAL[eqn.op]), **eqn.attrs)
        elif eqn.op is dot_general and _is_contracted(eqn, moving):
            out = eqn.op(*[self._known(eqn, j, k, _NEUTRAL[reduce_sum]) for k in (0, 1)], **eqn.attrs)
        elif eqn.op is slice or not any(v in self.axis for v in eqn.operands):
            out = eqn.op(*[self.env.get(v, v) for v in eqn.operands], **eqn.attrs)
        else:
            raise _Unknown(eqn.op.name)
        return out

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
        if more < 0 or not v.type.shape[axis]:
            raise _Unknown("an array of another size")
        if eqn is not None:
            array = np.broadcast_to(eqn.attrs["value"].array, v.type.shape)
            first = np.take(array, [0] * more, axis)
            whole = np.concatenate([array, first], axis)
            return constant(value=Dense(whole, v.type.dtype), shape=whole.shape)  # type: ignore[no-any-return]
        found = self.outer.get((v, axis, size))
        if found is None:
            with building(self.before):
                self.before.source = self.eqns[self.found.start].source
                found = concatenate(v, _first(v, axis, more), axis=axis)
            self.outer[v, axis, size] = found
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
            part = sliced(whole, starts, limits, strides)
            if start:  # what comes round from the other end is not used
                rest, begin = slice_axis(part, axis, start, size), slice_axis(part, axis, 0, start)
                part = concatenate(rest, begin, axis=axis)
        elif x in self.env:
            raise _Unknown(eqn.op.name)
        else:
            whole = self._padded(x, axis, max(x.type.shape[axis], self.reach[x, axis]))
            limits[axis] = start + size
            part = sliced(whole, starts, limits, strides)
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

    def _reshape(self, eqn: Eqn, j: int, axis: int) -> Value:
        (x,), old = eqn.operands, self.moving[j][0]
        shape = list(eqn.results[0].type.shape)
        if old is None or x.type.shape[old] != shape[axis]:
            raise _Unknown(eqn.op.name)
        if math.prod(x.type.shape[:old]) != math.prod(shape[:axis]):
            raise _Unknown(eqn.op.name)
        shape[axis] = self.found.size
        return reshape_to(self._whole(eqn, j, 0), tuple(shape))


def _kept(axes: Sequence[int], axis: int | None) -> int | None:
    """Which axis of a reduction's result an axis of its operand is."""
    return None if axis is None or axis in axes else axis - sum(a < axis for a in axes)


def _is_contracted(eqn: Eqn, moving: Sequence[int | None]) -> bool:
    """Whether a contraction sums over the axes that change."""
    lhs, rhs = eqn.attrs["lhs_contract"], eqn.attrs["rhs_contract"]
    return moving[0] in lhs and moving[1] in rhs and lhs.index(moving[0]) == rhs.index(moving[1])


def _free(eqn: Eqn, moving: Sequence[int | None]) -> int | None:
    """The axis of a contraction's result that an axis of one operand is; None where it is summed over, or of both."""
    k = 0 if moving[0] is not None else 1
    axis = moving[k]
    if axis is None or moving[1 - k] is not None:
        return None
    side, other = ("lhs", "rhs") if k == 0 else ("rhs", "lhs")
    bound = (*eqn.attrs[f"{side}_batch"], *eqn.attrs[f"{side}_contract"])
    if axis in bound:
        return None
    position: int = len(eqn.attrs["lhs_batch"]) + axis - sum(a < axis for a in bound)
    if k == 1:
        taken = len(eqn.attrs["lhs_batch"]) + len(eqn.attrs[f"{other}_contract"])
        position += eqn.operands[0].type.rank - taken
    return position


def _below(x: Value, axis: int, length: int) -> Value:
    """Which elements come before a position along an axis."""
    limit = broadcast_in_dim(full((), length, i32), shape=x.type.shape, dims=())
    return lt(iota(shape=x.type.shape, dtype=i32, axis=axis), limit)  # type: ignore[no-any-return]


def _starts(x: Value, axis: int, start: int) -> list[Value]:
    return [full((), start if k == axis else 0, i32) for k in range(x.type.rank)]


def _first(x: Value, axis: int, count: int) -> Value:
    """The first element so many times."""
    first = slice_axis(x, axis, 0, 1)
    if x.type.dtype.is_inexact:
        first = stop_gradient(first)
    shape = (*x.type.shape[:axis], count, *x.type.shape[axis + 1 :])
    return broadcast_in_dim(first, shape=shape, dims=tuple(range(x.type.rank)))  # type: ignore[no-any-return]


__all__ = ["with_one_size"]
