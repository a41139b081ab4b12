"""Sorting and selection by order. Their derivatives move tangents as the values were moved."""

from __future__ import annotations

import math
from typing import Any

from ir.core import Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics import sorting
from ir.op import Op
from ir.ops.families import ORDERED, check, materialize, op, require_dtype
from ir.ops.shape import expand_dims, iota, zeros
from ir.types import TensorType, i32, i64


def take_along_axis(x: Value, indices: Value, axis: int) -> Value:
    """`x[..., indices[..., i, ...], ...]` along `axis`: other axes agree, indices lie within bounds."""
    from ir.ops.indexing import gather

    if indices.type.size == 0:
        return zeros(x.type.with_shape(indices.type.shape))
    rank = x.type.rank
    others = tuple([d for d in range(rank) if d != axis])
    return gather(  # type: ignore[no-any-return]
        x,
        expand_dims(indices, (rank,)),
        offset_dims=(),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
        slice_sizes=(1,) * rank,
        mode="promise_in_bounds",
        fill_value=None,
        unique_indices=True,
    )


# sort ---------------------------------------------------------------------------------------------


def _sort_type(*types: TensorType, axis: int, num_keys: int, is_stable: bool) -> tuple[TensorType, ...]:
    check(bool(types), "sort: expected at least one operand, got none")
    shown = ", ".join(map(str, types))
    for x in types:
        check(x.dtype.kind != "key", f"sort: expected elements that are not random keys, got {x}")
        if x.shape != types[0].shape:
            raise ShapeError(f"sort: expected operands of equal shape, got {shown}")
    check(0 <= axis < types[0].rank, f"sort: expected an axis of the operands, got {axis} for {shown}")
    check(
        1 <= num_keys <= len(types),
        f"sort: expected num_keys between 1 and the number of operands {len(types)}, got {num_keys}",
    )
    return types


def _sort_eval(*arrays: Any, axis: int, num_keys: int, is_stable: bool) -> Any:
    return sorting.sort(arrays, dimension=axis, num_keys=num_keys, is_stable=is_stable)


def _sort_differentiate(operands: Any, tangents: Any, *, axis: int, **attrs: Any) -> Any:
    """Sort the indices along, then take tangents by them: one order for values and tangents."""
    shape = operands[0].type.shape
    places = iota(shape=shape, dtype=i32 if shape[axis] < 2**31 else i64, axis=axis)
    *results, order = sort(*operands, places, axis=axis, **attrs)
    out = [None if t is None else take_along_axis(t, order, axis) for t in tangents]
    return tuple(results), tuple(out)


def _sort_batch(operands: Any, batched: Any, size: int, *, axis: int, **attrs: Any) -> Any:
    full = [materialize(x, b, size) for x, b in zip(operands, batched, strict=True)]
    out = sort(*full, axis=axis + 1, **attrs)
    return (out if isinstance(out, tuple) else (out,)), (True,) * len(full)


def _sort_flops(operands: Any, results: Any, *, axis: int, num_keys: int, **_: Any) -> int:
    """Comparisons: n log2(n) along the axis, for each key."""
    size = operands[0].shape[axis]
    return int(num_keys * operands[0].size * math.log2(max(size, 2)))


# Reorders all operands alike along `axis`, so that the first `num_keys` of them ascend, compared in
# turn. nan comes last and equals nan, -0.0 equals 0.0; complex numbers compare by parts.
sort = op(
    "sort",
    attrs={"axis": 0, "num_keys": 1, "is_stable": True},
    type=_sort_type,
    eval=_sort_eval,
    jvp=None,
    differentiate=_sort_differentiate,
    batch=_sort_batch,
    flops=_sort_flops,
)

# top_k --------------------------------------------------------------------------------------------


def _top_k_type(x: TensorType, *, k: int) -> tuple[TensorType, TensorType]:
    require_dtype("top_k", x, ORDERED)
    if x.rank == 0:
        raise ShapeError(f"top_k: expected at least one axis, got {x}")
    if not 0 <= k <= x.shape[-1]:
        raise ShapeError(f"top_k: expected k between 0 and the last axis of {x}, got {k}")
    if x.shape[-1] > 2**31:
        raise IRTypeError(f"top_k: expected a last axis whose indices fit i32, got {x}")
    out = x.with_shape((*x.shape[:-1], k))
    return out, out.with_dtype(i32)


def _top_k_jvp(tangents: Any, operands: Any, results: Any, *, k: int) -> Any:
    (dx,), (_, indices) = tangents, results
    return take_along_axis(dx, indices, dx.type.rank - 1), None


# The k largest elements along the last axis in decreasing order, nan first, and their i32 indices; of
# equals the one with the lower index comes first.
top_k: Op = op(
    "top_k",
    attrs=("k",),
    type=_top_k_type,
    eval=lambda x, *, k: sorting.top_k(x, k),
    jvp=_top_k_jvp,
    batch=lambda operands, batched, size, *, k: (top_k(operands[0], k=k), (True, True)),
    flops=lambda operands, results, **_: int(operands[0].size * math.log2(max(operands[0].shape[-1], 2))),
)
