"""Special functions: error functions, the gamma and beta families, zeta, scaled Bessel functions.

All take real floats. Derivatives are those of `jax.lax`; where it has none, asking for one raises, but
for that of zeta by q, which is elementary. Evaluation is in float64 and rounded once.
"""

from __future__ import annotations

import math

from ir.core import Value
from ir.numerics.bessel import bessel_i0e as eval_i0e
from ir.numerics.bessel import bessel_i1e as eval_i1e
from ir.numerics.error_functions import erf as eval_erf
from ir.numerics.error_functions import erf_inv as eval_erf_inv
from ir.numerics.error_functions import erfc as eval_erfc
from ir.numerics.gamma_functions import digamma as eval_digamma
from ir.numerics.gamma_functions import lgamma as eval_lgamma
from ir.numerics.gamma_functions import polygamma as eval_polygamma
from ir.numerics.gamma_functions import zeta as eval_zeta
from ir.numerics.incomplete import igamma as eval_igamma
from ir.numerics.incomplete import igamma_grad_a as eval_igamma_grad_a
from ir.numerics.incomplete import igammac as eval_igammac
from ir.numerics.incomplete import random_gamma_grad as eval_random_gamma_grad
from ir.numerics.incomplete_beta import regularized_incomplete_beta as eval_betainc
from ir.numerics.precision import finfo
from ir.op import Op
from ir.ops.arithmetic import abs, add, integer_pow, mul, neg, sign, square, sub
from ir.ops.families import (
    FLOAT,
    binary,
    op,
    require_dtype,
    same_types,
    sum_of_partials,
    unary,
    undefined,
)
from ir.ops.logic import gt, select
from ir.ops.shape import full_like
from ir.ops.transcendental import exp, log, log1p
from ir.types import TensorType

# Error functions ----------------------------------------------------------------------------------


def _gaussian(x: Value, scale: float) -> Value:
    """The product scale * exp(-x**2)."""
    return mul(full_like(x, scale), exp(neg(square(x))))  # type: ignore[no-any-return]


erf = unary(
    "erf",
    on=FLOAT,
    eval=eval_erf,
    jvp=lambda dx, x, y: mul(dx, _gaussian(x, 2 / math.sqrt(math.pi))),
    weight=50,
)
erfc = unary(
    "erfc",
    on=FLOAT,
    eval=eval_erfc,
    jvp=lambda dx, x, y: mul(dx, _gaussian(x, -2 / math.sqrt(math.pi))),
    weight=50,
)
erf_inv = unary(
    "erf_inv",
    on=FLOAT,
    eval=eval_erf_inv,
    jvp=lambda dx, x, y: mul(dx, mul(full_like(x, math.sqrt(math.pi) / 2), exp(square(y)))),
    weight=50,
    tame=0.0,
)

# Gamma, its derivatives, zeta ---------------------------------------------------------------------

lgamma = unary(
    "lgamma", on=FLOAT, eval=eval_lgamma, jvp=lambda dx, x, y: mul(dx, digamma(x)), weight=50, tame=1.0
)
digamma: Op = unary(
    "digamma",
    on=FLOAT,
    eval=eval_digamma,
    jvp=lambda dx, x, y: mul(dx, polygamma(full_like(x, 1), x)),
    weight=50,
    tame=1.0,
)
# polygamma(m, x): the m-th derivative of digamma at x.
polygamma: Op = binary(
    "polygamma",
    on=FLOAT,
    eval=eval_polygamma,
    jvp=(
        undefined("polygamma", "m"),
        lambda dx, m, x, y: mul(dx, polygamma(add(m, full_like(m, 1)), x)),
    ),
    weight=50,
    tame=(1.0, 1.0),
)
# zeta(x, q): Hurwitz zeta, the sum of (q + k)**-x over k >= 0.
zeta: Op = binary(
    "zeta",
    on=FLOAT,
    eval=eval_zeta,
    jvp=(
        undefined("zeta", "x"),
        lambda dq, x, q, y: mul(dq, mul(neg(x), zeta(add(x, full_like(x, 1)), q))),
    ),
    weight=50,
    tame=(2.0, 1.0),
)

