"""log-gamma, its derivatives and the Hurwitz zeta function, as jax.lax defines them.

Imports the standard library and NumPy. Relative accuracy about 1e-14 in float64, except next to
the zeros that lgamma and digamma have at negative arguments, where the absolute accuracy is such.
"""

import math
from fractions import Fraction

import numpy as np

from ir.numerics.float64 import Array, Float64, computed_in_float64, evaluate_where, horner

# B_2, B_4, ..., B_24 (DLMF 24.2(iv)), kept exact until a series divides them.
_BERNOULLI = [
    Fraction(*ratio)
    for ratio in (
        (1, 6),
        (-1, 30),
        (1, 42),
        (-1, 30),
        (5, 66),
        (-691, 2730),
        (7, 6),
        (-3617, 510),
        (43867, 798),
        (-174611, 330),
        (854513, 138),
        (-236364091, 2730),
    )
]
_EULER_MACLAURIN = [float(b / math.factorial(2 * j)) for j, b in enumerate(_BERNOULLI, 1)]
_STIRLING = [float(b / (2 * j * (2 * j - 1))) for j, b in enumerate(_BERNOULLI[:10], 1)]
_DIGAMMA = [float(b / (2 * j)) for j, b in enumerate(_BERNOULLI[:10], 1)]
_FACTORIAL = np.array([float(math.factorial(m)) for m in range(171)] + [math.inf])

# From this argument on, the asymptotic series in 1/x above are exact to rounding.
ASYMPTOTIC = 10.0


def _is_integer(x: Float64) -> Array:
    return np.asarray(x == np.floor(x))


# Hurwitz zeta ------------------------------------------------------------------------------------


def _zeta_positive(s: Float64, q: Float64) -> Float64:
    """zeta(s, q) for finite s > 1 and q > 0: the Euler-Maclaurin formula (DLMF 25.11.5 and 2.10.1).

    Terms are summed one by one up to w = q + n >= max(10, s), where twelve corrections suffice.
    Where 48 terms do not lead there, the terms fall so fast that the rest is below rounding.
    """
    total = np.zeros_like(s)
    w = q.copy()
    target = np.maximum(s, ASYMPTOTIC)
    for _ in range(48):
        summing = w < target
        if not summing.any():
            break
        total = np.where(summing, total + w**-s, total)
        w = np.where(summing, w + 1, w)
    power = w**-s
    tail = power * (w / (s - 1) + 0.5)
    term = power * s / w
    for j, coefficient in enumerate(_EULER_MACLAURIN, 1):
        tail = tail + coefficient * term
        term = term * ((s + (2 * j - 1)) / w) * ((s + 2 * j) / w)
    return np.where(w < target, total, total + tail)


def _zeta_negative(s: Float64, q: Float64) -> Float64:
    """zeta(s, q) for an integer s > 1 and q < 0 that is no integer.

    With q = f - n and 0 < f < 1, the n terms of negative base are (-1)**s times a finite sum that
    is itself a difference: zeta(s, q) = zeta(s, f) + (-1)**s (zeta(s, 1 - f) - zeta(s, 1 - q)).
    """
    r = q - np.round(q)  # exact, and keeps both f and 1 - f exact near an integer
    f = np.where(r > 0, r, 1 + r)
    complement = np.where(r > 0, 1 - r, -r)
    sign = np.where(np.fmod(s, 2) == 0, 1.0, -1.0)
    return _zeta_positive(s, f) + sign * (_zeta_positive(s, complement) - _zeta_positive(s, 1 - q))


def _zeta(s: Float64, q: Float64) -> Float64:
    finite = np.isfinite(s) & np.isfinite(q) & (s > 1)
    result = evaluate_where(finite & (q > 0), _zeta_positive, s, q, otherwise=np.nan)
    negative = finite & (q < 0) & ~_is_integer(q) & _is_integer(s)
    result = evaluate_where(negative, _zeta_negative, s, q, otherwise=result)
    even_pole = (q <= 0) & _is_integer(q) & (np.fmod(s, 2) == 0)
    return np.where(even_pole | (s == 1), np.inf, result)


@computed_in_float64
def zeta(x: Float64, q: Float64) -> Float64:
    """Hurwitz zeta: the sum of (q + k)**-x over k >= 0 (DLMF 25.11.1).

    As in jax.lax: infinite at x = 1, nan for x < 1 and for an infinite argument; at a pole
    (q = 0, -1, ...) infinite where x is even and nan otherwise; for other q < 0, nan unless x is an
    integer. Where q < -9, jax.lax on CPU departs from the definition; this function does not.
    """
    return _zeta(x, q)


# log-gamma ---------------------------------------------------------------------------------------

# zeta(k) - 1 = zeta(k, 2), the coefficients of log-gamma at 2.
_ZETA_MINUS_ONE = [float(v) for v in _zeta_positive(np.arange(2.0, 32.0), np.full(30, 2.0))]
_LGAMMA_AT_2 = [(-1) ** k * _ZETA_MINUS_ONE[k - 2] / k for k in range(31, 1, -1)]
_LGAMMA_AT_2 += [1 - float(np.euler_gamma), 0.0]


def _lgamma_2p(z: Float64) -> Float64:
    """lgamma(2 + z) for |z| <= 1/2: Taylor series, DLMF 5.7.3. Exact in relative terms near z = 0."""
    return horner(z, _LGAMMA_AT_2)


def lgamma_1p(z: Float64) -> Float64:
    """lgamma(1 + z) for z > -1/2, to full relative precision for z near 0."""
    return np.where(np.abs(z) <= 0.5, _lgamma_2p(z) - np.log1p(z), lgamma_kernel(1 + z))


