"""Lowering of `ir.ops.indexing`."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

import ir
from ir.machine import CPU
from lowering.device import machine
from lowering.emit import lowers

Dims = tuple[int, ...]


@lowers("gather")
def _gather(
    x: Any,
    indices: Any,
    *,
    offset_dims: Dims,
    collapsed_slice_dims: Dims,
    start_index_map: Dims,
    operand_batching_dims: Dims,
    start_indices_batching_dims: Dims,
    fill_value: ir.Dense | None,
    **attrs: Any,
) -> Any:
    dims = lax.GatherDimensionNumbers(
        offset_dims, collapsed_slice_dims, start_index_map, operand_batching_dims, start_indices_batching_dims
    )
    fill = None if fill_value is None else fill_value.array[()]
    if fill is not None and attrs["mode"] == "fill" and _takes_rows(x, dims, attrs["slice_sizes"]):
        x, indices = _with_row(x, indices, start_index_map[0], fill)
        attrs["mode"], fill = "promise_in_bounds", None
    return lax.gather(x, indices, dims, fill_value=fill, **attrs)


# Where XLA should write the row below after all, it takes no longer than this.
_LARGEST = 1 << 23  # bytes


def _takes_rows(x: Any, dims: lax.GatherDimensionNumbers, sizes: Dims) -> bool:
    """Whether whole rows of a small array are taken, on a CPU.

    There XLA reads a row more as part of the gather, and takes the choice between what was read and what fills, once
    for each element, for work that is worth another thread: waking it takes longer than the gather.
    """
    axes = dims.start_index_map
    if len(axes) != 1 or dims.collapsed_slice_dims != axes or dims.operand_batching_dims:
        return False
    whole = tuple([1 if d == axes[0] else n for d, n in enumerate(x.shape)])
    return tuple(sizes) == whole and 0 < x.size * x.dtype.itemsize <= _LARGEST and machine() is CPU


def _with_row(x: Any, indices: Any, axis: int, fill: Any) -> tuple[Any, Any]:
    """The array with a row of `fill` at its end, and the indices with that one for those that are out of bounds."""
    count = x.shape[axis]
    inside = indices >= 0
    if count <= np.iinfo(indices.dtype).max:
        inside &= indices < count
    else:
        indices = lax.convert_element_type(indices, np.int32)
    around = [(0, int(d == axis), 0) for d in range(x.ndim)]
    last = lax.full_like(indices, count)
    return lax.pad(x, lax.full((), fill, x.dtype), around), lax.select(inside, indices, last)


@lowers("dynamic_slice")
def _dynamic_slice(x: Any, *starts: Any, sizes: Dims) -> Any:
    return lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)


@lowers("dynamic_update_slice")
def _dynamic_update_slice(x: Any, update: Any, *starts: Any) -> Any:
    return lax.dynamic_update_slice(x, update, starts, allow_negative_indices=False)
