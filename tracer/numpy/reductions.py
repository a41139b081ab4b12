"""Reductions over axes, statistics and cumulative sums."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError
from ir.op import Op
from ir.ops import cumulative as cu
from ir.ops import reduce as rd
from ir.types import DType, bool_
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import (
    broadcast_to,
    convert,
    lift,
    native,
    normalize_axes,
    normalize_axis,
    reshaped,
)
from tracer.types import canonical, scalar_dtype
from tracer.value import Tensor


def _kept(out: Tensor, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Tensor:
    if not keepdims:
        return out
    return reshaped(out, tuple([1 if i in axes else n for i, n in enumerate(shape)]))


def _masked(x: Tensor, where: Any, fill: Any) -> Tensor:
    return x if where is None else el.where(where, x, convert(lift(fill), x.value.type.dtype, x.weak))


def _initial(name: str, x: Tensor, initial: Any) -> Tensor:
    """What a reduction of `x` begins with, in the type of `x`."""
    t = lift(initial)
    if t.shape:
        raise ArgumentError(f"{name}: expected a scalar as initial, got shape {t.shape}")
    return convert(t, x.value.type.dtype)


def _reduce(x: Tensor, the_op: Op, axes: tuple[int, ...], keepdims: bool) -> Tensor:
    out = x.owner.emit1(the_op, (x.value,), {"axes": axes}) if axes else Tensor(x.owner, x.value)
    return _kept(out, x.shape, axes, keepdims)


def _accumulates(x: Tensor, dtype: Any, promote: bool) -> Tensor:
    """`x` in the type sums and products are taken in: bools and, if told to, small integers widen."""
    if dtype is not None:
        return convert(x, canonical(dtype))
    have = x.value.type.dtype
    wide = scalar_dtype(int) if have.kind != "uint" else canonical(np.uint64)
    if have is bool_ or (promote and have.is_integer and have.bits < wide.bits):
        return convert(x, wide)
    return x


@native(jnp.sum)
def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """Sum over axes; of nothing, 0."""
    t = lift(a)
    t = _accumulates(t, dtype, promote_integers)
    axes = normalize_axes(axis, t.ndim, "sum")
    bools = t.value.type.dtype is bool_
    total = _reduce(_masked(t, where, 0), rd.reduce_or if bools else rd.reduce_sum, axes, keepdims)
    if initial is None:
        return total
    return (el.logical_or if bools else el.add)(total, _initial("sum", t, initial))


@native(jnp.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
    promote_integers: bool = True,
) -> Any:
    """Product over axes; of nothing, 1."""
    t = lift(a)
    t = _accumulates(t, dtype, promote_integers)
    axes = normalize_axes(axis, t.ndim, "prod")
    bools = t.value.type.dtype is bool_
    total = _reduce(_masked(t, where, 1), rd.reduce_and if bools else rd.reduce_prod, axes, keepdims)
    if initial is None:
        return total
    return (el.logical_and if bools else el.multiply)(total, _initial("prod", t, initial))


def _extremum(name: str, the_op: Op, join: Any) -> Any:
    def fn(
        a: Any,
        axis: Any = None,
        out: None = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = None,
    ) -> Any:
        t = lift(a)
        axes = normalize_axes(axis, t.ndim, name)
        if initial is None and math.prod([t.shape[i] for i in axes]) == 0:
            raise ArgumentError(
                f"{name}: expected at least one element or initial=, got shape {t.shape} over {axes}"
            )
        if where is not None and initial is None:
            raise ArgumentError(f"{name}: where= needs initial=")
        if initial is None:
            return _reduce(t, the_op, axes, keepdims)
        first = _initial(name, t, initial)
        return join(_reduce(_masked(t, where, first), the_op, axes, keepdims), first)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"The {name}imum over axes; gradients of ties share equally."
    return native(getattr(jnp, name))(fn)


max = amax = _extremum("max", rd.reduce_max, el.maximum)
min = amin = _extremum("min", rd.reduce_min, el.minimum)


def _truth(name: str, the_op: Op, neutral: bool) -> Any:
    eager = getattr(jnp, name)

    @functools.wraps(eager)
    def of_both_parts(a: Any, *args: Any, **kwargs: Any) -> Any:
        # JAX asks the real parts of complex numbers alone, other than NumPy and than its own `astype`.
        return eager(jnp.not_equal(a, 0) if jnp.iscomplexobj(a) else a, *args, **kwargs)

    def fn(a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None) -> Any:
        t = convert(lift(a), bool_)
        axes = normalize_axes(axis, t.ndim, name)
        return _reduce(_masked(t, where, neutral), the_op, axes, keepdims)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Whether {name} elements are true, over axes."
    fn = native(of_both_parts)(fn)
    fn.eager = eager  # type: ignore[attr-defined]
    return fn


all = _truth("all", rd.reduce_and, True)
any = _truth("any", rd.reduce_or, False)


def _number_type(name: str, dtype: Any) -> DType:
    to = canonical(dtype)
    if to is bool_:
        raise ArgumentTypeError(f"{name}: expected a dtype of numbers, got {to}")
    return to


def _count(t: Tensor, axes: tuple[int, ...], where: Any, keepdims: bool, dtype: Any) -> Any:
    if where is None:
        return math.prod([t.shape[i] for i in axes])
    mask = broadcast_to(convert(lift(where), bool_), t.shape)
    return sum(convert(mask, dtype), axes, keepdims=keepdims)


@native(jnp.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """Arithmetic mean over axes."""
    t = el.as_float(a) if dtype is None else convert(lift(a), _number_type("mean", dtype))
    have = t.value.type.dtype
    axes = normalize_axes(axis, t.ndim, "mean")
    # Half precision accumulates in single precision, as NumPy and JAX do.
    wide = canonical(np.float32) if have.kind == "float" and have.bits < 32 else have
    total = sum(convert(t, wide, t.weak), axes, keepdims=keepdims, where=where, promote_integers=False)
    count = _count(t, axes, where, keepdims, wide)
    return convert(el.divide(total, count if isinstance(count, Tensor) else float(count)), have)


_mean = mean


@native(jnp.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Variance over axes, with `count - ddof` in the denominator; `mean`, if known, with those axes kept."""
    if dtype is None:
        t = el.as_float(a)
        to = t.value.type.dtype.real
    else:
        t, to = lift(a), _number_type("var", dtype)
        if t.value.type.dtype.is_complex and not to.is_complex:
            raise ArgumentError(f"var: expected a complex dtype for complex numbers, got {to}")
        t = convert(t, to)
    have = t.value.type.dtype
    axes = normalize_axes(axis, t.ndim, "var")
    wide = canonical(np.float32) if have.kind == "float" and have.bits < 32 else have
    t = convert(t, wide, t.weak)
    if mean is None:
        mean = _mean(t, axes, None if wide.is_inexact else wide.np, keepdims=True, where=where)
    centered = el.subtract(t, convert(lift(mean), wide))
    squares = el.square(el.abs(centered)) if wide.is_complex else el.square(centered)
    total = sum(squares, axes, keepdims=keepdims, where=where, promote_integers=False)
    count = _count(t, axes, where, keepdims, total.value.type.dtype)
    less = ddof if correction is None else correction
    count = el.subtract(count, less) if isinstance(count, Tensor) else float(count - less)
    if not isinstance(count, Tensor) and count <= 0:
        return convert(el.multiply(total, float("nan")), to)
    found = convert(el.divide(total, count), to)
    # In integers the quotient is truncated; JAX then makes room for the nan of no elements.
    return convert(found, scalar_dtype(float), True) if to.is_integer else found


