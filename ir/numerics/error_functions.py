"""The error function, its complement and its inverse, as jax.lax defines them.

Imports the standard library and NumPy. Accurate to a few units in the last place of float64.
"""

import math

import numpy as np

from ir.numerics.float64 import Float64, computed_in_float64, horner

_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


@computed_in_float64
def erf(x: Float64) -> Float64:
    """The error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x.

    DLMF 7.2.1, by the C library.
    """
    return np.asarray(_erf(x), np.float64)


@computed_in_float64
def erfc(x: Float64) -> Float64:
    """The complement 1 - erf(x), without cancellation for large x (DLMF 7.2.2), by the C library."""
    return np.asarray(_erfc(x), np.float64)


# Numerator and denominator by region, highest power first, from the paper (PPND16).
_CENTRE = (
    [
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ],
    [
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ],
)
_NEAR_TAIL = (
    [
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ],
    [
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ],
)
_FAR_TAIL = (
    [
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ],
    [
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ],
)


def _rational(x: Float64, coefficients: tuple[list[float], list[float]]) -> Float64:
    numerator, denominator = coefficients
    return horner(x, numerator) / horner(x, denominator)


@computed_in_float64
def erf_inv(x: Float64) -> Float64:
    """The inverse of erf: infinite at -1 and 1, nan outside.

    The normal quantile of M. J. Wichura, "Algorithm AS 241: The percentage points of the normal
    distribution", Applied Statistics 37 (1988), at p = (1 + x)/2, divided by sqrt(2). Taking x
    rather than p keeps full relative precision at 0 and near -1 and 1.
    """
    centre = x / 2 * _rational(0.180625 - x * x / 4, _CENTRE)
    r = np.sqrt(-np.log((1 - np.abs(x)) / 2))
    tail = np.copysign(np.where(r <= 5, _rational(r - 1.6, _NEAR_TAIL), _rational(r - 5, _FAR_TAIL)), x)
    result = np.where(np.abs(x) <= 0.85, centre, tail) / math.sqrt(2)
    result = np.where(np.abs(x) == 1, np.copysign(np.inf, x), result)
    return np.where(np.abs(x) > 1, np.nan, result)
