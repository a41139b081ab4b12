"""Adding at positions that are known, by reading instead of writing."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Dense
from ir.ops.elementwise import add
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_sum
from ir.ops.scatter import scatter_add
from ir.ops.shape import constant, full_like, reshape_to
from ir.rewrite import ROUNDING, Fill, at, collected, rule
from ir.rewrites.indexing import index_of, rows_of
from ir.types import i32


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
    return (
        scatter_add(
            constant(value=z, shape=of), constant(value=c, shape=s), u, update_window_dims=window,
            inserted_window_dims=inserted, scatter_dims_to_operand_dims=into, operand_batching_dims=batch,
            scatter_indices_batching_dims=indices_batch, mode=mode, indices_are_sorted=sorted,
            unique_indices=unique,
        ),
        _read,
    )  # fmt: skip


RULES = collected(globals())
