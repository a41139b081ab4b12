"""Reading and writing at computed positions, where the positions are known after all."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Dense
from ir.ops.indexing import dynamic_slice, dynamic_update_slice, gather
from ir.ops.shape import constant, full_like, reshape_to, slice
from ir.rewrite import NOTHING, at, collected, rule
from ir.rewriter import constant_number
from ir.types import TensorType, i32

_START = TensorType((), i32)


def _at(*numbers):
    return [Dense(np.int32(n)) for n in numbers]


# dynamic_slice, dynamic_update_slice --------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type is out.type,
    examples=[at((2, 3), [_START, _START], n=(2, 3)), at((), [], n=())],
    counterexamples=[at((2, 3), [_START, _START], n=(2, 2))],
)
def dynamic_slice_of_everything(x, *starts, n):
    """There is one place only for a slice of full size."""
    return dynamic_slice(x, *starts, sizes=n), x


def _static_slice(x, *, starts, n, definition):
    numbers = [constant_number(definition(start)) for start in starts]
    if None in numbers:
        return None
    first = tuple([min(max(a, 0), of - size) for a, of, size in zip(numbers, x.type.shape, n, strict=True)])
    last = tuple([a + size for a, size in zip(first, n, strict=True)])
    return slice(x, starts=first, limits=last, strides=(1,) * len(n))


@rule(
    changes=NOTHING,
    examples=[at((4, 3), _at(1, 5), n=(2, 2)), at((4,), _at(-7), n=(3,)), at((4,), _at(1), n=(0,))],
    counterexamples=[at((4, 3), [Dense(np.int32(1)), _START], n=(2, 2))],
)
def dynamic_slice_at_constant(x, *starts, n):
    """A start that is known, moved into bounds."""
    return dynamic_slice(x, *starts, sizes=n), _static_slice


def _smaller(x, *, starts, n, a, b, s, out, definition):
    """The part of `x`, where the axes that are cut are those whose starts are known."""
    at_ = list(starts)
    for d, start in enumerate(starts):
        if out.type.shape[d] == n[d]:
            continue
        number = constant_number(definition(start))
        if number is None or s[d] != 1:
            return None
        at_[d] = full_like(start, min(max(number, 0), x.type.shape[d] - n[d]) + a[d])
    return dynamic_slice(x, *at_, sizes=out.type.shape)


@rule(
    changes=NOTHING,
    single_use=True,
    guard=lambda n, out: out.type.shape != n,
    examples=[
        at((6, 9), [_START, *_at(0)], n=(3, 9), a=(0, 0), b=(3, 4), s=(1, 1)),
        at((6, 9), [_START, *_at(7)], n=(3, 5), a=(0, 2), b=(3, 4), s=(1, 1)),
    ],
    counterexamples=[
        at((6, 9), [_START, *_at(0)], n=(3, 9), a=(1, 0), b=(3, 9), s=(1, 1)),
        at((6, 9), [_START, *_at(0)], n=(3, 9), a=(0, 0), b=(3, 9), s=(1, 2)),
    ],
)
def slice_of_dynamic_slice(x, *starts, n, a, b, s):
    """Read less where the start is known; at others, less may be within bounds elsewhere."""
    return slice(dynamic_slice(x, *starts, sizes=n), starts=a, limits=b, strides=s), _smaller


@rule(
    changes=NOTHING,
    guard=lambda x, u: x.type is u.type,
    examples=[at((2, 3), (2, 3), [_START, _START])],
    counterexamples=[at((2, 3), (2, 2), [_START, _START])],
)
def update_of_everything(x, u, *starts):
    """An update of full size replaces all."""
    return dynamic_update_slice(x, u, *starts), u


@rule(
    changes=NOTHING,
    guard=lambda u: u.type.size == 0,
    examples=[at((2, 3), (2, 0), [_START, _START])],
    counterexamples=[at((2, 3), (2, 1), [_START, _START])],
)
def update_of_nothing(x, u, *starts):
    """An update without elements replaces none."""
    return dynamic_update_slice(x, u, *starts), x


@rule(
    changes=NOTHING,
    guard=lambda u, n: u.type.shape == n,
    examples=[at((4, 3), (2, 1), [_START, _START], n=(2, 1))],
    counterexamples=[at((4,), (2,), [_START], n=(1,))],
)
def dynamic_slice_of_update(x, u, *starts, n):
    """What was just written there."""
    return dynamic_slice(dynamic_update_slice(x, u, *starts), *starts, sizes=n), u


@rule(
    changes=NOTHING,
    guard=lambda u, v: u.type is v.type,
    examples=[at((4, 3), (2, 1), (2, 1), [_START, _START])],
    counterexamples=[at((4,), (2,), (1,), [_START])],
)
def update_of_update(x, u, v, *starts):
    """The second one replaces the first."""
    return (
        dynamic_update_slice(dynamic_update_slice(x, u, *starts), v, *starts),
        dynamic_update_slice(x, v, *starts),
    )


# gather -------------------------------------------------------------------------------------------

_ROW: dict[str, Any] = {
    "offset": (0,), "collapsed": (0,), "into": (0,), "batch": (), "indices_batch": (), "n": (1, 3),
    "sorted": False, "unique": False, "filling": None,
}  # fmt: skip
_ROWS = _ROW | {"offset": (1,)}


def index_of(*numbers):
    """An array of indices, for examples."""
    return Dense(np.array(numbers, np.int32))


def rows_of(*numbers):
    """Indices of rows: an index vector of one number each, for examples."""
    return Dense(np.array(numbers, np.int32)[..., None])


def _window(x, *, c, s, into, n, mode, out):
    # A single index vector, although there may be axes of size 1 around it.
    if any(size != 1 for size in s[:-1]):
        return None
    starts = [0] * len(n)
    for axis, start in zip(into, c.array.reshape(-1).tolist(), strict=True):
        starts[axis] = min(max(start, 0), x.type.shape[axis] - n[axis])
        if starts[axis] != start and mode != "clip":
            return None
    taken = slice(
        x,
        starts=tuple(starts),
        limits=tuple([start + size for start, size in zip(starts, n, strict=True)]),
        strides=(1,) * len(n),
    )
    return reshape_to(taken, out.type.shape)


@rule(
    changes=NOTHING,
    guard=lambda c, batch, into: c.array.size == len(into) and not batch,
    examples=[
        at((4, 3), mode="clip", c=index_of(2), s=(1,), **_ROW),
        at((4, 3), mode="clip", c=index_of(7), s=(1,), **_ROW),
        at((4, 3), mode="fill", c=index_of(-0), s=(1,), **_ROW),
        at((4, 3), mode="clip", c=index_of(-1), s=(1, 1), **_ROWS),
        at((4, 3), mode="promise_in_bounds", c=index_of(1, 1), s=(2,),
           **_ROW | {"offset": (0, 1), "collapsed": (), "into": (0, 1), "n": (2, 2)}),
    ],
    counterexamples=[
        at((4, 3), mode="fill", c=index_of(4), s=(1,), **_ROW),
        at((4, 3), mode="clip", c=rows_of(0, 2), s=(2, 1), **_ROWS),
    ],
)  # fmt: skip
def gather_at_constant(
    x, *, c, s, offset, collapsed, into, batch, indices_batch, n, mode, filling, sorted, unique
):
    """One window at a known place is a slice."""
    return (
        gather(
            x, constant(value=c, shape=s), offset_dims=offset, collapsed_slice_dims=collapsed,
            start_index_map=into, operand_batching_dims=batch, start_indices_batching_dims=indices_batch,
            slice_sizes=n, mode=mode, fill_value=filling, indices_are_sorted=sorted, unique_indices=unique,
        ),
        _window,
    )  # fmt: skip


def _strided(x, *, c, offset, collapsed, into, n):
    (axis,) = into
    shape = x.type.shape
    rows = c.array.reshape(-1).astype(np.int64)
    step = int(rows[1] - rows[0]) if len(rows) > 1 else 0
    # The rows must stand where the axis stood, and take all of the other axes.
    others = tuple([d for d in range(len(shape)) if d != axis])
    if collapsed != into or offset != others or any(n[d] != shape[d] for d in others):
        return None
    if step < 1 or rows[0] < 0 or rows[-1] >= shape[axis] or (np.diff(rows) != step).any():
        return None
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], limits[axis], strides[axis] = int(rows[0]), int(rows[-1]) + 1, step
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))


@rule(
    changes=NOTHING,
    guard=lambda c, s, into, batch: len(into) == 1 and not batch and len(s) == 2 and s == c.shape,
    examples=[
        at((6, 3), mode="clip", c=rows_of(1, 2, 3), s=(3, 1), **_ROWS),
        at((6, 3), mode="fill", c=rows_of(1, 3, 5), s=(3, 1), **_ROWS),
        at((3, 6), mode="promise_in_bounds", c=rows_of(1, 3, 5), s=(3, 1),
           **_ROW | {"collapsed": (1,), "into": (1,), "n": (3, 1)}),
    ],
    counterexamples=[
        at((6, 3), mode="clip", c=rows_of(1, 2, 2), s=(3, 1), **_ROWS),
        at((6, 3), mode="clip", c=rows_of(3, 2, 1), s=(3, 1), **_ROWS),
        at((6, 3), mode="clip", c=rows_of(4, 5, 6), s=(3, 1), **_ROWS),
        at((6, 3), mode="clip", c=rows_of(1, 2, 3), s=(3, 1), **_ROW),
    ],
)  # fmt: skip
def gather_of_range(
    x, *, c, s, offset, collapsed, into, batch, indices_batch, n, mode, filling, sorted, unique
):
    """Rows at equal distances are a slice with a stride."""
    return (
        gather(
            x, constant(value=c, shape=s), offset_dims=offset, collapsed_slice_dims=collapsed,
            start_index_map=into, operand_batching_dims=batch, start_indices_batching_dims=indices_batch,
            slice_sizes=n, mode=mode, fill_value=filling, indices_are_sorted=sorted, unique_indices=unique,
        ),
        _strided,
    )  # fmt: skip


RULES = collected(globals())
