"""Lowering of `ir.ops.convert`."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from jax import lax

from ir.types import DType
from lowering.emit import lowers


@lowers("convert")
def _convert(x: Any, *, dtype: DType) -> Any:
    if np.issubdtype(x.dtype, np.complexfloating) and not dtype.is_complex:
        if dtype.kind == "bool":
            return lax.ne(x, lax.full_like(x, 0))  # JAX's conversion would ask the real part alone
        x = lax.real(x)  # said here, JAX need not warn of it
    if x.dtype == ml_dtypes.float4_e2m1fn and dtype.is_integer:
        x = lax.convert_element_type(x, np.float32)  # XLA's direct conversion saturates at once
    return lax.convert_element_type(x, dtype.np)


@lowers("bitcast_convert")
def _bitcast_convert(x: Any, *, dtype: DType) -> Any:
    return lax.bitcast_convert_type(x, dtype.np)


lowers("reduce_precision")(lax.reduce_precision)
