"""Arithmetic: sums, products, quotients, roots and integer powers, extrema, rounding, complex parts.

Derivatives follow `jax.lax`, kinks and ties included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Array, Value
from ir.errors import DifferentiationError, IRTypeError
from ir.numerics.precision import is_complex, is_integer
from ir.op import Op
from ir.ops.families import (
    COMPLEX,
    FLOAT,
    INEXACT,
    LINEAR,
    NUMBER,
    ORDERED,
    ZERO,
    Linear,
    binary,
    op,
    require_dtype,
    same_types,
    sum_of_partials,
    unary,
    widened,
)
from ir.ops.logic import and_, eq, ge, gt, lt, maximum, minimum, or_, select
from ir.ops.shape import full_like, zeros_like
from ir.types import DType, TensorType, bool_, c64, c128, f32, f64

# Sums and products --------------------------------------------------------------------------------


def _mul_transpose(ct: Value, x: Value | Linear, y: Value | Linear) -> tuple[Value | None, Value | None]:
    if isinstance(x, Linear):
        if isinstance(y, Linear):
            raise DifferentiationError("mul is linear in each operand but not in both")
        return mul(ct, y), None
    return None, mul(ct, x)


neg: Op = unary("neg", on=NUMBER, eval=widened(np.negative), jvp=LINEAR, transpose=lambda ct, x: neg(ct))
add = binary(
    "add",
    on=NUMBER,
    eval=widened(np.add),
    jvp=(lambda dx, x, y, z: dx, lambda dy, x, y, z: dy),
    transpose=lambda ct, x, y: (ct if isinstance(x, Linear) else None, ct if isinstance(y, Linear) else None),
)
sub = binary(
    "sub",
    on=NUMBER,
    eval=widened(np.subtract),
    jvp=(lambda dx, x, y, z: dx, lambda dy, x, y, z: neg(dy)),
    transpose=lambda ct, x, y: (
        ct if isinstance(x, Linear) else None,
        neg(ct) if isinstance(y, Linear) else None,
    ),
)
mul: Op = binary(
    "mul",
    on=NUMBER,
    eval=widened(np.multiply),
    jvp=(lambda dx, x, y, z: mul(dx, y), lambda dy, x, y, z: mul(x, dy)),
    transpose=_mul_transpose,
)
square = unary(
    "square",
    on=NUMBER,
    eval=widened(np.square),
    jvp=lambda dx, x, y: mul(dx, mul(full_like(x, 2), x)),
)
# 1 - x**2 without cancellation near 1; of the derivative there is none near 0.
one_minus_square = unary(
    "one_minus_square",
    on=NUMBER,
    eval=widened(lambda x: (1 - x) * (1 + x)),
    jvp=lambda dx, x, y: mul(dx, mul(full_like(x, -2), x)),
    weight=3,
)

# Quotients ----------------------------------------------------------------------------------------


def _div_eval(x: Array, y: Array) -> Array:
    """Integers truncate toward zero; a quotient by zero has all bits set, as on XLA's CPU and GPU."""
    if not is_integer(x.dtype):
        return np.asarray(np.divide(x, y))
    divisor = np.where(y == 0, 1, y)
    return np.where(y == 0, np.array(-1).astype(x.dtype), (x - np.fmod(x, divisor)) // divisor)


def _rem_eval(x: Array, y: Array) -> Array:
    """The remainder of truncation, signed like x; of a division by integer zero, x."""
    if not is_integer(x.dtype):
        return np.asarray(np.fmod(x, y))
    return np.where(y == 0, x, np.fmod(x, np.where(y == 0, 1, y)))


def _div_transpose(ct: Value, x: Value | Linear, y: Value | Linear) -> tuple[Value, None]:
    if isinstance(y, Linear):
        raise DifferentiationError("div is linear in its numerator but not in its denominator")
    return div(ct, y), None


def _div_jvp(tangents: Any, operands: Any, results: Any) -> tuple[Value]:
    """(dx - z dy) / y by the quotient z: one division, and no power of y that leaves the range where z does not."""
    (dx, dy), (_, y), (z,) = tangents, operands, results
    if dy is None:
        return (div(dx, y),)
    moved = mul(z, dy)
    return (div(neg(moved) if dx is None else sub(dx, moved), y),)


div: Op = binary(
    "div",
    on=NUMBER,
    eval=widened(_div_eval),
    jvp=_div_jvp,
    transpose=_div_transpose,
    tame=(None, 1.0),
)


def _truncated_quotient(x: Value, y: Value) -> Value:
    quotient = div(x, y)
    return mul(sign(quotient), floor(abs(quotient)))  # type: ignore[no-any-return]


rem = binary(
    "rem",
    on=NUMBER - COMPLEX,
    eval=widened(_rem_eval),
    jvp=(lambda dx, x, y, z: dx, lambda dy, x, y, z: mul(dy, neg(_truncated_quotient(x, y)))),
    tame=(None, 1.0),
)

# Integer powers and roots -------------------------------------------------------------------------


def _integer_pow_result(x: DType, *, y: int) -> DType:
    if type(y) is not int:
        raise IRTypeError(f"integer_pow: expected an int for y, got {y!r}")
    if y < 0 and x.is_integer:
        raise IRTypeError(f"integer_pow: expected an exponent >= 0 for elements of type {x}, got {y}")
    return x


def _integer_pow_eval(x: Array, *, y: int) -> Array:
    """By repeated squaring, as the lowering multiplies."""
    power, factor, rest = np.ones_like(x), x, np.abs(y)
    while rest:
        power = power * factor if rest & 1 else power
        factor, rest = factor * factor, rest >> 1
    return np.divide(1, power) if y < 0 else power


def _integer_pow_jvp(dx: Value, x: Value, out: Value, *, y: int) -> Value | None:
    if y == 0:
        return None
    if y == 1:
        return dx
    slope = x if y == 2 else integer_pow(x, y=y - 1)
    return mul(dx, mul(full_like(x, y), slope))  # type: ignore[no-any-return]


def _integer_pow_weight(*, y: int) -> int:
    """Multiplications by repeated squaring, and the division where y < 0."""
    bits = f"{-y if y < 0 else y:b}"
    return len(bits) - 1 + bits.count("1") - 1 + (y < 0) if y else 0


# integer_pow(x, y=n): x**n for a constant integer n.
integer_pow: Op = unary(
    "integer_pow",
    on=NUMBER,
    eval=widened(_integer_pow_eval),
    jvp=_integer_pow_jvp,
    attrs=("y",),
    result=_integer_pow_result,
    weight=_integer_pow_weight,
    tame=lambda *, y: (1.0 if y < 0 else None,),
)
sqrt = unary(
    "sqrt",
    on=INEXACT,
    eval=widened(np.sqrt),
    jvp=lambda dx, x, y: mul(dx, div(full_like(x, 0.5), y)),
    weight=10,
    tame=1.0,
)
rsqrt = unary(
    "rsqrt",
    on=INEXACT,
    eval=widened(lambda x: np.divide(1, np.sqrt(x))),
    jvp=lambda dx, x, y: mul(dx, mul(full_like(x, -0.5), div(y, x))),
    weight=10,
    tame=1.0,
)
cbrt = unary(
    "cbrt",
    on=FLOAT,
    eval=widened(np.cbrt),
    jvp=lambda dx, x, y: mul(dx, mul(full_like(x, 1 / 3), integer_pow(y, y=-2))),
    weight=10,
    tame=1.0,
)

# Magnitude, extrema -------------------------------------------------------------------------------


def _real_part(dtype: DType) -> DType:
    return dtype.real


def _abs_jvp(dx: Value, x: Value, y: Value) -> Value:
    if not x.type.dtype.is_complex:
        return select(ge(x, zeros_like(x)), dx, neg(dx))  # type: ignore[no-any-return]
    # The derivative along dx is the real part of dx * conj(x) / |x|; 0 at 0.
    magnitude = complex(select(eq(y, zeros_like(y)), full_like(y, 1), y), zeros_like(y))
    return real(mul(dx, div(conj(x), magnitude)))  # type: ignore[no-any-return]


def _sign_eval(x: Array) -> Array:
    if is_complex(x.dtype):
        return np.where(x == 0, 0, x / np.abs(x))
    return np.where(x == 0, x, np.sign(x))  # keeps the sign of zero


def _sign_jvp(dx: Value, x: Value, y: Value) -> Value | None:
    """Zero for real x. A complex x / |x| turns: i y times the imaginary part of dx * conj(y), over |x|."""
    if not x.type.dtype.is_complex:
        return None
    size = abs(x)
    inverse = div(full_like(size, 1), select(eq(size, zeros_like(size)), full_like(size, 1), size))
    turn = mul(imag(mul(dx, conj(y))), inverse)
    return mul(mul(full_like(y, 1j), y), complex(turn, zeros_like(turn)))  # type: ignore[no-any-return]


def _share(x: Value, y: Value, extremum: Value, beats: Op) -> Value:
    """The derivative of max or min by x: 1 where x is taken, 1/2 where x and y tie, otherwise 0.

    The operands are compared with each other, not with the result: XLA may compute an operand once for
    the result and again here with other roundings, and then it equals the result nowhere.
    """
    one, zero = full_like(x, 1), zeros_like(x)
    if x.type.dtype.is_complex:  # compared for equality alone
        taken = select(eq(x, extremum), one, zero)
        return div(taken, select(eq(y, extremum), full_like(x, 2), one))  # type: ignore[no-any-return]
    return select(beats(x, y), one, select(eq(x, y), full_like(x, 0.5), zero))  # type: ignore[no-any-return]


abs = unary(
    "abs",
    on=frozenset({"int", "float", "complex"}),
    eval=widened(np.abs),
    jvp=_abs_jvp,
    result=_real_part,
)
sign = unary("sign", on=NUMBER, eval=widened(_sign_eval), jvp=_sign_jvp)
max = binary(
    "max",
    on=NUMBER | ORDERED,
    eval=widened(maximum),
    jvp=(
        lambda dx, x, y, z: mul(dx, _share(x, y, z, gt)),
        lambda dy, x, y, z: mul(dy, _share(y, x, z, gt)),
    ),
)
min = binary(
    "min",
    on=NUMBER | ORDERED,
    eval=widened(minimum),
    jvp=(
        lambda dx, x, y, z: mul(dx, _share(x, y, z, lt)),
        lambda dy, x, y, z: mul(dy, _share(y, x, z, lt)),
    ),
)


def _clamp_type(lo: TensorType, x: TensorType, hi: TensorType) -> TensorType:
    same_types("clamp", (lo, x, hi))
    require_dtype("clamp", x, ORDERED)
    return x


def _where(pred: Value, tangent: Value) -> Value:
    return select(pred, tangent, zeros_like(tangent))  # type: ignore[no-any-return]


# clamp(lo, x, hi) = min(max(lo, x), hi). Where x equals a bound all derivatives are zero, as in JAX; where
# the bounds cross, the result is hi.
clamp = op(
    "clamp",
    type=_clamp_type,
    eval=widened(lambda lo, x, hi: np.minimum(np.maximum(lo, x), hi)),
    jvp=sum_of_partials(
        (
            lambda t, lo, x, hi, y: _where(and_(gt(lo, x), lt(lo, hi)), t),
            lambda t, lo, x, hi, y: _where(and_(gt(x, lo), lt(x, hi)), t),
            lambda t, lo, x, hi, y: _where(or_(lt(hi, x), lt(hi, lo)), t),
        )
    ),
    elementwise=True,
)

# Rounding and the representation of floats --------------------------------------------------------


def _round_result(x: DType, *, method: str) -> DType:
    if method not in ("away_from_zero", "to_nearest_even"):
        raise IRTypeError(f"round: expected method 'away_from_zero' or 'to_nearest_even', got {method!r}")
    return x


def _round_eval(x: Array, *, method: str) -> Array:
    if method == "to_nearest_even":
        return np.asarray(np.rint(x))
    whole = np.trunc(x)
    return np.asarray(whole + np.copysign(np.abs(x - whole) >= 0.5, x))


floor = unary("floor", on=FLOAT, eval=widened(np.floor), jvp=ZERO)
ceil = unary("ceil", on=FLOAT, eval=widened(np.ceil), jvp=ZERO)
# round(x, method=...): halves away from zero, or to the even neighbour.
round = unary("round", on=FLOAT, eval=widened(_round_eval), jvp=ZERO, attrs=("method",), result=_round_result)
is_finite = unary("is_finite", on=FLOAT, eval=widened(np.isfinite), jvp=ZERO, result=lambda _: bool_)
nextafter = binary("nextafter", on=FLOAT, eval=np.nextafter, jvp=None)

# Complex parts ------------------------------------------------------------------------------------


def _complex_result(part: DType) -> DType:
    if part not in (f32, f64):
        raise IRTypeError(f"complex: expected elements of type f32 or f64, got {part}")
    return c64 if part is f32 else c128


def _complex_eval(re: Array, im: Array) -> Array:
    out = np.empty(re.shape, np.result_type(re, np.complex64))
    out.real, out.imag = re, im
    return out


complex = binary(
    "complex",
    on=FLOAT,
    eval=_complex_eval,
    jvp=LINEAR,
    transpose=lambda ct, re, im: (
        real(ct) if isinstance(re, Linear) else None,
        neg(imag(ct)) if isinstance(im, Linear) else None,
    ),
    result=_complex_result,
)


# Transposes do not conjugate (JAX's convention), so that of `imag` has a minus.
def _real_transpose(ct: Value, x: Value) -> Any:
    return complex(ct, zeros_like(ct))


def _imag_transpose(ct: Value, x: Value) -> Any:
    return complex(zeros_like(ct), neg(ct))


real: Op = unary("real", on=COMPLEX, eval=np.real, jvp=LINEAR, transpose=_real_transpose, result=_real_part)
imag: Op = unary("imag", on=COMPLEX, eval=np.imag, jvp=LINEAR, transpose=_imag_transpose, result=_real_part)
conj: Op = unary("conj", on=COMPLEX, eval=np.conj, jvp=LINEAR, transpose=lambda ct, x: conj(ct))
