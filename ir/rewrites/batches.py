"""Indices that count along with the elements they are for: batches, in which each reads or writes its own.

`x[arange(n), i]` is `take_along_axis(x, i[:, None], 1)`. What is read so can be computed in blocks of batches.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Dense
from ir.ops.indexing import gather
from ir.ops.logic import ge, gt, le, lt
from ir.ops.scatter import scatter_add
from ir.ops.shape import concatenate, constant, full, iota, reshape
from ir.rewrite import NOTHING, Fill, at, collected, rule
from ir.rewriter import index_axis, wraps
from ir.types import TensorType, i32

# Counts and limits --------------------------------------------------------------------------------


def _range(count, definition):
    """The largest of the positions that a value holds, from 0; None where it holds others."""
    axis = index_axis(count, definition)
    if axis is None or not count.type.size or wraps(count.type, axis):
        return None
    return count.type.shape[axis] - 1


def _holds(test):
    """A comparison of all positions with a number, if it is the same for the first and the last."""

    def compare(p, *, c, out, definition):
        last = _range(p, definition)
        if last is None or c.shape != () or not p.type.dtype.is_integer:
            return None
        first, final = bool(test(0, int(c.array))), bool(test(last, int(c.array)))
        return full(out.type.shape, first, out.type.dtype) if first == final else None

    return compare


def _count(shape, axis):
    return lambda _: iota(shape=shape, dtype=i32, axis=axis)


def _comparison(op, test, always, never):
    @rule(
        changes=NOTHING,
        name=f"count_{op.name}",
        examples=[
            at(_count((4,), 0), c=Fill(always), s=(4,), dtypes=["i32"]),
            at(_count((2, 3), 1), c=Fill(never), s=(2, 3), dtypes=["i32"]),
        ],
        counterexamples=[at(_count((4,), 0), c=Fill(2), s=(4,), dtypes=["i32"])],
    )
    def compared(p, *, c, s):
        """Positions compared with what is below or above all of them."""
        return op(p, constant(value=c, shape=s)), _holds(test)

    return compared


COUNTS = (
    _comparison(lt, lambda a, b: a < b, 9, 0),
    _comparison(ge, lambda a, b: a >= b, 0, 9),
    _comparison(gt, lambda a, b: a > b, -1, 9),
    _comparison(le, lambda a, b: a <= b, 9, -1),
)

# Batches ------------------------------------------------------------------------------------------


def _counted(column, shape, definition):
    """Which axis of the indices a column of them counts along, if it does."""
    eqn = definition(column)
    while eqn is not None and eqn.op is reshape:
        inner = eqn.operands[0]
        if [n for n in inner.type.shape if n != 1] != [n for n in shape if n != 1]:
            return None
        column, eqn = inner, definition(inner)
    axis = _listed(eqn) if eqn is not None and eqn.op is constant else index_axis(column, definition)
    if axis is None or column.type.shape[axis] == 1 or wraps(column.type, axis):
        return None
    # (Reshapes only added and removed axes of one element.)
    place = sum(n != 1 for n in column.type.shape[:axis])
    return [d for d, n in enumerate(shape) if n != 1][place]


def _listed(eqn):
    """The axis along which a constant counts, if it has that axis alone."""
    array, shape = eqn.attrs["value"].array, eqn.results[0].type.shape
    axes = [d for d, n in enumerate(shape) if n != 1]
    if len(axes) != 1 or array.shape != shape or not np.array_equal(array.reshape(-1), np.arange(array.size)):
        return None
    return axes[0]


def _apart(x, columns, a, into, gone, batch, indices_batch, definition):
    """Without a column that counts, whose axis becomes a batch; None if none does.

    Returns:
      That axis; the other columns as indices, and the axes they are for; batch axes of the operand, and of the indices.
    """
    if a != columns[0].type.rank - 1 or any(c.type.shape[-1] != 1 for c in columns) or len(columns) < 2:
        return None
    for k, (column, axis) in enumerate(zip(columns, into, strict=True)):
        along = _counted(column, column.type.shape, definition)
        if along is None or along in indices_batch or axis not in gone:
            continue
        if x.type.shape[axis] == column.type.shape[along]:
            rest = _without(columns, k)
            indices = rest[0] if len(rest) == 1 else concatenate(*rest, axis=a)
            pairs = sorted([*zip(batch, indices_batch, strict=True), (axis, along)])
            return axis, indices, _without(into, k), *zip(*pairs, strict=True)
    return None


def _without(items, k):
    return tuple([item for j, item in enumerate(items) if j != k])


def _read(
    x, columns, a, offset, collapsed, into, batch, indices_batch, n, mode, filling, unique, definition,
):  # fmt: skip
    found = _apart(x, columns, a, into, collapsed, batch, indices_batch, definition)
    if found is None:
        return None
    axis, indices, into, batch, indices_batch = found
    return gather(
        x, indices, offset_dims=offset, collapsed_slice_dims=tuple([d for d in collapsed if d != axis]),
        start_index_map=into, operand_batching_dims=batch, start_indices_batching_dims=indices_batch,
        slice_sizes=n, mode=mode, fill_value=filling, indices_are_sorted=False, unique_indices=unique,
    )  # fmt: skip


_COLUMN = TensorType((4, 1), i32)
_ITEMS: dict[str, Any] = {
    "a": 1, "offset": (), "collapsed": (0, 1), "into": (0, 1), "batch": (), "indices_batch": (), "n": (1, 1),
    "filling": None, "sorted": False, "unique": False,
}  # fmt: skip


@rule(
    changes=NOTHING,
    examples=[
        at((4, 3), [_count((4, 1), 0), _COLUMN], mode="clip", **_ITEMS),
        at((3, 4), [_COLUMN, _count((4, 1), 0)], mode="fill", **_ITEMS),
        at((4, 3), [Dense(np.arange(4, dtype=np.int32)[:, None]), _COLUMN], mode="fill", **_ITEMS),
        at((4, 3, 2), [_count((4, 1), 0), _COLUMN], mode="fill",
           **_ITEMS | {"offset": (1,), "n": (1, 1, 2)}),
    ],
    counterexamples=[
        at((5, 3), [_count((4, 1), 0), _COLUMN], mode="clip", **_ITEMS),
        at((4, 3), [_COLUMN, _COLUMN], mode="clip", **_ITEMS),
    ],
)  # fmt: skip
def gather_in_order(
    x, *columns, a, offset, collapsed, into, batch, indices_batch, n, mode, filling, sorted, unique
):
    """x[arange(n), i]: from each row an element, as `take_along_axis` has it."""
    return (
        gather(
            x, concatenate(*columns, axis=a), offset_dims=offset, collapsed_slice_dims=collapsed,
            start_index_map=into, operand_batching_dims=batch, start_indices_batching_dims=indices_batch,
            slice_sizes=n, mode=mode, fill_value=filling, indices_are_sorted=sorted, unique_indices=unique,
        ),
        _read,
    )  # fmt: skip


def _write(x, u, columns, a, window, inserted, into, batch, indices_batch, mode, unique, definition):
    found = _apart(x, columns, a, into, inserted, batch, indices_batch, definition)
    if found is None:
        return None
    axis, indices, into, batch, indices_batch = found
    return scatter_add(
        x, indices, u, update_window_dims=window,
        inserted_window_dims=tuple([d for d in inserted if d != axis]), scatter_dims_to_operand_dims=into,
        operand_batching_dims=batch, scatter_indices_batching_dims=indices_batch, mode=mode,
        indices_are_sorted=False, unique_indices=unique,
    )  # fmt: skip


_UPDATES: dict[str, Any] = {
    "a": 1, "window": (), "inserted": (0, 1), "into": (0, 1), "batch": (), "indices_batch": (), "sorted": False,
    "unique": False,
}  # fmt: skip


@rule(
    changes=NOTHING,
    examples=[
        at((4, 3), (4,), [_count((4, 1), 0), _COLUMN], mode="clip", **_UPDATES),
        at((3, 4), (4,), [_COLUMN, _count((4, 1), 0)], mode="fill", **_UPDATES),
        at((4, 3, 2), (4, 2), [_count((4, 1), 0), _COLUMN], mode="fill", **_UPDATES | {"window": (1,)}),
    ],
    counterexamples=[at((5, 3), (4,), [_count((4, 1), 0), _COLUMN], mode="clip", **_UPDATES)],
)
def scatter_add_in_order(
    x, u, *columns, a, window, inserted, into, batch, indices_batch, mode, sorted, unique
):
    """x.at[arange(n), i].add(u): to each row an element."""
    return (
        scatter_add(
            x, concatenate(*columns, axis=a), u, update_window_dims=window, inserted_window_dims=inserted,
            scatter_dims_to_operand_dims=into, operand_batching_dims=batch,
            scatter_indices_batching_dims=indices_batch, mode=mode, indices_are_sorted=sorted,
            unique_indices=unique,
        ),
        _write,
    )  # fmt: skip


RULES = collected(globals())
