"""Gather, scatter, slices and padding.

Reference: the semantics of `jax.lax` and of XLA (https://openxla.org/xla/operation_semantics). The vector of
start indices always lies along the last dimension of `indices`, as in JAX.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ir.numerics.precision import Array, DType, iinfo, is_integer

_COMBINE: dict[str, np.ufunc] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
_MODES = ("clip", "fill", "promise_in_bounds")


def gather(
    operand: npt.ArrayLike,
    indices: npt.ArrayLike,
    *,
    offset_dims: Sequence[int],
    collapsed_slice_dims: Sequence[int],
    start_index_map: Sequence[int],
    operand_batching_dims: Sequence[int] = (),
    start_indices_batching_dims: Sequence[int] = (),
    slice_sizes: Sequence[int],
    mode: str,
    fill_value: int | float | complex | bool | None = None,
) -> Array:
    """Slices of `operand` of shape `slice_sizes`, one for each vector in `indices`.

    Args:
      operand: the array to read from.
      indices: integers of shape `[*batch, len(start_index_map)]`.
      offset_dims: the dimensions of the result that run within a slice, in increasing order.
      collapsed_slice_dims: the dimensions of `operand` of slice size 1 that the result drops.
      start_index_map: the dimension of `operand` that each component of an index vector addresses.
      operand_batching_dims: the dimensions of `operand` that run along with dimensions of `indices`.
      start_indices_batching_dims: the dimension of `indices` that goes with each of them.
      slice_sizes: the shape of a slice, one size for each dimension of `operand`.
      mode: "clip" moves a slice into bounds; "fill" makes one that is not wholly in bounds `fill_value`;
        "promise_in_bounds" leaves that case open (here it clips).
      fill_value: None stands for NaN, the smallest signed, the largest unsigned integer, or True.

    Raises:
      ValueError: an unknown mode.
    """
    _check_mode(mode)
    operand, indices = np.asarray(operand), np.asarray(indices)
    batch_rank = indices.ndim - 1
    rank = batch_rank + len(offset_dims)
    batch_dims = [d for d in range(rank) if d not in offset_dims]
    starts, in_bounds = _starts(
        operand.shape,
        slice_sizes,
        indices,
        start_dims=start_index_map,
        operand_batching_dims=operand_batching_dims,
        indices_batching_dims=start_indices_batching_dims,
    )
    dropped = (*collapsed_slice_dims, *operand_batching_dims)
    window_dims = [d for d in range(operand.ndim) if d not in dropped]
    out_shape = [0] * rank
    for d, size in zip(batch_dims, indices.shape[:-1], strict=True):
        out_shape[d] = size
    for d, window_dim in zip(offset_dims, window_dims, strict=True):
        out_shape[d] = slice_sizes[window_dim]
    if 0 in out_shape:
        return np.empty(out_shape, operand.dtype)

    where = _operand_indices(
        starts, rank, batch_dims, dict(zip(window_dims, offset_dims, strict=True)), slice_sizes
    )
    result = np.broadcast_to(operand[where], out_shape) if where else np.broadcast_to(operand, out_shape)
    if mode == "fill":
        fill = np.asarray(_default_fill(operand.dtype) if fill_value is None else fill_value).astype(
            operand.dtype
        )
        result = np.where(_spread(in_bounds, rank, batch_dims), result, fill)
    return np.array(result)


def scatter(
    operand: npt.ArrayLike,
    indices: npt.ArrayLike,
    updates: npt.ArrayLike,
    *,
    combine: str,
    update_window_dims: Sequence[int],
    inserted_window_dims: Sequence[int],
    scatter_dims_to_operand_dims: Sequence[int],
    operand_batching_dims: Sequence[int] = (),
    scatter_indices_batching_dims: Sequence[int] = (),
    mode: str,
) -> Array:
    """`operand` with windows of `updates` combined into it, in the order of the index vectors.

    Args:
      operand: the array to start from.
      indices: integers of shape `[*batch, len(scatter_dims_to_operand_dims)]`.
      updates: the windows; its dimensions are those of a window and those of the batch.
      combine: "set", "add", "sub", "mul", "min" or "max"; with "set" the last of several updates wins.
      update_window_dims: the dimensions of `updates` that run within a window, in increasing order.
      inserted_window_dims: the dimensions of `operand` that a window lacks, its size there being 1.
      scatter_dims_to_operand_dims: the dimension of `operand` that each component of an index addresses.
      operand_batching_dims: the dimensions of `operand` that run along with dimensions of `indices`.
      scatter_indices_batching_dims: the dimension of `indices` that goes with each of them.
      mode: "clip" moves a window into bounds; "fill" drops one that is not wholly in bounds;
        "promise_in_bounds" leaves that case open (here it drops).

    Every combination is rounded to the dtype of `operand`.

    Raises:
      ValueError: an unknown mode or combination.
    """
    _check_mode(mode)
    if combine != "set" and combine not in _COMBINE:
        raise ValueError(f"expected combine to be 'set' or one of {sorted(_COMBINE)}, got {combine!r}")
    operand, indices, updates = np.asarray(operand), np.asarray(indices), np.asarray(updates)
    dropped = (*inserted_window_dims, *operand_batching_dims)
    window_dims = [d for d in range(operand.ndim) if d not in dropped]
    sizes = [1] * operand.ndim
    for window_dim, d in zip(window_dims, update_window_dims, strict=True):
        sizes[window_dim] = updates.shape[d]
    if updates.size == 0:
        return operand.copy()
    starts, in_bounds = _starts(
        operand.shape,
        sizes,
        indices,
        start_dims=scatter_dims_to_operand_dims,
        operand_batching_dims=operand_batching_dims,
        indices_batching_dims=scatter_indices_batching_dims,
    )

    # With the scatter dimensions in front, C order is the order in which the index vectors apply.
    scatter_dims = [d for d in range(updates.ndim) if d not in update_window_dims]
    updates = np.transpose(updates, (*scatter_dims, *update_window_dims))
    batch_rank, rank = len(scatter_dims), updates.ndim
    offset_dims = {window_dim: batch_rank + i for i, window_dim in enumerate(window_dims)}
    where = _operand_indices(starts, rank, range(batch_rank), offset_dims, sizes)
    flat = np.zeros(updates.shape, np.int64)
    for d, index in enumerate(where):
        flat += index * int(np.prod(operand.shape[d + 1 :], dtype=np.int64))
    keep = np.ones(updates.shape, np.bool_)
    if mode != "clip":
        keep = np.broadcast_to(_spread(in_bounds, rank, range(batch_rank)), updates.shape)

    result = operand.flatten()
    with np.errstate(all="ignore"):
        if combine == "set":
            result[flat[keep]] = updates[keep]
        else:
            _COMBINE[combine].at(result, flat[keep], updates[keep])
    return result.reshape(operand.shape)


def dynamic_slice(
    operand: npt.ArrayLike, starts: Sequence[npt.ArrayLike], slice_sizes: Sequence[int]
) -> Array:
    """The slice of shape `slice_sizes` at `starts`, one integer scalar a dimension, moved into bounds.

    A negative start is clamped to 0: it does not count from the end.
    """
    operand = np.asarray(operand)
    return operand[_window(operand.shape, starts, slice_sizes)].copy()


def dynamic_update_slice(
    operand: npt.ArrayLike, update: npt.ArrayLike, starts: Sequence[npt.ArrayLike]
) -> Array:
    """`operand` with `update` written at `starts`, one integer scalar a dimension, moved into bounds."""
    operand, update = np.asarray(operand), np.asarray(update)
    result = operand.copy()
    result[_window(operand.shape, starts, update.shape)] = update
    return result


def pad(operand: npt.ArrayLike, value: npt.ArrayLike, config: Sequence[tuple[int, int, int]]) -> Array:
    """`operand` with `value` around and between its elements.

    Args:
      operand: the array to pad.
      value: a scalar.
      config: `(low, high, interior)` for each dimension. `interior` elements go between neighbours, then
        `low` and `high` at the ends, where a negative number removes elements instead.

    Raises:
      ValueError: a dimension would get a negative size.
    """
    operand = np.asarray(operand)
    shape, to, source = [], [], []
    for size, (low, high, interior) in zip(operand.shape, config, strict=True):
        padded = low + high + size + max(size - 1, 0) * interior
        if padded < 0:
            raise ValueError(
                f"expected a size of at least 0 after padding, got {padded} from {size} and {config}"
            )
        positions = low + np.arange(size) * (interior + 1)
        kept = (positions >= 0) & (positions < padded)
        shape.append(padded)
        to.append(positions[kept])
        source.append(np.flatnonzero(kept))
    result = np.full(shape, np.asarray(value).astype(operand.dtype), operand.dtype)
    result[np.ix_(*to)] = operand[np.ix_(*source)]
    return result


def slice(
    operand: npt.ArrayLike, starts: Sequence[int], limits: Sequence[int], strides: Sequence[int] | None = None
) -> Array:
    """The elements `starts[d], starts[d] + strides[d], ...` below `limits[d]` of each dimension."""
    operand = np.asarray(operand)
    steps = (1,) * operand.ndim if strides is None else strides
    picks = [np.arange(start, limit, step) for start, limit, step in zip(starts, limits, steps, strict=True)]
    return operand[np.ix_(*picks)].copy()


def _check_mode(mode: str) -> None:
    if mode not in _MODES:
        raise ValueError(f"expected mode to be one of {_MODES}, got {mode!r}")


def _default_fill(dtype: DType) -> int | float | bool:
    if dtype == np.bool_:
        return True
    if is_integer(dtype):
        info = iinfo(dtype)
        return int(info.min if info.min < 0 else info.max)
    return float("nan")


def _starts(
    shape: Sequence[int],
    sizes: Sequence[int],
    indices: Array,
    *,
    start_dims: Sequence[int],
    operand_batching_dims: Sequence[int],
    indices_batching_dims: Sequence[int],
) -> tuple[list[Array], Array]:
    """For each dimension of the operand the clamped starts of all windows; and which needed no clamping."""
    batch = indices.shape[:-1]
    starts: list[Array] = [np.zeros((1,) * len(batch), np.int64)] * len(shape)
    in_bounds: Array = np.ones(batch, np.bool_)
    for component, d in enumerate(start_dims):
        start = _as_int64(indices[..., component])
        limit = shape[d] - sizes[d]
        in_bounds = in_bounds & (start >= 0) & (start <= limit)
        starts[d] = np.clip(start, 0, limit)
    for d, batch_dim in zip(operand_batching_dims, indices_batching_dims, strict=True):
        counting = np.ones(len(batch), np.int64)
        counting[batch_dim] = -1
        starts[d] = np.arange(batch[batch_dim]).reshape(counting)
    return starts, in_bounds


def _operand_indices(
    starts: Sequence[Array],
    rank: int,
    batch_dims: Sequence[int],
    offset_dims: dict[int, int],
    sizes: Sequence[int],
) -> tuple[Array, ...]:
    """For each dimension of the operand, indices that broadcast to a result of rank `rank`.

    `batch_dims` are the dimensions of the result that run over windows; `offset_dims` gives, for a dimension
    of the operand that a window has, the dimension of the result that runs along it.
    """
    where = []
    for d, start in enumerate(starts):
        index = _spread(start, rank, batch_dims)
        if d in offset_dims:
            along = np.ones(rank, np.int64)
            along[offset_dims[d]] = sizes[d]
            index = index + np.arange(sizes[d]).reshape(along)
        where.append(index)
    return tuple(where)


def _spread(x: Array, rank: int, dims: Sequence[int]) -> Array:
    """`x` reshaped to rank `rank`, its dimensions at the increasing positions `dims`, others of size 1."""
    shape = [1] * rank
    for d, size in zip(dims, x.shape, strict=True):
        shape[d] = size
    return x.reshape(shape)


def _as_int64(indices: Array) -> Array:
    if indices.dtype == np.uint64:
        indices = np.minimum(indices, np.uint64(np.iinfo(np.int64).max))
    return indices.astype(np.int64)


def _window(shape: Sequence[int], starts: Sequence[npt.ArrayLike], sizes: Sequence[int]) -> tuple[Array, ...]:
    """Open mesh of the window of shape `sizes` at `starts`, clamped into `shape`."""
    ranges = []
    for start, size, extent in zip(starts, sizes, shape, strict=True):
        clamped = int(np.clip(_as_int64(np.asarray(start)), 0, extent - size))
        ranges.append(np.arange(clamped, clamped + size))
    return np.ix_(*ranges)
