"""Lowering of `ir.ops.reduce`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

import ir
from ir.machine import CPU, current
from ir.types import DType
from lowering.emit import emit, lowers


def accumulated(function: Callable[..., Any], x: Any, **attrs: Any) -> Any:
    """`function` of `x`; narrow floats are accumulated in float32 and the result is rounded once."""
    if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4:
        wide = function(lax.convert_element_type(x, jnp.float32), **attrs)
        return lax.convert_element_type(wide, x.dtype)
    return function(x, **attrs)


# XLA's CPU back end sums along leading axes 3 to 60 times slower where the result has more bytes (before JAX 0.12;
# measured for 2 to 1,000 rows of 16,385 to 200,000 numbers, read from memory or computed on the way). A product with
# ones is as fast as memory.
_WIDE = 1 << 16
_IS_SLOW = jax.__version_info__ < (0, 12)


@lowers("reduce_sum")
def _reduce_sum(x: Any, *, axes: tuple[int, ...]) -> Any:
    if _IS_SLOW and _is_wide(x, axes):
        leading = tuple(range(len(axes)))
        ones = lax.full(x.shape[: len(axes)], 1, x.dtype)
        return lax.dot_general(ones, x, ((leading, leading), ((), ())), precision=lax.Precision.HIGHEST)
    return accumulated(lax.reduce_sum, x, axes=axes)


def _is_wide(x: Any, axes: tuple[int, ...]) -> bool:
    if x.dtype not in (jnp.float32, jnp.float64) or current() is not CPU:
        return False
    if not axes or sorted(axes) != list(range(len(axes))) or len(axes) == x.ndim or 0 in x.shape:
        return False
    return bool(math.prod(x.shape[len(axes) :]) * x.dtype.itemsize > _WIDE)


@lowers("reduce_prod")
def _reduce_prod(x: Any, *, axes: tuple[int, ...]) -> Any:
    return accumulated(lax.reduce_prod, x, axes=axes)


for _name in ("reduce_max", "reduce_min", "reduce_and", "reduce_or", "reduce_xor"):
    lowers(_name)(getattr(lax, _name))


@lowers("argmax")
def _argmax(x: Any, *, axis: int, dtype: DType) -> Any:
    return lax.argmax(x, axis, dtype.np)


@lowers("argmin")
def _argmin(x: Any, *, axis: int, dtype: DType) -> Any:
    return lax.argmin(x, axis, dtype.np)


@lowers("reduce")
def _reduce(*operands: Any, function: ir.Function, axes: tuple[int, ...]) -> Any:
    count = len(operands) // 2

    def computation(xs: Any, ys: Any) -> Any:
        return emit(function, (*xs, *ys))

    return tuple(lax.reduce(operands[:count], operands[count:], computation, axes))
