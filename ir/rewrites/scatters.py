"""Adding at positions: by reading instead of writing where they are known, and without arrays of zeros."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.core import Dense
from ir.ops.convert import convert
from ir.ops.elementwise import add, and_, ge, lt, neg, select
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_and, reduce_sum
from ir.ops.scatter import scatter_add
from ir.ops.shape import broadcast_in_dim, constant, full_like, permute, reshape_to
from ir.rewrite import ROUNDING, Fill, at, collected, rule
from ir.rewrites.indexing import index_of, rows_of
from ir.rewrites.kinds import FLOAT
from ir.types import TensorType, i32


def _scattered(x, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique):
    return scatter_add(
        x, i, u, update_window_dims=window, inserted_window_dims=inserted, scatter_dims_to_operand_dims=into,
        operand_batching_dims=batch, scatter_indices_batching_dims=indices_batch, mode=mode,
        indices_are_sorted=sorted, unique_indices=unique,
    )  # fmt: skip


def _is_zero(z):
    return not (z.array.any() or np.signbit(z.array.real).any() or np.signbit(z.array.imag).any())


def _read(u, *, z, of, c, s, window, inserted, into):
    k, outer = len(into), len(s) - 1
    shape, rest = of, of[k:]
    leading = tuple(range(k))
    if into != leading or inserted != leading or window != tuple(range(outer, u.type.rank)):
        return None
    if u.type.shape[outer:] != rest or not k:
        return None
    indices = np.broadcast_to(c.array, s).reshape(-1, k).astype(np.int64)
    if (indices < 0).any() or (indices >= np.array(shape[:k])).any():
        return None
    row = np.asarray(np.ravel_multi_index(tuple(indices.T), shape[:k]))
    count, rows = len(row), int(np.prod(shape[:k]))
    each = np.bincount(row, minlength=rows)
    if not count or (each != each[0]).any():
        return None
    # For every row its updates, in their order.
    table = np.argsort(row, kind="stable").astype(np.int32).reshape(rows, -1, 1)
    parts = gather(
        reshape_to(u, (count, *rest)),
        constant(value=Dense(table, i32), shape=table.shape),
        offset_dims=tuple(range(2, 2 + len(rest))),
        collapsed_slice_dims=(0,),
        start_index_map=(0,),
        slice_sizes=(1, *rest),
        mode="promise_in_bounds",
        unique_indices=True,
    )
    # (The sum of a single -0 would be -0, on top of zeros it is 0.)
    sums = reduce_sum(parts, axes=(1,)) if each[0] > 1 else add(full_like(parts, 0), parts)
    return reshape_to(sums, shape)


_ROWS: dict[str, Any] = {
    "inserted": (0,), "into": (0,), "mode": "fill", "sorted": False, "unique": False, "batch": (),
    "indices_batch": (),
}  # fmt: skip
_ZERO: dict[str, Any] = {"z": Fill(0)}


@rule(
    changes=ROUNDING,
    guard=lambda z, u, batch: not batch and u.type.size > 0 and _is_zero(z),
    examples=[
        at((6, 2), of=(3, 2), c=rows_of(0, 2, 1, 1, 0, 2), s=(6, 1), window=(1,), **_ZERO, **_ROWS),
        at((2, 3), of=(3,), c=rows_of([1, 0, 2], [0, 1, 2]), s=(2, 3, 1), window=(), **_ZERO, **_ROWS),
        at((4, 3), of=(2, 2, 3), c=index_of([0, 1], [1, 0], [0, 0], [1, 1]), s=(4, 2), window=(1,), **_ZERO,
           **_ROWS | {"inserted": (0, 1), "into": (0, 1), "mode": "clip"}),
    ],
    counterexamples=[
        at((3,), of=(3,), c=rows_of(0, 1, 1), s=(3, 1), window=(), **_ZERO, **_ROWS),
        at((3,), of=(3,), c=rows_of(0, 1, 3), s=(3, 1), window=(), **_ZERO, **_ROWS),
        at((3,), of=(3,), c=rows_of(0, 1, -1), s=(3, 1), window=(), **_ZERO, **_ROWS),
        at((3,), of=(3,), c=rows_of(0, 1, 2), s=(3, 1), window=(), z=Fill(-0.0), dtypes=("f32",), **_ROWS),
    ],
)  # fmt: skip
def scatter_add_of_table(
    u, *, z, of, c, s, window, inserted, into, batch, indices_batch, mode, sorted, unique
):
    """What is added to rows at known positions, read from there and summed, row by row."""
    made = _scattered(
        constant(value=z, shape=of), constant(value=c, shape=s), u, window, inserted, into, batch, indices_batch,
        mode, sorted, unique,
    )  # fmt: skip
    return made, _read


# Sums with what was added to zeros ------------------------------------------------------------------------


_TO: dict[str, Any] = {"of": (5, 3), "window": (1,), **_ZERO, **_ROWS}
_IN_ROWS: dict[str, Any] = {
    "of": (4, 6), "window": (), "inserted": (1,), "into": (1,), "batch": (0,), "indices_batch": (0,), **_ZERO,
    "sorted": False, "unique": False,
}  # fmt: skip


def _updates(z, of, i, u, window, inserted, into, batch, indices_batch, mode, a):
    """The sum of the updates over the axes that they are scattered along; None where it has others."""
    if set(a) != set(inserted) or set(into) != set(inserted):
        return None
    outer = [d for d in range(u.type.rank) if d not in window]
    if mode == "fill":
        # Those out of range are dropped.
        last = i.type.rank - 1
        # (Narrow integers do not count as far as the axis is long.)
        i = i if i.type.dtype.bits >= 32 else convert(i, dtype=i32)
        limits = constant(value=Dense(np.array([of[d] for d in into], i.type.dtype.np)), shape=(len(into),))
        limits = broadcast_in_dim(limits, shape=i.type.shape, dims=(last,))
        inside = reduce_and(and_(ge(i, full_like(i, 0)), lt(i, limits)), axes=(last,))
        u = select(broadcast_in_dim(inside, shape=u.type.shape, dims=tuple(outer)), u, full_like(u, 0))
    summed = tuple([d for k, d in enumerate(outer) if k not in indices_batch])
    total = reduce_sum(u, axes=summed) if summed else u
    kept = [d for d in range(u.type.rank) if d not in summed]
    windows = iter(window)
    # For each axis that is left of the result, the one of the updates that it is.
    axes = [
        outer[indices_batch[batch.index(d)]] if d in batch else next(windows)
        for d in range(len(of))
        if d not in inserted
    ]
    total = permute(total, tuple([kept.index(d) for d in axes]))
    return add(total, full_like(total, 0))


_TO_MANY = _TO | {"of": (100, 3)}
_IN_MANY = _IN_ROWS | {"of": (4, 120)}
_SUMS: dict[str, Any] = {
    "guard": lambda z, i, u, of: math.prod(of) > 8 * (u.type.size + i.type.size) > 0 and _is_zero(z),
    "examples": [
        at(TensorType((2, 1), i32), (2, 3), a=(0,), **_TO_MANY),
        at(TensorType((4, 2, 1), i32), (4, 2), a=(1,), mode="fill", **_IN_MANY),
        at(TensorType((4, 2, 1), i32), (4, 2), a=(1,), mode="clip", **_IN_MANY),
    ],
    "counterexamples": [
        at(TensorType((2, 1), i32), (2, 3), a=(1,), **_TO_MANY),
        at(TensorType((2, 1), i32), (2, 3), a=(0,), **_TO),
    ],
}


@rule(changes=ROUNDING, on=FLOAT, **_SUMS)
def sum_of_scatter(i, u, *, z, of, window, inserted, into, batch, indices_batch, mode, sorted, unique, a):
    """The sum over all that was added to zeros is the sum of what was added."""
    made = _scattered(
        constant(value=z, shape=of), i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique
    )
    return reduce_sum(made, axes=a), _updates


@rule(changes=ROUNDING, on=FLOAT, **_SUMS)
def sum_of_negated_scatter(
    i, u, *, z, of, window, inserted, into, batch, indices_batch, mode, sorted, unique, a
):
    """The sum over the negative of what was added to zeros is the sum of the negatives of what was added."""
    made = _scattered(
        constant(value=z, shape=of), i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique
    )
    return reduce_sum(
        neg(made), axes=a
    ), lambda z, of, i, u, window, inserted, into, batch, indices_batch, mode, a: _updates(
        z, of, i, neg(u), window, inserted, into, batch, indices_batch, mode, a
    )


RULES = collected(globals())
