"""Lowering of `ir.ops.shape`."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax
from jax import numpy as jnp

import ir
from ir.ops.shape import PadConfig, constant_shape
from ir.types import DType, Shape
from lowering.emit import lowers
from lowering.keys import KEY_IMPLEMENTATIONS


@lowers("constant")
def _constant(*, value: ir.Dense, shape: Shape) -> Any:
    if value.dtype.kind == "key":
        tag = value.dtype.name.removeprefix("key<").removesuffix(">")
        keys = jax.random.wrap_key_data(jnp.asarray(value.array), impl=KEY_IMPLEMENTATIONS[tag])
        return keys if constant_shape(value) == shape else lax.broadcast(keys, shape)
    return value.array if value.shape == shape else lax.full(shape, value.array, value.dtype.np)


@lowers("iota")
def _iota(*, shape: Shape, dtype: DType, axis: int) -> Any:
    return lax.broadcasted_iota(dtype.np, shape, axis)


@lowers("broadcast_in_dim")
def _broadcast_in_dim(x: Any, *, shape: Shape, dims: tuple[int, ...]) -> Any:
    return lax.broadcast_in_dim(x, shape, dims)


@lowers("reshape")
def _reshape(x: Any, *, shape: Shape) -> Any:
    return lax.reshape(x, shape)


@lowers("transpose")
def _transpose(x: Any, *, perm: tuple[int, ...]) -> Any:
    return lax.transpose(x, perm)


@lowers("rev")
def _rev(x: Any, *, axes: tuple[int, ...]) -> Any:
    return lax.rev(x, axes)


@lowers("concatenate")
def _concatenate(*operands: Any, axis: int) -> Any:
    return lax.concatenate(operands, axis)


@lowers("pad")
def _pad(x: Any, value: Any, *, config: PadConfig) -> Any:
    return lax.pad(x, value, config)


@lowers("slice")
def _slice(x: Any, *, starts: Shape, limits: Shape, strides: Shape) -> Any:
    return lax.slice(x, starts, limits, strides)
