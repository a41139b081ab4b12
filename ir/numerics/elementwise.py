"""Elementwise functions for which NumPy has no counterpart, or one that differs from jax.lax.

Imports NumPy and ml_dtypes' dtypes through it. Where a function of NumPy already agrees with jax.lax on
every dtype (arctan2, cbrt, isfinite, left_shift, rint, tan, ...) there is none here; NumPy's exp, sin, ...
differ from XLA's by rounding only. No function emits a NumPy warning. Subnormal numbers are kept,
though XLA on CPU flushes them to zero.
"""

from typing import Any, Literal

import numpy as np

from ir.numerics.float64 import Array, Float64, computed_in_float64
from ir.numerics.precision import is_complex, is_float, is_integer

# Floating point ----------------------------------------------------------------------------------


def sign(x: Array) -> Array:
    """-1, 0 or 1; a signed zero and nan stay as they are; z / |z| for complex z (nan at infinity)."""
    with np.errstate(all="ignore"):
        if is_complex(x.dtype):
            size = np.hypot(x.real, x.imag)
            unit = _join(x.real / size, x.imag / size, x.dtype)
            return np.where(x == 0, x, unit)
        if not is_float(x.dtype):
            return np.asarray(np.sign(x))
        return np.asarray(np.where(x == 0, x, np.sign(x)))


@computed_in_float64
def _round_away_from_zero(x: Float64) -> Float64:
    whole = np.trunc(x)  # x - whole is exact, as x + 1/2 would not be
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1.0, x), whole)


def round(x: Array, method: Literal["away_from_zero", "to_nearest_even"] = "away_from_zero") -> Array:
    """The nearest integer, with halves rounded as `method` says (jax.lax.RoundingMethod)."""
    if method == "away_from_zero":
        return _round_away_from_zero(x)
    if method == "to_nearest_even":
        return np.asarray(np.rint(x))
    raise ValueError(f'round: expected method "away_from_zero" or "to_nearest_even", got {method!r}')


def rsqrt(x: Array) -> Array:
    """1 / sqrt(x), infinite at 0 with its sign; the sign of a zero imaginary part counts too."""
    if is_complex(x.dtype):
        with np.errstate(all="ignore"):
            return div(np.ones_like(x), np.sqrt(x))
    return _real_rsqrt(x)


@computed_in_float64
def _real_rsqrt(x: Float64) -> Float64:
    return np.asarray(1 / np.sqrt(x))


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    if is_complex(x.dtype):
        with np.errstate(all="ignore"):
            return div(np.ones_like(x), 1 + np.exp(-x))
    return _real_logistic(x)


@computed_in_float64
def _real_logistic(x: Float64) -> Float64:
    decay = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, decay) / (1 + decay))


