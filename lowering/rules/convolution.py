"""Lowering of `ir.ops.convolution`."""

from __future__ import annotations

from typing import Any

from jax import lax

import ir
from lowering.emit import lowers


@lowers("conv_general")
def _conv_general(
    lhs: Any,
    rhs: Any,
    *,
    window_strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    lhs_spec: tuple[int, ...],
    rhs_spec: tuple[int, ...],
    out_spec: tuple[int, ...],
    preferred_type: ir.DType | None,
    **attrs: Any,
) -> Any:
    return lax.conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        dimension_numbers=lax.ConvDimensionNumbers(lhs_spec, rhs_spec, out_spec),
        preferred_element_type=None if preferred_type is None else preferred_type.np,
        **attrs,
    )
