"""What a value is in every iteration of a loop, as one array with the iterations along a leading axis.

Elements of one array become a slice of it, constants a table, equal reshapes one reshape. Only where
nothing better is known are the values written side by side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ir.core import Dense, Eqn, Value
from ir.ops.families import materialize
from ir.ops.indexing import gather
from ir.ops.shape import (
    concatenate,
    constant,
    constant_shape,
    expand_dims,
    move_axis,
    reshape,
    reshape_to,
    rev,
)
from ir.ops.shape import slice as slice_op
from ir.types import i32

# Overlapping slices that are so long are gathered; shorter ones are put together from their elements. And arrays of the
# caller that are so short are copied as any others, however few there are.
_SHORT = 16
# Larger arrays than these, in elements, are not copied to stand side by side, nor are fewer of them if not short.
_COPIED = 1 << 10
# Larger ones are, where all are multiplied at once by one array: that takes longer than the copies.
_COPIED_TO_CONTRACT = 1 << 14
_FEWEST_COPIED = 16


class Stacker:
    """Puts values side by side.

    Attributes:
      made_by: equations of the program so far, by their results.
      copied: arrays, other than short ones, that were copied to stand side by side.
    """

    def __init__(self) -> None:
        self.made_by: dict[Value, Eqn] = {}
        self.copied = 0
        self._seen = 0

    def see(self, eqns: Sequence[Eqn]) -> None:
        """Take note of a program's equations, of which it has seen the first ones."""
        for eqn in eqns[self._seen :]:
            self.made_by.update(dict.fromkeys(eqn.results, eqn))
        self._seen = len(eqns)

    def stacked(self, values: Sequence[Value], *, contracted: bool = False) -> Value | None:
        """The values along a new leading axis, or None where that is not worth its copies.

        Args:
          contracted: they are multiplied by one array, as the inputs of a recurrent network are by its weights.
        """
        first = values[0]
        if all(v is first for v in values):
            return materialize(first, False, len(values))
        makers = [self.made_by.get(v) for v in values]
        op = makers[0].op if makers[0] is not None else None
        eqns = [e for e in makers if e is not None and e.op is op]
        if len(eqns) == len(values):
            found = self._alike(values, eqns, contracted=contracted)
            if found is not None:
                return found
        if None in makers and not contracted and first.type.size > _SHORT:
            return None  # arrays of the caller's own, each of which would have its own slice of the gradient
        few = len(values) < _FEWEST_COPIED and first.type.size > _SHORT
        most = _COPIED_TO_CONTRACT if contracted else _COPIED
        if few or first.type.dtype.kind == "key" or math.prod(first.type.shape) > most:
            return None
        if first.type.size > _SHORT:
            self.copied += len(values)
        return concatenate(*[expand_dims(v, (0,)) for v in values], axis=0)  # type: ignore[no-any-return]

    def _alike(self, values: Sequence[Value], eqns: Sequence[Eqn], *, contracted: bool) -> Value | None:
        """Of results of one op."""
        first = eqns[0]
        if first.op is constant:
            return _table(values, eqns)
        if first.op is reshape:
            inner = [e.operands[0] for e in eqns]
            if any(v.type is not inner[0].type for v in inner):
                return None
            found = self.stacked(inner, contracted=contracted)
            return None if found is None else reshape_to(found, (len(eqns), *values[0].type.shape))
        if first.op is slice_op:
            x, strides = first.operands[0], first.attrs["strides"]
            if all(e.operands[0] is x and e.attrs["strides"] == strides for e in eqns):
                starts = np.asarray([e.attrs["starts"] for e in eqns], np.int64).reshape(len(eqns), -1)
                return slices(x, starts, values[0].type.shape, strides)
        return None


def _table(values: Sequence[Value], eqns: Sequence[Eqn]) -> Value | None:
    """Constants as one."""
    shape, dtype = values[0].type.shape, values[0].type.dtype
    if dtype.kind == "key" or math.prod(shape) > _COPIED:
        return None
    held = [e.attrs["value"] for e in eqns]
    rows = np.stack([np.broadcast_to(d.array, shape) for d in held])
    assert all(constant_shape(d) in ((), shape) for d in held)
    return constant(value=Dense(rows, dtype), shape=rows.shape)  # type: ignore[no-any-return]