def nextafter(x: Array, y: Array) -> Array:
    """The next number after x towards y, y itself where they are equal (also zeros of either sign)."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(x == y, y, np.nextafter(x, y)))


def maximum(x: Array, y: Array) -> Array:
    """The larger, nan if either is; 0 is larger than -0. Complex numbers compare lexicographically."""
    if is_complex(x.dtype):
        return np.where((x.real > y.real) | ((x.real == y.real) & (x.imag > y.imag)), x, y)
    with np.errstate(all="ignore"):
        result = np.maximum(x, y)
        if is_float(x.dtype):
            result = np.where(x == y, np.where(np.signbit(x), y, x), result)
        return np.asarray(result)


def minimum(x: Array, y: Array) -> Array:
    """The smaller, nan if either is; -0 is smaller than 0. Complex numbers compare lexicographically."""
    if is_complex(x.dtype):
        return np.where((x.real < y.real) | ((x.real == y.real) & (x.imag < y.imag)), x, y)
    with np.errstate(all="ignore"):
        result = np.minimum(x, y)
        if is_float(x.dtype):
            result = np.where(x == y, np.where(np.signbit(x), x, y), result)
        return np.asarray(result)


def clamp(low: Array, x: Array, high: Array) -> Array:
    """min(max(x, low), high): nan if any is nan, `high` where low > high. Bounds may be scalars."""
    return minimum(maximum(x, np.broadcast_to(low, x.shape)), np.broadcast_to(high, x.shape))


# Powers ------------------------------------------------------------------------------------------


def integer_pow(x: Array, y: int) -> Array:
    """x**y for a Python integer y; integers wrap around, and 0**0 is 1.

    Repeated squaring for integers and complex numbers. Raises ValueError where y < 0 and x holds integers.
    """
    if is_float(x.dtype):
        return pow(x, np.asarray(y, np.float64))
    if y < 0:
        if is_integer(x.dtype):
            raise ValueError(f"integer_pow: expected an exponent >= 0 for {x.dtype.name}, got {y}")
        return div(np.ones_like(x), integer_pow(x, -y))
    with np.errstate(all="ignore"):
        result, square = np.ones_like(x), x
        while y:
            result = np.asarray(result * square) if y & 1 else result
            y >>= 1
            square = np.asarray(square * square) if y else square
        return result


def pow(x: Array, y: Array) -> Array:
    """x**y with the dtype of x; y may be floating (of that dtype) or an integer.

    A real power is taken in float64 and rounded once. pow(x, 0) and pow(1, y) are 1 even for nan.
    """
    with np.errstate(all="ignore"):
        if is_complex(x.dtype) or is_integer(x.dtype):
            return np.asarray(np.power(x, y).astype(x.dtype))
        return np.asarray(np.power(x.astype(np.float64), y.astype(np.float64)).astype(x.dtype))


# Integers ----------------------------------------------------------------------------------------


def div(x: Array, y: Array) -> Array:
    """The quotient; integers truncate toward zero, x / 0 is -1 (all bits set) and min / -1 is min.

    Complex division by an infinite, or of an infinite by a finite number, follows C99 Annex G.5.1.
    """
    with np.errstate(all="ignore"):
        if is_complex(x.dtype):
            return _complex_div(x, y)
        if not is_integer(x.dtype):
            return np.asarray(np.divide(x, y))
        divisor = np.where(y == 0, np.ones_like(y), y)
        quotient = np.floor_divide(x, divisor)  # min / -1 wraps to min
        inexact = np.multiply(quotient, divisor) != x
        quotient = np.where(inexact & ((x < 0) != (divisor < 0)), quotient + 1, quotient).astype(x.dtype)
        return np.where(y == 0, np.invert(np.zeros_like(x)), quotient)


def rem(x: Array, y: Array) -> Array:
    """The remainder of truncated division, with the sign of x, as in C; x itself for integer y = 0."""
    with np.errstate(all="ignore"):
        if not is_integer(x.dtype):
            return np.asarray(np.fmod(x, y))
        safe = np.where((y == 0) | ((x.dtype.kind == "i") & (y == -1)), np.ones_like(y), y)
        return np.where(y == 0, x, np.fmod(x, safe))


def population_count(x: Array) -> Array:
    """The number of bits set in the two's complement representation, in the dtype of x."""
    return np.bitwise_count(_unsigned(x)).astype(x.dtype)


def count_leading_zeros(x: Array) -> Array:
    """The number of zero bits above the highest bit set (all of them for 0), in the dtype of x."""
    bits = _unsigned(x)
    shift = 1
    while shift < 8 * x.dtype.itemsize:  # fill every bit below the highest
        bits = bits | (bits >> bits.dtype.type(shift))
        shift *= 2
    return np.bitwise_count(np.invert(bits)).astype(x.dtype)


def shift_right_logical(x: Array, y: Array) -> Array:
    """Shift right, zeros coming in; 0 where y is negative or at least the width."""
    return np.asarray(np.right_shift(_unsigned(x), _unsigned(y)).view(x.dtype))


def shift_right_arithmetic(x: Array, y: Array) -> Array:
    """Shift right, copies of the top bit coming in, for unsigned x too; y at most the width counts."""
    signed = np.dtype(f"i{x.dtype.itemsize}")
    last_bit = 8 * x.dtype.itemsize - 1
    shift = np.minimum(_unsigned(y), np.uint8(last_bit)).astype(signed)
    return np.asarray(np.right_shift(np.asarray(x).view(signed), shift).view(x.dtype))


