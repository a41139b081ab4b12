"""Creation and rearrangement: constant, iota, broadcast_in_dim, reshape, transpose, rev, concatenate, …

Ends with plain functions for common compositions, which give the operand itself where nothing changes.
Arrays of keys are evaluated as their raw words, with one trailing axis more than the type says.
"""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Dense, Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics import indexing
from ir.op import Op
from ir.ops.families import (
    LINEAR,
    NUMBER,
    ZERO,
    Linear,
    batch_axis_moved,
    check,
    materialize,
    op,
    require_dtype,
)
from ir.types import DType, Shape, TensorType, bool_

# Constants ----------------------------------------------------------------------------------------


def constant_shape(value: Dense) -> Shape:
    """The shape of a constant's value, without the axis of the raw words if it holds keys."""
    return value.shape[:-1] if value.dtype.kind == "key" else value.shape


def _constant_type(*, value: Dense, shape: Shape) -> TensorType:
    if value.dtype.kind == "key":
        words = value.dtype.bits // 32
        check(
            value.shape[-1:] == (words,),
            f"constant: expected {value.dtype} as arrays of {words} words, got shape {value.shape}",
        )
    if constant_shape(value) not in ((), shape):
        raise ShapeError(
            f"constant: expected a value of shape () or {shape}, got shape {constant_shape(value)}"
        )
    return TensorType(shape, value.dtype)


def _constant_eval(*, value: Dense, shape: Shape) -> Any:
    return np.broadcast_to(value.array, (*shape, *value.shape[len(constant_shape(value)) :]))


constant = op(
    "constant",
    attrs=("value", "shape"),
    type=_constant_type,
    eval=_constant_eval,
    jvp=ZERO,
    flops=lambda operands, results, **_: 0,
)


def full(shape: Shape, fill: Any, dtype: DType) -> Value:
    """A constant whose elements all equal the Python or NumPy scalar `fill`."""
    return constant(value=Dense(np.asarray(fill, dtype.np), dtype), shape=shape)  # type: ignore[no-any-return]


def full_like(x: Value | Linear, fill: Any) -> Value:
    """A constant of the type of `x`."""
    return full(x.type.shape, fill, x.type.dtype)


def zeros_like(x: Value | Linear) -> Value:
    """Zeros of the type of `x`; also the tangent or cotangent that is zero."""
    return full_like(x, 0)


def zeros(type: TensorType) -> Value:
    """Zeros of a type."""
    return full(type.shape, 0, type.dtype)


def _iota_type(*, shape: Shape, dtype: DType, axis: int) -> TensorType:
    out = TensorType(shape, dtype)
    require_dtype("iota", out, NUMBER)
    check(0 <= axis < len(shape), f"iota: expected an axis of {out}, got {axis}")
    return out


def _iota_eval(*, shape: Shape, dtype: DType, axis: int) -> Any:
    counted = np.arange(shape[axis]).astype(dtype.np)
    return np.broadcast_to(counted.reshape([-1 if d == axis else 1 for d in range(len(shape))]), shape)


# The index along `axis`, as an array of `shape`.
iota = op(
    "iota",
    attrs=("shape", "dtype", "axis"),
    type=_iota_type,
    eval=_iota_eval,
    jvp=ZERO,
    flops=lambda operands, results, **_: 0,
)

# Shape ops ----------------------------------------------------------------------------------------


def _broadcast_type(x: TensorType, *, shape: Shape, dims: tuple[int, ...]) -> TensorType:
    check(len(dims) == x.rank, f"broadcast_in_dim: expected {x.rank} dims for {x}, got {dims}")
    check(
        all(0 <= d < len(shape) for d in dims) and all(a < b for a, b in itertools.pairwise(dims)),
        f"broadcast_in_dim: expected increasing dims below {len(shape)}, got {dims}",
    )
    if any(n not in (1, shape[d]) for n, d in zip(x.shape, dims, strict=True)):
        raise ShapeError(f"broadcast_in_dim: {x} does not broadcast to {shape} along {dims}")
    return TensorType(shape, x.dtype)


def _broadcast_eval(x: Any, *, shape: Shape, dims: tuple[int, ...]) -> Any:
    words = x.shape[len(dims) :]
    expanded = [1] * len(shape)
    for n, d in zip(x.shape, dims, strict=False):
        expanded[d] = n
    return np.broadcast_to(x.reshape((*expanded, *words)), (*shape, *words))


def _broadcast_transpose(cotangents: Any, operands: Any, *, shape: Shape, dims: tuple[int, ...]) -> Any:
    from ir.ops.reduce import reduce_sum

    (ct,), (x,) = cotangents, operands
    summed = tuple(
        d for d in range(len(shape)) if d not in dims or (x.type.shape[dims.index(d)] == 1 and shape[d] != 1)
    )
    out = reduce_sum(ct, axes=summed) if summed else ct
    return (out if out.type.shape == x.type.shape else reshape(out, shape=x.type.shape),)


