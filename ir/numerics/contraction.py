"""Products summed over dimensions: `dot_general` and `conv_general`.

Narrow floats are accumulated in float32 and rounded once; integers wrap; booleans are or-of-ands.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ir.numerics.indexing import pad
from ir.numerics.precision import (
    Array,
    DType,
    finfo,
    iinfo,
    is_complex,
    is_float,
    is_integer,
    narrow,
    wide_dtype,
)


def dot_general(
    lhs: npt.ArrayLike,
    rhs: npt.ArrayLike,
    *,
    lhs_contract: Sequence[int],
    rhs_contract: Sequence[int],
    lhs_batch: Sequence[int] = (),
    rhs_batch: Sequence[int] = (),
    preferred_type: npt.DTypeLike | None = None,
) -> Array:
    """Sum of products over the contracted dimensions, for each index of the batch dimensions.

    Args:
      lhs: the left operand.
      rhs: the right operand.
      lhs_contract: the dimensions of `lhs` summed over.
      rhs_contract: the dimension of `rhs` that goes with each of them.
      lhs_batch: the dimensions of `lhs` kept and run over together with those of `rhs`.
      rhs_batch: the dimension of `rhs` that goes with each of them.
      preferred_type: dtype of the result; None stands for the wider of the operand dtypes.

    Returns:
      An array of shape `[*batch, *free dimensions of lhs, *free dimensions of rhs]`.
    """
    lhs, rhs = np.asarray(lhs), np.asarray(rhs)
    result_dtype, compute_dtype = _dtypes(lhs.dtype, rhs.dtype, preferred_type)
    lhs_free = [d for d in range(lhs.ndim) if d not in (*lhs_contract, *lhs_batch)]
    rhs_free = [d for d in range(rhs.ndim) if d not in (*rhs_contract, *rhs_batch)]
    batch = [lhs.shape[d] for d in lhs_batch]
    rows = [lhs.shape[d] for d in lhs_free]
    columns = [rhs.shape[d] for d in rhs_free]
    inner = math.prod(lhs.shape[d] for d in lhs_contract)
    # In the order of the axes: how a product rounds may not depend on where elements lie in memory.
    a = lhs.transpose((*lhs_batch, *lhs_free, *lhs_contract)).astype(compute_dtype, order="C")
    b = rhs.transpose((*rhs_batch, *rhs_contract, *rhs_free)).astype(compute_dtype, order="C")
    with np.errstate(all="ignore"):
        product = np.matmul(
            a.reshape(math.prod(batch), math.prod(rows), inner),
            b.reshape(math.prod(batch), inner, math.prod(columns)),
        )
    return narrow(product.reshape((*batch, *rows, *columns)), result_dtype)


def conv_general(
    lhs: npt.ArrayLike,
    rhs: npt.ArrayLike,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    lhs_spec: Sequence[int],
    rhs_spec: Sequence[int],
    out_spec: Sequence[int],
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    preferred_type: npt.DTypeLike | None = None,
) -> Array:
    """Cross-correlation of `lhs` with the kernel `rhs` over any number of spatial dimensions.

    Args:
      lhs: the input.
      rhs: the kernel.
      window_strides: the step of the kernel along each spatial dimension.
      padding: `(low, high)` for each spatial dimension, counted after `lhs_dilation`; negative removes.
      lhs_dilation: the distance at which the elements of the input stand, for each spatial dimension.
      rhs_dilation: the distance at which the elements of the kernel stand, for each spatial dimension.
      lhs_spec: where the input has its `(batch, feature, *spatial)` dimensions.
      rhs_spec: where the kernel has its `(out feature, in feature, *spatial)` dimensions.
      out_spec: where the result has its `(batch, feature, *spatial)` dimensions.
      feature_group_count: the input features, and the output features, fall into so many groups, and
        each group of outputs sees its group of inputs only.
      batch_group_count: the batch falls into so many groups, and each group of output features sees its
        group of the batch only.
      preferred_type: dtype of the result; None stands for the wider of the operand dtypes.

    Padding and dilation put zeros, which the kernel multiplies: an infinite weight gives NaN there.
    """
    lhs, rhs = np.asarray(lhs), np.asarray(rhs)
    result_dtype, compute_dtype = _dtypes(lhs.dtype, rhs.dtype, preferred_type)
    x = lhs.transpose(lhs_spec).astype(compute_dtype, order="C")
    kernel = rhs.transpose(rhs_spec).astype(compute_dtype, order="C")
    groups = feature_group_count * batch_group_count
    taps = kernel.shape[2:]

    # x: [group, batch, *spatial, in feature]; kernel: [group, *spatial, in feature, out feature].
    x = x.reshape(batch_group_count, -1 if x.size else x.shape[0] // batch_group_count, *x.shape[1:])
    x = x.reshape(*x.shape[:2], feature_group_count, x.shape[2] // feature_group_count, *x.shape[3:])
    x = np.moveaxis(x, 2, 1).reshape(groups, x.shape[1], *x.shape[3:])
    x = np.moveaxis(x, 2, -1)
    kernel = kernel.reshape(groups, kernel.shape[0] // groups, *kernel.shape[1:])
    kernel = np.moveaxis(kernel, (1, 2), (-1, -2))
    _, batch, *sizes, in_features = x.shape
    out_features = kernel.shape[-1]

    dilated = [(tap - 1) * step + 1 if tap else 0 for tap, step in zip(taps, rhs_dilation, strict=True)]
    extents = [
        low + high + max((size - 1) * step + 1, 0)
        for size, step, (low, high) in zip(sizes, lhs_dilation, padding, strict=True)
    ]
    out_sizes = [
        (extent - window) // stride + 1 if extent >= window else 0
        for extent, window, stride in zip(extents, dilated, window_strides, strict=True)
    ]
    every: Any = slice(None)
    result = np.zeros((groups, batch * math.prod(out_sizes), out_features), compute_dtype)
    if result.size and in_features:
        config = [(low, high, step - 1) for (low, high), step in zip(padding, lhs_dilation, strict=True)]
        x = pad(x, 0, [(0, 0, 0), (0, 0, 0), *config, (0, 0, 0)])
        for tap in itertools.product(*map(range, taps)):
            where = tuple(
                slice(at * step, at * step + (out - 1) * stride + 1, stride)
                for at, step, out, stride in zip(tap, rhs_dilation, out_sizes, window_strides, strict=True)
            )
            seen = x[every, every, *where].reshape(groups, batch * math.prod(out_sizes), in_features)
            with np.errstate(all="ignore"):
                result = result + np.matmul(seen, kernel[every, *tap])

    # [group, batch, *spatial, feature] -> [batch, group and feature, *spatial] -> the layout asked for.
    result = result.reshape(groups, batch, *out_sizes, out_features)
    result = np.moveaxis(np.moveaxis(result, -1, 1), 2, 0)
    result = result.reshape(batch, groups * out_features, *out_sizes)
    return narrow(np.transpose(result, np.argsort(out_spec)), result_dtype)


def _dtypes(lhs: DType, rhs: DType, preferred: npt.DTypeLike | None) -> tuple[DType, DType]:
    """The dtype of the result and the one to compute in."""
    result = max(lhs, rhs, key=_breadth) if preferred is None else np.dtype(preferred)
    compute = wide_dtype(result)
    if not is_integer(result):  # integers wrap, so that computing in the result's dtype is exact
        for dtype in (lhs, rhs):
            compute = np.promote_types(compute, wide_dtype(dtype))
    return result, compute


def _breadth(dtype: DType) -> tuple[bool, int, int, int, bool]:
    """Orders dtypes as XLA's `HigherPrecisionType` does: complex, exponent, mantissa, bits, signed."""
    if dtype == np.bool_:
        return False, -1, -1, 1, True
    if is_integer(dtype):
        integer = iinfo(dtype)
        return False, -1, -1, integer.bits, integer.min < 0
    assert is_float(dtype) or is_complex(dtype)
    real = np.zeros((), dtype).real.dtype if is_complex(dtype) else dtype
    info = finfo(real)
    return is_complex(dtype), int(info.maxexp), int(info.nmant), int(info.bits), True