def _unsigned(x: Array) -> Array:
    return np.asarray(x).view(np.dtype(f"u{x.dtype.itemsize}"))


# Complex functions -------------------------------------------------------------------------------


def _join(real: Array, imag: Array, dtype: np.dtype[Any]) -> Array:
    """The complex array of two real ones, infinities and signed zeros kept apart."""
    result = np.empty(np.broadcast_shapes(np.shape(real), np.shape(imag)), dtype)
    result.real, result.imag = real, imag
    return result


def _complex_div(x: Array, y: Array) -> Array:
    quotient = np.divide(x, y)
    a, b, c, d = x.real, x.imag, y.real, y.imag
    lost = np.isnan(quotient.real) & np.isnan(quotient.imag)

    def boxed(v: Array) -> Array:
        return np.copysign(np.where(np.isinf(v), 1.0, 0.0), v)

    by_zero = lost & (y == 0) & ~(np.isnan(a) & np.isnan(b))
    infinite = np.copysign(np.inf, c)
    quotient = np.where(by_zero, _join(infinite * a, infinite * b, x.dtype), quotient)

    numerator_infinite = lost & (np.isinf(a) | np.isinf(b)) & np.isfinite(c) & np.isfinite(d) & (y != 0)
    p, q = boxed(a), boxed(b)
    quotient = np.where(
        numerator_infinite, _join(np.inf * (p * c + q * d), np.inf * (q * c - p * d), x.dtype), quotient
    )

    denominator_infinite = lost & (np.isinf(c) | np.isinf(d)) & np.isfinite(a) & np.isfinite(b)
    p, q = boxed(c), boxed(d)
    return np.where(
        denominator_infinite, _join(0.0 * (a * p + b * q), 0.0 * (b * p - a * q), x.dtype), quotient
    )


def _above_cut(x: Array) -> Array:
    """Complex x with an imaginary part of -0 made 0: XLA takes the upper side of a cut on the real axis."""
    return _join(x.real, x.imag + 0.0, x.dtype) if is_complex(x.dtype) else x


def sqrt(x: Array) -> Array:
    """The principal square root; that of -1 - 0j, on the cut, is 1j as in jax.lax, not -1j as in C."""
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt(_above_cut(x)))


def asin(x: Array) -> Array:
    """arcsin; complex: continuous with the upper half plane on both cuts, for either zero."""
    with np.errstate(all="ignore"):
        return np.asarray(np.arcsin(_above_cut(x)))


def acos(x: Array) -> Array:
    """arccos; complex: continuous with the upper half plane on both cuts, for either zero."""
    with np.errstate(all="ignore"):
        return np.asarray(np.arccos(_above_cut(x)))


def acosh(x: Array) -> Array:
    """arccosh; complex: continuous with the upper half plane on the cut, for either zero."""
    with np.errstate(all="ignore"):
        return np.asarray(np.arccosh(_above_cut(x)))


def asinh(x: Array) -> Array:
    """arcsinh; complex: continuous with the right half plane on both cuts, for either zero."""
    with np.errstate(all="ignore"):
        if is_complex(x.dtype):
            x = _join(x.real + 0.0, x.imag, x.dtype)
        return np.asarray(np.arcsinh(x))


def log1p(x: Array) -> Array:
    """log(1 + x); complex x keeps full precision near 0, where NumPy loses it.

    log|1 + z| is log1p(u (2 + u) + v**2) / 2 for z = u + iv where |z| is small (W. Kahan, "Branch cuts
    for complex elementary functions", 1987).
    """
    with np.errstate(all="ignore"):
        if not is_complex(x.dtype):
            return np.asarray(np.log1p(x))
        u, v = x.real.astype(np.float64), x.imag.astype(np.float64)
        near = np.log1p(u * (2 + u) + v * v) / 2
        far = np.log(np.hypot(1 + u, v))
        real = np.where(np.maximum(np.abs(u), np.abs(v)) < 0.5, near, far)
        return _join(real, np.arctan2(v, 1 + u), x.dtype)
