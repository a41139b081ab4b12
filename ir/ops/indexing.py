"""Reading at computed positions: `gather`, `dynamic_slice`; and writing a slice, `dynamic_update_slice`.

The conventions are those of `jax.lax`: the last axis of `indices` holds the index vectors, and the modes
say what becomes of a window that is not wholly in bounds: "clip" moves it inside, "fill" reads
`fill_value` (and drops what is written), "promise_in_bounds" rules it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Dense, Value
from ir.errors import ShapeError
from ir.numerics import indexing as numerics
from ir.op import Op
from ir.ops import shape as shapes
from ir.ops.families import INTEGER, REQUIRED, Linear, batch_axis_moved, check, materialize, op, require_dtype
from ir.ops.shape import zeros, zeros_like
from ir.types import DType, TensorType

Dims = tuple[int, ...]

MODES = ("clip", "fill", "promise_in_bounds")


def fills_with_nan(fill: Dense | None, dtype: DType) -> bool:
    """Whether what fills is nan, as it is by default where there is one; of complex numbers only by default."""
    if fill is None:
        return dtype.is_inexact
    return dtype.is_float and bool(np.isnan(fill.array))


# Dimension numbers, shared with scatter --------------------------------------------------------------


def check_dims(name: str, what: str, dims: Sequence[int], rank: int, *, ordered: bool = False) -> None:
    """IRTypeError unless `dims` are distinct dimensions of `rank` (in increasing order)."""
    check(
        all(type(d) is int and 0 <= d < rank for d in dims) and len(set(dims)) == len(dims),
        f"{name}: expected {what} to be distinct dimensions below {rank}, got {dims}",
    )
    check(
        not ordered or list(dims) == sorted(dims), f"{name}: expected {what} in increasing order, got {dims}"
    )


def check_indexed(
    name: str,
    x: TensorType,
    indices: TensorType,
    *,
    dropped: tuple[str, Dims],
    index_map: tuple[str, Dims],
    batching: tuple[str, Dims],
    indices_batching: tuple[str, Dims],
    mode: str,
) -> None:
    """The checks that gather and scatter have in common; each dimension tuple comes with its name."""
    require_dtype(name, indices, INTEGER)
    check(mode in MODES, f"{name}: expected a mode of {MODES}, got {mode!r}")
    if indices.rank == 0:
        raise ShapeError(f"{name}: expected indices with a last axis of index vectors, got {indices}")
    check_dims(name, *dropped, x.rank, ordered=True)
    check_dims(name, *batching, x.rank, ordered=True)
    check_dims(name, *index_map, x.rank)
    check_dims(name, *indices_batching, indices.rank - 1)
    for other in (dropped, index_map):
        check(
            set(other[1]).isdisjoint(batching[1]),
            f"{name}: expected {other[0]} and {batching[0]} to be disjoint, got {other[1]} and {batching[1]}",
        )
    if len(index_map[1]) != indices.shape[-1]:
        raise ShapeError(
            f"{name}: expected index vectors of length {len(index_map[1])}, as {index_map[0]}={index_map[1]} "
            f"has, got indices {indices}"
        )
    sizes = [x.shape[d] for d in batching[1]]
    if sizes != [indices.shape[d] for d in indices_batching[1]]:
        raise ShapeError(
            f"{name}: expected equal sizes along {batching[0]}={batching[1]} of {x} and "
            f"{indices_batching[0]}={indices_batching[1]} of {indices}"
        )


# gather ---------------------------------------------------------------------------------------------


def _gather_type(
    x: TensorType,
    indices: TensorType,
    *,
    offset_dims: Dims,
    collapsed_slice_dims: Dims,
    start_index_map: Dims,
    operand_batching_dims: Dims,
    start_indices_batching_dims: Dims,
    slice_sizes: Dims,
    mode: str,
    fill_value: Dense | None,
    indices_are_sorted: bool,
    unique_indices: bool,
) -> TensorType:
    check_indexed(
        "gather",
        x,
        indices,
        dropped=("collapsed_slice_dims", collapsed_slice_dims),
        index_map=("start_index_map", start_index_map),
        batching=("operand_batching_dims", operand_batching_dims),
        indices_batching=("start_indices_batching_dims", start_indices_batching_dims),
        mode=mode,
    )
    rank = len(offset_dims) + indices.rank - 1
    check_dims("gather", "offset_dims", offset_dims, rank, ordered=True)
    gone = (*collapsed_slice_dims, *operand_batching_dims)
    if len(slice_sizes) != x.rank or len(offset_dims) + len(gone) != x.rank:
        raise ShapeError(
            f"gather: expected a slice size for each axis of {x}, and each axis in the result or in "
            f"collapsed_slice_dims or operand_batching_dims, got slice_sizes={slice_sizes}, "
            f"offset_dims={offset_dims}, collapsed_slice_dims={collapsed_slice_dims}, "
            f"operand_batching_dims={operand_batching_dims}"
        )
    if any(n < 0 for n in slice_sizes) or (
        indices.size != 0 and any(n > of for n, of in zip(slice_sizes, x.shape, strict=True))
    ):
        raise ShapeError(f"gather: expected slice sizes within {x}, got {slice_sizes}")
    if any(slice_sizes[d] != 1 for d in collapsed_slice_dims) or any(
        slice_sizes[d] > 1 for d in operand_batching_dims
    ):
        raise ShapeError(f"gather: expected slice sizes of 1 along dropped axes {gone}, got {slice_sizes}")
    check(
        fill_value is None or (fill_value.shape == () and fill_value.dtype is x.dtype),
        f"gather: expected a scalar fill_value of type {x.dtype}, got {fill_value}",
    )
    window = iter([n for d, n in enumerate(slice_sizes) if d not in gone])
    batch = iter(indices.shape[:-1])
    return x.with_shape(tuple([next(window) if d in offset_dims else next(batch) for d in range(rank)]))


def _gather_eval(
    x: Any,
    indices: Any,
    *,
    fill_value: Dense | None,
    indices_are_sorted: bool,
    unique_indices: bool,
    **attrs: Any,
) -> Any:
    fill: Any = None if fill_value is None else fill_value.array
    if x.dtype.names:  # keys: all bits set, as in JAX
        fill = np.frombuffer(b"\xff" * x.dtype.itemsize, x.dtype)[0]
    return numerics.gather(x, indices, fill_value=fill, **attrs)


def _gather_jvp(
    tangents: Any, operands: Any, results: Any, *, mode: str, fill_value: Any, **attrs: Any
) -> Any:
    dx = tangents[0]
    zero = Dense(0, dx.type.dtype) if mode == "fill" else None
    return (gather(dx, operands[1], mode=mode, fill_value=zero, **attrs),)


def _gather_transpose(
    cts: Any,
    operands: Any,
    *,
    offset_dims: Dims,
    collapsed_slice_dims: Dims,
    start_index_map: Dims,
    operand_batching_dims: Dims,
    start_indices_batching_dims: Dims,
    slice_sizes: Dims,
    mode: str,
    fill_value: Dense | None,
    indices_are_sorted: bool,
    unique_indices: bool,
) -> Any:
    from ir.ops.scatter import scatter_add

    (ct,), (x, indices) = cts, operands
    out = scatter_add(
        zeros_like(x),
        indices,
        ct,
        update_window_dims=offset_dims,
        inserted_window_dims=collapsed_slice_dims,
        scatter_dims_to_operand_dims=start_index_map,
        operand_batching_dims=operand_batching_dims,
        scatter_indices_batching_dims=start_indices_batching_dims,
        mode=mode,
        indices_are_sorted=indices_are_sorted,
        unique_indices=unique_indices,
    )
    return out, None


def _gather_batch(
    operands: Any,
    batched: Any,
    size: int,
    *,
    offset_dims: Dims,
    collapsed_slice_dims: Dims,
    start_index_map: Dims,
    operand_batching_dims: Dims,
    start_indices_batching_dims: Dims,
    slice_sizes: Dims,
    **attrs: Any,
) -> Any:
    on_x, on_indices = batched
    offset_dims = batch_axis_moved(offset_dims)
    if on_x:
        collapsed_slice_dims = batch_axis_moved(collapsed_slice_dims)
        start_index_map = batch_axis_moved(start_index_map)
        operand_batching_dims = batch_axis_moved(operand_batching_dims)
    if on_indices:
        start_indices_batching_dims = batch_axis_moved(start_indices_batching_dims)
    if on_x and on_indices:
        operand_batching_dims = (0, *operand_batching_dims)
        start_indices_batching_dims = (0, *start_indices_batching_dims)
        slice_sizes = (min(size, 1), *slice_sizes)
    elif on_x:
        offset_dims = (0, *offset_dims)
        slice_sizes = (size, *slice_sizes)
    else:  # several examples read one array: no longer in order, no longer apart
        attrs |= {"indices_are_sorted": False, "unique_indices": False}
    out = gather(
        *operands,
        offset_dims=offset_dims,
        collapsed_slice_dims=collapsed_slice_dims,
        start_index_map=start_index_map,
        operand_batching_dims=operand_batching_dims,
        start_indices_batching_dims=start_indices_batching_dims,
        slice_sizes=slice_sizes,
        **attrs,
    )
    return (out,), (True,)


# `unique_indices` and `indices_are_sorted` are promises; the first one is used by the transpose only.
gather = op(
    "gather",
    attrs={
        "offset_dims": (),
        "collapsed_slice_dims": (),
        "start_index_map": (),
        "operand_batching_dims": (),
        "start_indices_batching_dims": (),
        "slice_sizes": REQUIRED,
        "mode": "clip",
        "fill_value": None,
        "indices_are_sorted": False,
        "unique_indices": False,
    },
    type=_gather_type,
    eval=_gather_eval,
    jvp=_gather_jvp,
    transpose=_gather_transpose,
    batch=_gather_batch,
    flops=lambda operands, results, **_: 0,
)


# dynamic_slice and dynamic_update_slice ---------------------------------------------------------------


def _check_starts(name: str, x: TensorType, starts: Sequence[TensorType]) -> None:
    if len(starts) != x.rank:
        raise ShapeError(f"{name}: expected {x.rank} starts for {x}, got {len(starts)}")
    for start in starts:
        require_dtype(name, start, INTEGER)
        if start.rank:
            raise ShapeError(f"{name}: expected scalar starts, got {start}")
        check(
            start is starts[0],
            f"{name}: expected starts of one type, got {', '.join(map(str, starts))}",
        )


def _slice_type(x: TensorType, *starts: TensorType, sizes: Dims) -> TensorType:
    _check_starts("dynamic_slice", x, starts)
    if len(sizes) != x.rank or any(not 0 <= n <= of for n, of in zip(sizes, x.shape, strict=True)):
        raise ShapeError(f"dynamic_slice: expected sizes within {x}, got {sizes}")
    return x.with_shape(sizes)


def _batched_indices(starts: Sequence[Value], batched: Sequence[bool], size: int) -> Value:
    """The starts of all examples as index vectors, `[size, len(starts)]`."""
    columns = [
        shapes.reshape(materialize(start, b, size), shape=(size, 1))
        for start, b in zip(starts, batched, strict=True)
    ]
    return shapes.concatenate(*columns, axis=1) if len(columns) > 1 else columns[0]  # type: ignore[no-any-return]


def _zero_start(starts: Sequence[Value]) -> list[Value]:
    """A start for the batch axis. (Without starts there is no axis to slice, and no type to follow.)"""
    from ir.types import i32

    return [zeros_like(starts[0]) if starts else zeros(TensorType((), i32))]


def _slice_batch(operands: Any, batched: Any, size: int, *, sizes: Dims) -> Any:
    x, *starts = operands
    if not any(batched[1:]):
        return (dynamic_slice(x, *_zero_start(starts), *starts, sizes=(size, *sizes)),), (True,)
    axes = tuple(range(len(sizes)))
    return _gather_batch(
        (x, _batched_indices(starts, batched[1:], size)),
        (batched[0], True),
        size,
        offset_dims=axes,
        collapsed_slice_dims=(),
        start_index_map=axes,
        operand_batching_dims=(),
        start_indices_batching_dims=(),
        slice_sizes=sizes,
        mode="clip",
        fill_value=None,
        indices_are_sorted=True,
        unique_indices=True,
    )


# Starts are moved so that the slice is within bounds; a negative one does not count from the end.
dynamic_slice: Op = op(
    "dynamic_slice",
    attrs=("sizes",),
    type=_slice_type,
    eval=lambda x, *starts, sizes: numerics.dynamic_slice(x, starts, sizes),
    jvp=lambda tangents, operands, results, *, sizes: (
        dynamic_slice(tangents[0], *operands[1:], sizes=sizes),
    ),
    transpose=lambda cts, operands, *, sizes: (
        dynamic_update_slice(zeros_like(operands[0]), cts[0], *operands[1:]),
        *[None] * len(sizes),
    ),
    batch=_slice_batch,
    flops=lambda operands, results, **_: 0,
)


def _update_type(x: TensorType, update: TensorType, *starts: TensorType) -> TensorType:
    _check_starts("dynamic_update_slice", x, starts)
    check(
        update.dtype is x.dtype,
        f"dynamic_update_slice: expected operands of equal element type, got {x} and {update}",
    )
    if update.rank != x.rank or any(n > of for n, of in zip(update.shape, x.shape, strict=True)):
        raise ShapeError(f"dynamic_update_slice: expected an update within {x}, got {update}")
    return x


def _update_jvp(tangents: Any, operands: Any, results: Any) -> Any:
    dx, dupdate = tangents[:2]
    x, update, *starts = operands
    return (
        dynamic_update_slice(
            zeros(x.type) if dx is None else dx, zeros(update.type) if dupdate is None else dupdate, *starts
        ),
    )


def _update_transpose(cts: Any, operands: Any) -> Any:
    (ct,), (x, update, *starts) = cts, operands
    shape = update.type.shape
    return (
        dynamic_update_slice(ct, zeros_like(update), *starts) if isinstance(x, Linear) else None,
        dynamic_slice(ct, *starts, sizes=shape) if isinstance(update, Linear) else None,
        *[None] * len(starts),
    )


def _update_batch(operands: Any, batched: Any, size: int) -> Any:
    from ir.ops.scatter import scatter

    x, update, *starts = operands
    x, update = materialize(x, batched[0], size), materialize(update, batched[1], size)
    if not any(batched[2:]):
        return (dynamic_update_slice(x, update, *_zero_start(starts), *starts),), (True,)
    axes = tuple(range(1, x.type.rank))
    out = scatter(
        x,
        _batched_indices(starts, batched[2:], size),
        update,
        update_window_dims=axes,
        scatter_dims_to_operand_dims=axes,
        operand_batching_dims=(0,),
        scatter_indices_batching_dims=(0,),
        mode="clip",
        indices_are_sorted=True,
        unique_indices=True,
    )
    return (out,), (True,)


dynamic_update_slice: Op = op(
    "dynamic_update_slice",
    type=_update_type,
    eval=lambda x, update, *starts: numerics.dynamic_update_slice(x, update, starts),
    jvp=_update_jvp,
    transpose=_update_transpose,
    batch=_update_batch,
    flops=lambda operands, results: 0,
)
