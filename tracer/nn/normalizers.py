"""Softmax and its kin, one-hot encoding, standardisation."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from ir.core import EMPTY_ATTRS
from ir.errors import ArgumentError, ArgumentTypeError
from ir.ops import elementwise as ew
from ir.ops.shape import iota
from tracer.api.checkpoint import stop_gradient
from tracer.numpy import elementwise as el
from tracer.numpy import reductions as rd
from tracer.numpy.dispatch import convert, lift, native, normalize_axes, normalize_axis
from tracer.numpy.manipulation import expand_dims, squeeze
from tracer.types import canonical, scalar_dtype


def _largest(x: Any, axis: Any, where: Any) -> Any:
    """The maximum as a constant of the derivative, 0 where it is infinite."""
    if where is not None:
        best = rd.max(x, axis, keepdims=True, where=where, initial=-math.inf)
    elif x.size == 0:
        best = rd.max(x, axis, keepdims=True, initial=-math.inf)
    else:
        best = rd.max(x, axis, keepdims=True)
    return stop_gradient(best)


@native(jax.nn.softmax)
def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """exp(x_i) / sum_j exp(x_j) over axes; masked elements are left out and give 0."""
    t = el.as_float(x)
    shifted = el.subtract(t, _largest(t, axis, where))
    if where is not None:
        shifted = el.where(where, shifted, -math.inf)
    unnormalized = el.exp(shifted)
    out = el.divide(unnormalized, rd.sum(unnormalized, axis, keepdims=True))
    return out if where is None else el.where(where, out, 0)


@native(jax.nn.log_softmax)
def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """x_i - log(sum_j exp(x_j)) over axes; masked elements give -inf."""
    t = el.as_float(x)
    shifted = el.subtract(t, _largest(t, axis, where))
    exponentials = el.exp(shifted if where is None else el.where(where, shifted, -math.inf))
    out = el.subtract(shifted, el.log(rd.sum(exponentials, axis, keepdims=True)))
    return out if where is None else el.where(where, out, -math.inf)


@native(jax.nn.logsumexp)
def logsumexp(
    a: Any,
    axis: Any = None,
    b: Any = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: Any = None,
) -> Any:
    """log(sum(b * exp(a))) over axes, without overflow; with `return_sign`, also the sum's sign."""
    t = el.as_float(a)
    if b is not None:
        where = el.not_equal(b, 0) if where is None else el.logical_and(where, el.not_equal(b, 0))
    axes = normalize_axes(axis, t.ndim, "logsumexp")
    best = _largest(t, axes, where)
    best = el.where(el.isfinite(best), best, 0)
    shifted = el.subtract(t, best)
    terms = el.exp(shifted if where is None else el.where(where, shifted, -math.inf))
    if b is not None:
        terms = el.multiply(terms, b)
    total = rd.sum(terms, axes, keepdims=True)
    sign = el.sign(total)
    if return_sign or b is None:
        out = el.add(el.log(el.abs(total) if return_sign else total), best)
    else:
        out = el.add(el.where(el.less(sign, 0), math.nan, el.log(el.abs(total))), best)
    if not keepdims:
        out, sign = squeeze(out, axes), squeeze(sign, axes)
    return (out, sign) if return_sign else out


@native(jax.nn.one_hot)
def one_hot(x: Any, num_classes: int, *, dtype: Any = None, axis: int = -1) -> Any:
    """1 at each index along a new axis of `num_classes`, 0 elsewhere; all 0 for indices out of range."""
    t = lift(x)
    if not isinstance(axis, int):
        raise ArgumentTypeError(f"one_hot: expected an int for axis, got {axis!r}")
    axis = normalize_axis(axis, t.ndim + 1, "one_hot")
    shape = (*t.shape[:axis], int(num_classes), *t.shape[axis:])
    index = t.value.type.dtype if t.value.type.dtype.is_integer else canonical(np.int32)
    classes = t.owner.emit1(iota, (), {"shape": shape, "dtype": index, "axis": axis})
    hit = el.equal(expand_dims(t, axis), classes)
    return convert(hit, scalar_dtype(float) if dtype is None else canonical(dtype))


@native(jax.nn.standardize)
def standardize(
    x: Any,
    axis: Any = -1,
    mean: Any = None,
    variance: Any = None,
    epsilon: Any = 1e-5,
    where: Any = None,
    *,
    algorithm: str = "fast",
) -> Any:
    """(x - mean) / sqrt(variance + epsilon) over axes; the variance in two passes if "stable"."""
    if algorithm not in ("fast", "stable"):
        raise ArgumentError(f"standardize: expected algorithm 'fast' or 'stable', got {algorithm!r}")
    t = el.as_float(x)
    if mean is None:
        mean = rd.mean(t, axis, keepdims=True, where=where)
    if variance is None and algorithm == "stable":
        variance = rd.mean(el.square(el.subtract(t, mean)), axis, keepdims=True, where=where)
    elif variance is None:
        squares = rd.mean(el.square(t), axis, keepdims=True, where=where)
        # Rounding may make the difference negative.
        variance = el.clip(el.subtract(squares, el.square(mean)), 0)
    scaled = el.add(variance, epsilon)
    inverse = scaled.owner.emit1(ew.rsqrt, (scaled.value,), EMPTY_ATTRS)
    return el.multiply(el.subtract(t, mean), inverse)
