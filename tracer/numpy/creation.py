"""Arrays from shapes, ranges and Python data."""

from __future__ import annotations

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.core import EMPTY_ATTRS
from ir.errors import ArgumentTypeError
from ir.ops import elementwise as ew
from ir.ops.shape import iota
from ir.types import DType, Shape
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import broadcast_to, convert, current_trace, lift, native
from tracer.types import canonical, scalar_dtype
from tracer.value import Tensor


def shape_of(shape: Any) -> Shape:
    """A shape from an int or a sequence of ints; traced sizes are an error."""
    if isinstance(shape, (Tensor, jax.Array, np.ndarray)) and shape.ndim:
        shape = list(shape)
    items = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple([operator.index(n) for n in items])


def _dtype(dtype: Any, default: Any = float) -> DType:
    if dtype is None:
        return scalar_dtype(default)
    is_scalar = isinstance(dtype, type) and dtype in (bool, int, float, complex)  # NumPy types compare equal
    return scalar_dtype(dtype) if is_scalar else canonical(dtype)


@native(jnp.full)
def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """An array filled with one value."""
    shape = shape_of(shape)
    if isinstance(fill_value, (bool, int, float, complex)):
        made = scalar_dtype(type(fill_value)) if dtype is None else _dtype(dtype)
        return current_trace().scalar(fill_value, made, shape, dtype is None and type(fill_value) is not bool)
    t = lift(fill_value)
    return broadcast_to(t if dtype is None else convert(t, _dtype(dtype)), shape)