def _broadcast_batch(operands: Any, batched: Any, size: int, *, shape: Shape, dims: tuple[int, ...]) -> Any:
    out = broadcast_in_dim(operands[0], shape=(size, *shape), dims=(0, *(d + 1 for d in dims)))
    return (out,), (True,)


broadcast_in_dim = op(
    "broadcast_in_dim",
    attrs=("shape", "dims"),
    type=_broadcast_type,
    eval=_broadcast_eval,
    jvp=LINEAR,
    transpose=_broadcast_transpose,
    batch=_broadcast_batch,
    flops=lambda operands, results, **_: 0,
)


def _reshape_eval(x: Any, *, shape: Shape) -> Any:
    return x.reshape(shape if x.size == math.prod(shape) else (*shape, x.shape[-1]))


def _reshape_type(x: TensorType, *, shape: Shape) -> TensorType:
    if x.size != math.prod(shape):
        raise ShapeError(f"reshape: {x} has {x.size} elements, shape {shape} has {math.prod(shape)}")
    return x.with_shape(shape)


reshape: Op = op(
    "reshape",
    attrs=("shape",),
    type=_reshape_type,
    eval=_reshape_eval,
    jvp=LINEAR,
    transpose=lambda cts, operands, *, shape: (reshape(cts[0], shape=operands[0].type.shape),),
    batch=lambda operands, batched, size, *, shape: (
        (reshape(operands[0], shape=(size, *shape)),),
        (True,),
    ),
    flops=lambda operands, results, **_: 0,
)


def _transpose_type(x: TensorType, *, perm: tuple[int, ...]) -> TensorType:
    if sorted(perm) != list(range(x.rank)):
        raise IRTypeError(f"transpose: expected a permutation of the {x.rank} axes of {x}, got {perm}")
    return x.with_shape(tuple([x.shape[p] for p in perm]))


transpose: Op = op(
    "transpose",
    attrs=("perm",),
    type=_transpose_type,
    eval=lambda x, *, perm: np.transpose(x, (*perm, *range(len(perm), x.ndim))),
    jvp=LINEAR,
    transpose=lambda cts, operands, *, perm: (
        transpose(cts[0], perm=tuple(int(i) for i in np.argsort(perm))),
    ),
    batch=lambda operands, batched, size, *, perm: (
        (transpose(operands[0], perm=(0, *(p + 1 for p in perm))),),
        (True,),
    ),
    flops=lambda operands, results, **_: 0,
)


def _rev_type(x: TensorType, *, axes: tuple[int, ...]) -> TensorType:
    check(
        len(set(axes)) == len(axes) and all(0 <= a < x.rank for a in axes),
        f"rev: expected distinct axes of {x}, got {axes}",
    )
    return x


# The elements along `axes` in reverse order.
rev: Op = op(
    "rev",
    attrs=("axes",),
    type=_rev_type,
    eval=lambda x, *, axes: np.flip(x, axes),
    jvp=LINEAR,
    transpose=lambda cts, operands, *, axes: (rev(cts[0], axes=axes),),
    batch=lambda operands, batched, size, *, axes: (
        (rev(operands[0], axes=batch_axis_moved(axes)),),
        (True,),
    ),
    flops=lambda operands, results, **_: 0,
)


def _concatenate_type(*types: TensorType, axis: int) -> TensorType:
    check(bool(types), "concatenate: expected at least one operand, got none")
    first, shown = types[0], ", ".join(map(str, types))
    check(0 <= axis < first.rank, f"concatenate: expected an axis of the operands, got {axis} for {shown}")
    check(
        all(t.dtype is first.dtype for t in types),
        f"concatenate: expected operands of equal element type, got {shown}",
    )
    before, after = first.shape[:axis], first.shape[axis + 1 :]
    if any(t.rank != first.rank or t.shape[:axis] != before or t.shape[axis + 1 :] != after for t in types):
        raise ShapeError(f"concatenate: expected operands of equal shape but for axis {axis}, got {shown}")
    return first.with_shape((*before, sum(t.shape[axis] for t in types), *after))


def _concatenate_transpose(cts: Any, operands: Any, *, axis: int) -> Any:
    out: list[Value | None] = []
    start = 0
    for x in operands:
        stop = start + x.type.shape[axis]
        out.append(slice_axis(cts[0], axis, start, stop) if isinstance(x, Linear) else None)
        start = stop
    return tuple(out)


