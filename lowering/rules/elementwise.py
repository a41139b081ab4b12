"""Lowering of `ir.ops.elementwise`."""

from __future__ import annotations

from typing import Any

from jax import lax

from lowering.emit import lowers

# Ops whose lowering is the function of the same name in jax.lax.
for _name in (
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "clz",
    "complex", "conj", "cos", "cosh", "div", "eq", "exp", "exp2", "expm1", "floor", "ge", "gt", "imag",
    "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter",
    "population_count", "pow", "real", "rem", "rsqrt", "select", "shift_left", "shift_right_arithmetic",
    "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh",
):  # fmt: skip
    lowers(_name)(getattr(lax, _name))

lowers("and")(lax.bitwise_and)
lowers("or")(lax.bitwise_or)
lowers("xor")(lax.bitwise_xor)
lowers("not")(lax.bitwise_not)


@lowers("clamp")
def _clamp(low: Any, x: Any, high: Any) -> Any:
    if x.dtype != bool:
        return lax.clamp(low, x, high)
    # Not every backend of XLA clamps bools.
    low, high = [lax.broadcast(y, x.shape) if y.ndim < x.ndim else y for y in (low, high)]
    return lax.bitwise_and(lax.bitwise_or(x, low), high)


@lowers("one_minus_square")
def _one_minus_square(x: Any) -> Any:
    one = lax.full_like(x, 1)
    return lax.mul(lax.sub(one, x), lax.add(one, x))


@lowers("integer_pow")
def _integer_pow(x: Any, *, y: int) -> Any:
    return lax.integer_pow(x, y)


@lowers("round")
def _round(x: Any, *, method: str) -> Any:
    return lax.round(x, lax.RoundingMethod[method.upper()])
