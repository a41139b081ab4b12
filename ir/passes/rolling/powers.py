"""Powers with an exponent for each iteration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ir.core import Dense, Value
from ir.numerics.precision import finfo
from ir.ops.elementwise import div, integer_pow, mul, pow
from ir.ops.logic import select
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    full_like,
    reshape_to,
    rev,
    slice_axis,
)
from ir.types import DType, TensorType, bool_, i32

# Binary digits of exponents up to which repeated squaring is quicker than a power with a table of exponents.
_FEW_DIGITS = 2
# Elements of a table of powers from which on products are quicker than powers.
_MANY = 1 << 10
# With fewer bases than these for each exponent, as many steps one after the other take longer.
_FEW_BASES = 32
# Roundings add up to about as many as the exponent: relative error that products may make.
_ERROR = 1e-5


def exponent_tables(exponents: npt.NDArray[np.int64], dtype: DType, *, exact: bool) -> list[Value]:
    """What `power` takes for these exponents.

    Args:
      dtype: of what is raised to them.
      exact: rounded as by `integer_pow`, that is, by repeated squaring.

    Returns:
      The exponents; or their binary digits (of the sizes, the lowest first), each followed by whether a higher one
      follows. Constants, `[iterations]` each.
    """
    sizes = np.abs(exponents)
    places = int(sizes.max()).bit_length()
    # Exponents are converted to the dtype of what is raised to them.
    if not exact and dtype.is_float and _FEW_DIGITS < places <= min(finfo(dtype.np).nmant, 31):
        return [constant(value=Dense(exponents.astype(np.int32), i32), shape=exponents.shape)]
    return [_table(bits) for k in range(places) for bits in (sizes >> k & 1 == 1, sizes >> k > 1)]


def _table(values: npt.NDArray[np.bool_]) -> Value:
    return constant(value=Dense(values, bool_), shape=values.shape)  # type: ignore[no-any-return]


def power(x: Value, tables: Sequence[Value], *, inverse: bool) -> Value:
    """`x` to the powers of these exponents.

    Args:
      tables: what `exponent_tables` gives, along the leading axis of `x`, or scalars.
      inverse: the powers are negative.
    """
    if tables and tables[0].type.dtype is i32:
        return pow(x, _along(tables[0], x))  # type: ignore[no-any-return]
    # A square that is not asked for may overflow, and its derivative be no number: it is not taken.
    factor = div(full_like(x, 1), x) if inverse else x
    out = full_like(x, 1)
    for place in range(0, len(tables), 2):
        out = mul(out, _where(tables[place], factor))
        if place + 2 < len(tables):
            factor = _where(tables[place + 1], factor)
            factor = mul(factor, factor)
    return out


def is_progression(exponents: npt.NDArray[np.int64]) -> bool:
    """Whether exponents, of one sign, rise or fall by the same number each time."""
    steps = np.diff(exponents)
    return bool(len(steps)) and bool(steps[0]) and bool((steps == steps[0]).all())


def pays(exponents: npt.NDArray[np.int64], of: TensorType) -> bool:
    """Whether `progression` takes less time than a power for each element, and keeps the digits of a real type."""
    few = of.size < _FEW_BASES or len(exponents) * of.size < _MANY
    if few or not of.dtype.is_float or not is_progression(exponents):
        return False
    largest = int(np.abs(exponents).max())
    return largest.bit_length() > _FEW_DIGITS and largest * float(finfo(of.dtype.np).eps) <= _ERROR


def progression(x: Value, exponents: npt.NDArray[np.int64], axis: int = 0) -> Value:
    """`x` to the powers of a progression, along a new axis: one product for each element.

    Powers u^(aB + b) are u^(aB) u^b, with B near the square root of their number. No power is taken on the way that is
    not asked for, but for those of the first exponent and of the step.
    """
    sizes = np.abs(exponents)
    falls = bool(sizes[0] > sizes[-1])
    first, step = int(sizes.min()), abs(int(sizes[1] - sizes[0]))
    factor = div(full_like(x, 1), x) if exponents.min() < 0 else x
    out = _table_of_powers(_raised(factor, step), len(sizes), axis)
    if first:
        out = mul(out, _repeated(_raised(factor, first), axis, len(sizes), new=True))
    return rev(out, axes=(axis,)) if falls else out


def _raised(x: Value, exponent: int) -> Value:
    return x if exponent == 1 else integer_pow(x, y=exponent)


def _table_of_powers(u: Value, count: int, axis: int) -> Value:
    """1, u, u^2, ..., `count` of them."""
    rows = 1 << round(np.log2(count) / 2)
    blocks, left = divmod(count, rows)
    low = _doubled(u, rows, axis)
    high = _doubled(_raised(u, rows), blocks + (left > 0), axis)
    products = mul(
        _repeated(slice_axis(high, axis, 0, blocks), axis + 1, rows, new=True),
        _repeated(low, axis, blocks, new=True),
    )
    shape = u.type.shape
    out = reshape_to(products, (*shape[:axis], blocks * rows, *shape[axis:]))
    if not left:
        return out
    last = _repeated(slice_axis(high, axis, blocks, blocks + 1), axis, left)
    return concatenate(out, mul(last, slice_axis(low, axis, 0, left)), axis=axis)  # type: ignore[no-any-return]


def _doubled(u: Value, count: int, axis: int) -> Value:
    """The same, by doubling how many there are."""
    shape = u.type.shape
    out = full((*shape[:axis], 1, *shape[axis:]), 1, u.type.dtype)
    have = 1
    while have < count:
        more = min(have, count - have)
        factor = _repeated(_raised(u, have), axis, more, new=True)
        out = concatenate(out, mul(slice_axis(out, axis, 0, more), factor), axis=axis)
        have += more
    return out


def _repeated(x: Value, axis: int, size: int, *, new: bool = False) -> Value:
    """`x` repeated along an axis of size 1, or along a new one."""
    shape = list(x.type.shape)
    if new:
        shape.insert(axis, size)
        dims = tuple([d for d in range(len(shape)) if d != axis])
    else:
        shape[axis] = size
        dims = tuple(range(len(shape)))
    return broadcast_in_dim(x, shape=tuple(shape), dims=dims)  # type: ignore[no-any-return]


def _where(condition: Value, x: Value) -> Value:
    """`x` where the condition holds, else 1."""
    return select(_along(condition, x), x, full_like(x, 1))  # type: ignore[no-any-return]


def _along(table: Value, x: Value) -> Value:
    """A table in the shape of `x`."""
    if table.type.shape == x.type.shape:
        return table
    return broadcast_in_dim(table, shape=x.type.shape, dims=tuple(range(table.type.rank)))  # type: ignore[no-any-return]


__all__ = ["exponent_tables", "is_progression", "pays", "power", "progression"]