def _concatenate_batch(operands: Any, batched: Any, size: int, *, axis: int) -> Any:
    full_operands = [materialize(x, b, size) for x, b in zip(operands, batched, strict=True)]
    return (concatenate(*full_operands, axis=axis + 1),), (True,)


concatenate = op(
    "concatenate",
    attrs=("axis",),
    type=_concatenate_type,
    eval=lambda *arrays, axis: np.concatenate(arrays, axis),
    jvp=LINEAR,
    transpose=_concatenate_transpose,
    batch=_concatenate_batch,
    flops=lambda operands, results, **_: 0,
)

# Padding and slicing ------------------------------------------------------------------------------

PadConfig = tuple[tuple[int, int, int], ...]


def _pad_type(x: TensorType, value: TensorType, *, config: PadConfig) -> TensorType:
    check(x.dtype.kind != "key", f"pad: expected elements that are not keys, got {x}")
    check(x.dtype is value.dtype, f"pad: expected operands of equal element type, got {x} and {value}")
    if value.shape != ():
        raise ShapeError(f"pad: expected a scalar as padding value, got {value}")
    if len(config) != x.rank:
        raise ShapeError(f"pad: expected (low, high, interior) for each of the {x.rank} axes, got {config}")
    check(
        all(interior >= 0 for _, _, interior in config),
        f"pad: expected interior padding of at least 0, got {config}",
    )
    shape = tuple(
        [low + high + n + max(n - 1, 0) * gap for n, (low, high, gap) in zip(x.shape, config, strict=True)]
    )
    if any(n < 0 for n in shape):
        raise ShapeError(f"pad: expected sizes of at least 0, got {shape} for {x} padded by {config}")
    return x.with_shape(shape)


def _unpad(ct: Value, config: PadConfig) -> Value:
    """The elements of `ct` where `pad` put those of its operand; zero for those it removed."""
    removed = tuple([(max(-low, 0), max(-high, 0), 0) for low, high, _ in config])
    if any(low or high for low, high, _ in removed):
        ct = pad(ct, full((), 0, ct.type.dtype), config=removed)
    starts = tuple([max(low, 0) for low, _, _ in config])
    limits = tuple([n - max(high, 0) for n, (_, high, _) in zip(ct.type.shape, config, strict=True)])
    strides = tuple([gap + 1 for _, _, gap in config])
    if starts == (0,) * len(config) and limits == ct.type.shape and not any(gap for _, _, gap in config):
        return ct
    return slice(ct, starts=starts, limits=limits, strides=strides)  # type: ignore[no-any-return]


def _is_padding(x: Value | Linear, config: PadConfig) -> Value:
    """A bool array, true where `pad` of `x` puts the padding value."""
    return pad(full(x.type.shape, False, bool_), full((), True, bool_), config=config)  # type: ignore[no-any-return]


def _pad_transpose(cts: Any, operands: Any, *, config: PadConfig) -> Any:
    from ir.ops.elementwise import select
    from ir.ops.reduce import reduce_sum

    (ct,), (x, value) = cts, operands
    dx = _unpad(ct, config) if isinstance(x, Linear) else None
    if not isinstance(value, Linear):
        return dx, None
    padding = select(_is_padding(x, config), ct, zeros_like(ct))
    return dx, reduce_sum(padding, axes=tuple(range(len(config))))


def _pad_batch(operands: Any, batched: Any, size: int, *, config: PadConfig) -> Any:
    from ir.ops.elementwise import select

    x, value = operands
    if not batched[1]:
        return (pad(x, value, config=((0, 0, 0), *config)),), (True,)
    # One scalar pads all of an array: pad by zero, then choose.
    moved = ((0, 0, 0), *config)
    x = materialize(x, batched[0], size)
    padded = pad(x, full((), 0, x.type.dtype), config=moved)
    spread = broadcast_in_dim(value, shape=padded.type.shape, dims=(0,))
    return (select(_is_padding(x, moved), spread, padded),), (True,)


# `value` around and between the elements of `x`; `config` holds (low, high, interior) for each axis,
# and a negative `low` or `high` removes elements.
pad = op(
    "pad",
    attrs=("config",),
    type=_pad_type,
    eval=lambda x, value, *, config: indexing.pad(x, value, config),
    jvp=LINEAR,
    transpose=_pad_transpose,
    batch=_pad_batch,
    flops=lambda operands, results, **_: 0,
)


