"""Lowering of `ir.ops.scatter`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from lowering.emit import lowers

Dims = tuple[int, ...]


def _clamped(x: Any, indices: Any, updates: Any, dims: lax.ScatterDimensionNumbers) -> Any:
    """Indices moved so that every window is in bounds."""
    window = iter(dims.update_window_dims)
    dropped = (*dims.inserted_window_dims, *dims.operand_batching_dims)
    sizes = [1 if d in dropped else updates.shape[next(window)] for d in range(x.ndim)]
    dtype = np.dtype(indices.dtype)
    last = [min(x.shape[d] - sizes[d], int(np.iinfo(dtype).max)) for d in dims.scatter_dims_to_operand_dims]
    limit = np.broadcast_to(np.asarray(last, dtype), indices.shape)
    return lax.clamp(np.zeros((), dtype), indices, limit)


def _rule(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(
        x: Any,
        indices: Any,
        updates: Any,
        *,
        update_window_dims: Dims,
        inserted_window_dims: Dims,
        scatter_dims_to_operand_dims: Dims,
        operand_batching_dims: Dims,
        scatter_indices_batching_dims: Dims,
        mode: str,
        unique_indices: bool,
        indices_are_sorted: bool,
    ) -> Any:
        if 0 in (*x.shape, *updates.shape):  # JAX cannot differentiate it
            return x
        dims = lax.ScatterDimensionNumbers(
            update_window_dims,
            inserted_window_dims,
            scatter_dims_to_operand_dims,
            operand_batching_dims,
            scatter_indices_batching_dims,
        )
        if mode == "clip":  # JAX's derivative of min and max forgets to
            indices, mode = _clamped(x, indices, updates, dims), "promise_in_bounds"
        return function(
            x,
            indices,
            updates,
            dims,
            mode=mode,
            unique_indices=unique_indices or math.prod(indices.shape[:-1]) == 1,
            indices_are_sorted=indices_are_sorted,
        )

    return rule


for _name in ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max"):
    lowers(_name)(_rule(getattr(lax, _name)))
