"""The regularised incomplete beta function, as jax.lax defines it.

Imports the standard library and NumPy. Relative accuracy about 1e-12, or what one rounding of x
makes of the result where the arguments are large; absolute accuracy where x > 0.95 and b is small,
because there the value is one minus its complement.
"""

import numpy as np

from ir.numerics.float64 import (
    EPS,
    Array,
    Float64,
    computed_in_float64,
    evaluate_where,
    iterate,
    log1p_minus,
)
from ir.numerics.gamma_functions import ASYMPTOTIC, lgamma_1p, lgamma_kernel, stirling_remainder

# What the modified Lentz method puts in the place of a zero denominator.
TINY = 1e-300


def _lgamma_difference(b: Float64, a: Float64) -> Float64:
    """lgamma(b) - lgamma(a + b) for a > 0, by Stirling's series from b = 10 on (DLMF 5.11.1)."""
    direct = lgamma_kernel(b) - lgamma_kernel(a + b)
    large = -(b - 0.5) * np.log1p(a / b) - a * (np.log(a + b) - 1)
    return np.where(b < ASYMPTOTIC, direct, large + stirling_remainder(b) - stirling_remainder(a + b))


def _log_a_beta(a: Float64, b: Float64) -> Float64:
    """log(a B(a, b)), the larger argument paired with the sum so that nothing large cancels."""
    b_larger = lgamma_1p(a) + _lgamma_difference(b, a)
    a_larger = np.log(a) + lgamma_kernel(b) + _lgamma_difference(a, b)
    return np.where(b >= a, b_larger, a_larger)


def _prefactor(a: Float64, b: Float64, log_x: Float64, log_y: Float64, excess: Float64) -> Float64:
    """x**a y**b / (a B(a, b)), with y = 1 - x and excess = a - (a + b) x.

    Where both a and b are large, powers are taken of x and y relative to their means a/(a + b) and
    b/(a + b), whose first-order terms cancel exactly.
    """

    def scaled(n: Float64, other: Float64, log: Float64, mu: Float64) -> Float64:
        near = np.abs(mu) <= 0.5
        return n * np.where(near, log1p_minus(np.where(near, mu, 0.0)), log + np.log1p(other / n) - mu)

    direct = np.exp(a * log_x + b * log_y - _log_a_beta(a, b))
    exponent = scaled(a, b, log_x, -excess / a) + scaled(b, a, log_y, excess / b)
    correction = stirling_remainder(a + b) - stirling_remainder(a) - stirling_remainder(b)
    large = np.exp(exponent + correction) * np.sqrt(b / (a + b) / (2 * np.pi * a))
    return np.where(np.minimum(a, b) < ASYMPTOTIC, direct, large)


def _fraction(a: Float64, b: Float64, x: Float64, excess: Float64) -> Float64:
    """The even part of the continued fraction DLMF 8.17.22, by the modified Lentz method.

    excess = a - (a + b) x, greater than -1, replaces the difference that cancels where x is near 1:
    A. R. DiDonato, A. H. Morris, ACM Trans. Math. Softw. 18 (1992), "Algorithm 708", BFRAC. The method:
    I. J. Thompson, A. R. Barnett, J. Comput. Phys. 64 (1986).
    """

    def step(state: Array, m: int) -> tuple[Array, Array]:
        value, c, d, a, b, x, excess = state
        odd = (a + m - 1) / (a + 2 * m - 2) * ((a + b + m - 1) / (a + 2 * m - 1)) * x
        even = m / (a + 2 * m - 1) * ((b - m) / (a + 2 * m)) * x
        rest = (a + m) / (a + 2 * m + 1) * (1 + excess + m * (2 - x))
        partial = even + (m + rest) / (a + 2 * m)
        d = partial + odd * even * d
        d = 1 / np.where(np.abs(d) < TINY, TINY, d)
        c = partial + odd * even / c
        c = np.where(np.abs(c) < TINY, TINY, c)
        return np.stack([value * (c * d), c, d, a, b, x, excess]), np.abs(c * d - 1) <= EPS

    first = (1 + excess) / (a + 1)
    return np.asarray(1 / iterate(step, np.stack([first, first, np.zeros_like(x), a, b, x, excess]))[0])


def _power_series(a: Float64, b: Float64, x: Float64) -> Float64:
    """The expansion DLMF 8.17.7 in powers of x, for b x <= 1: a small value stays precise."""

    def step(state: Array, n: int) -> tuple[Array, Array]:
        power, total, a, b, x = state
        power = power * ((n - b) / n) * x
        term = a / (a + n) * power
        return np.stack([power, total + term, a, b, x]), np.abs(term) <= EPS / 16 * np.abs(total)

    one = np.ones_like(x)
    total = iterate(step, np.stack([one, one, a, b, x]))[1]
    return np.asarray(np.exp(a * np.log(x) - _log_a_beta(a, b)) * total)


def _betainc(a: Float64, b: Float64, x: Float64) -> Float64:
    """I_x(a, b) for finite positive a and b and 0 < x < 1."""

    def direct(a: Float64, b: Float64, x: Float64) -> Float64:
        excess = a * (1 - x) - b * x
        factor = _prefactor(a, b, np.log(x), np.log1p(-x), excess)
        return factor * _fraction(a, b, x, excess)

    def complement(a: Float64, b: Float64, x: Float64) -> Float64:
        excess = b * x - a * (1 - x)
        factor = _prefactor(b, a, np.log1p(-x), np.log(x), excess)
        return 1 - factor * _fraction(b, a, 1 - x, excess)

    rapid = x < (a + 1) / (a + b + 2)  # where the fraction converges rapidly, DLMF 8.17(v)
    series = ~rapid & (b * x <= 1) & (x <= 0.95)
    result = evaluate_where(rapid, direct, a, b, x, otherwise=np.nan)
    result = evaluate_where(series, _power_series, a, b, x, otherwise=result)
    return evaluate_where(~rapid & ~series, complement, a, b, x, otherwise=result)


@computed_in_float64
def regularized_incomplete_beta(a: Float64, b: Float64, x: Float64) -> Float64:
    """I_x(a, b) (DLMF 8.17.2): nan where a < 0, b < 0 or x is outside [0, 1].

    As in jax.lax: all mass is at 0 where a = 0 or b = inf, at 1 where b = 0 or a = inf, and the value
    is nan where both hold.
    """
    mass_at_0 = (a == 0) | (b == np.inf)
    mass_at_1 = (b == 0) | (a == np.inf)
    invalid = ~((a >= 0) & (b >= 0) & (x >= 0) & (x <= 1)) | (mass_at_0 & mass_at_1)
    limit = np.where((mass_at_0 & (x > 0)) | (x == 1), 1.0, 0.0)
    ordinary = ~invalid & ~mass_at_0 & ~mass_at_1 & (x > 0) & (x < 1)
    return evaluate_where(ordinary, _betainc, a, b, x, otherwise=np.where(invalid, np.nan, limit))
