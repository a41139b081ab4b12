"""Lowering of `ir.ops.indexing`."""

from __future__ import annotations

from typing import Any

from jax import lax

import ir
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
    return lax.gather(x, indices, dims, fill_value=fill, **attrs)


@lowers("dynamic_slice")
def _dynamic_slice(x: Any, *starts: Any, sizes: Dims) -> Any:
    return lax.dynamic_slice(x, starts, sizes, allow_negative_indices=False)


@lowers("dynamic_update_slice")
def _dynamic_update_slice(x: Any, update: Any, *starts: Any) -> Any:
    return lax.dynamic_update_slice(x, update, starts, allow_negative_indices=False)
