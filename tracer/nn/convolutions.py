"""Convolution and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ir.errors import ArgumentError, ShapeError
from ir.ops import convolution as cv
from ir.ops import windows as wi
from tracer.numpy import elementwise as el
from tracer.numpy.contraction import precision_name
from tracer.numpy.dispatch import lift, record
from tracer.numpy.manipulation import same_dtype
from tracer.state import state
from tracer.types import canonical

Spec = tuple[int, ...]


def dimension_specs(dimension_numbers: Any, rank: int) -> tuple[Spec, Spec, Spec]:
    """(lhs, rhs, out) axis numbers: batch or output feature, feature, then spatial axes."""
    if dimension_numbers is None:
        spatial = tuple(range(2, rank))
        return (0, 1, *spatial), (0, 1, *spatial), (0, 1, *spatial)
    if hasattr(dimension_numbers, "lhs_spec"):
        d = dimension_numbers
        return tuple(d.lhs_spec), tuple(d.rhs_spec), tuple(d.out_spec)
    if len(dimension_numbers) != 3 or any(len(s) != rank or len(set(s)) != rank for s in dimension_numbers):
        raise ArgumentError(
            f"conv: expected three strings of {rank} distinct letters as dimension_numbers, got {dimension_numbers!r}"
        )
    lhs, rhs, out = dimension_numbers
    letters = [c for c in rhs if c not in "OI"]
    for spec, first in ((lhs, "N"), (rhs, "O"), (out, "N")):
        second = "I" if first == "O" else "C"
        if first not in spec or second not in spec or sorted(set(spec) - {first, second}) != sorted(letters):
            raise ArgumentError(f"conv: dimension_numbers {dimension_numbers!r} do not fit each other")
    return (
        tuple([lhs.index(c) for c in ("N", "C", *letters)]),
        tuple([rhs.index(c) for c in ("O", "I", *letters)]),
        tuple([out.index(c) for c in ("N", "C", *letters)]),
    )


def window_padding(
    padding: Any, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Explicit padding from "SAME", "SAME_LOWER", "VALID" or pairs."""
    if not isinstance(padding, str):
        return tuple([(int(lo), int(hi)) for lo, hi in padding])
    name = padding.upper()
    if name == "VALID":
        return ((0, 0),) * len(sizes)
    if name not in ("SAME", "SAME_LOWER"):
        raise ArgumentError(f"expected padding 'SAME', 'SAME_LOWER', 'VALID' or pairs, got {padding!r}")
    out = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        small, large = total // 2, total - total // 2
        out.append((small, large) if name == "SAME" else (large, small))
    return tuple(out)


def conv(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int] | None = None,
    padding: Any = "VALID",
    *,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Convolution (strictly: correlation) over any number of spatial axes.

    Args:
      lhs: images, by default (batch, features, *spatial).
      rhs: kernels, by default (output features, input features, *spatial).
      strides: steps of the window; 1 by default.
      padding: "SAME", "SAME_LOWER", "VALID" or a (low, high) pair for each spatial axis.
      lhs_dilation, rhs_dilation: spacing of image and kernel elements.
      dimension_numbers: such as ("NHWC", "HWIO", "NHWC"), or as in `jax.lax`.
      feature_group_count, batch_group_count: as in `jax.lax.conv_general_dilated`.

    Raises:
      ShapeError: operands do not fit each other.
    """
    if state.trace is None:
        rank = np.ndim(lhs) - 2
        return jax.lax.conv_general_dilated(
            lhs,
            rhs,
            strides or (1,) * rank,
            padding,
            lhs_dilation=lhs_dilation,
            rhs_dilation=rhs_dilation,
            dimension_numbers=dimension_numbers,
            feature_group_count=feature_group_count,
            batch_group_count=batch_group_count,
            precision=precision,
            preferred_element_type=preferred_element_type,
        )
    x, w = same_dtype((lhs, rhs), "conv")
    if x.ndim != w.ndim or x.ndim < 2:
        raise ShapeError(
            f"conv: expected operands of equal rank of at least 2, got {x.value.type} and {w.value.type}"
        )
    lhs_spec, rhs_spec, out_spec = dimension_specs(dimension_numbers, x.ndim)
    count = x.ndim - 2
    strides = tuple(strides or (1,) * count)
    left = tuple(lhs_dilation or (1,) * count)
    right = tuple(rhs_dilation or (1,) * count)
    if isinstance(padding, str) and padding.upper() != "VALID" and any(d != 1 for d in left):
        raise ArgumentError(f"conv: expected padding as pairs with lhs_dilation {left}, got {padding!r}")
    sizes = [(x.shape[a] - 1) * d + 1 if x.shape[a] else 0 for a, d in zip(lhs_spec[2:], left, strict=True)]
    windows = [
        (w.shape[a] - 1) * d + 1 if w.shape[a] else 0 for a, d in zip(rhs_spec[2:], right, strict=True)
    ]
    return record(
        cv.conv_general,
        x,
        w,
        window_strides=strides,
        padding=window_padding(padding, sizes, windows, strides),
        lhs_dilation=left,
        rhs_dilation=right,
        lhs_spec=lhs_spec,
        rhs_spec=rhs_spec,
        out_spec=out_spec,
        feature_group_count=feature_group_count,
        batch_group_count=batch_group_count,
        precision=precision_name(precision),
        preferred_type=None if preferred_element_type is None else canonical(preferred_element_type),
    )


def _pool(the_op: Any, x: Any, window: Sequence[int], strides: Sequence[int] | None, padding: Any) -> Any:
    t = lift(x)
    if len(window) != t.ndim - 2:
        raise ShapeError(
            f"pool: expected a window of {t.ndim - 2} sizes for {t.value.type}, got {tuple(window)}"
        )
    sizes = (1, *window, 1)
    steps = (1, *(strides or (1,) * len(window)), 1)
    pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
    return record(
        the_op,
        t,
        window_dimensions=sizes,
        window_strides=steps,
        padding=window_padding(pads, t.shape, sizes, steps),
        base_dilation=(1,) * t.ndim,
        window_dilation=(1,) * t.ndim,
    )


def max_pool(
    x: Any, window_shape: Sequence[int], strides: Sequence[int] | None = None, padding: Any = "VALID"
) -> Any:
    """Maximum over windows of (batch, *spatial, features); strides are 1 by default."""
    return _staged(lambda t: _pool(wi.reduce_window_max, t, window_shape, strides, padding), x)


def avg_pool(
    x: Any, window_shape: Sequence[int], strides: Sequence[int] | None = None, padding: Any = "VALID"
) -> Any:
    """Mean over windows of (batch, *spatial, features); padding counts as zeros."""
    count = float(np.prod(window_shape))
    return _staged(
        lambda t: el.divide(
            _pool(wi.reduce_window_sum, el.as_float(t), window_shape, strides, padding), count
        ),
        x,
    )


def _staged(fn: Any, x: Any) -> Any:
    """Run a recorded function also outside a trace, as a compiled program."""
    if state.trace is not None:
        return fn(x)
    from tracer.api.jit import jit

    return jit(fn)(x)
