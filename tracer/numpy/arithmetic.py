"""Division with remainder, powers, and sums of exponentials: elementwise functions with more to say."""

from __future__ import annotations

import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np

from ir.core import EMPTY_ATTRS
from ir.errors import ArgumentTypeError
from ir.ops import elementwise as ew
from ir.types import i32
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import broadcast_shapes, broadcast_to, convert, lift, native, promoted
from tracer.value import Tensor


def _numeric(x: Any, y: Any) -> tuple[Tensor, Tensor, bool]:
    """Operands of one type, bools as integers."""
    (a, b), weak = promoted(x, y, bool_to=i32)
    return a, b, weak


def _remainder_of_zero(b: Tensor) -> Tensor:
    """Integer divisors with 1 for 0, as in JAX."""
    return el.where(el.equal(b, 0), 1, b) if b.value.type.dtype.is_integer else b


def _rem(a: Tensor, b: Tensor, weak: bool) -> Tensor:
    return a.owner.emit1(ew.rem, (a.value, b.value), EMPTY_ATTRS, weak)


def _float_divmod(a: Tensor, b: Tensor, weak: bool) -> tuple[Tensor, Tensor]:
    """Quotient and remainder of floats, as in CPython's float_divmod."""
    rest = _rem(a, b, weak)
    exact = el.where(el.equal(b, 0), a, el.subtract(a, rest))
    quotient = el.divide(exact, b)
    wrong = el.logical_and(el.not_equal(rest, 0), el.not_equal(el.sign(b), el.sign(rest)))
    quotient = el.where(wrong, el.subtract(quotient, 1.0), quotient)
    rounded = quotient.owner.emit1(ew.round, (quotient.value,), {"method": "away_from_zero"}, quotient.weak)
    return rounded, el.where(wrong, el.add(rest, b), rest)


def _real(name: str, a: Tensor) -> None:
    if a.value.type.dtype.is_complex:
        raise ArgumentTypeError(f"{name}: expected real operands, got {a.value.type}")


@native(jnp.floor_divide)
def floor_divide(x: Any, y: Any, /) -> Any:
    """The largest integer at most x / y."""
    a, b, weak = _numeric(x, y)
    _real("floor_divide", a)
    kind = a.value.type.dtype.kind
    if kind == "float":
        return _float_divmod(a, b, weak)[0]
    quotient = a.owner.emit1(ew.div, (a.value, b.value), EMPTY_ATTRS, weak)
    if kind == "uint":
        return quotient
    rest = _rem(a, b, weak)
    down = el.logical_and(el.not_equal(el.sign(a), el.sign(b)), el.not_equal(rest, 0))
    return el.where(down, el.subtract(quotient, 1), quotient)


@native(jnp.remainder)
def remainder(x: Any, y: Any, /) -> Any:
    """The remainder with the sign of the divisor."""
    a, b, weak = _numeric(x, y)
    _real("remainder", a)
    b = _remainder_of_zero(b)
    rest = _rem(a, b, weak)
    if a.value.type.dtype.kind == "uint":
        return rest
    wrong = el.logical_and(el.not_equal(el.less(rest, 0), el.less(b, 0)), el.not_equal(rest, 0))
    return el.where(wrong, el.add(rest, b), rest)


mod = remainder


@native(jnp.fmod)
def fmod(x: Any, y: Any, /) -> Any:
    """The remainder with the sign of the dividend."""
    a, b, weak = _numeric(x, y)
    _real("fmod", a)
    return _rem(a, _remainder_of_zero(b), weak)


@native(jnp.divmod)
def divmod(x: Any, y: Any, /) -> Any:
    """(floor_divide, remainder)."""
    a, b, weak = _numeric(x, y)
    _real("divmod", a)
    if a.value.type.dtype.is_integer:
        return floor_divide(a, b), remainder(a, b)
    return _float_divmod(a, b, weak)


# Powers ----------------------------------------------------------------------------------------------


def _static_exponent(y: Any) -> int | None:
    """An exponent that is known now and an integer."""
    if isinstance(y, (Tensor, jax.core.Tracer, float, complex, np.bool_)) or np.ndim(y):
        return None
    try:
        return operator.index(y)
    except TypeError:
        return None


