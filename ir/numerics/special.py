"""Every function of jax.lax that NumPy lacks or defines otherwise, under its jax.lax name.

One place to import from; the algorithms and their sources are in the themed modules beside this one.
All compute with NumPy alone, take arrays of any shape, and emit no NumPy warning.
"""

from ir.numerics.bessel import bessel_i0e, bessel_i1e
from ir.numerics.elementwise import (
    acos,
    acosh,
    asin,
    asinh,
    clamp,
    count_leading_zeros,
    div,
    integer_pow,
    log1p,
    logistic,
    maximum,
    minimum,
    nextafter,
    population_count,
    pow,
    rem,
    round,
    rsqrt,
    shift_right_arithmetic,
    shift_right_logical,
    sign,
    sqrt,
)
from ir.numerics.error_functions import erf, erf_inv, erfc
from ir.numerics.gamma_functions import digamma, lgamma, polygamma, zeta
from ir.numerics.incomplete import igamma, igamma_grad_a, igammac, random_gamma_grad
from ir.numerics.incomplete_beta import regularized_incomplete_beta

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "bessel_i0e",
    "bessel_i1e",
    "clamp",
    "count_leading_zeros",
    "digamma",
    "div",
    "erf",
    "erf_inv",
    "erfc",
    "igamma",
    "igamma_grad_a",
    "igammac",
    "integer_pow",
    "lgamma",
    "log1p",
    "logistic",
    "maximum",
    "minimum",
    "nextafter",
    "polygamma",
    "population_count",
    "pow",
    "random_gamma_grad",
    "regularized_incomplete_beta",
    "rem",
    "round",
    "rsqrt",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sign",
    "sqrt",
    "zeta",
]
