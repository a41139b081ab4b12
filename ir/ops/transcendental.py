"""Powers, exponentials, logarithms, trigonometric and hyperbolic functions.

Derivatives are those of `jax.lax`; they hold for real and complex elements alike.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.core import Array, Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics.precision import is_complex, widen
from ir.op import Op
from ir.ops.arithmetic import add, div, integer_pow, mul, neg, one_minus_square, rsqrt, square, sub
from ir.ops.convert import convert
from ir.ops.families import INEXACT, binary, op, require_dtype, sum_of_partials, unary, widened
from ir.ops.logic import eq, select
from ir.ops.shape import full_like, zeros_like
from ir.types import TensorType


def _one(x: Value) -> Value:
    return full_like(x, 1)


def _nonzero(x: Value) -> Value:
    """The operand with zeros replaced by ones."""
    return select(eq(x, zeros_like(x)), _one(x), x)  # type: ignore[no-any-return]


# Powers -------------------------------------------------------------------------------------------


def _pow_type(x: TensorType, y: TensorType) -> TensorType:
    require_dtype("pow", x, INEXACT)
    if x.shape != y.shape:
        raise ShapeError(f"pow: expected operands of equal shape, got {x} and {y}")
    if y is not x and not y.dtype.is_integer:
        raise IRTypeError(f"pow: expected an exponent of type {x} or of integers, got {y}")
    return x


def _pow_jvp_base(dx: Value, x: Value, y: Value, z: Value) -> Value:
    if y.type.dtype.is_integer:
        # An exponent of 0 has slope 0 * x**0: no 0 * inf arises at x = 0.
        slope = mul(convert(y, dtype=x.type.dtype), pow(x, sub(_nonzero(y), _one(y))))
    else:
        slope = mul(y, pow(x, sub(y, _one(y))))
    return mul(dx, slope)  # type: ignore[no-any-return]


def _pow_jvp_exponent(dy: Value, x: Value, y: Value, z: Value) -> Value:
    return mul(dy, mul(log(_nonzero(x)), z))  # type: ignore[no-any-return]


# pow(x, y): y is of the type of x, or integers of its shape.
pow = op(
    "pow",
    type=_pow_type,
    eval=lambda x, y: np.power(widen(x), y.astype(widen(x).dtype)),
    jvp=sum_of_partials((_pow_jvp_base, _pow_jvp_exponent)),
    flops=lambda operands, results: 10 * results[0].size,
    elementwise=True,
    tame=(1.0, None),
)

# Exponentials and logarithms ----------------------------------------------------------------------


def _log1p_eval(x: Array) -> Array:
    if not is_complex(x.dtype):
        return np.asarray(np.log1p(x))
    # log|1 + x| without the cancellation that NumPy's complex log1p has next to 0.
    modulus = np.log1p(x.real * (2 + x.real) + x.imag**2) / 2
    modulus = np.where(np.abs(x) < 0.5, modulus, np.log(np.abs(1 + x)))
    return np.asarray(modulus + 1j * np.arctan2(x.imag, 1 + x.real))


def _logistic_eval(x: Array) -> Array:
    return np.asarray(np.divide(1, 1 + np.exp(-x)))


exp = unary("exp", on=INEXACT, eval=widened(np.exp), jvp=lambda dx, x, y: mul(dx, y), weight=10, tame=0.0)
exp2 = unary(
    "exp2",
    on=INEXACT,
    eval=widened(np.exp2),
    jvp=lambda dx, x, y: mul(dx, mul(full_like(y, math.log(2)), y)),
    weight=10,
    tame=0.0,
)
expm1 = unary(
    "expm1",
    on=INEXACT,
    eval=widened(np.expm1),
    jvp=lambda dx, x, y: mul(dx, add(y, _one(y))),
    weight=10,
    tame=0.0,
)
log = unary("log", on=INEXACT, eval=widened(np.log), jvp=lambda dx, x, y: div(dx, x), weight=10, tame=1.0)
log1p = unary(
    "log1p",
    on=INEXACT,
    eval=widened(_log1p_eval),
    jvp=lambda dx, x, y: div(dx, add(x, _one(x))),
    weight=10,
    tame=0.0,
)
# logistic(x) = 1 / (1 + exp(-x))
logistic = unary(
    "logistic",
    on=INEXACT,
    eval=widened(_logistic_eval),
    jvp=lambda dx, x, y: mul(dx, mul(y, sub(_one(y), y))),
    weight=10,
)

# Trigonometric functions --------------------------------------------------------------------------

sin = unary("sin", on=INEXACT, eval=widened(np.sin), jvp=lambda dx, x, y: mul(dx, cos(x)), weight=10)
cos: Op = unary("cos", on=INEXACT, eval=widened(np.cos), jvp=lambda dx, x, y: mul(dx, neg(sin(x))), weight=10)
tan = unary(
    "tan", on=INEXACT, eval=widened(np.tan), jvp=lambda dx, x, y: mul(dx, add(_one(y), square(y))), weight=10
)
asin = unary(
    "asin",
    on=INEXACT,
    eval=widened(np.arcsin),
    jvp=lambda dx, x, y: mul(dx, rsqrt(sub(_one(x), square(x)))),
    weight=10,
    tame=0.0,
)
acos = unary(
    "acos",
    on=INEXACT,
    eval=widened(np.arccos),
    jvp=lambda dx, x, y: mul(dx, neg(rsqrt(sub(_one(x), square(x))))),
    weight=10,
    tame=0.0,
)
atan = unary(
    "atan",
    on=INEXACT,
    eval=widened(np.arctan),
    jvp=lambda dx, x, y: div(dx, add(_one(x), square(x))),
    weight=10,
)


def _atan2_eval(x: Array, y: Array) -> Any:
    if not is_complex(x.dtype):
        return np.arctan2(x, y)
    return -1j * np.log((y + 1j * x) / np.sqrt(x * x + y * y))


# atan2(x, y): the angle of the point with ordinate x and abscissa y.
atan2 = binary(
    "atan2",
    on=INEXACT,
    eval=widened(_atan2_eval),
    jvp=(
        lambda dx, x, y, z: mul(dx, div(y, add(square(x), square(y)))),
        lambda dy, x, y, z: mul(dy, div(neg(x), add(square(x), square(y)))),
    ),
    weight=10,
    tame=(None, 1.0),
)

# Hyperbolic functions -----------------------------------------------------------------------------

sinh = unary(
    "sinh", on=INEXACT, eval=widened(np.sinh), jvp=lambda dx, x, y: mul(dx, cosh(x)), weight=10, tame=0.0
)
cosh: Op = unary(
    "cosh", on=INEXACT, eval=widened(np.cosh), jvp=lambda dx, x, y: mul(dx, sinh(x)), weight=10, tame=0.0
)
# One equation for 1 - y**2: as a product of two factors, each derivative of it would have twice as many terms.
tanh = unary(
    "tanh",
    on=INEXACT,
    eval=widened(np.tanh),
    jvp=lambda dx, x, y: mul(dx, one_minus_square(y)),
    weight=10,
)
asinh = unary(
    "asinh",
    on=INEXACT,
    eval=widened(np.arcsinh),
    jvp=lambda dx, x, y: mul(dx, rsqrt(add(square(x), _one(x)))),
    weight=10,
)
# Two roots: that of x**2 - 1 has the other sign left of the imaginary axis, and less precision near 1.
acosh = unary(
    "acosh",
    on=INEXACT,
    eval=widened(np.arccosh),
    jvp=lambda dx, x, y: mul(dx, mul(rsqrt(sub(x, _one(x))), rsqrt(add(x, _one(x))))),
    weight=10,
    tame=2.0,
)
atanh = unary(
    "atanh",
    on=INEXACT,
    eval=widened(np.arctanh),
    jvp=lambda dx, x, y: mul(div(dx, sub(_one(x), x)), integer_pow(add(_one(x), x), y=-1)),
    weight=10,
    tame=0.0,
)
