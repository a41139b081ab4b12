"""Lowering of `ir.ops.windows`.

What JAX or XLA cannot do, or cannot differentiate, is rewritten first: negative padding becomes a crop,
and windows of rank 0, on which XLA's select-and-scatter aborts, become the identity. On CPUs that operation goes
through its windows one after the other, on one core; where none overlap, comparisons of whole arrays do the same.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core.primitives import select_and_gather_add_p, select_and_scatter_add_p

import ir
from ir.machine import CPU, current
from ir.ops.windows import identity_of
from lowering.emit import lowers

Dims = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]

_SELECT = {"ge": lax.ge_p, "le": lax.le_p}
_OF_SELECT = {"ge": "max", "le": "min"}


def _identity(combine: str, x: Any) -> Any:
    dtype = np.dtype(x.dtype)
    return np.asarray(identity_of(combine, ir.from_numpy(dtype)), dtype)


def _removed(padding: Padding) -> Padding:
    return tuple([(min(low, 0), min(high, 0)) for low, high in padding])


def _crop(x: Any, fill: Any, padding: Padding, dilation: Dims) -> Any:
    """`x` dilated with `fill`, less what the padding removes."""
    config = [(low, high, step - 1) for (low, high), step in zip(_removed(padding), dilation, strict=True)]
    return lax.pad(x, fill, config)


def _cropped(padding: Padding, base_dilation: Dims, **window: Any) -> dict[str, Any]:
    """The window attributes that are left once the operand is cropped."""
    kept = tuple([(max(low, 0), max(high, 0)) for low, high in padding])
    return {**window, "padding": kept, "base_dilation": (1,) * len(base_dilation)}


def _removes(padding: Padding) -> bool:
    return any(low or high for low, high in _removed(padding))


# Sum, max and min --------------------------------------------------------------------------------------


def _reduction(combine: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, **window: Any) -> Any:
        if not x.ndim:
            return x
        # With the neutral element as initial value, JAX takes its differentiable primitive.
        init = _identity(combine, x)
        if _removes(window["padding"]):
            x = _crop(x, init, window["padding"], window["base_dilation"])
            window = _cropped(**window)
        return lax.reduce_window(x, init, function, **window)

    return rule


lowers("reduce_window_sum")(_reduction("add", lax.add))
lowers("reduce_window_max")(_reduction("max", lax.max))
lowers("reduce_window_min")(_reduction("min", lax.min))


# The derivatives of max and min: JAX's primitives, which have derivatives themselves -----------------------


@lowers("select_and_gather_add")
def _select_and_gather_add(tangents: Any, x: Any, *, select: str, **window: Any) -> Any:
    if not x.ndim:
        return tangents
    if _removes(window["padding"]):
        padding, dilation = window["padding"], window["base_dilation"]
        tangents = _crop(tangents, np.zeros((), x.dtype), padding, dilation)
        x = _crop(x, _identity(_OF_SELECT[select], x), padding, dilation)
        window = _cropped(**window)
    return select_and_gather_add_p.bind(tangents, x, select_prim=_SELECT[select], **window)


# Elements of a window that are compared one by one: that many slices of the operand.
_MOST_COMPARED = 16


@lowers("select_and_scatter_add")
def _select_and_scatter_add(source: Any, x: Any, *, select: str, padding: Padding, **window: Any) -> Any:
    if not x.ndim:
        return source
    size = window["window_dimensions"]
    apart = size == window["window_strides"] and math.prod(source.shape) > 0
    if apart and math.prod(size) <= _MOST_COMPARED and current() is CPU:
        return _scatter_apart(source, x, size, padding, select)
    zero, ones = np.zeros((), x.dtype), (1,) * x.ndim
    removes = _removes(padding)
    out = select_and_scatter_add_p.bind(
        source,
        _crop(x, zero, padding, ones) if removes else x,
        select_prim=_SELECT[select],
        padding=tuple([(max(low, 0), max(high, 0)) for low, high in padding]),
        **window,
    )
    return lax.pad(out, zero, [(-low, -high, 0) for low, high in _removed(padding)]) if removes else out


def _scatter_apart(source: Any, x: Any, size: Dims, padding: Padding, select: str) -> Any:
    """`select_and_scatter_add` where every element is in one window at most.

    A window knows the number of the element that it selects; every element compares its own with that of its window.
    """
    covered = tuple([count * n for count, n in zip(source.shape, size, strict=True)])
    ends = [
        (low, end - n - low) for n, (low, _), end in zip(x.shape, padding, covered, strict=True)
    ]  # what is in no window is cut off
    x_there = lax.pad(x, _identity(_OF_SELECT[select], x), [(low, high, 0) for low, high in ends])
    chosen = _number_selected(x_there, size, select)
    pairs = tuple(itertools.chain(*zip(source.shape, size, strict=True)))
    windows, inside = tuple(range(0, 2 * x.ndim, 2)), tuple(range(1, 2 * x.ndim, 2))
    numbers = np.arange(math.prod(size), dtype=chosen.dtype).reshape(size)
    own = lax.broadcast_in_dim(numbers, pairs, inside)
    zero = np.zeros((), source.dtype)
    # (Adding to zeros makes 0 of -0.)
    share = lax.broadcast_in_dim(lax.add(source, zero), pairs, windows)
    here = lax.eq(lax.broadcast_in_dim(chosen, pairs, windows), own)
    out = lax.reshape(lax.select(here, share, lax.full_like(share, 0)), covered)
    return lax.pad(out, zero, [(-low, -high, 0) for low, high in ends])


def _number_selected(x: Any, size: Dims, select: str) -> Any:
    """For each window of `x`, which they cover, the number of the element that it selects, in row-major order."""
    keeps = _SELECT[select].bind
    first, *others = [lax.slice(x, start, x.shape, size) for start in itertools.product(*map(range, size))]
    best, at = first, lax.full(first.shape, 0, np.int8)
    for number, element in enumerate(others, 1):
        kept = keeps(best, element)
        best = lax.select(kept, best, element)
        at = lax.select(kept, at, lax.full_like(at, number))
    return at