@native(jnp.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Any:
    """Standard deviation over axes."""
    if dtype is not None and not canonical(dtype).is_inexact:
        raise ArgumentError(f"std: expected an inexact dtype, got {canonical(dtype)}")
    return el.sqrt(var(a, axis, dtype, out, ddof, keepdims, where=where, mean=mean, correction=correction))


@native(jnp.ptp)
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Largest minus smallest."""
    return el.subtract(max(a, axis, keepdims=keepdims), min(a, axis, keepdims=keepdims))


def _position(name: str, the_op: Op) -> Any:
    def fn(a: Any, axis: Any = None, out: None = None, keepdims: bool | None = None) -> Any:
        t = lift(a)
        if axis is None:
            flat = reshaped(t, (t.size,))
            found = fn(flat, 0)
            return reshaped(found, (1,) * t.ndim) if keepdims else found
        axis = normalize_axis(axis, t.ndim, name)
        if t.shape[axis] == 0:
            raise ArgumentError(
                f"{name}: expected at least one element along axis {axis}, got shape {t.shape}"
            )
        found = t.owner.emit1(the_op, (t.value,), {"axis": axis, "dtype": scalar_dtype(int)})
        return _kept(found, t.shape, (axis,), bool(keepdims))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Index of the first {name[3:]}imum along an axis, of the flattened array by default."
    return native(getattr(jnp, name))(fn)


argmax = _position("argmax", rd.argmax)
argmin = _position("argmin", rd.argmin)


@native(jnp.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """How many elements are not zero."""
    return sum(convert(lift(a), bool_), axis, keepdims=keepdims)


def _cumulative(name: str, the_op: Op) -> Any:
    def fn(a: Any, axis: Any = None, dtype: Any = None, out: None = None) -> Any:
        t = lift(a)
        if dtype is not None:
            t = convert(t, canonical(dtype))
        bools = dtype is not None and t.value.type.dtype is bool_
        if t.value.type.dtype is bool_:
            t = convert(t, scalar_dtype(int))
        if axis is None or not t.ndim:
            axis = 0 if axis is None else axis
            t = reshaped(t, (t.size,))
        axis = normalize_axis(axis, t.ndim, name)
        total = t.owner.emit1(the_op, (t.value,), {"axis": axis, "reverse": False})
        return convert(total, bool_) if bools else total

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Cumulative {name[3:]} along an axis, of the flattened array by default."
    return native(getattr(jnp, name))(fn)


cumsum = _cumulative("cumsum", cu.cumsum)
cumprod = _cumulative("cumprod", cu.cumprod)
