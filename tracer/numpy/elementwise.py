"""Elementwise functions: a table of unary ones, a table of binary ones, and those with more to say."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.core import EMPTY_ATTRS
from ir.errors import ArgumentError, ArgumentTypeError
from ir.ops import elementwise as ew
from ir.ops.reduce import reduce_and, reduce_or
from ir.types import bool_, i32
from tracer.numpy.dispatch import (
    binary_function,
    broadcast_shapes,
    broadcast_to,
    convert,
    current_trace,
    lift,
    native,
    promoted,
    run_eager,
    unary_function,
)
from tracer.state import state
from tracer.types import canonical, float_dtype, scalar_dtype
from tracer.value import Tensor

# Floating-point functions: integers and bools are promoted to the default float type.
exp = unary_function("exp", ew.exp, jnp.exp, to_float=True)
exp2 = unary_function("exp2", ew.exp2, jnp.exp2, to_float=True)
expm1 = unary_function("expm1", ew.expm1, jnp.expm1, to_float=True)
log = unary_function("log", ew.log, jnp.log, to_float=True)
log1p = unary_function("log1p", ew.log1p, jnp.log1p, to_float=True)
sqrt = unary_function("sqrt", ew.sqrt, jnp.sqrt, to_float=True)
cbrt = unary_function("cbrt", ew.cbrt, jnp.cbrt, to_float=True)
sin = unary_function("sin", ew.sin, jnp.sin, to_float=True)
cos = unary_function("cos", ew.cos, jnp.cos, to_float=True)
tan = unary_function("tan", ew.tan, jnp.tan, to_float=True)
arcsin = asin = unary_function("arcsin", ew.asin, jnp.arcsin, to_float=True)
arccos = acos = unary_function("arccos", ew.acos, jnp.arccos, to_float=True)
arctan = atan = unary_function("arctan", ew.atan, jnp.arctan, to_float=True)
sinh = unary_function("sinh", ew.sinh, jnp.sinh, to_float=True)
cosh = unary_function("cosh", ew.cosh, jnp.cosh, to_float=True)
tanh = unary_function("tanh", ew.tanh, jnp.tanh, to_float=True)
arcsinh = asinh = unary_function("arcsinh", ew.asinh, jnp.arcsinh, to_float=True)
arccosh = acosh = unary_function("arccosh", ew.acosh, jnp.arccosh, to_float=True)
arctanh = atanh = unary_function("arctanh", ew.atanh, jnp.arctanh, to_float=True)
negative = unary_function("negative", ew.neg, jnp.negative)

add = binary_function("add", ew.add, jnp.add, of_bools=ew.or_)
subtract = binary_function("subtract", ew.sub, jnp.subtract)
divide = true_divide = binary_function("divide", ew.div, jnp.divide, to_float=True)
arctan2 = atan2 = binary_function("arctan2", ew.atan2, jnp.arctan2, to_float=True)
nextafter = binary_function("nextafter", ew.nextafter, jnp.nextafter, to_float=True)
minimum = binary_function("minimum", ew.min, jnp.minimum)
maximum = binary_function("maximum", ew.max, jnp.maximum)
equal = binary_function("equal", ew.eq, jnp.equal, compares=True, of_keys=reduce_and)
not_equal = binary_function("not_equal", ew.ne, jnp.not_equal, compares=True, of_keys=reduce_or)
less = binary_function("less", ew.lt, jnp.less, compares=True, ordered=True)
less_equal = binary_function("less_equal", ew.le, jnp.less_equal, compares=True, ordered=True)
greater = binary_function("greater", ew.gt, jnp.greater, compares=True, ordered=True)
greater_equal = binary_function("greater_equal", ew.ge, jnp.greater_equal, compares=True, ordered=True)
bitwise_and = binary_function("bitwise_and", ew.and_, jnp.bitwise_and)
bitwise_or = binary_function("bitwise_or", ew.or_, jnp.bitwise_or)
bitwise_xor = binary_function("bitwise_xor", ew.xor_, jnp.bitwise_xor)
bitwise_not = invert = bitwise_invert = unary_function("bitwise_not", ew.not_, jnp.bitwise_not)
multiply = binary_function("multiply", ew.mul, jnp.multiply, of_bools=ew.and_)
square = unary_function("square", ew.square, jnp.square, bool_to_int=True)


@native(jnp.left_shift)
def left_shift(x: Any, y: Any, /) -> Any:
    """Bits of `x` moved left by `y`."""
    (a, b), weak = promoted(x, y, bool_to=i32)
    return a.owner.emit1(ew.shift_left, (a.value, b.value), EMPTY_ATTRS, weak)


@native(jnp.right_shift)
def right_shift(x: Any, y: Any, /) -> Any:
    """Arithmetic shift of signed, logical shift of unsigned integers."""
    (a, b), weak = promoted(x, y, bool_to=i32)
    the_op = ew.shift_right_arithmetic if a.value.type.dtype.kind == "int" else ew.shift_right_logical
    return a.owner.emit1(the_op, (a.value, b.value), EMPTY_ATTRS, weak)


bitwise_left_shift, bitwise_right_shift = left_shift, right_shift


@native(jnp.positive)
def positive(x: Any, /) -> Any:
    """`x` itself."""
    return lift(x)


@native(jnp.abs)
def abs(x: Any, /) -> Any:
    """Absolute value; real for complex input."""
    t = lift(x)
    if t.value.type.dtype.kind in ("uint", "bool"):
        return t
    return t.owner.emit1(ew.abs, (t.value,), EMPTY_ATTRS, t.weak)


absolute = abs


@native(jnp.sign)
def sign(x: Any, /) -> Any:
    """-1, 0 or 1; x / |x| for complex input."""
    t = lift(x)
    return t.owner.emit1(ew.sign, (t.value,), EMPTY_ATTRS, t.weak)


def _rounding(name: str, the_op: Any) -> Any:
    def fn(x: Any, /) -> Any:
        t = lift(x)
        if not t.value.type.dtype.is_inexact:  # integers are their own floor; so does JAX
            return t
        return t.owner.emit1(the_op, (t.value,), EMPTY_ATTRS, t.weak)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Elementwise `{name}`; see `jax.numpy.{name}`."
    return native(getattr(jnp, name))(fn)


floor = _rounding("floor", ew.floor)
ceil = _rounding("ceil", ew.ceil)


@native(jnp.rint)
def rint(x: Any, /) -> Any:
    """The nearest integer, halves to even, as a float."""
    t = lift(x)
    dtype = t.value.type.dtype
    if dtype.is_complex:
        return _of_parts(rint, t)
    if not dtype.is_inexact:
        return convert(t, scalar_dtype(float))
    return t.owner.emit1(ew.round, (t.value,), {"method": "to_nearest_even"}, t.weak)


def _of_parts(fn: Any, t: Tensor) -> Tensor:
    """A function of the real and of the imaginary part, as a complex number."""
    return t.owner.emit1(ew.complex, (fn(real(t)).value, fn(imag(t)).value), EMPTY_ATTRS, t.weak)


@native(jnp.round)
def round(a: Any, decimals: int = 0, out: None = None) -> Any:
    """Round half to even, to a number of decimals."""
    t = lift(a)
    dtype = t.value.type.dtype
    if dtype is bool_ or (not dtype.is_inexact and decimals < 0):
        raise ArgumentTypeError(f"round: expected floats, or integers and decimals >= 0, got {t.value.type}")
    if not dtype.is_inexact:
        return t
    if dtype.is_complex:
        return _of_parts(lambda part: round(part, decimals), t)
    if decimals == 0:
        return rint(t)
    # Narrow floats would overflow: computed in single precision, as JAX does.
    wide = convert(t, canonical(np.float32), t.weak) if dtype.bits < 32 else t
    factor = 10.0**decimals
    return convert(divide(rint(multiply(wide, factor)), factor), dtype, t.weak)


def _predicate(name: str, test: Any) -> Any:
    def fn(x: Any, /) -> Any:
        t = lift(x)
        if not t.value.type.dtype.is_inexact:
            return current_trace().scalar(name == "isfinite", bool_, t.shape)
        return test(t)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Elementwise `{name}`."
    return native(getattr(jnp, name))(fn)


def _isfinite(t: Tensor) -> Any:
    if t.value.type.dtype.is_complex:
        return logical_and(_isfinite(real(t)), _isfinite(imag(t)))
    return t.owner.emit1(ew.is_finite, (t.value,), EMPTY_ATTRS)


def _isinf(t: Tensor) -> Any:
    if t.value.type.dtype.is_complex:
        return logical_or(_isinf(real(t)), _isinf(imag(t)))
    return equal(abs(t), float("inf"))


isfinite = _predicate("isfinite", _isfinite)
isnan = _predicate("isnan", lambda t: not_equal(t, t))
isinf = _predicate("isinf", _isinf)


def _logical(name: str, the_op: Any, arity: int) -> Any:
    def fn(*xs: Any) -> Any:
        if len(xs) != arity:
            raise TypeError(f"{name}() takes {arity} positional arguments but {len(xs)} were given")
        bools = [convert(t, bool_) for t in map(lift, xs)]
        shape = broadcast_shapes(*[t.shape for t in bools])
        values = tuple([broadcast_to(t, shape).value for t in bools])
        return current_trace().emit1(the_op, values, EMPTY_ATTRS)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Elementwise `{name}` of truth values."
    return native(getattr(jnp, name))(fn)


logical_and = _logical("logical_and", ew.and_, 2)
logical_or = _logical("logical_or", ew.or_, 2)
logical_xor = _logical("logical_xor", ew.xor_, 2)
logical_not = _logical("logical_not", ew.not_, 1)


def _over(t: Tensor, divisor: float) -> Tensor:
    """`t` divided by a number, complex numbers part by part."""
    if t.value.type.dtype.is_complex:
        return Tensor(t.owner, _of_parts(lambda part: _over(part, divisor), t).value)  # as in JAX, not weak
    return divide(t, t.owner.scalar(divisor, t.value.type.dtype, ()))  # type: ignore[no-any-return]


# Since jax 0.11.2, where it keeps weak types as other primitives do.
_LOG2_IS_PRIMITIVE = hasattr(jax.lax, "log2")


def log2(x: Any, /) -> Any:
    """Logarithm to base 2."""
    if state.trace is None:
        return run_eager(jnp.log2, (x,), {})
    t = log(x)
    out = _over(t, float(np.log(2)))
    return Tensor(out.owner, out.value, t.weak) if _LOG2_IS_PRIMITIVE else out


def log10(x: Any, /) -> Any:
    """Logarithm to base 10."""
    if state.trace is None:
        return run_eager(jnp.log10, (x,), {})
    return _over(log(x), float(np.log(10)))


log2.eager, log10.eager = jnp.log2, jnp.log10  # type: ignore[attr-defined]


@native(jnp.deg2rad)
def deg2rad(x: Any, /) -> Any:
    """Degrees to radians."""
    return multiply(as_float(x), np.pi / 180)


@native(jnp.rad2deg)
def rad2deg(x: Any, /) -> Any:
    """Radians to degrees."""
    return multiply(as_float(x), 180 / np.pi)


radians, degrees = deg2rad, rad2deg


@native(jnp.real)
def real(x: Any, /) -> Any:
    """Real part."""
    t = lift(x)
    if not t.value.type.dtype.is_complex:
        return t
    return t.owner.emit1(ew.real, (t.value,), EMPTY_ATTRS, t.weak)


@native(jnp.imag)
def imag(x: Any, /) -> Any:
    """Imaginary part; zero for real input."""
    t = lift(x)
    if not t.value.type.dtype.is_complex:
        return t.owner.scalar(0, t.value.type.dtype, t.shape, t.weak)
    return t.owner.emit1(ew.imag, (t.value,), EMPTY_ATTRS, t.weak)


@native(jnp.conjugate)
def conjugate(x: Any, /) -> Any:
    """Complex conjugate."""
    t = lift(x)
    if not t.value.type.dtype.is_complex:
        return t
    return t.owner.emit1(ew.conj, (t.value,), EMPTY_ATTRS, t.weak)


conj = conjugate


@native(jnp.where)
def where(
    condition: Any, x: Any = None, y: Any = None, /, *, size: int | None = None, fill_value: Any = None
) -> Any:
    """`x` where `condition`, else `y`; elementwise, broadcast. Without both, `nonzero(condition)`."""
    if x is None and y is None:
        from tracer.numpy.borrowed import nonzero

        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None or size is not None or fill_value is not None:
        raise ArgumentTypeError("where: expected (condition, x, y), or a condition with size and fill_value")
    chosen = convert(lift(condition), bool_)
    (a, b), weak = promoted(x, y)
    shape = broadcast_shapes(chosen.shape, a.shape)
    values = tuple([broadcast_to(t, shape).value for t in (chosen, a, b)])
    return current_trace().emit1(ew.select, values, EMPTY_ATTRS, weak)


@native(jnp.clip)
def clip(arr: Any, /, min: Any = None, max: Any = None) -> Any:
    """`arr` limited to [min, max]."""
    out = lift(arr)
    if any(lift(x).value.type.dtype.is_complex for x in (out, min, max) if x is not None):
        raise ArgumentError("clip: expected real numbers, got complex ones, which have no order")
    if min is not None:
        out = maximum(min, out)
    if max is not None:
        out = minimum(max, out)
    return out


@native(jnp.nan_to_num)
def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """NaN and infinities replaced by finite numbers."""
    t = lift(x)
    dtype = t.value.type.dtype
    if not dtype.is_inexact:
        return t
    if dtype.is_complex:
        parts = [nan_to_num(p(t), copy, nan, posinf, neginf) for p in (real, imag)]
        return t.owner.emit1(ew.complex, tuple([p.value for p in parts]), EMPTY_ATTRS)
    limits: Any = jnp.finfo(dtype.np)  # type: ignore[no-untyped-call]
    t = convert(t, dtype)
    out = where(isnan(t), nan, t)
    out = where(equal(out, float("inf")), float(limits.max) if posinf is None else posinf, out)
    return where(equal(out, float("-inf")), float(limits.min) if neginf is None else neginf, out)


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """`x` with elements converted to `dtype`."""
    if state.trace is None:
        return run_eager(jnp.astype, (x, dtype), {"copy": copy, "device": device})
    to = canonical(dtype)
    t = lift(x)
    if t.value.type.dtype.is_complex and not to.is_complex and to is not bool_:
        t = real(t)
    return convert(t, to)


astype.eager = jnp.astype  # type: ignore[attr-defined]


def as_float(x: Any) -> Tensor:
    """`x` as a traced float or complex value."""
    t = lift(x)
    return convert(t, float_dtype(t.value.type.dtype), t.weak)
