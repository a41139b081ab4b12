"""Sorting, selection by order, and cumulative reductions along a dimension."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ir.numerics.precision import Array, iinfo, is_complex, is_float, is_integer, narrow, widen

_ACCUMULATE: dict[str, np.ufunc] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def sort(
    operands: Sequence[npt.ArrayLike], *, dimension: int, num_keys: int = 1, is_stable: bool = True
) -> tuple[Array, ...]:
    """Arrays of one shape, reordered alike along `dimension` so that the first `num_keys` of them ascend.

    Keys are compared in turn. -0.0 equals 0.0, NaN equals NaN and comes last; complex numbers are compared by
    real, then imaginary part. The order of equals is kept, which is also a valid unstable sort: `is_stable`
    makes no difference.
    """
    del is_stable
    arrays = [np.asarray(x) for x in operands]
    keys: list[Array] = []
    for x in arrays[:num_keys]:
        keys.extend((x.real, x.imag) if is_complex(x.dtype) else (widen(x),))
    order = np.lexsort(tuple(reversed(keys)), axis=dimension)
    return tuple(np.take_along_axis(x, order, axis=dimension) for x in arrays)


def top_k(operand: npt.ArrayLike, k: int, axis: int = -1) -> tuple[Array, Array]:
    """The `k` largest elements along `axis`, in decreasing order, and their int32 indices.

    Of equal elements the one with the lower index comes first. Floats are in IEEE total order, as in XLA:
    NaN above inf, a NaN with its sign bit set below -inf, and -0.0 below 0.0.

    Raises:
      TypeError: `operand` is complex.
      ValueError: `k` is negative or larger than the dimension.
    """
    operand = np.asarray(operand)
    if is_complex(operand.dtype):
        raise TypeError(f"expected real numbers to rank, got {operand.dtype}")
    if not 0 <= k <= operand.shape[axis]:
        raise ValueError(f"expected k in [0, {operand.shape[axis]}], got {k}")
    order = np.argsort(~_total_order_key(operand), axis=axis, kind="stable")
    indices = np.take(order, np.arange(k), axis=axis)
    return np.take_along_axis(operand, indices, axis=axis), indices.astype(np.int32)


def argmax(operand: npt.ArrayLike, axis: int, index_dtype: npt.DTypeLike) -> Array:
    """Index of the first NaN along `axis` or, where there is none, of the first largest element.

    Raises:
      TypeError: `operand` is complex.
      ValueError: the dimension has size 0.
    """
    return _arg_extreme(np.asarray(operand), axis, index_dtype, largest=True)


def argmin(operand: npt.ArrayLike, axis: int, index_dtype: npt.DTypeLike) -> Array:
    """Index of the first NaN along `axis` or, where there is none, of the first smallest element.

    Raises:
      TypeError: `operand` is complex.
      ValueError: the dimension has size 0.
    """
    return _arg_extreme(np.asarray(operand), axis, index_dtype, largest=False)


def cumulative(operand: npt.ArrayLike, axis: int, reverse: bool, combine: str) -> Array:
    """Running reduction along `axis`, from the end if `reverse`.

    Args:
      operand: numbers.
      axis: the dimension to run along.
      reverse: whether to run from the end.
      combine: "sum", "prod", "max", "min" or "logsumexp" (the logarithm of the running sum of exponentials,
        floats and complex only; the imaginary part lies in [-pi, pi]).

    Narrow floats are accumulated in float32 and every element of the result is rounded once.

    Raises:
      ValueError: an unknown combination.
      TypeError: booleans, or "logsumexp" of integers.
    """
    operand = np.asarray(operand)
    if combine != "logsumexp" and combine not in _ACCUMULATE:
        raise ValueError(
            f"expected combine to be 'logsumexp' or one of {sorted(_ACCUMULATE)}, got {combine!r}"
        )
    if operand.dtype == np.bool_ or (combine == "logsumexp" and is_integer(operand.dtype)):
        raise TypeError(f"expected {'floats' if combine == 'logsumexp' else 'numbers'}, got {operand.dtype}")
    x = np.moveaxis(widen(operand), axis, 0)
    x = x[::-1] if reverse else x
    with np.errstate(all="ignore"):
        if combine == "logsumexp":
            result = x.copy()
            for i in range(1, len(x)):
                result[i] = _log_add_exp(result[i - 1], x[i])
        else:
            result = _ACCUMULATE[combine].accumulate(x, axis=0, dtype=x.dtype)
    result = result[::-1] if reverse else result
    return narrow(np.ascontiguousarray(np.moveaxis(result, 0, axis)), operand.dtype)


def _total_order_key(x: Array) -> Array:
    """Integers in the order of `x`; for floats the order of their signs and magnitudes as bit patterns."""
    x = widen(x)
    if not is_float(x.dtype):
        return x
    bits: Array = x.view(np.int32 if x.itemsize == 4 else np.int64)
    return np.where(bits < 0, bits ^ iinfo(bits.dtype).max, bits)


def _arg_extreme(x: Array, axis: int, index_dtype: npt.DTypeLike, *, largest: bool) -> Array:
    if is_complex(x.dtype):
        raise TypeError(f"expected real numbers to rank, got {x.dtype}")
    if x.shape[axis] == 0:
        raise ValueError(
            f"expected a dimension of at least one element, got shape {x.shape} along axis {axis}"
        )
    find = np.argmax if largest else np.argmin  # both return the first NaN
    index: Any = find(widen(x), axis=operator.index(axis))
    return np.asarray(index).astype(index_dtype)


def _log_add_exp(x: Array, y: Array) -> Array:
    if not is_complex(x.dtype):
        return np.asarray(np.logaddexp(x, y))
    larger = np.maximum(x, y)
    result = larger + np.log1p(np.exp(x + y - 2 * larger))
    real = np.where(np.isneginf(x.real), y.real, np.where(np.isneginf(y.real), x.real, result.real))
    imaginary = np.where(np.isneginf(x.real), y.imag, np.where(np.isneginf(y.real), x.imag, result.imag))
    wrapped = imaginary - 2 * np.pi * np.round(imaginary / (2 * np.pi))
    return np.asarray(real + 1j * wrapped).astype(x.dtype)
