"""Convolution over any number of spatial dimensions: `conv_general`.

Without the spatial dimensions a convolution contracts [batch, in] with [in, out] to [batch, out], and
its transposes are those of a matrix product. Groups follow (j, k: features of one group, g: groups):

    feature groups   [m, gj] [j, gk] -> [m, gk]     lhs: feature groups    rhs: batch groups
    batch groups     [gm, j] [j, gk] -> [m, gk]     lhs: feature groups    rhs: feature groups
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from ir.core import Value
from ir.errors import ShapeError
from ir.numerics import contraction as numerics
from ir.ops import shape as shapes
from ir.ops.contraction import (
    Dims,
    Precision,
    check_precision,
    converted,
    moved_to_front,
    product_dtype,
)
from ir.ops.families import MULTILINEAR, REQUIRED, Linear, check, op
from ir.types import DType, TensorType

Padding = tuple[tuple[int, int], ...]


def dilated(sizes: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Sizes with `dilation - 1` gaps between neighbours."""
    return [max((n - 1) * step + 1, 0) for n, step in zip(sizes, dilation, strict=True)]


def cotangent_padding(
    in_sizes: Sequence[int],
    window: Sequence[int],
    out_sizes: Sequence[int],
    *,
    strides: Sequence[int],
    padding: Padding,
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
) -> Padding:
    """Padding of the dilated cotangent that brings a full correlation back to the size of the input."""
    ins, windows = dilated(in_sizes, base_dilation), dilated(window, window_dilation)
    outs = dilated(out_sizes, strides)
    lows = [w - low - 1 for w, (low, _) in zip(windows, padding, strict=True)]
    return tuple([(low, i + w - 1 - o - low) for i, w, o, low in zip(ins, windows, outs, lows, strict=True)])


# Type -----------------------------------------------------------------------------------------------


