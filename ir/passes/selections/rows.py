"""Rows of an array that an index chooses: slices where the index is known and regular, otherwise gathered."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ir.core import Dense, Eqn, Function, Value
from ir.evaluate import evaluate
from ir.ops.elementwise import ge, lt, select
from ir.ops.indexing import gather
from ir.ops.logic import and_
from ir.ops.scatter import scatter_add
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    full_like,
    iota,
    move_axis,
    pad,
    reshape,
    reshape_to,
    rev,
    slice_axis,
    transpose,
)
from ir.ops.shape import slice as slice_op
from ir.types import bool_, i32

# Equations that a known index is computed from, and its elements, at most; and slices that are put together.
_EQUATIONS, _ELEMENTS, _PIECES = 64, 1 << 16, 4

# What is evaluated, besides elementwise ops.
_PLAIN = frozenset(
    {broadcast_in_dim, concatenate, constant, gather, iota, pad, reshape, rev, slice_op, transpose}
)

Numbers = npt.NDArray[np.int64]


def known(index: Value, definition: Callable[[Value], Eqn | None]) -> Numbers | None:
    """The numbers of an index that is made of constants and positions; None for others."""
    order: dict[Eqn, None] = {}
    stack = [(index, False)]
    while stack:
        value, is_ready = stack.pop()
        eqn = definition(value)
        if eqn is None or value.type.size > _ELEMENTS or len(order) > _EQUATIONS or len(stack) > _EQUATIONS:
            return None
        if eqn in order:
            continue
        if is_ready:
            order[eqn] = None
        elif eqn.op.elementwise or eqn.op in _PLAIN:
            stack.append((value, True))
            stack += [(v, False) for v in eqn.operands]
        else:
            return None
    (out,) = evaluate(Function((), tuple(order), (index,), "index"))
    return np.asarray(out).astype(np.int64)


def inverse(index: Numbers, size: int) -> Numbers | None:
    """For each of `size` places the position in `index` that has it, -1 for none; None where several have one."""
    positions = np.flatnonzero((index >= 0) & (index < size))
    if len(np.unique(index[positions])) < len(positions):
        return None
    out = np.full(size, -1, np.int64)
    out[index[positions]] = positions
    return out


def rows(x: Value, axis: int, index: Value | Numbers, *, last: bool = False) -> Value:
    """`x` at these indices along an axis; zero where an index is not within it.

    Args:
      last: the axes of the index come last in the result, not first.
    """
    if not isinstance(index, Value):
        found = _pieces(x, axis, index.reshape(-1)) if index.ndim < 2 else None
        if found is not None and index.ndim == 0:
            return reshape_to(found, (*x.type.shape[:axis], *x.type.shape[axis + 1 :]))
        if found is not None:
            return move_axis(found, axis, x.type.rank - 1 if last else 0)
        made: Value = constant(value=Dense(index.astype(np.int32), i32), shape=index.shape)
        index = made
    first = 0 if last else index.type.rank
    return gather(  # type: ignore[no-any-return]
        x,
        reshape_to(index, (*index.type.shape, 1)),
        offset_dims=tuple(range(first, first + x.type.rank - 1)),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        slice_sizes=tuple([1 if d == axis else n for d, n in enumerate(x.type.shape)]),
        mode="fill",
        fill_value=Dense(np.zeros((), x.type.dtype.np), x.type.dtype),
    )


def in_range(index: Value, size: int) -> Value:
    """Where an index is within an axis of that size."""
    return and_(ge(index, full_like(index, 0)), lt(index, full_like(index, size)))  # type: ignore[no-any-return]


def within(weight: Value, index: Value | Numbers, size: int) -> Value:
    """A weight for each index, 0 for what is not within an axis of that size: the row may be inf times nothing."""
    if isinstance(index, Value):
        inside = in_range(index, size)
    else:
        is_inside = (index >= 0) & (index < size)
        if is_inside.all():
            return weight
        inside = constant(value=Dense(is_inside, bool_), shape=is_inside.shape)
    return select(inside, weight, full(weight.type.shape, 0, weight.type.dtype))  # type: ignore[no-any-return]


def added_up(updates: Value, index: Value, size: int) -> Value:
    """Zeros, with each row of `updates` added to the row that `index` says, if there is one."""
    return scatter_add(  # type: ignore[no-any-return]
        full((size, *updates.type.shape[1:]), 0, updates.type.dtype),
        reshape_to(index, (*index.type.shape, 1)),
        updates,
        update_window_dims=tuple(range(1, updates.type.rank)),
        inserted_window_dims=(0,),
        scatter_dims_to_operand_dims=(0,),
        mode="fill",
    )


def _pieces(x: Value, axis: int, index: Numbers) -> Value | None:
    """Few slices put together."""
    size = x.type.shape[axis]
    if not len(index) or not size:
        return None
    index = np.where((index >= 0) & (index < size), index, -1)
    cuts = _cuts(index)
    if cuts[-1] < len(index):
        return None
    parts = [_piece(x, axis, index[a:b]) for a, b in itertools.pairwise(cuts)]
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=axis)


def _cuts(index: Numbers) -> list[int]:
    """Where equal steps begin and end, of as many stretches as are put together; -1 is by itself."""
    cuts = [0]
    while cuts[-1] < len(index) and len(cuts) <= _PIECES:
        a = cuts[-1]
        rest = index[a:]
        if rest[0] < 0:
            same = rest < 0
        else:
            step = rest[1] - rest[0] if len(rest) > 1 and rest[1] >= 0 else 0
            same = (rest == rest[0] + step * np.arange(len(rest))) & (rest >= 0)
            if not step:
                same[1:] = False  # rows are not repeated here
        cuts.append(a + (len(rest) if same.all() else int(np.argmin(same))))
    return cuts


def _piece(x: Value, axis: int, index: Numbers) -> Value:
    if index[0] < 0:
        shape = (*x.type.shape[:axis], len(index), *x.type.shape[axis + 1 :])
        return full(shape, 0, x.type.dtype)
    low, high = sorted((int(index[0]), int(index[-1])))
    step = abs(int(index[1] - index[0])) if len(index) > 1 else 1
    out = slice_axis(x, axis, low, high + 1, step)
    return rev(out, axes=(axis,)) if index[0] > index[-1] else out
