"""Lowering of `ir.ops.sorting`."""

from __future__ import annotations

from typing import Any

from jax import lax

from lowering.emit import lowers


@lowers("sort")
def _sort(*operands: Any, axis: int, num_keys: int, is_stable: bool) -> Any:
    return tuple(lax.sort(operands, dimension=axis, is_stable=is_stable, num_keys=num_keys))


@lowers("top_k")
def _top_k(x: Any, *, k: int) -> Any:
    return tuple(lax.top_k(x, k))
