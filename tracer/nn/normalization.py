"""Normalisation of activations: by layer, batch, group, instance, and by root mean square.

Each is y = (x - m) / sqrt(v + epsilon) * scale + bias and differs in the elements that share a mean m
and a variance v = mean((x - m)^2). Statistics are taken in single precision at least, in two passes, so
that a large mean costs no digits; the result has the type of `x`. Elements that are all equal give
exactly `bias`, with derivatives that are finite for any positive `epsilon`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import tracer.numpy as tnp
from ir.errors import ArgumentError, ShapeError
from tracer.nn.operands import axes_of, floating, widened
from tracer.numpy.dispatch import normalize_axis

Axis = int | Sequence[int] | None


class BatchStatistics(NamedTuple):
    """What `batch_norm` keeps from one batch to the next, of shape (features,) each."""

    mean: Any
    variance: Any


def _along(p: Any, axes: Sequence[int], rank: int, sizes: Sequence[int], name: str) -> Any:
    """A parameter over `axes` as one that broadcasts against arrays of `rank` axes."""
    p = tnp.asarray(p)
    expected = tuple([sizes[a] for a in axes])
    if p.shape != expected:
        raise ShapeError(f"{name}: expected parameters of shape {expected}, got {p.shape}")
    return p.reshape([sizes[a] if a in axes else 1 for a in range(rank)])


def _affine(y: Any, scale: Any, bias: Any, axes: Sequence[int], sizes: Sequence[int], name: str) -> Any:
    rank = len(sizes)
    if scale is not None:
        y = y * _along(scale, axes, rank, sizes, name).astype(y.dtype)
    if bias is not None:
        y = y + _along(bias, axes, rank, sizes, name).astype(y.dtype)
    return y


def _moments(x: Any, axes: Sequence[int]) -> tuple[Any, Any, Any]:
    """(x - mean, mean, variance), the last two with axes of size 1."""
    mean = tnp.mean(x, axis=tuple(axes), keepdims=True)
    centred = x - mean
    return centred, mean, tnp.mean(tnp.square(centred), axis=tuple(axes), keepdims=True)


def layer_norm(x: Any, scale: Any = None, bias: Any = None, *, axis: Axis = -1, epsilon: float = 1e-5) -> Any:
    """Each example normalised over its features (Ba et al. 2016).

    y = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + bias, with mean and variance over `axis`.

    Args:
      x: any shape.
      scale, bias: of the shape of `axis` in `x`, or None for 1 and 0.
      axis: one axis or several; all for None.
      epsilon: added to the variance.

    Returns:
      An array of the shape and type of `x`.

    Raises:
      ShapeError: `scale` or `bias` has another shape.
    """
    t = floating(x, "layer_norm")
    axes = axes_of(axis, t.ndim, "layer_norm")
    centred, _, variance = _moments(widened(t), axes)
    y = centred * (1 / tnp.sqrt(variance + epsilon))
    return _affine(y, scale, bias, axes, t.shape, "layer_norm").astype(t.dtype)


def rms_norm(x: Any, scale: Any = None, *, axis: Axis = -1, epsilon: float = 1e-6) -> Any:
    """Each example divided by the root mean square of its features (Zhang and Sennrich 2019).

    y = x / sqrt(mean(x^2) + epsilon) * scale, with the mean over `axis`.

    Args:
      x: any shape.
      scale: of the shape of `axis` in `x`, or None for 1.
      axis: one axis or several; all for None.
      epsilon: added to the mean square.

    Returns:
      An array of the shape and type of `x`; zeros for zeros.

    Raises:
      ShapeError: `scale` has another shape.
    """
    t = floating(x, "rms_norm")
    axes = axes_of(axis, t.ndim, "rms_norm")
    wide = widened(t)
    y = wide * (1 / tnp.sqrt(tnp.mean(tnp.square(wide), axis=axes, keepdims=True) + epsilon))
    return _affine(y, scale, None, axes, t.shape, "rms_norm").astype(t.dtype)


def group_norm(
    x: Any,
    groups: int,
    scale: Any = None,
    bias: Any = None,
    *,
    channel_axis: int = -1,
    epsilon: float = 1e-5,
) -> Any:
    """Each example normalised over groups of channels and all positions (Wu and He 2018).

    y = (x - m) / sqrt(v + epsilon) * scale + bias; m and v belong to one example and to one of `groups`
    equal runs of channels, and are taken over these channels and all axes but the first.

    Args:
      x: (batch, ..., channels), or the channels along another axis than the first.
      groups: how many; divides the number of channels.
      scale, bias: (channels,), or None for 1 and 0.
      channel_axis: where the channels are.
      epsilon: added to the variance.

    Returns:
      An array of the shape and type of `x`.

    Raises:
      ArgumentError: `groups` does not divide the channels, or `channel_axis` is the batch axis.
      ShapeError: `scale` or `bias` has another shape.
    """
    return _grouped(x, groups, scale, bias, channel_axis, epsilon, "group_norm")


def _grouped(x: Any, groups: int, scale: Any, bias: Any, axis: int, epsilon: float, name: str) -> Any:
    t = floating(x, name)
    axis = normalize_axis(axis, t.ndim, name)
    channels = t.shape[axis]
    if axis == 0:
        raise ArgumentError(
            f"{name}: expected the batch along axis 0 and channels along another, got both at 0"
        )
    if groups < 1 or channels % groups:
        raise ArgumentError(f"{name}: expected groups that divide {channels} channels, got {groups}")
    split = (*t.shape[:axis], groups, channels // groups, *t.shape[axis + 1 :])
    over = [a for a in range(1, len(split)) if a != axis]
    centred, _, variance = _moments(widened(t).reshape(split), over)
    y = (centred * (1 / tnp.sqrt(variance + epsilon))).reshape(t.shape)
    return _affine(y, scale, bias, (axis,), t.shape, name).astype(t.dtype)


def instance_norm(
    x: Any, scale: Any = None, bias: Any = None, *, channel_axis: int = -1, epsilon: float = 1e-5
) -> Any:
    """Each channel of each example normalised over all positions (Ulyanov et al. 2016).

    `group_norm` with a group for each channel; shapes, results and errors are described there.
    """
    t = tnp.asarray(x)
    groups = t.shape[normalize_axis(channel_axis, t.ndim, "instance_norm")]
    return _grouped(t, groups, scale, bias, channel_axis, epsilon, "instance_norm")


def batch_norm(
    x: Any,
    statistics: BatchStatistics | tuple[Any, Any],
    scale: Any = None,
    bias: Any = None,
    *,
    training: bool,
    momentum: float = 0.9,
    channel_axis: int = -1,
    epsilon: float = 1e-5,
) -> tuple[Any, BatchStatistics]:
    """Each channel normalised over the batch and all positions (Ioffe and Szegedy 2015).

    y = (x - m) / sqrt(v + epsilon) * scale + bias. In training m and v are those of this batch, v with
    divisor n, and the running statistics become momentum * old + (1 - momentum) * new. Otherwise m and v
    are the running statistics, which stay as they are.

    Args:
      x: (batch, ..., channels), or the channels along another axis.
      statistics: running (mean, variance) of shape (channels,); (0, 1) to begin with.
      scale, bias: (channels,), or None for 1 and 0.
      training: a Python bool: it decides the program.
      momentum: the weight of the old running statistics.
      channel_axis: where the channels are.
      epsilon: added to the variance.

    Returns:
      (y, statistics): an array of the shape and type of `x`, and the running statistics after this batch.

    Raises:
      ShapeError: `scale`, `bias` or a running statistic has another shape.
      ArgumentError: the batch is empty in training.
    """
    t = floating(x, "batch_norm")
    axis = normalize_axis(channel_axis, t.ndim, "batch_norm")
    kept = [tnp.asarray(s) for s in statistics]
    running = [_along(s, (axis,), t.ndim, t.shape, "batch_norm") for s in kept]
    wide = widened(t)
    if training:
        if t.size == 0:
            raise ArgumentError(f"batch_norm: expected at least one example in training, got shape {t.shape}")
        centred, mean, variance = _moments(wide, [a for a in range(t.ndim) if a != axis])
        found = [s.reshape(-1).astype(k.dtype) for s, k in zip((mean, variance), kept, strict=True)]
        new = BatchStatistics(*[momentum * k + (1 - momentum) * f for k, f in zip(kept, found, strict=True)])
    else:
        mean, variance = [r.astype(wide.dtype) for r in running]
        centred, new = wide - mean, BatchStatistics(*kept)
    y = centred * (1 / tnp.sqrt(variance + epsilon))
    return _affine(y, scale, bias, (axis,), t.shape, "batch_norm").astype(t.dtype), new


__all__ = ["BatchStatistics", "batch_norm", "group_norm", "instance_norm", "layer_norm", "rms_norm"]
