"""Lowering of `ir.ops.contraction`."""

from __future__ import annotations

from typing import Any

from jax import lax

import ir
from lowering.emit import lowers


@lowers("dot_general")
def _dot_general(
    lhs: Any,
    rhs: Any,
    *,
    lhs_contract: tuple[int, ...],
    rhs_contract: tuple[int, ...],
    lhs_batch: tuple[int, ...],
    rhs_batch: tuple[int, ...],
    precision: Any,
    preferred_type: ir.DType | None,
) -> Any:
    return lax.dot_general(
        lhs,
        rhs,
        ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch)),
        precision=precision,
        preferred_element_type=None if preferred_type is None else preferred_type.np,
    )
