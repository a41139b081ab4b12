"""Maximum and mean over windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

import tracer.numpy as tnp
from ir.errors import ArgumentError, ShapeError
from ir.ops import windows as wi
from ir.types import TensorType
from tracer.nn.convolutions import window_padding
from tracer.nn.operands import floating
from tracer.numpy.dispatch import lift, normalize_axes, record
from tracer.state import state
from tracer.types import canonical

Sizes = Sequence[int]
Pairs = tuple[tuple[int, int], ...]


def _windows(
    x: Any, window: Sizes, strides: Sizes | None, padding: Any, dilation: Sizes | None, axes: Sizes | None
) -> dict[str, Any]:
    """Attributes of the op that reduces windows: one entry for each axis of `x`."""
    rank, sizes = x.ndim, x.shape
    over = tuple(range(1, rank - 1)) if axes is None else normalize_axes(tuple(axes), rank, "pool")
    window = tuple([int(n) for n in window])
    if len(window) != len(over):
        raise ShapeError(
            f"pool: expected a window of {len(over)} sizes, one for each of the axes {over} of "
            f"{TensorType(sizes, canonical(x.dtype))}, got {window}"
        )

    def full(of: Sizes | None, name: str) -> tuple[int, ...]:
        given = (1,) * len(over) if of is None else tuple([int(n) for n in of])
        if len(given) != len(over) or any(n < 1 for n in given):
            raise ArgumentError(f"pool: expected {len(over)} positive {name}, got {given}")
        out = [1] * rank
        for axis, n in zip(over, given, strict=True):
            out[axis] = n
        return tuple(out)

    windows, steps, spread = full(window, "sizes"), full(strides, "strides"), full(dilation, "dilations")
    pads = padding
    if not isinstance(padding, str):
        pairs = [(int(lo), int(hi)) for lo, hi in padding]
        if len(pairs) != len(over):
            raise ArgumentError(f"pool: expected {len(over)} pairs of padding, got {padding!r}")
        pads = [(0, 0)] * rank
        for axis, pair in zip(over, pairs, strict=True):
            pads[axis] = pair
    extents = [(n - 1) * d + 1 for n, d in zip(windows, spread, strict=True)]
    return {
        "window_dimensions": windows,
        "window_strides": steps,
        "padding": window_padding(pads, sizes, extents, steps),
        "base_dilation": (1,) * rank,
        "window_dilation": spread,
    }


def max_pool(
    x: Any,
    window_shape: Sizes,
    strides: Sizes | None = None,
    padding: Any = "VALID",
    *,
    window_dilation: Sizes | None = None,
    axes: Sizes | None = None,
) -> Any:
    """Maximum over windows; the gradient of a window goes to the first of its largest elements.

    Args:
      x: (batch, *spatial, features), or any shape with `axes`.
      window_shape: a size for each axis.
      strides: steps of the window; 1 by default.
      padding: "SAME", "SAME_LOWER", "VALID" or a (low, high) pair for each axis. Padding is never the
        maximum; a window that lies in padding alone gives the least number of the type, -inf for floats.
      window_dilation: spacing of the elements of a window.
      axes: over which windows move; all but the first and the last by default.

    Returns:
      An array of the type of `x`, with floor((n + low + high - extent) / stride) + 1 elements along each
      axis of n elements, where extent = (size - 1) * dilation + 1.

    Raises:
      ShapeError: not one size for each axis.
      ArgumentError: strides, dilations or padding that do not fit.
    """
    t = tnp.asarray(x)
    window = _windows(t, window_shape, strides, padding, window_dilation, axes)
    if state.trace is None:
        least = np.asarray(wi.identity_of("max", canonical(t.dtype)), t.dtype)
        return jax.lax.reduce_window(t, least, jax.lax.max, **window)
    return record(wi.reduce_window_max, lift(t), **window)


def avg_pool(
    x: Any,
    window_shape: Sizes,
    strides: Sizes | None = None,
    padding: Any = "VALID",
    *,
    count_include_pad: bool = True,
    window_dilation: Sizes | None = None,
    axes: Sizes | None = None,
) -> Any:
    """Mean over windows. Integers are promoted; shapes, other arguments and errors are those of `max_pool`.

    Args:
      x: (batch, *spatial, features), or any shape with `axes`.
      window_shape: a size for each axis.
      strides: steps of the window; 1 by default.
      padding: "SAME", "SAME_LOWER", "VALID" or a (low, high) pair for each axis.
      count_include_pad: divide by the size of the window, so that padding counts as zeros. Otherwise by the
        number of elements of `x` in the window; a window that lies in padding alone gives 0.
      window_dilation: spacing of the elements of a window.
      axes: over which windows move; all but the first and the last by default.
    """
    t = floating(x, "avg_pool")
    window = _windows(t, window_shape, strides, padding, window_dilation, axes)
    if state.trace is None:
        total = jax.lax.reduce_window(t, np.zeros((), t.dtype), jax.lax.add, **window)
    else:
        total = record(wi.reduce_window_sum, lift(t), **window)
    if count_include_pad:
        return total / float(np.prod(window["window_dimensions"]))
    return total / _counts(t.shape, window).astype(t.dtype)


def _counts(sizes: Sizes, window: dict[str, Any]) -> Any:
    """How many elements lie in each window, at least 1; of size 1 along axes that no window moves over."""
    total = np.ones((1,) * len(sizes))
    for axis, n in enumerate(sizes):
        extent, step = window["window_dimensions"][axis], window["window_strides"][axis]
        (low, high), spread = window["padding"][axis], window["window_dilation"][axis]
        if extent == 1 and (low, high) == (0, 0):
            continue
        first = np.arange(0, n + low + high - (extent - 1) * spread, step) - low
        at = first[:, None] + spread * np.arange(extent)
        inside = np.sum((at >= 0) & (at < n), axis=1)
        total = total * inside.reshape([-1 if a == axis else 1 for a in range(len(sizes))])
    return np.maximum(total, 1)


__all__ = ["avg_pool", "max_pool"]
