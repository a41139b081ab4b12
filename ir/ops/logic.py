"""Comparison, selection, and logic on bools and the bits of integers. No derivatives but that of select."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Array, Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics.precision import iinfo, is_complex
from ir.ops.families import (
    BITS,
    INTEGER,
    NUMBER,
    ORDERED,
    ZERO,
    Linear,
    binary,
    compare,
    op,
    unary,
    widened,
)
from ir.ops.shape import zeros_like
from ir.types import TensorType, bool_

# Comparison ---------------------------------------------------------------------------------------

eq = compare("eq", on=NUMBER | BITS, eval=widened(np.equal))
ne = compare("ne", on=NUMBER | BITS, eval=widened(np.not_equal))
lt = compare("lt", on=ORDERED, eval=widened(np.less))
le = compare("le", on=ORDERED, eval=widened(np.less_equal))
gt = compare("gt", on=ORDERED, eval=widened(np.greater))
ge = compare("ge", on=ORDERED, eval=widened(np.greater_equal))


def maximum(x: Array, y: Array) -> Array:
    """NumPy evaluation of max: nan wins; complex numbers compare by real, then by imaginary part."""
    if is_complex(x.dtype):
        return np.where(np.where(x.real == y.real, x.imag > y.imag, x.real > y.real), x, y)
    return np.asarray(np.maximum(x, y))


def minimum(x: Array, y: Array) -> Array:
    """NumPy evaluation of min: nan wins; complex numbers compare by real, then by imaginary part."""
    if is_complex(x.dtype):
        return np.where(np.where(x.real == y.real, x.imag < y.imag, x.real < y.real), x, y)
    return np.asarray(np.minimum(x, y))


# Selection ----------------------------------------------------------------------------------------


def _select_type(pred: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if x is not y:
        raise IRTypeError(f"select: expected both cases of one type, got {x} and {y}")
    if pred.dtype is not bool_:
        raise IRTypeError(f"select: expected a bool predicate, got {pred}")
    if pred.shape != x.shape:
        raise ShapeError(f"select: expected a predicate of the shape of the cases, got {pred} and {x}")
    return x


def _select_eval(pred: Array, x: Array, y: Array) -> Array:
    words = x.ndim - pred.ndim  # keys are evaluated as words along one more axis
    return np.where(pred[..., None] if words else pred, x, y)


def _select_jvp(tangents: Any, operands: Any, results: Any) -> tuple[Value | None]:
    _, dx, dy = tangents
    if dx is None and dy is None:
        return (None,)
    zero = zeros_like(dx if dx is not None else dy)
    return (select(operands[0], zero if dx is None else dx, zero if dy is None else dy),)


def _select_transpose(cotangents: Any, operands: Any) -> tuple[Value | None, ...]:
    (ct,), (pred, x, y) = cotangents, operands
    zero = zeros_like(ct)
    return (
        None,
        select(pred, ct, zero) if isinstance(x, Linear) else None,
        select(pred, zero, ct) if isinstance(y, Linear) else None,
    )


# select(pred, x, y): x where pred holds, y elsewhere.
select = op(
    "select",
    type=_select_type,
    eval=_select_eval,
    jvp=_select_jvp,
    transpose=_select_transpose,
    elementwise=True,
)

# Logic --------------------------------------------------------------------------------------------

and_ = binary("and", on=BITS, eval=widened(np.bitwise_and), jvp=ZERO)
or_ = binary("or", on=BITS, eval=widened(np.bitwise_or), jvp=ZERO)
xor_ = binary("xor", on=BITS, eval=widened(np.bitwise_xor), jvp=ZERO)
not_ = unary("not", on=BITS, eval=widened(np.invert), jvp=ZERO)


# Bits ---------------------------------------------------------------------------------------------


def _width(x: Array) -> int:
    return int(iinfo(x.dtype).bits)


def _pattern(x: Array) -> Array:
    """The bits of integers as uint64, zero above their width."""
    mask = np.uint64(2 ** _width(x) - 1)
    return x.astype(np.uint64 if x.dtype == np.uint64 else np.int64).astype(np.uint64) & mask


def _shift_left(x: Array, amount: Array) -> Array:
    by = _pattern(amount)
    return np.where(by < _width(x), _pattern(x) << np.minimum(by, 63), 0).astype(x.dtype)


def _shift_right_logical(x: Array, amount: Array) -> Array:
    by = _pattern(amount)
    return np.where(by < _width(x), _pattern(x) >> np.minimum(by, 63), 0).astype(x.dtype)


def _shift_right_arithmetic(x: Array, amount: Array) -> Array:
    above = np.uint64(64 - _width(x))
    signed = (_pattern(x) << above).view(np.int64)
    by = np.minimum(_pattern(amount), np.uint64(_width(x) - 1)) + above
    return np.asarray(signed >> by.astype(np.int64), x.dtype)


def _count_leading_zeros(x: Array) -> Array:
    bits = _pattern(x)
    return np.asarray(np.sum([bits >> np.uint64(k) == 0 for k in range(_width(x))], axis=0), x.dtype)


# Amounts are read as unsigned; from the width on they shift everything out.
shift_left = binary("shift_left", on=INTEGER, eval=_shift_left, jvp=ZERO)
shift_right_logical = binary("shift_right_logical", on=INTEGER, eval=_shift_right_logical, jvp=ZERO)
shift_right_arithmetic = binary("shift_right_arithmetic", on=INTEGER, eval=_shift_right_arithmetic, jvp=ZERO)
population_count = unary(
    "population_count", on=INTEGER, eval=lambda x: np.bitwise_count(_pattern(x)), jvp=ZERO
)
clz = unary("clz", on=INTEGER, eval=_count_leading_zeros, jvp=ZERO)
