"""A value of one type made into one of another, so that any value can be an operand of any pattern."""

from __future__ import annotations

from ir.core import Value
from ir.ops.arithmetic import real
from ir.ops.convert import convert
from ir.ops.elementwise import add, mul, sin, tanh
from ir.ops.logic import gt
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full_like, reshape
from ir.ops.shape import slice as slice_
from ir.types import TensorType, f64


def fit(x: Value, to: TensorType) -> Value:
    """Emit equations that make `x` a value of type `to`, with as little as possible between both."""
    if x.type is to or x.type == to:
        return x
    if x.type.dtype is to.dtype:
        return shaped(x, to)
    if x.type.shape == to.shape:
        return typed(x, to)
    return typed(shaped(x, x.type.with_shape(to.shape)), to)


def shaped(x: Value, to: TensorType) -> Value:
    """`x` reshaped, cut, repeated or, where nothing else will do, summed up and repeated."""
    have, want = x.type.shape, to.shape
    if x.type.size == to.size:
        return reshape(x, shape=want)  # type: ignore[no-any-return]
    if len(have) == len(want) and all(a >= b for a, b in zip(have, want, strict=True)):
        return slice_(x, starts=(0,) * len(want), limits=want, strides=(1,) * len(want))  # type: ignore[no-any-return]
    if have == want[len(want) - len(have) :]:
        return broadcast_in_dim(x, shape=want, dims=tuple(range(len(want) - len(have), len(want))))  # type: ignore[no-any-return]
    if x.type.dtype.kind == "bool":
        return typed(shaped(typed(x, x.type.with_dtype(f64)), to.with_dtype(f64)), to)
    total = reduce_sum(x, axes=tuple(range(len(have)))) if have else x
    total = mul(total, full_like(total, 0.25)) if x.type.dtype.is_inexact else total
    return broadcast_in_dim(total, shape=want, dims=()) if want else total


def typed(x: Value, to: TensorType) -> Value:
    """`x` in another element type; floats that become integers are brought to between 0 and 3 before."""
    if x.type.dtype is to.dtype:
        return x
    if to.dtype.kind == "bool":
        y = x if x.type.dtype.kind == "float" else typed(x, x.type.with_dtype(f64))
        return gt(y, full_like(y, 0.3719))  # type: ignore[no-any-return]
    if x.type.dtype.is_complex and not to.dtype.is_complex:
        return typed(real(x), to)
    if x.type.dtype.kind == "float" and not to.dtype.is_inexact:
        y = add(mul(sin(x), full_like(x, 1.4)), full_like(x, 1.9))
        return convert(y, dtype=to.dtype)  # type: ignore[no-any-return]
    return convert(x, dtype=to.dtype)  # type: ignore[no-any-return]


def between(x: Value, low: float, high: float) -> Value:
    """A float or complex value brought into an interval, smoothly."""
    y = tanh(x) if x.type.dtype.is_complex else sin(x)
    half, middle = (high - low) / 2, (high + low) / 2
    return add(mul(y, full_like(y, half)), full_like(y, middle))  # type: ignore[no-any-return]