def stirling_remainder(x: Float64) -> Float64:
    """lgamma(x) - ((x - 1/2) log(x) - x + log(2 pi)/2) for x >= 10 (DLMF 5.11.1)."""
    return horner(1 / (x * x), _STIRLING[::-1]) / x


def _lgamma_above(x: Float64) -> Float64:
    """The value for x >= 1/2."""
    near_1 = _lgamma_2p(x - 1) - np.log1p(x - 1)
    steps = np.clip(np.floor(x - 1.5), 0, 9)
    product = np.ones_like(x)
    for k in range(1, 10):
        product = np.where(k <= steps, product * (x - k), product)
    middle = _lgamma_2p(x - steps - 2) + np.log(product)
    large = (x - 0.5) * (np.log(x) - 1) + (0.5 * math.log(2 * math.pi) - 0.5) + stirling_remainder(x)
    return np.where(x < 1.5, near_1, np.where(x < ASYMPTOTIC, middle, large))


def lgamma_kernel(x: Float64) -> Float64:
    """The kernel of `lgamma`, for float64 arrays of one dimension."""
    above = evaluate_where(np.isfinite(x) & (x >= 0.5), _lgamma_above, x, otherwise=np.abs(x))
    small = np.abs(x) < 0.5
    result = evaluate_where(
        small, lambda z: _lgamma_2p(z) - np.log1p(z) - np.log(np.abs(z)), x, otherwise=above
    )
    return evaluate_where(np.isfinite(x) & (x <= -0.5), _lgamma_reflected, x, otherwise=result)


def _lgamma_reflected(x: Float64) -> Float64:
    """DLMF 5.5.3: gamma(x) gamma(1 - x) = pi / sin(pi x). Infinite at the poles."""
    sine = np.abs(np.sin(np.pi * (x - np.round(x))))
    return np.log(np.pi / sine) - _lgamma_above(1 - x)


@computed_in_float64
def lgamma(x: Float64) -> Float64:
    """The logarithm of |gamma(x)|, infinite at 0, -1, -2, ... and at both infinities.

    Taylor series at 2 (DLMF 5.7.3) carried by the recurrence up to 10, Stirling's series (5.11.1)
    above, reflection (5.5.3) below -1/2.
    """
    return lgamma_kernel(x)


# Derivatives of log-gamma ------------------------------------------------------------------------

# The positive zero of digamma rounded to float64, and digamma there (its true zero is not a float64).
_ROOT = 1.4616321449683623
_VALUE_AT_ROOT = -9.2412655217294275e-17
_AT_ROOT = [
    (-1) ** n * float(v) for n, v in enumerate(_zeta_positive(np.arange(2.0, 27.0), np.full(25, _ROOT)))
]


def _digamma_positive(x: Float64) -> Float64:
    """The value for x > 0: recurrence up to 10 (DLMF 5.5.2), then the asymptotic series 5.11.2."""
    shifted, correction = x, np.zeros_like(x)
    for _ in range(int(ASYMPTOTIC)):
        below = shifted < ASYMPTOTIC
        correction = np.where(below, correction + 1 / shifted, correction)
        shifted = np.where(below, shifted + 1, shifted)
    inverse_square = 1 / (shifted * shifted)
    series = horner(inverse_square, _DIGAMMA[::-1]) * inverse_square
    result = np.log(shifted) - 0.5 / shifted - series - correction
    offset = x - _ROOT
    near_root = horner(offset, [*_AT_ROOT[::-1], _VALUE_AT_ROOT])
    return np.where(np.abs(offset) < 0.25, near_root, result)


def _digamma_negative(x: Float64) -> Float64:
    """The value for finite x < 0 that is no integer, by reflection (DLMF 5.5.4)."""
    return _digamma_positive(1 - x) - np.pi / np.tan(np.pi * (x - np.round(x)))


def digamma_kernel(x: Float64) -> Float64:
    """The kernel of `digamma`, for float64 arrays of one dimension."""
    result = evaluate_where(x > 0, _digamma_positive, x, otherwise=np.where(x == 0, -np.inf, np.nan))
    return evaluate_where((x < 0) & ~_is_integer(x), _digamma_negative, x, otherwise=result)


@computed_in_float64
def digamma(x: Float64) -> Float64:
    """The derivative of lgamma; minus infinity at either zero, nan at -1, -2, ... and at minus infinity.

    So it is in jax.lax since JAX 0.12; before, it was nan at zero.

    Taylor series at the positive zero, so that the values next to it keep their relative precision.
    """
    return digamma_kernel(x)


@computed_in_float64
def polygamma(m: Float64, x: Float64) -> Float64:
    """The m-th derivative of digamma: (-1)**(m + 1) m! zeta(m + 1, x) (DLMF 5.15.1, 25.11.12).

    nan unless m is an integer >= 0; for m = 0, digamma. As in jax.lax, m! is infinite from 171 on, and
    at a pole of x the value is infinite for odd m, nan for even m > 0.
    """
    order = m + 1
    valid = (m >= 0) & _is_integer(m)
    factorial = _FACTORIAL[np.clip(np.where(valid, m, 0), 0, 171).astype(np.int64)]
    sign = np.where(np.fmod(m, 2) == 1, 1.0, -1.0)
    result = np.where(valid & np.isfinite(m), sign * factorial * _zeta(order, x), np.nan)
    return np.where(m == 0, digamma_kernel(x), result)
