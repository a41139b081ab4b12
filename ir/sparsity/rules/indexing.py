"""Reading and writing at computed positions.

Exact where the positions are constants; otherwise an element may be any along the axes that they address.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Array, Eqn, Value
from ir.numerics import indexing as numerics
from ir.sparsity.propagate import Found, Known, Propagation, depends, filled
from ir.sparsity.sets import EMPTY, Ids

_PROMISES = ("indices_are_sorted", "unique_indices", "fill_value")


def _anywhere(walk: Propagation, ids: Ids, axes: Sequence[int]) -> Ids:
    """`ids` where each element stands for all along the axes."""
    if not axes:
        return ids
    return np.broadcast_to(walk.pool.over(ids, tuple(axes), keepdims=True), ids.shape)


@depends("gather")
def _gather(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    held, indices = ids[0], known[1]
    assert held is not None
    attrs = {name: value for name, value in eqn.attrs.items() if name not in _PROMISES}
    if indices is None:
        held = _anywhere(walk, held, attrs["start_index_map"])
        indices = np.zeros(eqn.operands[1].type.shape, np.int32)
    return [numerics.gather(held, indices, fill_value=EMPTY, **attrs)]


def _starts(known: Known) -> list[Array]:
    return [np.zeros((), np.int32) if k is None else k for k in known]


@depends("dynamic_slice")
def _dynamic_slice(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    held, sizes = ids[0], eqn.attrs["sizes"]
    assert held is not None
    shape = eqn.operands[0].type.shape
    free = [d for d, k in enumerate(known[1:]) if k is None and sizes[d] != shape[d]]
    return [numerics.dynamic_slice(_anywhere(walk, held, free), _starts(known[1:]), sizes)]


@depends("dynamic_update_slice")
def _dynamic_update_slice(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    x, update = [filled(i, v) for i, v in zip(ids[:2], eqn.operands[:2], strict=True)]
    starts = _starts(known[2:])
    free = [d for d, k in enumerate(known[2:]) if k is None and update.shape[d] != x.shape[d]]
    if not free:
        return [numerics.dynamic_update_slice(x, update, starts)]
    if 0 in update.shape:
        return [x]
    spread = walk.pool.over(update, tuple(free), keepdims=True)
    shape = tuple([x.shape[d] if d in free else n for d, n in enumerate(update.shape)])
    nothing = np.zeros(x.shape, np.int32)
    written = numerics.dynamic_update_slice(nothing, np.broadcast_to(spread, shape), starts)
    return [walk.pool.join(x, written)]


def _dimensions(attrs: Any) -> dict[str, Any]:
    """The dimension numbers of a scatter as those of the gather that reads where it writes."""
    return {
        "offset_dims": attrs["update_window_dims"],
        "collapsed_slice_dims": attrs["inserted_window_dims"],
        "start_index_map": attrs["scatter_dims_to_operand_dims"],
        "operand_batching_dims": attrs["operand_batching_dims"],
        "start_indices_batching_dims": attrs["scatter_indices_batching_dims"],
    }


def _destinations(x: Value, indices: Array, updates: Value, attrs: Any) -> Array:
    """Where each update goes, as a position in `x` flattened; -1 where it is dropped."""
    dropped = (*attrs["inserted_window_dims"], *attrs["operand_batching_dims"])
    windows = iter([updates.type.shape[d] for d in attrs["update_window_dims"]])
    sizes = [1 if d in dropped else next(windows) for d in range(x.type.rank)]
    places = np.arange(x.type.size).reshape(x.type.shape)
    mode = "clip" if attrs["mode"] == "clip" else "fill"
    return numerics.gather(places, indices, slice_sizes=sizes, mode=mode, fill_value=-1, **_dimensions(attrs))


def _written_anywhere(walk: Propagation, x: Value, updates: Ids, attrs: Any) -> Ids:
    """What the elements of `x` may get of the updates when no index is known."""
    window, batching = attrs["update_window_dims"], attrs["operand_batching_dims"]
    outer = [d for d in range(updates.ndim) if d not in window]
    along = {d: outer[b] for d, b in zip(batching, attrs["scatter_indices_batching_dims"], strict=True)}
    inserted = attrs["inserted_window_dims"]
    left = [d for d in range(x.type.rank) if d not in (*inserted, *batching)]
    along |= dict(zip(left, window, strict=True))
    moved = [d for d in left if d in attrs["scatter_dims_to_operand_dims"]]
    gone = [d for d in range(updates.ndim) if d not in along.values()] + [along[d] for d in moved]
    ids = walk.pool.over(updates, tuple(sorted(gone)))
    rest = [d for d in range(updates.ndim) if d not in gone]
    kept = [d for d in range(x.type.rank) if d in along and along[d] in rest]
    ids = ids.transpose([rest.index(along[d]) for d in kept])
    sizes = iter(ids.shape)
    ids = ids.reshape([next(sizes) if d in kept else 1 for d in range(x.type.rank)])
    # A window that is not moved starts at 0.
    ends = [(0, 0) if n == 1 and d not in kept else (0, x.type.shape[d] - n) for d, n in enumerate(ids.shape)]
    return np.broadcast_to(np.pad(ids, ends), x.type.shape)


@depends("scatter", "scatter_add", "scatter_sub", "scatter_mul")
def _scatter(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    x, _, updates = eqn.operands
    if x.type.size == 0 or updates.type.size == 0:
        return [ids[0]]
    given = ids[2]
    if known[1] is None:
        if given is None:
            return [ids[0]]
        return [walk.join(ids[0], _written_anywhere(walk, x, given, eqn.attrs))]
    places = _destinations(x, known[1], updates, eqn.attrs).reshape(-1)
    hit = places >= 0
    held = filled(ids[0], x).reshape(-1)
    if eqn.op.name == "scatter":
        held = held.copy()
        held[places[hit]] = EMPTY
    if given is None:
        return [held.reshape(x.type.shape)]
    groups = np.concatenate([np.arange(held.size), places[hit]])
    every = np.concatenate([held, given.reshape(-1)[hit]])
    return [walk.pool.unite(groups, every, held.size).reshape(x.type.shape)]
