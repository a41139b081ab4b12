"""What counts as not finite, as equations."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from ir.core import Value
from ir.ops.elementwise import and_, imag, is_finite, ne, not_, or_, real
from ir.ops.reduce import reduce_or
from ir.ops.shape import full
from ir.types import bool_


class Kind(enum.Enum):
    """Which numbers are looked for."""

    NAN = "nan"
    INF = "inf"
    EITHER = "nan or inf"


def holds(x: Value, kind: Kind) -> Any:
    """A `bool[]`: whether any element of `x` is such a number. Only floats and complex numbers have some."""
    if not x.type.dtype.is_inexact:
        return full((), False, bool_)
    if not x.type.dtype.is_complex:
        found = _elements(x, kind)
    elif kind is Kind.INF:  # of a number with one part NaN and the other infinite it is the NaN that counts
        found = and_(_either_part(x, Kind.INF), not_(_either_part(x, Kind.NAN)))
    else:
        found = _either_part(x, kind)
    return reduce_or(found, axes=tuple(range(x.type.rank))) if x.type.rank else found


def any_holds(xs: Sequence[Value], kind: Kind) -> Any:
    """A `bool[]`: whether any of the values does."""
    out: Any = None
    for x in xs:
        if x.type.dtype.is_inexact:
            found = holds(x, kind)
            out = found if out is None else or_(out, found)
    return full((), False, bool_) if out is None else out


def _either_part(x: Value, kind: Kind) -> Any:
    return or_(_elements(real(x), kind), _elements(imag(x), kind))


def _elements(x: Value, kind: Kind) -> Any:
    if kind is Kind.NAN:
        return ne(x, x)
    infinite_or_nan = not_(is_finite(x))
    return infinite_or_nan if kind is Kind.EITHER else and_(infinite_or_nan, not_(ne(x, x)))


__all__ = ["Kind", "any_holds", "holds"]