def _slice_type(x: TensorType, *, starts: Shape, limits: Shape, strides: Shape) -> TensorType:
    if not len(starts) == len(limits) == len(strides) == x.rank:
        raise ShapeError(
            f"slice: expected a start, limit and stride for each of the {x.rank} axes of {x}, "
            f"got {starts}, {limits} and {strides}"
        )
    within = all(0 <= a <= b <= n for a, b, n in zip(starts, limits, x.shape, strict=True))
    if not within:
        raise ShapeError(f"slice: expected 0 <= starts <= limits <= {x.shape}, got {starts} and {limits}")
    check(all(step >= 1 for step in strides), f"slice: expected strides of at least 1, got {strides}")
    return x.with_shape(tuple([-((a - b) // n) for a, b, n in zip(starts, limits, strides, strict=True)]))


def _slice_eval(x: Any, *, starts: Shape, limits: Shape, strides: Shape) -> Any:
    return x[tuple(map(builtins.slice, starts, limits, strides))]


def _slice_transpose(cts: Any, operands: Any, *, starts: Shape, limits: Shape, strides: Shape) -> Any:
    (ct,), (x,) = cts, operands
    config = []
    for n, size, start, step in zip(ct.type.shape, x.type.shape, starts, strides, strict=True):
        end = start + (n - 1) * step + 1 if n else start
        config.append((start, size - end, step - 1))
    return (pad(ct, full((), 0, ct.type.dtype), config=tuple(config)),)


def _slice_batch(
    operands: Any, batched: Any, size: int, *, starts: Shape, limits: Shape, strides: Shape
) -> Any:
    out = slice(operands[0], starts=(0, *starts), limits=(size, *limits), strides=(1, *strides))
    return (out,), (True,)


# The elements `starts`, `starts + strides`, ... below `limits`, along each axis.
slice = op(
    "slice",
    attrs=("starts", "limits", "strides"),
    type=_slice_type,
    eval=_slice_eval,
    jvp=LINEAR,
    transpose=_slice_transpose,
    batch=_slice_batch,
    flops=lambda operands, results, **_: 0,
)

# Compositions -------------------------------------------------------------------------------------


def slice_axis(x: Value, axis: int, start: int, limit: int, stride: int = 1) -> Value:
    """A slice along one axis; `x` where it takes everything."""
    shape = x.type.shape
    if (start, limit, stride) == (0, shape[axis], 1):
        return x
    rank = len(shape)
    starts, limits, strides = [0] * rank, list(shape), [1] * rank
    starts[axis], limits[axis], strides[axis] = start, limit, stride
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))  # type: ignore[no-any-return]


def pad_axis(x: Value, axis: int, low: int, high: int, *, interior: int = 0, fill: Any = 0) -> Value:
    """`x` padded along one axis with the Python scalar `fill`; `x` where there is nothing to pad."""
    if not (low or high or interior):
        return x
    config = [(0, 0, 0)] * x.type.rank
    config[axis] = (low, high, interior)
    return pad(x, full((), fill, x.type.dtype), config=tuple(config))  # type: ignore[no-any-return]


def reshape_to(x: Value, shape: Shape) -> Value:
    """`x` in another shape; `x` where it has it."""
    return x if x.type.shape == shape else reshape(x, shape=shape)


def expand_dims(x: Value, axes: Sequence[int]) -> Value:
    """`x` with axes of size 1 at the positions `axes` of the result."""
    shape = list(x.type.shape)
    for axis in sorted(axes):
        shape.insert(axis, 1)
    return reshape_to(x, tuple(shape))


def squeeze(x: Value, axes: Sequence[int]) -> Value:
    """`x` without its `axes`, all of size 1."""
    return reshape_to(x, tuple([n for d, n in enumerate(x.type.shape) if d not in axes]))


def permute(x: Value, perm: tuple[int, ...]) -> Value:
    """`x` transposed; `x` where the permutation is the identity."""
    return x if perm == tuple(range(len(perm))) else transpose(x, perm=perm)


def move_axis(x: Value, source: int, destination: int) -> Value:
    """`x` with one axis moved, the order of the others kept."""
    order = [d for d in range(x.type.rank) if d != source]
    order.insert(destination, source)
    return permute(x, tuple(order))


def broadcast_to(x: Value, shape: Shape) -> Value:
    """`x` broadcast as in NumPy: aligned at the last axis, axes of size 1 stretched."""
    if x.type.shape == shape:
        return x
    missing = len(shape) - x.type.rank
    return broadcast_in_dim(x, shape=shape, dims=tuple(range(missing, len(shape))))  # type: ignore[no-any-return]


def broadcast_along(x: Value, shape: Shape, axes: Sequence[int]) -> Value:
    """`x` repeated along `axes` of `shape`, which `x` lacks: what a reduction over them took away."""
    if not axes:
        return x
    kept = tuple([d for d in range(len(shape)) if d not in axes])
    return broadcast_in_dim(x, shape=shape, dims=kept)  # type: ignore[no-any-return]
