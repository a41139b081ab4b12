"""Powers with an exponent for each iteration, by repeated squaring as `integer_pow` has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ir.core import Dense, Value
from ir.ops.elementwise import div, mul
from ir.ops.logic import select
from ir.ops.shape import broadcast_in_dim, constant, full_like
from ir.types import bool_


def digits(exponents: npt.NDArray[np.int64]) -> list[tuple[Value, Value]]:
    """The binary digits of their sizes, the lowest first, each with whether a higher one follows.

    Returns:
      Constants of booleans, `[iterations]` each.
    """
    sizes = np.abs(exponents)
    places = range(int(sizes.max()).bit_length())
    return [(_table(sizes >> k & 1 == 1), _table(sizes >> k > 1)) for k in places]


def _table(values: npt.NDArray[np.bool_]) -> Value:
    return constant(value=Dense(values, bool_), shape=values.shape)  # type: ignore[no-any-return]


def power(x: Value, places: Sequence[tuple[Value, Value]], *, inverse: bool) -> Value:
    """`x` to the powers of these digits.

    Args:
      places: what `digits` gives: booleans along the leading axis of `x`, or scalars.
      inverse: the powers are negative.
    """
    # A square that is not asked for may overflow, and its derivative be no number: it is not taken.
    factor = div(full_like(x, 1), x) if inverse else x
    out = full_like(x, 1)
    for place, (digit, more) in enumerate(places):
        out = mul(out, _where(digit, factor))
        if place + 1 < len(places):
            factor = _where(more, factor)
            factor = mul(factor, factor)
    return out


def _where(condition: Value, x: Value) -> Value:
    """`x` where the condition holds, else 1."""
    if condition.type.shape != x.type.shape:
        dims = tuple(range(condition.type.rank))
        condition = broadcast_in_dim(condition, shape=x.type.shape, dims=dims)
    return select(condition, x, full_like(x, 1))  # type: ignore[no-any-return]


__all__ = ["digits", "power"]