@native(jnp.power)
def power(x: Any, y: Any, /) -> Any:
    """x to the power y; a static integer exponent becomes repeated multiplication."""
    exponent = _static_exponent(y)
    if exponent is not None:
        t = lift(x)
        if t.value.type.dtype.kind == "bool":
            t = convert(t, i32)
        return integer_power(t, exponent)
    a, b, weak = _numeric(x, y)
    if a.value.type.dtype.is_integer:
        return _integer_pow(a, b, weak)
    base, given = lift(x), lift(y)
    if base.value.type.dtype.is_inexact and given.value.type.dtype.is_integer:
        # No promotion: the derivative with respect to the base exists at 0.
        shape = broadcast_shapes(base.shape, given.shape)
        base, given = broadcast_to(base, shape), broadcast_to(given, shape)
        return base.owner.emit1(ew.pow, (base.value, given.value), EMPTY_ATTRS, base.weak and given.weak)
    return a.owner.emit1(ew.pow, (a.value, b.value), EMPTY_ATTRS, weak)


pow = power


def integer_power(t: Tensor, exponent: int) -> Tensor:
    """`t ** exponent` for a static integer; ArgumentTypeError for integers to negative powers."""
    if exponent < 0 and not t.value.type.dtype.is_inexact:
        raise ArgumentTypeError(
            f"power: expected an exponent of at least 0 for integers, got {t.value.type} to the power {exponent}"
        )
    if exponent == 2:
        return t.owner.emit1(ew.square, (t.value,), EMPTY_ATTRS, t.weak)
    return t.owner.emit1(ew.integer_pow, (t.value,), {"y": exponent}, t.weak)


def _integer_pow(base: Tensor, exponent: Tensor, weak: bool) -> Tensor:
    """Integers to integer powers by squaring; six bits, beyond which everything but 0 and 1 overflows."""
    out: Any = el.where(el.logical_and(el.equal(base, 0), el.not_equal(exponent, 0)), 0, 1)
    out = convert(out, base.value.type.dtype)
    one = exponent.owner.scalar(1, exponent.value.type.dtype, exponent.shape, weak)
    for _ in range(6):
        odd = el.not_equal(el.bitwise_and(exponent, one), 0)
        out = convert(el.where(odd, el.multiply(out, base), out), base.value.type.dtype)
        base = el.multiply(base, base)
        exponent = exponent.owner.emit1(
            ew.shift_right_logical, (exponent.value, one.value), EMPTY_ATTRS, weak
        )
    return out  # type: ignore[no-any-return]


@native(jnp.reciprocal)
def reciprocal(x: Any, /) -> Any:
    """1 / x."""
    return integer_power(el.as_float(x), -1)


# Sums of squares and of exponentials ------------------------------------------------------------------


@native(jnp.hypot)
def hypot(x: Any, y: Any, /) -> Any:
    """sqrt(x**2 + y**2), which neither overflows nor underflows on the way. Its derivative at the origin is 0."""
    (a, b), weak = promoted(x, y, to_float=True)
    if a.value.type.dtype.is_complex:
        raise ArgumentTypeError(f"hypot: expected real operands, got {a.value.type}; take abs(x) first")
    out = _hypot()(a, b)[0]
    return Tensor(out.owner, out.value, weak and (not out.shape or _hypot_of_arrays_may_be_weak()))


@functools.cache
def _hypot_of_arrays_may_be_weak() -> bool:
    """Whether it is in JAX, of an array of bools and a Python number; in old versions it is not."""
    flags = jax.ShapeDtypeStruct((2,), bool)  # type: ignore[no-untyped-call]
    return bool(jax.eval_shape(jnp.hypot, flags, 1).weak_type)


