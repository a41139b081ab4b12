"""Lowering of `ir.ops.scatter`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax

from lowering.emit import lowers

Dims = tuple[int, ...]


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
        **attrs: Any,
    ) -> Any:
        dims = lax.ScatterDimensionNumbers(
            update_window_dims,
            inserted_window_dims,
            scatter_dims_to_operand_dims,
            operand_batching_dims,
            scatter_indices_batching_dims,
        )
        return function(x, indices, updates, dims, **attrs)

    return rule


for _name in ("scatter", "scatter_add", "scatter_sub", "scatter_mul", "scatter_min", "scatter_max"):
    lowers(_name)(_rule(getattr(lax, _name)))
