"""Between which numbers the values of a loop's body lie that are made of constants and positions only.

    m = add(iota(128), start);  allowed = ge(m, n)      start is 0, 128, 256, ... in turn

Lower and upper bounds are arrays: along the first axis lie the iterations, then the axes of the value, each in full or,
where the bounds do not depend on it, of size 1. One axis, the columns, is cut into granules, so that bounds are as many
as decide about blocks and not as many as elements. A value without bounds is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ir.core import Array, Eqn, Value
from ir.numerics.precision import finfo
from ir.op import Op
from ir.ops import elementwise as ew
from ir.ops.convert import convert
from ir.ops.indexing import dynamic_slice
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, slice, transpose
from ir.types import DType

# Lower and upper bounds, both included.
Range = tuple[Array, Array]

# Larger integers are not read: a quotient of smaller ones is right in double precision.
_MOST = 2.0**31
_COPIES = ("stop_gradient",)


class Ranges:
    """The bounds of the values of equations.

    Attributes:
      columns: which dimension of values is cut into granules.
      granule: so many elements are one, the last of them fewer.
    """

    def __init__(
        self, eqns: Iterable[Eqn], known: Mapping[Value, Array], columns: Mapping[Value, int], granule: int
    ) -> None:
        """Find the bounds.

        Args:
          known: what other values are in each iteration, along the first axis; of size 1 where they stay.
        """
        self.columns, self.granule = columns, granule
        self._found: dict[Value, Range] = {}
        for value, array in known.items():
            self._keep(value, self._cut(array.astype(np.float64), columns.get(value)))
        with np.errstate(all="ignore"):
            for eqn in eqns:
                if len(eqn.results) == 1:
                    self._keep(eqn.results[0], self._of(eqn))

    def get(self, value: Value) -> Range | None:
        """The bounds of a value; None where none are known."""
        return self._found.get(value)

    def _keep(self, value: Value, found: Range | None) -> None:
        rounded = None if found is None else _rounded(found, value.type.dtype)
        if rounded is not None:
            self._found[value] = rounded

    def _cut(self, array: Array, column: int | None) -> Range | None:
        """The bounds of an array that is known."""
        if np.isnan(array).any():
            return None
        if column is None or array.shape[column + 1] == 1:
            return array, array
        at = np.arange(0, array.shape[column + 1], self.granule)
        return np.minimum.reduceat(array, at, column + 1), np.maximum.reduceat(array, at, column + 1)

    def _of(self, eqn: Eqn) -> Range | None:
        operands = [self._found.get(v) for v in eqn.operands]
        if eqn.op is constant:
            return self._constant(eqn)
        if eqn.op is iota:
            return self._iota(eqn)
        if eqn.op in _LOGIC and eqn.results[0].type.dtype.kind == "bool":
            # One operand may decide alone.
            anything = (np.zeros((1,) * (eqn.results[0].type.rank + 1)),) * 2
            anything = (anything[0], anything[1] + 1)
            given = [anything if r is None else r for r in operands]
            return None if all(r is None for r in operands) else _LOGIC[eqn.op](*given)
        if any(r is None for r in operands):
            return None
        ranges = [r for r in operands if r is not None]
        if eqn.op in _MOVES:
            return _MOVES[eqn.op](eqn, ranges, self.columns)
        if eqn.op.name in _COPIES:
            return ranges[0]
        if eqn.op is convert:
            return _converted(eqn.operands[0].type.dtype, eqn.attrs["dtype"], ranges[0])
        dtype = eqn.results[0].type.dtype
        rule = _ARITHMETIC.get(eqn.op)
        if eqn.op in (ew.div, ew.rem, ew.shift_right_arithmetic):
            found = _DIVISIONS[eqn.op](dtype, *ranges)
        else:
            found = None if rule is None else rule(*ranges)
        if found is not None and dtype.is_float and eqn.op in _ROUNDED:
            return _widened(found, dtype, whole=eqn.op is not ew.div)
        return found

    def _constant(self, eqn: Eqn) -> Range | None:
        dense, type = eqn.attrs["value"], eqn.results[0].type
        if dense.dtype.kind in ("key", "complex"):
            return None
        array = dense.array.astype(np.float64)
        shape = (1,) * (type.rank + 1) if dense.shape == () else (1, *type.shape)
        return self._cut(array.reshape(shape), self.columns.get(eqn.results[0]))

    def _iota(self, eqn: Eqn) -> Range:
        value, axis = eqn.results[0], eqn.attrs["axis"]
        size = value.type.shape[axis]
        step = self.granule if self.columns.get(value) == axis else 1
        low = np.arange(0, size, step, dtype=np.float64)
        high = np.minimum(low + step, size) - 1
        shape = [1] * (value.type.rank + 1)
        shape[axis + 1] = len(low)
        return low.reshape(shape), high.reshape(shape)


def _rounded(found: Range, dtype: DType) -> Range | None:
    """Bounds in the element type; None where they may be no numbers, or integers that do not fit."""
    low, high = found
    if np.isnan(low).any() or np.isnan(high).any():
        return None
    if dtype.is_integer:
        if dtype.np.kind not in "iu":
            return None
        info = np.iinfo(dtype.np)
        fits = low.min() >= max(-_MOST, info.min) and high.max() <= min(_MOST, info.max)
        return found if fits else None
    if dtype.is_float:
        return low.astype(dtype.np).astype(np.float64), high.astype(dtype.np).astype(np.float64)
    return found if dtype.kind == "bool" else None


# Element by element ----------------------------------------------------------------------------------------


def _widened(found: Range, dtype: DType, *, whole: bool) -> Range:
    """With room for another rounding: compilers multiply by reciprocals, and add to products before they round.

    Args:
      whole: whether whole numbers that the type has are exact.
    """
    info = finfo(dtype.np)
    low, high = found
    by = [2 * float(info.eps) * np.abs(x) + float(info.tiny) for x in found]
    if whole:
        by = [
            np.where((x == np.floor(x)) & (x.astype(dtype.np).astype(np.float64) == x), 0, b)
            for x, b in zip(found, by, strict=True)
        ]
    return low - by[0], high + by[1]


def _hull(*arrays: Array) -> Range:
    low, high = arrays[0], arrays[0]
    for other in arrays[1:]:
        low, high = np.minimum(low, other), np.maximum(high, other)
    return low, high


def _mul(x: Range, y: Range) -> Range:
    return _hull(x[0] * y[0], x[0] * y[1], x[1] * y[0], x[1] * y[1])


def _abs(x: Range) -> Range:
    low, high = np.abs(x[0]), np.abs(x[1])
    inside = (x[0] <= 0) & (x[1] >= 0)
    return np.where(inside, 0, np.minimum(low, high)), np.maximum(low, high)


def _square(x: Range) -> Range:
    low, high = _abs(x)
    return low * low, high * high


def _each(function: Callable[[Array], Array]) -> Callable[[Range], Range]:
    """Of a function that does not fall."""
    return lambda x: (function(x[0]), function(x[1]))


def _truth(always: Array, never: Array) -> Range:
    return always.astype(np.float64), (~never).astype(np.float64)


def _eq(x: Range, y: Range) -> Range:
    one = (x[0] == x[1]) & (y[0] == y[1]) & (x[0] == y[0])
    return _truth(one, (x[1] < y[0]) | (x[0] > y[1]))


def _opposite(x: Range) -> Range:
    return 1 - x[1], 1 - x[0]


def _xor(x: Range, y: Range) -> Range:
    known = (x[0] == x[1]) & (y[0] == y[1])
    odd = x[0] != y[0]
    return np.where(known & odd, 1.0, 0.0), np.where(known & ~odd, 0.0, 1.0)


def _select(p: Range, x: Range, y: Range) -> Range:
    low = np.where(p[0] == 1, x[0], np.where(p[1] == 0, y[0], np.minimum(x[0], y[0])))
    return low, np.where(p[0] == 1, x[1], np.where(p[1] == 0, y[1], np.maximum(x[1], y[1])))


def _min(x: Range, y: Range) -> Range:
    return np.minimum(x[0], y[0]), np.minimum(x[1], y[1])


def _max(x: Range, y: Range) -> Range:
    return np.maximum(x[0], y[0]), np.maximum(x[1], y[1])


_LOGIC: dict[Op, Callable[..., Range]] = {
    ew.and_: _min,
    ew.or_: _max,
    ew.not_: _opposite,
    ew.xor_: _xor,
}
_ARITHMETIC: dict[Op, Callable[..., Range]] = {
    ew.abs: _abs,
    ew.add: lambda x, y: (x[0] + y[0], x[1] + y[1]),
    ew.ceil: _each(np.ceil),
    ew.clamp: lambda low, x, high: _min(_max(low, x), high),
    ew.eq: _eq,
    ew.floor: _each(np.floor),
    ew.ge: lambda x, y: _truth(x[0] >= y[1], x[1] < y[0]),
    ew.gt: lambda x, y: _truth(x[0] > y[1], x[1] <= y[0]),
    ew.le: lambda x, y: _truth(x[1] <= y[0], x[0] > y[1]),
    ew.lt: lambda x, y: _truth(x[1] < y[0], x[0] >= y[1]),
    ew.max: _max,
    ew.min: _min,
    ew.mul: _mul,
    ew.ne: lambda x, y: _opposite(_eq(x, y)),
    ew.neg: lambda x: (-x[1], -x[0]),
    ew.select: _select,
    ew.sign: _each(np.sign),
    ew.square: _square,
    ew.sub: lambda x, y: (x[0] - y[1], x[1] - y[0]),
}

# Their results are rounded.
_ROUNDED = frozenset({ew.add, ew.div, ew.mul, ew.square, ew.sub})


def _positive(y: Range) -> bool:
    return bool((y[0] > 0).all() and (y[0] == y[1]).all())


def _div(dtype: DType, x: Range, y: Range) -> Range | None:
    if not _positive(y):
        return None
    low, high = x[0] / y[0], x[1] / y[0]
    return (np.trunc(low), np.trunc(high)) if dtype.is_integer else (low, high)


def _rem(dtype: DType, x: Range, y: Range) -> Range | None:
    if not _positive(y) or not dtype.is_integer:
        return None
    by = y[0]
    same = (x[0] >= 0) & (x[0] // by == x[1] // by)
    low = np.where(same, x[0] % by, np.where(x[0] >= 0, 0, 1 - by))
    return low, np.where(same, x[1] % by, by - 1)


def _shifted(dtype: DType, x: Range, y: Range) -> Range | None:
    if not (y[0] == y[1]).all() or (y[0] < 0).any() or (y[0] > 31).any() or dtype.bits < 32:
        return None
    return np.floor(x[0] / 2 ** y[0]), np.floor(x[1] / 2 ** y[0])


_DIVISIONS: dict[Op, Callable[..., Range | None]] = {
    ew.div: _div,
    ew.rem: _rem,
    ew.shift_right_arithmetic: _shifted,
}


def _converted(old: DType, new: DType, x: Range) -> Range | None:
    if new.kind == "bool":
        return _opposite(_eq(x, (np.zeros_like(x[0]),) * 2))
    if old.is_float and new.is_integer:
        return (np.trunc(x[0]), np.trunc(x[1])) if np.isfinite(x).all() else None
    return x if new.is_integer or new.is_float else None


# Rearrangement ---------------------------------------------------------------------------------------------


def _broadcast(eqn: Eqn, ranges: Sequence[Range], columns: Mapping[Value, int]) -> Range:
    def moved(array: Array) -> Array:
        shape = [1] * (eqn.results[0].type.rank + 1)
        shape[0] = array.shape[0]
        for k, d in enumerate(eqn.attrs["dims"]):
            shape[d + 1] = array.shape[k + 1]
        return array.reshape(shape)

    # (The dimensions of the operand are in order.)
    return moved(ranges[0][0]), moved(ranges[0][1])


def _reshape(eqn: Eqn, ranges: Sequence[Range], columns: Mapping[Value, int]) -> Range | None:
    """Of axes of size 1 that come and go; others only where nothing depends on them."""
    old, new = eqn.operands[0].type.shape, eqn.attrs["shape"]
    low, high = ranges[0]
    if [n for n in old if n != 1] == [n for n in new if n != 1]:
        sizes = iter([low.shape[d + 1] for d, n in enumerate(old) if n != 1])
        shape = (low.shape[0], *[1 if n == 1 else next(sizes) for n in new])
    elif all(n == 1 for n in low.shape[1:]):
        shape = (low.shape[0], *[1] * len(new))
    else:
        return None
    return low.reshape(shape), high.reshape(shape)


def _transpose(eqn: Eqn, ranges: Sequence[Range], columns: Mapping[Value, int]) -> Range:
    perm = (0, *[d + 1 for d in eqn.attrs["perm"]])
    return ranges[0][0].transpose(perm), ranges[0][1].transpose(perm)


def _part(
    eqn: Eqn, x: Range, columns: Mapping[Value, int], take: Callable[[Array, int], Array | None]
) -> Range | None:
    """Some elements along axes of which not all are taken."""
    operand, result = eqn.operands[0], eqn.results[0]
    low, high = x
    for d, (n, m) in enumerate(zip(operand.type.shape, result.type.shape, strict=True)):
        if n == m or low.shape[d + 1] == 1:
            continue
        if columns.get(operand) == d or columns.get(result) == d:
            return None
        a, b = take(low, d), take(high, d)
        if a is None or b is None:
            return None
        low, high = a, b
    return low, high


def _slice(eqn: Eqn, ranges: Sequence[Range], columns: Mapping[Value, int]) -> Range | None:
    attrs = eqn.attrs

    def take(array: Array, d: int) -> Array:
        at = np.arange(attrs["starts"][d], attrs["limits"][d], attrs["strides"][d])
        return np.take(array, at, d + 1)

    return _part(eqn, ranges[0], columns, take)


def _dynamic_slice(eqn: Eqn, ranges: Sequence[Range], columns: Mapping[Value, int]) -> Range | None:
    sizes, type = eqn.attrs["sizes"], eqn.operands[0].type

    def take(array: Array, d: int) -> Array | None:
        low, high = ranges[1 + d]
        if not (low == high).all():
            return None
        start = np.clip(low.reshape(-1), 0, type.shape[d] - sizes[d]).astype(int)
        if len(start) == 1:
            return np.take(array, np.arange(start[0], start[0] + sizes[d]), d + 1)
        if array.shape[0] != 1:
            return None
        taken = np.take(array[0], start[:, None] + np.arange(sizes[d]), d)
        return np.moveaxis(taken, d, 0)

    return _part(eqn, ranges[0], columns, take)


_MOVES: dict[Op, Callable[[Eqn, Sequence[Range], Mapping[Value, int]], Range | None]] = {
    broadcast_in_dim: _broadcast,
    dynamic_slice: _dynamic_slice,
    reshape: _reshape,
    slice: _slice,
    transpose: _transpose,
}


__all__ = ["Range", "Ranges"]
