"""The incomplete gamma functions and their derivatives, as jax.lax defines them.

Imports the standard library and NumPy. The series and the continued fraction are those of Cephes
and jax.lax; the factor before them is computed without the cancellation of a log(x) - x - lgamma(a),
so that large arguments keep a relative accuracy of about 1e-12. From a = 1e7 on, Temme's uniform
expansion takes over.
"""

import math

import numpy as np

from ir.numerics.float64 import (
    EPS,
    Array,
    Float64,
    computed_in_float64,
    evaluate_where,
    horner,
    iterate,
    log1p_minus,
)
from ir.numerics.gamma_functions import ASYMPTOTIC, digamma_kernel, lgamma_1p, stirling_remainder

# From here on Temme's expansion; below, the loops take about 8 sqrt(a) steps where x is near a.
_UNIFORM = 1e7


def _prefactor(a: Float64, x: Float64) -> Float64:
    """x**a exp(-x) / gamma(a + 1), without cancellation for large a (Stirling's series, DLMF 5.11.1)."""
    small = np.exp(a * np.log(x) - x - lgamma_1p(a))
    mu = (x - a) / a
    near = np.abs(mu) <= 0.5
    exponent = np.where(near, log1p_minus(np.where(near, mu, 0.0)), np.log(x / a) - mu)
    large = np.exp(a * exponent - stirling_remainder(a)) / np.sqrt(2 * np.pi * a)
    return np.where(a < ASYMPTOTIC, small, large)


def _series(a: Float64, x: Float64) -> tuple[Float64, Float64]:
    """S(a, x) with P(a, x) = prefactor * S, and dS/da (DLMF 8.7.1): 1 + x/(a+1) + x**2/((a+1)(a+2)) + ..."""

    def step(state: Array, n: int) -> tuple[Array, Array]:
        term, total, d_term, d_total, a, x = state
        r = a + n
        d_term = d_term * (x / r) - term * x / (r * r)
        term = term * (x / r)
        total, d_total = total + term, d_total + d_term
        done = (term <= EPS * total) & (np.abs(d_term) <= EPS * np.abs(d_total))
        return np.stack([term, total, d_term, d_total, a, x]), done

    one, zero = np.ones_like(x), np.zeros_like(x)
    final = iterate(step, np.stack([one, one, zero, zero, a, x]))
    return final[1], final[3]


def _continued_fraction(a: Float64, x: Float64) -> tuple[Float64, Float64]:
    """F(a, x) with Q(a, x) = a * prefactor * F, and dF/da (Abramowitz and Stegun 6.5.31, contracted).

    Numerators p and denominators q follow the three-term recurrence of Cephes' igamc; their
    derivatives follow the recurrence differentiated. All are scaled back together before overflow.
    """

    def step(state: Array, n: int) -> tuple[Array, Array]:
        value, d_value, p1, q1, p2, q2, dp1, dq1, dp2, dq2, a, x = state
        y, z = 1 - a + n, 2 * n + 1 + x + (1 - a)
        yc = y * n
        p, q = p1 * z - p2 * yc, q1 * z - q2 * yc
        dp = dp1 * z - p1 - dp2 * yc + p2 * n
        dq = dq1 * z - q1 - dq2 * yc + q2 * n
        zero = q == 0
        new = np.where(zero, value, p / q)
        d_new = np.where(zero, d_value, (dp - new * dq) / q)
        scale = np.where(np.maximum(np.abs(p), np.abs(q)) > 1e100, 1e-100, 1.0)
        done = ~zero & (np.abs(new - value) <= EPS * np.abs(new))
        done &= np.abs(d_new - d_value) <= 4 * EPS * (np.abs(d_new) + np.abs(new))
        state = np.stack([new, d_new, p, q, p1, q1, dp, dq, dp1, dq1, a, x])
        state[2:10] *= scale
        return state, done

    x = np.minimum(x, 1e100)  # F and dF/da are 1/x and 0 to rounding from far below on
    one, zero = np.ones_like(x), np.zeros_like(x)
    p1, q1 = 1 + 1 / x, x + (1 - a) + 1
    value = p1 / q1
    initial = [value, value / q1, p1, q1, 1 / x, one, zero, -one, zero, zero, a, x]
    final = iterate(step, np.stack(initial))
    return final[0], final[1]