def slices(
    x: Value, starts: npt.NDArray[np.int64], sizes: tuple[int, ...], strides: tuple[int, ...],
    *, scattered: bool = False,
) -> Value:  # fmt: skip
    """`x[start : start + size*stride : stride]` for every start, along a new leading axis.

    Args:
      scattered: as if the starts were irregular.
    """
    moving = tuple([axis for axis in range(starts.shape[1]) if np.any(starts[:, axis] != starts[0, axis])])
    steps = np.diff(starts, axis=0)
    if len(moving) == 1 and np.all(steps == steps[0]) and not scattered:
        axis = moving[0]
        step, size = int(steps[0, axis]), sizes[axis]
        if size <= _SHORT:
            rows = [
                _counted(x, starts, sizes, strides, axis, step, offset * strides[axis])
                for offset in range(size)
            ]
            whole = rows[0] if size == 1 else concatenate(*rows, axis=axis + 1)
            return whole
    return _gathered(x, starts, sizes, strides, moving)


def _counted(
    x: Value, starts: npt.NDArray[np.int64], sizes: tuple[int, ...], strides: tuple[int, ...],
    axis: int, step: int, offset: int,
) -> Value:  # fmt: skip
    """One element along `axis` of each slice, `[trips, ..., 1, ...]`."""
    trips = len(starts)
    begin = [int(n) for n in starts[0]]
    low = min(begin[axis], int(starts[-1, axis])) + offset
    by = [abs(step) if d == axis else s for d, s in enumerate(strides)]
    begin[axis] = low
    count = [trips if d == axis else n for d, n in enumerate(sizes)]
    part = sliced(
        x, begin, [b + (n - 1) * s + 1 if n else b for b, n, s in zip(begin, count, by, strict=True)], by
    )
    if step < 0:
        part = rev(part, axes=(axis,))
    return expand_dims(move_axis(part, axis, 0), (axis + 1,))


def _gathered(
    x: Value, starts: npt.NDArray[np.int64], sizes: tuple[int, ...], strides: tuple[int, ...],
    moving: tuple[int, ...],
) -> Value:  # fmt: skip
    """By an index for each slice, along the axes where they differ."""
    rank = len(sizes)
    length = spans(sizes, strides)
    begin = [0 if axis in moving else int(starts[0, axis]) for axis in range(rank)]
    end = [x.type.shape[d] if d in moving else begin[d] + length[d] for d in range(rank)]
    x = sliced(x, begin, end, [1] * rank)
    rows = starts[:, moving]
    single = tuple([axis for axis in moving if length[axis] == 1])
    order = [tuple(row) for row in rows.tolist()]
    out = gather(
        x,
        index_table(rows),
        offset_dims=tuple(range(1, 1 + rank - len(single))),
        collapsed_slice_dims=single,
        start_index_map=moving,
        slice_sizes=length,
        mode="promise_in_bounds",
        indices_are_sorted=order == sorted(order),
        unique_indices=_are_apart(rows, [length[axis] for axis in moving]),
    )
    return strided(expand_dims(out, [1 + axis for axis in single]), (1, *strides))


def _are_apart(starts: npt.NDArray[np.int64], sizes: Sequence[int]) -> bool:
    """Whether no element is known to be in two slices. An accelerator adds to such an element only once, if told so."""
    if all(size == 1 for size in sizes):
        return len(np.unique(starts, axis=0)) == len(starts)
    return any(bool(np.all(np.diff(np.sort(starts[:, axis])) >= size)) for axis, size in enumerate(sizes))


def sliced(x: Value, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int]) -> Value:
    """The slice; `x` where that is all of it, so that its elements are known as those of one array."""
    if not any(starts) and tuple(limits) == x.type.shape and all(n == 1 for n in strides):
        return x
    return slice_op(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))  # type: ignore[no-any-return]


def spans(sizes: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    """From the first to the last element of a slice, along each axis."""
    return tuple([(n - 1) * s + 1 if n else 0 for n, s in zip(sizes, strides, strict=True)])


def strided(x: Value, strides: tuple[int, ...]) -> Value:
    """Every n-th element along each axis; `x` where that is every one."""
    if all(s == 1 for s in strides):
        return x
    return slice_op(x, starts=(0,) * x.type.rank, limits=x.type.shape, strides=strides)  # type: ignore[no-any-return]


def index_table(indices: npt.NDArray[np.int64]) -> Value:
    """Indices as a constant."""
    return constant(value=Dense(indices.astype(np.int32), i32), shape=indices.shape)  # type: ignore[no-any-return]


__all__ = ["Stacker", "index_table", "sliced", "slices", "spans", "strided"]
