"""Reductions over sliding windows, and the two ops that differentiate max and min pooling.

A window never sees padding or the gaps of a base dilation: it reduces the elements that are there, starting
from the initial value. (This is XLA; it differs from reducing padded arrays where `init` is no identity.)
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ir.numerics.indexing import pad
from ir.numerics.precision import Array, highest, lowest, narrow, widen

_COMBINE: dict[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
_SELECT: dict[str, np.ufunc] = {"ge": np.greater_equal, "le": np.less_equal}
Arrays = tuple[Array, ...]


def reduce_window(
    operand: npt.ArrayLike,
    init: npt.ArrayLike,
    combine: str,
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """Each window of `operand` reduced with "add", "mul", "max" or "min", starting from the scalar `init`.

    All sequences have one entry for each dimension of `operand`; negative padding removes elements.
    Narrow floats are reduced in float32 and rounded once.

    Raises:
      ValueError: an unknown combination.
    """
    if combine not in _COMBINE:
        raise ValueError(f"expected combine to be one of {sorted(_COMBINE)}, got {combine!r}")
    operand = np.asarray(operand)
    function = _COMBINE[combine]
    start = widen(np.asarray(init).astype(operand.dtype))
    (result,) = reduce_window_variadic(
        (widen(operand),),
        (start,),
        lambda accumulated, elements: (function(accumulated[0], elements[0]),),
        window_dimensions=window_dimensions,
        window_strides=window_strides,
        padding=padding,
        base_dilation=base_dilation,
        window_dilation=window_dilation,
    )
    return narrow(result, operand.dtype)


def reduce_window_variadic(
    operands: Sequence[npt.ArrayLike],
    inits: Sequence[npt.ArrayLike],
    fn: Callable[[Arrays, Arrays], Arrays],
    *,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Arrays:
    """Windows of several arrays of one shape, reduced together.

    Args:
      operands: arrays of one shape.
      inits: one scalar for each operand.
      fn: takes the accumulated values and the next elements of all windows at once, as two tuples with an
        array for each operand, and returns the next accumulated values. It works elementwise, and sees the
        elements of a window in row-major order, though XLA leaves the order open. Its results are cast to
        the dtypes of the operands.
      window_dimensions: the number of elements of a window along each dimension.
      window_strides: the distance from one window to the next.
      padding: `(low, high)` for each dimension, counted after `base_dilation`; negative removes elements.
      base_dilation: the distance at which the elements of the operands stand.
      window_dilation: the distance from one element of a window to the next.
    """
    arrays = [np.asarray(operand) for operand in operands]
    shape = arrays[0].shape
    config = [(low, high, step - 1) for (low, high), step in zip(padding, base_dilation, strict=True)]
    extents = [
        low + high + (size + (size - 1) * gap if size else 0)
        for size, (low, high, gap) in zip(shape, config, strict=True)
    ]
    windows = [(size - 1) * step + 1 for size, step in zip(window_dimensions, window_dilation, strict=True)]
    out_shape = [
        (extent - window) // stride + 1 if extent >= window else 0
        for extent, window, stride in zip(extents, windows, window_strides, strict=True)
    ]
    starts = [np.asarray(init).astype(x.dtype) for x, init in zip(arrays, inits, strict=True)]
    accumulated: Arrays = tuple(np.full(out_shape, start) for start in starts)
    if 0 in out_shape:
        return accumulated
    padded = [pad(x, start, config) for x, start in zip(arrays, starts, strict=True)]
    present = pad(np.ones(shape, np.bool_), False, config)
    for tap in itertools.product(*map(range, window_dimensions)):
        where = tuple(
            slice(at * step, at * step + (out - 1) * stride + 1, stride)
            for at, step, out, stride in zip(tap, window_dilation, out_shape, window_strides, strict=True)
        )
        with np.errstate(all="ignore"):
            combined = fn(accumulated, tuple(x[where] for x in padded))
        accumulated = tuple(
            np.where(present[where], new.astype(old.dtype, copy=False), old)
            for new, old in zip(combined, accumulated, strict=True)
        )
    return accumulated


def select_and_gather_add(
    tangents: npt.ArrayLike,
    operand: npt.ArrayLike,
    *,
    select: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Array:
    """The element of `tangents` where each window of `operand` has its maximum ("ge") or minimum ("le").

    This is the derivative of max (min) pooling. Of equal elements the first in row-major order counts, as in
    most but not all of XLA's code for it. A NaN gives way to the element after it and replaces the one before
    it. A window of -inf (inf for "le") only gives 0.
    """
    tangents, operand = np.asarray(tangents), np.asarray(operand)
    keep = _selector(select)
    keys = widen(operand)

    def choose(accumulated: Arrays, elements: Arrays) -> Arrays:
        kept = keep(accumulated[0], elements[0])
        return tuple(np.where(kept, old, new) for old, new in zip(accumulated, elements, strict=True))

    _, result = reduce_window_variadic(
        (keys, tangents),
        (_least_selected(select, keys), 0),
        choose,
        window_dimensions=window_dimensions,
        window_strides=window_strides,
        padding=padding,
        base_dilation=base_dilation,
        window_dilation=window_dilation,
    )
    return result


def select_and_scatter_add(
    source: npt.ArrayLike,
    operand: npt.ArrayLike,
    *,
    select: str,
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Array:
    """Zeros shaped as `operand`, each element of `source` added where its window of `operand` selects.

    This is the transpose of `select_and_gather_add`. Of equal elements the first counts; a NaN gives way to
    the element after it and replaces the one before it. As JAX does on CPU and GPU, `operand` is padded with
    -inf (inf for "le") first, so that a window can select padding, whose share is lost. Booleans are or-ed.
    Narrow floats are accumulated in float32.
    """
    source, operand = np.asarray(source), np.asarray(operand)
    keep = _selector(select)
    keys = widen(operand)
    padded = pad(keys, _least_selected(select, keys), [(low, high, 0) for low, high in padding])
    positions = np.arange(padded.size).reshape(padded.shape)
    best: Array | None = None
    chosen = np.zeros(source.shape, np.int64)
    result = np.zeros(padded.shape, widen(source).dtype)
    if source.size:
        for tap in itertools.product(*map(range, window_dimensions)):
            where = tuple(
                slice(at, at + (out - 1) * stride + 1, stride)
                for at, out, stride in zip(tap, source.shape, window_strides, strict=True)
            )
            kept = np.zeros(source.shape, np.bool_) if best is None else keep(best, padded[where])
            best = padded[where] if best is None else np.where(kept, best, padded[where])
            chosen = np.where(kept, chosen, positions[where])
        with np.errstate(all="ignore"):
            np.add.at(result.reshape(-1), chosen.reshape(-1), widen(source).reshape(-1))
    cropped = pad(result, 0, [(-low, -high, 0) for low, high in padding])
    return narrow(cropped, source.dtype)


def _selector(select: str) -> np.ufunc:
    if select not in _SELECT:
        raise ValueError(f"expected select to be 'ge' or 'le', got {select!r}")
    return _SELECT[select]


def _least_selected(select: str, keys: Array) -> npt.ArrayLike:
    """The value that every other one is selected over."""
    return np.asarray(lowest(keys.dtype) if select == "ge" else highest(keys.dtype)).astype(keys.dtype)
