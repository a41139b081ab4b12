"""Lowering of `ir.ops.reduce_window`."""

from __future__ import annotations

from typing import Any

from jax import lax

import ir
from lowering.emit import emit, lowers


@lowers("reduce_window")
def _reduce_window(*operands: Any, function: ir.Function, **window: Any) -> Any:
    count = len(operands) // 2

    def combine(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        return emit(function, (*left, *right))

    return lax.reduce_window(operands[:count], operands[count:], combine, **window)