def _conv_type(
    lhs: TensorType,
    rhs: TensorType,
    *,
    window_strides: Dims,
    padding: Padding,
    lhs_dilation: Dims,
    rhs_dilation: Dims,
    lhs_spec: Dims,
    rhs_spec: Dims,
    out_spec: Dims,
    feature_group_count: int,
    batch_group_count: int,
    precision: Precision,
    preferred_type: DType | None,
) -> TensorType:
    rank = lhs.rank
    if rank < 2 or rhs.rank != rank:
        raise ShapeError(
            f"conv_general: expected two operands of equal rank, at least 2, got {lhs} and {rhs}"
        )
    for name, spec in (("lhs_spec", lhs_spec), ("rhs_spec", rhs_spec), ("out_spec", out_spec)):
        check(
            sorted(spec) == list(range(rank)),
            f"conv_general: expected {name} to be a permutation of {rank} dimensions, got {spec}",
        )
    steps = (
        ("window_strides", window_strides),
        ("lhs_dilation", lhs_dilation),
        ("rhs_dilation", rhs_dilation),
    )
    for name, values in steps:
        check(
            len(values) == rank - 2 and all(n > 0 for n in values),
            f"conv_general: expected {rank - 2} positive {name} for {lhs}, got {values}",
        )
    check(
        len(padding) == rank - 2 and all(len(pair) == 2 for pair in padding),
        f"conv_general: expected {rank - 2} pairs as padding for {lhs}, got {padding}",
    )
    check(
        feature_group_count > 0 and batch_group_count > 0 and 1 in (feature_group_count, batch_group_count),
        "conv_general: expected positive group counts of which one is 1, "
        f"got feature_group_count={feature_group_count} and batch_group_count={batch_group_count}",
    )
    batch, features, *sizes = [lhs.shape[d] for d in lhs_spec]
    out_features, in_features, *taps = [rhs.shape[d] for d in rhs_spec]
    if features != in_features * feature_group_count:
        raise ShapeError(
            f"conv_general: expected {feature_group_count} groups of {in_features} input features, as {rhs} "
            f"has, got {features} in {lhs}"
        )
    if out_features % feature_group_count or out_features % batch_group_count or batch % batch_group_count:
        raise ShapeError(
            f"conv_general: expected group counts {feature_group_count} (feature) and {batch_group_count} "
            f"(batch) that divide {out_features} output features and batch size {batch}, got {lhs} and {rhs}"
        )
    extents = [n + low + high for n, (low, high) in zip(dilated(sizes, lhs_dilation), padding, strict=True)]
    if any(n < 0 for n in extents):
        raise ShapeError(f"conv_general: negative padding {padding} removes more than {lhs} has")
    outs = [
        max((extent - window) // stride + 1, 0)
        for extent, window, stride in zip(extents, dilated(taps, rhs_dilation), window_strides, strict=True)
    ]
    check_precision("conv_general", precision)
    check(
        lhs.dtype is rhs.dtype, f"conv_general: expected operands of equal element type, got {lhs} and {rhs}"
    )
    dtype = product_dtype("conv_general", lhs.dtype, rhs.dtype, preferred_type)
    check(
        dtype.bits >= lhs.dtype.bits,
        f"conv_general: expected a preferred_type not narrower than {lhs.dtype}, got {dtype}",
    )
    canonical = (batch // batch_group_count, out_features, *outs)
    return TensorType(tuple([canonical[out_spec.index(d)] for d in range(rank)]), dtype)


def _conv_eval(
    lhs: Any, rhs: Any, *, precision: Precision, preferred_type: DType | None, **attrs: Any
) -> Any:
    return numerics.conv_general(
        lhs, rhs, preferred_type=None if preferred_type is None else preferred_type.np, **attrs
    )


# Axes split and merged ------------------------------------------------------------------------------


def _split(x: Value, axis: int, outer: int) -> Value:
    """`axis` as two axes of sizes `outer` and the rest."""
    shape = x.type.shape
    return shapes.reshape(x, shape=(*shape[:axis], outer, shape[axis] // outer, *shape[axis + 1 :]))  # type: ignore[no-any-return]


def _merge(x: Value, axis: int, into: int) -> Value:
    """`axis` moved in front of, and merged with, the axis that is number `into` once it is taken out."""
    perm = [d for d in range(x.type.rank) if d != axis]
    perm.insert(into, axis)
    if perm != list(range(x.type.rank)):
        x = shapes.transpose(x, perm=tuple(perm))
    shape = x.type.shape
    merged = (*shape[:into], shape[into] * shape[into + 1], *shape[into + 2 :])
    return shapes.reshape(x, shape=merged)  # type: ignore[no-any-return]


def _spec_transposed(spec: Dims) -> Dims:
    return (spec[1], spec[0], *spec[2:])


def _spatial(x: Value | Linear, spec: Dims) -> list[int]:
    return [x.type.shape[d] for d in spec[2:]]


# Transposes -----------------------------------------------------------------------------------------


def _lhs_cotangent(
    ct: Value,
    lhs: Linear,
    rhs: Value,
    *,
    window_strides: Dims,
    padding: Padding,
    lhs_dilation: Dims,
    rhs_dilation: Dims,
    lhs_spec: Dims,
    rhs_spec: Dims,
    out_spec: Dims,
    feature_group_count: int,
    batch_group_count: int,
    precision: Precision,
    **_: Any,
) -> Value:
    """The kernel reversed, with input and output features exchanged, over the strided cotangent."""
    pads = cotangent_padding(
        _spatial(lhs, lhs_spec),
        _spatial(rhs, rhs_spec),
        _spatial(ct, out_spec),
        strides=window_strides,
        padding=padding,
        base_dilation=lhs_dilation,
        window_dilation=rhs_dilation,
    )
    groups = feature_group_count * batch_group_count
    if groups > 1:  # the group axis goes from the output features to the input features
        rhs = _merge(_split(rhs, rhs_spec[0], groups), rhs_spec[0], rhs_spec[1])
    if rhs_spec[2:]:
        rhs = shapes.rev(rhs, axes=tuple(sorted(rhs_spec[2:])))
    out = conv_general(
        ct,
        converted(rhs, ct),
        window_strides=lhs_dilation,
        padding=pads,
        lhs_dilation=window_strides,
        rhs_dilation=rhs_dilation,
        lhs_spec=out_spec,
        rhs_spec=_spec_transposed(rhs_spec),
        out_spec=lhs_spec,
        feature_group_count=groups,
        precision=precision,
    )
    if batch_group_count > 1:
        out = _merge(_split(out, lhs_spec[1], batch_group_count), lhs_spec[1], lhs_spec[0])
    return converted(out, lhs)


def _rhs_cotangent(
    ct: Value,
    lhs: Value,
    rhs: Linear,
    *,
    window_strides: Dims,
    padding: Padding,
    lhs_dilation: Dims,
    rhs_dilation: Dims,
    lhs_spec: Dims,
    rhs_spec: Dims,
    out_spec: Dims,
    feature_group_count: int,
    batch_group_count: int,
    precision: Precision,
    **_: Any,
) -> Value:
    """The input, batch and features exchanged, correlated with the cotangent."""
    ins = dilated(_spatial(lhs, lhs_spec), lhs_dilation)
    taps = dilated(_spatial(rhs, rhs_spec), rhs_dilation)
    outs = dilated(_spatial(ct, out_spec), window_strides)
    pads = tuple(
        [(low, o - i + tap - low - 1) for i, tap, o, (low, _) in zip(ins, taps, outs, padding, strict=True)]
    )
    out = conv_general(
        converted(lhs, ct),
        ct,
        window_strides=rhs_dilation,
        padding=pads,
        lhs_dilation=lhs_dilation,
        rhs_dilation=window_strides,
        lhs_spec=_spec_transposed(lhs_spec),
        rhs_spec=_spec_transposed(out_spec),
        out_spec=_spec_transposed(rhs_spec),
        feature_group_count=batch_group_count,
        batch_group_count=feature_group_count,
        precision=precision,
    )
    return converted(out, rhs)


def _conv_transpose(cts: Any, operands: Any, **attrs: Any) -> tuple[Value | None, Value | None]:
    (ct,), (lhs, rhs) = cts, operands
    if ct.type.size == 0:  # no degenerate convolutions: the cotangent is zero
        return None, None
    if isinstance(lhs, Linear):
        return _lhs_cotangent(ct, lhs, rhs, **attrs), None
    return None, _rhs_cotangent(ct, lhs, rhs, **attrs)


# Batching -------------------------------------------------------------------------------------------


def _conv_batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    """Folds the new axis into the batch, the features or the groups, and takes it out of the result."""
    lhs, rhs = operands
    (lhs_batch, _), (rhs_out, _) = attrs["lhs_spec"][:2], attrs["rhs_spec"][:2]
    lhs_features = attrs["lhs_spec"][1]
    out_batch, out_features = attrs["out_spec"][:2]
    groups = attrs["feature_group_count"] * attrs["batch_group_count"]
    if size == 0:
        types = [x.type.with_shape(x.type.shape[b:]) for x, b in zip(operands, batched, strict=True)]
        (one,) = conv_general.infer(tuple(types), attrs)
        return (shapes.zeros(one.with_shape((0, *one.shape))),), (True,)
    if all(batched):  # each example is a group
        if attrs["batch_group_count"] > 1:
            lhs = _merge(lhs, 0, lhs_batch)
            attrs["batch_group_count"] *= size
        else:
            lhs = _merge(lhs, 0, lhs_features)
            attrs["feature_group_count"] *= size
        out = _split(conv_general(lhs, _merge(rhs, 0, rhs_out), **attrs), out_features, size)
        return (moved_to_front(out, out_features),), (True,)
    if batched[0]:  # each example is part of the batch, within its batch group
        if attrs["batch_group_count"] > 1:
            lhs = _merge(_split(lhs, lhs_batch + 1, groups), 0, lhs_batch + 1)
            lhs = _merge(lhs, lhs_batch, lhs_batch)
        else:
            lhs = _merge(lhs, 0, lhs_batch)
        out = _split(conv_general(lhs, rhs, **attrs), out_batch, size)
        return (moved_to_front(out, out_batch),), (True,)
    # Each example is part of the output features, within their group.
    if groups > 1:
        rhs = _merge(_split(rhs, rhs_out + 1, groups), 0, rhs_out + 1)
        rhs = _merge(rhs, rhs_out, rhs_out)
        out = _split(conv_general(lhs, rhs, **attrs), out_features, groups)
        out = _merge(_split(out, out_features + 1, size), out_features, out_features + 1)
    else:
        out = _split(conv_general(lhs, _merge(rhs, 0, rhs_out), **attrs), out_features, size)
    return (moved_to_front(out, out_features),), (True,)


def _conv_flops(
    operands: Any, results: Any, *, window_strides: Sequence[int], padding: Padding, lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int], lhs_spec: Dims, rhs_spec: Dims, out_spec: Dims, **_: Any,
) -> int:  # fmt: skip
    """Two for each product of elements: neither padding nor the gaps of dilated operands count."""
    (lhs, rhs), out = operands, results[0]
    products = out.shape[out_spec[0]] * out.shape[out_spec[1]] * rhs.shape[rhs_spec[1]]
    dims = zip(lhs_spec[2:], rhs_spec[2:], out_spec[2:], strict=True)
    for i, (of_lhs, of_rhs, of_out) in enumerate(dims):
        products *= _meetings(
            lhs.shape[of_lhs], rhs.shape[of_rhs], out.shape[of_out],
            stride=window_strides[i], low=padding[i][0], base=lhs_dilation[i], step=rhs_dilation[i],
        )  # fmt: skip
    return 2 * int(products)


@functools.lru_cache(maxsize=1024)
def _meetings(size: int, taps: int, outs: int, *, stride: int, low: int, base: int, step: int) -> int:
    """How many pairs of an output position o and a tap k meet an element: o stride + k step - low = base e.

    Args:
      size: of the operand, 0 <= e < size.
    """
    # Of the shorter of both, one by one, the numbers of the other are a progression.
    if taps <= outs:
        return sum([_multiples(outs, stride, k * step - low, base, size) for k in range(taps)])
    return sum([_multiples(taps, step, o * stride - low, base, size) for o in range(outs)])


def _multiples(count: int, stride: int, start: int, base: int, size: int) -> int:
    """How many i below `count` have start + i stride = base e for some 0 <= e < size."""
    common = math.gcd(stride, base)
    if start % common or not size:
        return 0
    period = base // common
    first = -start // common * pow(stride // common, -1, period) % period if period > 1 else 0
    least = max(-(start // stride), 0)
    most = min((base * (size - 1) - start) // stride, count - 1)
    least += (first - least) % period
    return max((most - least) // period + 1, 0)


# Specs are those of jax.lax.ConvDimensionNumbers: (batch, feature, *spatial) of lhs and of the result,
# (out feature, in feature, *spatial) of rhs. Padding is (low, high) for each spatial dimension.
conv_general = op(
    "conv_general",
    attrs={
        **dict.fromkeys(("window_strides", "padding", "lhs_dilation", "rhs_dilation"), REQUIRED),
        **dict.fromkeys(("lhs_spec", "rhs_spec", "out_spec"), REQUIRED),
        "feature_group_count": 1,
        "batch_group_count": 1,
        "precision": None,
        "preferred_type": None,
    },
    type=_conv_type,
    eval=_conv_eval,
    jvp=MULTILINEAR,
    transpose=_conv_transpose,
    batch=_conv_batch,
    flops=_conv_flops,
)