@native(jnp.zeros)
def zeros(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """Zeros; float by default."""
    return current_trace().scalar(0, _dtype(dtype), shape_of(shape))


@native(jnp.ones)
def ones(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones; float by default."""
    return current_trace().scalar(1, _dtype(dtype), shape_of(shape))


@native(jnp.empty)
def empty(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """Zeros: there is no uninitialised memory."""
    return zeros(shape, dtype)


def _like(name: str, fill: Any) -> Any:
    def fn(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
        t = lift(a)
        made = t.value.type.dtype if dtype is None else _dtype(dtype)
        return t.owner.scalar(
            fill, made, t.shape if shape is None else shape_of(shape), t.weak and dtype is None
        )

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"{name.removesuffix('_like').capitalize()} of the shape and type of `a`."
    return native(getattr(jnp, name))(fn)


zeros_like = _like("zeros_like", 0)
ones_like = _like("ones_like", 1)


@native(jnp.empty_like)
def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Zeros of the shape and type of `prototype`."""
    return zeros_like(prototype, dtype, shape, device=device)


@native(jnp.full_like)
def full_like(a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """One value in the shape and type of `a`."""
    t = lift(a)
    return full(
        t.shape if shape is None else shape, fill_value, t.value.type.dtype.np if dtype is None else dtype
    )


@native(jnp.array)
def array(
    object: Any, dtype: Any = None, copy: bool = True, order: Any = "K", ndmin: int = 0, *, device: Any = None
) -> Any:
    """An array from a traced value, an array, a number, or nested lists of those."""
    from tracer.numpy.manipulation import expand_dims, stack

    if isinstance(object, (list, tuple)):
        leaves = jax.tree_util.tree_leaves(object)
        if any(type(x) is Tensor for x in leaves):
            t = stack([array(x) for x in object])
        elif any(isinstance(x, jax.Array) for x in leaves):
            t = lift(jnp.array(object))
        else:
            made = np.array(object)
            weak = all(type(x) in (int, float, complex) for x in leaves)
            t = lift(
                made.astype(scalar_dtype({"i": int, "f": float, "c": complex}[made.dtype.kind]).np)
                if weak and leaves
                else made
            )
            if not leaves:
                t = convert(t, scalar_dtype(float))
    else:
        t = lift(object)
    t = Tensor(t.owner, t.value, t.weak and dtype is None and isinstance(object, (int, float, complex)))
    if dtype is not None:
        t = convert(t, _dtype(dtype))
    while t.ndim < ndmin:
        t = expand_dims(t, 0)
    return t


@native(jnp.asarray)
def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None, device: Any = None) -> Any:
    """As `array`."""
    return array(a, dtype)


def _iota(n: int, dtype: DType) -> Tensor:
    return current_trace().emit1(iota, (), {"shape": (n,), "dtype": dtype, "axis": 0})


@native(jnp.arange)
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None) -> Any:
    """Evenly spaced values of a half-open range with static bounds."""
    for x in (start, stop, step):
        if type(x) is Tensor:
            raise ArgumentTypeError(
                "arange: the size depends on the bounds, so they must be static; use iota and arithmetic instead"
            )
    given = [x for x in (start, stop, step) if x is not None]
    first, last = (0, start) if stop is None else (start, stop)
    by = 1 if step is None else step
    natural = np.result_type(*[np.asarray(x).dtype for x in given])
    made = canonical(natural) if dtype is None else _dtype(dtype)
    n = int(np.maximum(0, math.ceil((last - first) / by)))
    if made.is_integer and all(isinstance(x, (int, np.integer)) for x in (first, by)):
        out = _iota(n, made)
        out = out if by == 1 else el.multiply(out, int(by))
        return out if first == 0 else el.add(out, int(first))
    return lift(np.arange(first, last, by).astype(made.np))


@native(jnp.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """`num` values from start to stop."""
    from tracer.numpy.manipulation import expand_dims, moveaxis

    first, last = el.as_float(start), el.as_float(stop)
    shape = el.add(first, last).shape
    pieces = num - 1 if endpoint else num
    step = el.divide(el.subtract(last, first), float(pieces)) if pieces > 0 else full(shape, float("nan"))
    made = el.add(first, last).value.type.dtype
    weight = convert(_iota(num, canonical(np.int32)), made)
    weight = el.divide(weight, float(pieces)) if pieces > 0 else weight
    for _ in shape:
        weight = expand_dims(weight, -1)
    out = el.add(el.multiply(first, el.subtract(1, weight)), el.multiply(last, weight))
    out = convert(moveaxis(out, 0, axis) if axis else out, made if dtype is None else _dtype(dtype))
    return (out, step) if retstep else out


@native(jnp.eye)
def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones on the k-th diagonal of an N by M matrix."""
    shape = (int(N), int(N if M is None else M))
    return convert(diagonal_mask(shape, k, ew.eq), _dtype(dtype))


@native(jnp.identity)
def identity(n: int, dtype: Any = None) -> Any:
    """The identity matrix."""
    return eye(n, dtype=dtype)


def diagonal_mask(shape: Shape, k: int, compare: Any) -> Tensor:
    """`compare(row + k, column)` over a matrix, as bools."""
    trace = current_trace()
    index = canonical(np.int32)
    rows = trace.emit1(iota, (), {"shape": shape, "dtype": index, "axis": 0})
    columns = trace.emit1(iota, (), {"shape": shape, "dtype": index, "axis": 1})
    if k:
        rows = el.add(rows, int(k))
    return trace.emit1(compare, (rows.value, columns.value), EMPTY_ATTRS)


@native(jnp.tri)
def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Ones at and below the k-th diagonal."""
    shape = (int(N), int(N if M is None else M))
    return convert(diagonal_mask(shape, k, ew.ge), _dtype(np.float32 if dtype is None else dtype))


def _triangle(name: str, lower: bool) -> Any:
    def fn(m: Any, k: int = 0) -> Any:
        t = lift(m)
        if t.ndim < 2:
            raise ArgumentTypeError(f"{name}: expected at least two axes, got {t.value.type}")
        below = diagonal_mask(t.shape[-2:], k if lower else k - 1, ew.ge)
        zero = t.owner.scalar(0, t.value.type.dtype, ())
        return el.where(below, t, zero) if lower else el.where(below, zero, t)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"The {'lower' if lower else 'upper'} triangle of matrices, zero elsewhere."
    return native(getattr(jnp, name))(fn)


tril = _triangle("tril", True)
triu = _triangle("triu", False)