# Incomplete gamma and beta ------------------------------------------------------------------------


def _gamma_density(a: Value, x: Value) -> Value:
    """The derivative of igamma by x: x**(a - 1) exp(-x) / gamma(a)."""
    powers = mul(sub(a, full_like(a, 1)), log(x))
    return exp(sub(sub(powers, x), lgamma(a)))  # type: ignore[no-any-return]


def _beta_density(a: Value, b: Value, x: Value) -> Value:
    """The derivative of the incomplete beta function by x: x**(a - 1) (1 - x)**(b - 1) / B(a, b)."""
    one = full_like(x, 1)
    powers = add(mul(sub(b, one), log1p(neg(x))), mul(sub(a, one), log(x)))
    return exp(sub(powers, sub(add(lgamma(a), lgamma(b)), lgamma(add(a, b)))))  # type: ignore[no-any-return]


# igamma(a, x), igammac(a, x): the regularised lower and upper incomplete gamma functions.
igamma = binary(
    "igamma",
    on=FLOAT,
    eval=eval_igamma,
    jvp=(
        lambda da, a, x, y: mul(da, igamma_grad_a(a, x)),
        lambda dx, a, x, y: mul(dx, _gamma_density(a, x)),
    ),
    weight=50,
    tame=(1.0, 1.0),
)
igammac = binary(
    "igammac",
    on=FLOAT,
    eval=eval_igammac,
    jvp=(
        lambda da, a, x, y: mul(da, neg(igamma_grad_a(a, x))),
        lambda dx, a, x, y: mul(dx, neg(_gamma_density(a, x))),
    ),
    weight=50,
    tame=(1.0, 1.0),
)
# The derivative of igamma by a; and by a of a sample x of the gamma distribution.
igamma_grad_a: Op = binary("igamma_grad_a", on=FLOAT, eval=eval_igamma_grad_a, jvp=None, weight=50)
random_gamma_grad = binary("random_gamma_grad", on=FLOAT, eval=eval_random_gamma_grad, jvp=None, weight=50)


def _betainc_type(a: TensorType, b: TensorType, x: TensorType) -> TensorType:
    same_types("regularized_incomplete_beta", (a, b, x))
    require_dtype("regularized_incomplete_beta", x, FLOAT)
    return x


# regularized_incomplete_beta(a, b, x): `jax.lax.betainc`.
regularized_incomplete_beta = op(
    "regularized_incomplete_beta",
    type=_betainc_type,
    eval=eval_betainc,
    jvp=sum_of_partials(
        (
            undefined("regularized_incomplete_beta", "a"),
            undefined("regularized_incomplete_beta", "b"),
            lambda dx, a, b, x, y: mul(dx, _beta_density(a, b, x)),
        )
    ),
    flops=lambda operands, results: 50 * results[0].size,
    elementwise=True,
    tame=(1.0, 1.0, 0.5),
)

# Bessel functions ---------------------------------------------------------------------------------


def _i1e_jvp(dx: Value, x: Value, y: Value) -> Value:
    """The slope is i0e(x) - y (sign(x) + 1/x), whose limit at 0 is 1/2."""
    eps = full_like(x, float(finfo(x.type.dtype.np).eps))
    ordinary = gt(abs(x), eps)
    safe = select(ordinary, x, eps)
    slope = sub(bessel_i0e(safe), mul(y, add(sign(safe), integer_pow(safe, y=-1))))
    return mul(dx, select(ordinary, slope, full_like(x, 0.5)))  # type: ignore[no-any-return]


# exp(-|x|) I_0(x) and exp(-|x|) I_1(x).
bessel_i0e = unary(
    "bessel_i0e",
    on=FLOAT,
    eval=eval_i0e,
    jvp=lambda dx, x, y: mul(dx, sub(bessel_i1e(x), mul(sign(x), y))),
    weight=50,
)
bessel_i1e: Op = unary("bessel_i1e", on=FLOAT, eval=eval_i1e, jvp=_i1e_jvp, weight=50)