def _small_complement(a: Float64, x: Float64) -> Float64:
    """Q(a, x) where x < 1 and a is small, so that 1 - P would cancel: 1 - P by DLMF 8.7.3."""
    term, total = np.ones_like(x), np.zeros_like(x)
    for n in range(1, 26):
        term = term * (-x / n)
        total = total + term / (a + n)
    exponent = a * np.log(x) - lgamma_1p(a)
    return -np.expm1(exponent) - a * np.exp(exponent) * total


# Temme's uniform expansion -----------------------------------------------------------------------


def _uniform(a: Float64, x: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """P, Q, dP/da and -(dP/da)/(dP/dx) for large a: DLMF 8.12.3, 8.12.4 and 8.12.7, to order 1/a.

    c0 is 1/mu - 1/eta in closed form away from eta = 0 and by its Taylor series next to it.
    """
    mu = (x - a) / a
    near = np.abs(mu) <= 0.5
    half_square = -np.where(near, log1p_minus(np.where(near, mu, 0.0)), np.log(x / a) - mu)
    eta = np.copysign(np.sqrt(2 * half_square), mu)
    taylor = [-1 / 3, 1 / 12, -2 / 135, 1 / 864, 1 / 2835, -139 / 777600, 1 / 25515]
    slope = [k * c for k, c in enumerate(taylor)][1:]
    expand = np.abs(eta) < 0.03
    c0 = np.where(expand, horner(eta, taylor[::-1]), 1 / mu - 1 / eta)
    c0_slope = np.where(expand, horner(eta, slope[::-1]), 1 / eta**2 - eta * (1 + mu) / mu**3)
    c = c0 + (-1 / 540 - eta / 288) / a
    root = np.sqrt(a)
    u = eta * root
    density = np.exp(-a * half_square) / math.sqrt(2 * math.pi)
    half_erfc = np.frompyfunc(lambda t: 0.5 * math.erfc(t), 1, 1)
    lower = np.asarray(half_erfc(-u / math.sqrt(2)), np.float64) - density * c / root
    upper = np.asarray(half_erfc(u / math.sqrt(2)), np.float64) + density * c / root
    ratio = np.where(mu == 0, 1.0, mu / eta)
    d_eta = -ratio / a
    d_u = eta / (2 * root) + root * d_eta
    slope_in_a = d_u + (u * d_u * c - c0_slope * d_eta + c / (2 * a)) / root
    return lower, upper, density * slope_in_a, -slope_in_a * x / root * np.exp(stirling_remainder(a))


# The four functions ------------------------------------------------------------------------------


def _lower(a: Float64, x: Float64) -> Float64:
    def by_fraction(a: Float64, x: Float64) -> Float64:
        return 1 - a * _prefactor(a, x) * _continued_fraction(a, x)[0]

    def by_series(a: Float64, x: Float64) -> Float64:
        return _prefactor(a, x) * _series(a, x)[0]

    large = a >= _UNIFORM
    result = evaluate_where(large, lambda a, x: _uniform(a, x)[0], a, x, otherwise=np.nan)
    fraction = (x >= 1) & (x > a)
    result = evaluate_where(~large & fraction, by_fraction, a, x, otherwise=result)
    return evaluate_where(~large & ~fraction, by_series, a, x, otherwise=result)


def _upper(a: Float64, x: Float64) -> Float64:
    def by_fraction(a: Float64, x: Float64) -> Float64:
        return a * _prefactor(a, x) * _continued_fraction(a, x)[0]

    def by_series(a: Float64, x: Float64) -> Float64:
        return 1 - _prefactor(a, x) * _series(a, x)[0]

    large = a >= _UNIFORM
    result = evaluate_where(large, lambda a, x: _uniform(a, x)[1], a, x, otherwise=np.nan)
    fraction = (x >= 1) & (x >= a)
    # The boundary between the two ways below x = 1 is that of Cephes.
    small = (x < 1) & np.where(x <= 0.5, -0.4 / np.log(x) >= a, 1.1 * x >= a)
    result = evaluate_where(~large & fraction, by_fraction, a, x, otherwise=result)
    result = evaluate_where(~large & small, _small_complement, a, x, otherwise=result)
    return evaluate_where(~large & ~fraction & ~small, by_series, a, x, otherwise=result)


def _derivative(a: Float64, x: Float64) -> tuple[Float64, Float64]:
    """(dP/da, -(dP/da)/(dP/dx)) for finite positive a and x."""

    def by_fraction(a: Float64, x: Float64) -> Float64:
        value, slope = _continued_fraction(a, x)
        slope_in_a = value * (np.log(x) - digamma_kernel(a)) + slope
        return np.stack([-a * _prefactor(a, x) * slope_in_a, slope_in_a * x])

    def by_series(a: Float64, x: Float64) -> Float64:
        value, slope = _series(a, x)
        slope_in_a = value * (np.log(x) - digamma_kernel(a + 1)) + slope
        return np.stack([_prefactor(a, x) * slope_in_a, -slope_in_a * x / a])

    result = np.empty((2, a.size))
    large = a >= _UNIFORM
    fraction = (x > 1) & (x > a)
    for mask, method in (
        (large, lambda a, x: np.stack(_uniform(a, x)[2:])),
        (~large & fraction, by_fraction),
        (~large & ~fraction, by_series),
    ):
        if mask.any():
            result[:, mask] = method(a[mask], x[mask])
    return result[0], result[1]


@computed_in_float64
def igamma(a: Float64, x: Float64) -> Float64:
    """The regularised lower incomplete gamma function P(a, x) (DLMF 8.2.4).

    nan where a < 0, x < 0, or both are 0 or both infinite; else 0 at x = 0 and at a = inf, 1 at x = inf. At
    a = 0, where the series has no value, the results are those of jax.lax: 1 for x >= 1, nan below.
    """
    limit = np.where(a == 0, np.where(x >= 1, 1.0, np.nan), 0.0)
    limit = np.where(x == 0, 0.0, np.where(x == np.inf, 1.0, limit))
    invalid = ~((a >= 0) & (x >= 0)) | ((a == x) & ((x == 0) | (x == np.inf)))
    ordinary = ~invalid & (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    return evaluate_where(ordinary, _lower, a, x, otherwise=np.where(invalid, np.nan, limit))


@computed_in_float64
def igammac(a: Float64, x: Float64) -> Float64:
    """The regularised upper incomplete gamma function Q(a, x) = 1 - P(a, x) (DLMF 8.2.4).

    nan where a < 0, x < 0, or both are 0 or both infinite; else 1 at x = 0 and at a = inf, 0 at x = inf and
    at a = 0.
    """
    limit = np.where((x == np.inf) | (a == 0), 0.0, 1.0)
    invalid = ~((a >= 0) & (x >= 0)) | ((a == x) & ((x == 0) | (x == np.inf)))
    ordinary = ~invalid & (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    return evaluate_where(ordinary, _upper, a, x, otherwise=np.where(invalid, np.nan, limit))


def _derivative_at(index: int, a: Float64, x: Float64) -> Float64:
    at_zero = np.where((x == 0) & (a > 0), 0.0, np.nan)
    ordinary = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    return evaluate_where(ordinary, lambda a, x: _derivative(a, x)[index], a, x, otherwise=at_zero)


@computed_in_float64
def igamma_grad_a(a: Float64, x: Float64) -> Float64:
    """dP(a, x)/da: the series and the fraction of igamma, differentiated term by term.

    nan where a <= 0, x < 0 or either is infinite; 0 at x = 0.
    """
    return _derivative_at(0, a, x)


@computed_in_float64
def random_gamma_grad(a: Float64, x: Float64) -> Float64:
    """The derivative with respect to a of a sample x from Gamma(a, 1): -(dP/da)/(dP/dx).

    Implicit reparametrisation, M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization
    gradients", NeurIPS 2018. nan where a <= 0, x < 0 or either is infinite; 0 at x = 0.
    """
    return _derivative_at(1, a, x)
