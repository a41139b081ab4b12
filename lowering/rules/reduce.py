"""Lowering of `ir.ops.reduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax
from jax import numpy as jnp

import ir
from ir.types import DType
from lowering.emit import emit, lowers


def accumulated(function: Callable[..., Any], x: Any, **attrs: Any) -> Any:
    """`function` of `x`; narrow floats are accumulated in float32 and the result is rounded once."""
    if jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4:
        wide = function(lax.convert_element_type(x, jnp.float32), **attrs)
        return lax.convert_element_type(wide, x.dtype)
    return function(x, **attrs)


@lowers("reduce_sum")
def _reduce_sum(x: Any, *, axes: tuple[int, ...]) -> Any:
    return accumulated(lax.reduce_sum, x, axes=axes)


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
