"""Convolution and transposed convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax

import tracer.numpy as tnp
from ir.errors import ArgumentError, ShapeError
from ir.ops import convolution as cv
from tracer.numpy.contraction import precision_name
from tracer.numpy.dispatch import record
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

    y[n, o, p] = sum over features i and kernel positions k of w[o, i, k] x[n, i, s p + d k - low], for
    strides s, kernel dilation d and padding (low, high); x is zero outside. Along each spatial axis of n
    elements there are floor((n + low + high - ((k - 1) d + 1)) / s) + 1 positions p.

    Args:
      lhs: images, by default (batch, features, *spatial).
      rhs: kernels, by default (output features, input features / feature_group_count, *spatial).
      strides: steps of the window; 1 by default.
      padding: "SAME", "SAME_LOWER", "VALID" or a (low, high) pair for each spatial axis.
      lhs_dilation, rhs_dilation: spacing of image and kernel elements.
      dimension_numbers: such as ("NHWC", "HWIO", "NHWC"), or as in `jax.lax`.
      feature_group_count, batch_group_count: as in `jax.lax.conv_general_dilated`.

    Raises:
      ShapeError: operands do not fit each other.
    """
    if state.trace is None:
        lhs, rhs = tnp.asarray(lhs), tnp.asarray(rhs)
        rank = lhs.ndim - 2
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


def _transposed_padding(
    padding: Any, extents: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Padding of the dilated image: pairs as they are, or such that sizes are those a convolution maps back."""
    if not isinstance(padding, str):
        pairs = [(int(lo), int(hi)) for lo, hi in padding]
        if len(pairs) != len(extents):
            raise ArgumentError(f"conv_transpose: expected {len(extents)} pairs of padding, got {padding!r}")
        return pairs
    name = padding.upper()
    if name not in ("SAME", "VALID"):
        raise ArgumentError(f"conv_transpose: expected padding 'SAME', 'VALID' or pairs, got {padding!r}")
    out = []
    for k, s in zip(extents, strides, strict=True):
        if name == "VALID":
            total, low = k + s - 2 + max(k - s, 0), k - 1
        else:
            total = k + s - 2
            low = k - 1 if s > k - 1 else -(-total // 2)
        out.append((low, total - low))
    return out


def conv_transpose(
    lhs: Any,
    rhs: Any,
    strides: Sequence[int] | None = None,
    padding: Any = "SAME",
    *,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    transpose_kernel: bool = False,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Transposed ("fractionally strided") convolution: upsamples by `strides`.

    It is `conv` with stride 1 of the image spread out by `strides`. With padding "SAME" an axis of n elements
    becomes n s; with "VALID" it becomes n s + max(k - s, 0), for a kernel that extends over k elements.

    Args:
      lhs: images, by default (batch, features, *spatial).
      rhs: kernels as for `conv`, by default (output features, input features / groups, *spatial); with
        `transpose_kernel` those of the convolution that is transposed, (input features, output features /
        groups, *spatial).
      strides: of the convolution that is transposed: how far the image is spread; 1 by default.
      padding: "SAME", "VALID" or a (low, high) pair of padding of the spread image for each spatial axis.
      rhs_dilation: spacing of the kernel's elements.
      dimension_numbers: as for `conv`; the defaults of `jax.lax.conv_transpose` are channels last.
      feature_group_count: groups of features that are convolved apart.
      transpose_kernel: flip the spatial axes of the kernel and swap its features: then, with padding
        "VALID", this is the derivative by the image of a `conv` whose windows leave no rest.
      precision, preferred_element_type: as for `conv`.

    Raises:
      ShapeError: operands do not fit each other.
      ArgumentError: padding, groups or dimension numbers that do not fit.
    """
    x, w = tnp.asarray(lhs), tnp.asarray(rhs)
    if x.ndim != w.ndim or x.ndim < 2:
        raise ShapeError(
            f"conv_transpose: expected operands of equal rank of at least 2, got shapes {x.shape} and {w.shape}"
        )
    specs = dimension_specs(dimension_numbers, x.ndim)
    count = x.ndim - 2
    steps = tuple(strides or (1,) * count)
    spread = tuple(rhs_dilation or (1,) * count)
    if len(steps) != count or len(spread) != count:
        raise ArgumentError(
            f"conv_transpose: expected {count} strides and dilations, got {steps} and {spread}"
        )
    out_axis, in_axis, *spatial = specs[1]
    if transpose_kernel:
        w = _swapped(tnp.flip(w, tuple(spatial)), out_axis, in_axis, feature_group_count)
    extents = [(w.shape[a] - 1) * d + 1 for a, d in zip(spatial, spread, strict=True)]
    return conv(
        x,
        w,
        (1,) * count,
        _transposed_padding(padding, extents, steps),
        lhs_dilation=steps,
        rhs_dilation=spread,
        dimension_numbers=jax.lax.ConvDimensionNumbers(*specs),
        feature_group_count=feature_group_count,
        precision=precision,
        preferred_element_type=preferred_element_type,
    )


def _swapped(w: Any, out_axis: int, in_axis: int, groups: int) -> Any:
    """Kernels with the roles of their feature axes exchanged, group by group."""
    if groups < 1 or w.shape[out_axis] % groups:
        raise ArgumentError(
            f"conv_transpose: expected groups that divide {w.shape[out_axis]} input features, got {groups}"
        )
    front = tnp.moveaxis(w, (out_axis, in_axis), (0, 1))
    rest = front.shape[2:]
    split = front.reshape((groups, front.shape[0] // groups, front.shape[1], *rest))
    swapped = tnp.swapaxes(split, 1, 2).reshape((groups * front.shape[1], front.shape[0] // groups, *rest))
    return tnp.moveaxis(swapped, (0, 1), (out_axis, in_axis))


__all__ = ["conv", "conv_transpose", "dimension_specs", "window_padding"]
