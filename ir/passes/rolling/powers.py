"""Powers with an exponent for each iteration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ir.core import Dense, Value
from ir.numerics.precision import finfo
from ir.ops.elementwise import div, mul, pow
from ir.ops.logic import select
from ir.ops.shape import broadcast_in_dim, constant, full_like
from ir.types import DType, bool_, i32

# Binary digits of exponents up to which repeated squaring is quicker than a power with a table of exponents.
_FEW_DIGITS = 2


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


def _where(condition: Value, x: Value) -> Value:
    """`x` where the condition holds, else 1."""
    return select(_along(condition, x), x, full_like(x, 1))  # type: ignore[no-any-return]


def _along(table: Value, x: Value) -> Value:
    """A table in the shape of `x`."""
    if table.type.shape == x.type.shape:
        return table
    return broadcast_in_dim(table, shape=x.type.shape, dims=tuple(range(table.type.rank)))  # type: ignore[no-any-return]


__all__ = ["exponent_tables", "power"]