@functools.cache
def _hypot() -> Any:
    """(a, b) -> (r, a / r, b / r), differentiated by what it gives, so that the scale has no part in it."""
    from tracer.api.custom import builtin_jvp

    @builtin_jvp
    def hypot(a: Tensor, b: Tensor) -> Any:
        info = ml_dtypes.finfo(a.value.type.dtype.np)  # type: ignore[no-untyped-call]
        # 2**k brings the square of the smallest number into range, and twice that of 2**high is in it.
        k, high = (info.nmant - info.minexp + 1) // 2, (info.maxexp - 1) // 2
        size = el.maximum(el.abs(a), el.abs(b))
        large, small = el.greater_equal(size, 2.0**high), el.less_equal(size, 2.0 ** (high - k))

        def scaled(t: Any, power: int) -> Any:
            return el.where(
                large, el.multiply(t, 2.0**-power), el.where(small, el.multiply(t, 2.0**power), t)
            )

        p, q = scaled(a, k), scaled(b, k)
        root = el.sqrt(el.add(el.square(p), el.square(q)))
        infinite = el.logical_or(el.isinf(a), el.isinf(b))  # beside a NaN, too
        r = el.where(infinite, float("inf"), scaled(root, -k))
        whole = el.where(el.equal(root, 0), 1, root)
        return tuple([convert(t, a.value.type.dtype) for t in (r, el.divide(p, whole), el.divide(q, whole))])

    @hypot.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        da, db = tangents
        r, u, v = hypot(*primals)
        dr = el.add(el.multiply(u, da), el.multiply(v, db))
        whole = el.where(el.equal(r, 0), float("inf"), r)
        across = [el.divide(el.subtract(t, el.multiply(w, dr)), whole) for t, w in ((da, u), (db, v))]
        return (r, u, v), (dr, *across)

    return hypot


@native(jnp.logaddexp)
def logaddexp(x: Any, y: Any, /) -> Any:
    """log(exp(x) + exp(y)) without overflow."""
    (a, b), _ = promoted(x, y, to_float=True)
    return _logaddexp()(a, b)


@functools.cache
def _logaddexp() -> Any:
    """The function of operands of one type. Its rule keeps derivatives right where the operands are equal."""
    from tracer.api.custom import builtin_jvp

    @builtin_jvp
    def logaddexp(a: Tensor, b: Tensor) -> Any:
        largest = el.maximum(a, b)
        if a.value.type.dtype.is_complex:
            delta = el.subtract(el.add(a, b), el.multiply(largest, 2))
            out = el.add(largest, el.log1p(el.exp(delta)))
            angle = el.subtract(remainder(el.add(el.imag(out), np.pi), 2 * np.pi), np.pi)
            return out.owner.emit1(ew.complex, (el.real(out).value, angle.value), EMPTY_ATTRS)
        delta = el.subtract(a, b)
        # Infinite operands of the same sign give themselves, NaN stays.
        return el.where(
            el.isnan(delta),
            el.add(a, b),
            el.add(largest, el.log1p(el.exp(el.negative(el.abs(delta))))),
        )

    @logaddexp.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        out = logaddexp(*primals)
        terms = [
            el.multiply(t, el.exp(el.subtract(_finite(x), _finite(out))))
            for x, t in zip(primals, tangents, strict=True)
        ]
        return out, el.add(*terms)

    return logaddexp


def _finite(x: Tensor) -> Any:
    return el.where(el.equal(x, float("inf")), 0, x)


@native(jnp.sinc)
def sinc(x: Any, /) -> Any:
    """sin(pi x) / (pi x), 1 at zero with derivative 0; 0 at other integers, and at infinity."""
    t = el.as_float(x)
    scaled = el.multiply(t, np.pi)
    # Near zero the Taylor polynomial carries the derivatives; it is exact to 1e-16 there.
    near = el.less(el.abs(scaled), 0.1)
    squared = el.square(el.where(near, scaled, 0))
    series: Any = 1 / 362880  # sum over k of (-1)^k x^(2k) / (2k + 1)!, by Horner's rule
    for coefficient in (-1 / 5040, 1 / 120, -1 / 6, 1.0):
        series = el.add(el.multiply(squared, series), coefficient)
    safe = el.where(near, 1, scaled)
    return el.where(near, series, el.divide(_sine(el.where(near, 0.5, t)), safe))


def _sine(x: Tensor) -> Any:
    """sin(pi x): that of the distance from the nearest integer, turned if that is odd."""
    if x.value.type.dtype.is_complex:
        return el.sin(el.multiply(x, np.pi))
    nearest = el.rint(x)
    half = el.multiply(nearest, 0.5)
    rest = el.where(el.isinf(x), 0, el.subtract(x, nearest))
    sine = el.sin(el.multiply(rest, np.pi))
    return el.where(el.equal(half, el.floor(half)), sine, el.negative(sine))


__all__ = [
    "divmod", "floor_divide", "fmod", "hypot", "integer_power", "logaddexp", "mod", "pow", "power", "reciprocal",
    "remainder", "sinc",
]  # fmt: skip
