"""`x[...]`, updates of it, and the functions that index: take, take_along_axis.

An index is normalised to one entry an axis: new axes are inserted first, so that what remains are
slices, static ints and index arrays. Static parts become slice, reverse and reshape; arrays become
one gather or scatter. Layout follows NumPy; out-of-range array indices follow JAX.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.core import Dense
from ir.errors import ArgumentError, ArgumentTypeError, ConcretizationError, StaticIndexError
from ir.op import Op
from ir.ops import indexing as ix
from ir.ops import scatter as sc
from ir.ops import shape as sh
from ir.types import DType, Shape, bool_, i32
from tracer.numpy import arithmetic as ar
from tracer.numpy import elementwise as el
from tracer.numpy.dispatch import (
    broadcast_shapes,
    broadcast_to,
    convert,
    current_trace,
    lift,
    native,
    normalize_axis,
    record,
    reshaped,
)
from tracer.trace import CONSTANT_BYTES
from tracer.types import promote_dtypes, type_of
from tracer.value import Tensor


@dataclass(frozen=True, slots=True)
class Plan:
    """A normalised index of an array.

    Attributes:
      expanded: shape of the operand with new axes of size 1 inserted.
      slices: a slice for each axis of `expanded`; the whole axis where an index array applies.
      dropped: axes of static ints, which the result lacks.
      arrays: index array by axis, broadcast to one shape, counted from the start.
      batch: shape of the index arrays.
      known: the index arrays in the order of their axes, not broadcast, where all are known now.
      front: whether the axes of the index arrays come first in the result (they were separated).
    """

    expanded: Shape
    slices: tuple[slice, ...]
    dropped: tuple[int, ...]
    arrays: dict[int, Tensor]
    batch: Shape
    known: tuple[Any, ...] | None
    front: bool

    def vectors(self) -> Any:
        """The known index arrays joined along a last axis."""
        assert self.known is not None
        return np.stack(np.broadcast_arrays(*self.known), -1)


@dataclass(frozen=True, slots=True)
class _Truth:
    """A bool scalar as an index: of a new axis of size 1, which True takes once and False never."""

    index: Any


def _is_array(x: Any) -> bool:
    return isinstance(x, (Tensor, jax.Array, np.ndarray, list)) or (
        isinstance(x, np.generic) and not isinstance(x, np.integer)
    )


def _entries(index: Any, rank: int) -> tuple[list[Any], int]:
    """The index as a list of entries with ellipsis expanded and boolean arrays replaced; where that was."""
    entries: list[Any] = []
    for entry in index if isinstance(index, tuple) else (index,):
        if (
            type(entry) in (bool, np.bool_, np.ndarray)
            and np.ndim(entry) == 0
            and np.asarray(entry).dtype == bool
        ):
            entries.append(_Truth(np.zeros(int(entry), np.int32)))
            continue
        if _is_array(entry):
            if not isinstance(entry, (Tensor, jax.Array)):
                entry = np.asarray(entry)
                if entry.size == 0 and entry.dtype.kind == "f":
                    entry = entry.astype(np.int32)
            if np.dtype(entry.dtype) == np.bool_:
                entries.extend(_nonzero(entry))
                continue
            if np.dtype(entry.dtype).kind not in "iu":
                raise ArgumentTypeError(
                    f"index: expected an array of integers or bools, got dtype {entry.dtype}"
                )
        elif not (entry is None or entry is Ellipsis or isinstance(entry, slice)):
            try:
                entry = operator.index(entry)
            except TypeError:
                raise ArgumentTypeError(
                    f"index: expected ints, slices, None, ... or arrays of ints, got {type(entry).__name__}"
                ) from None
        entries.append(entry)
    used = sum(e is not None and e is not Ellipsis and type(e) is not _Truth for e in entries)
    dots = [k for k, e in enumerate(entries) if e is Ellipsis]
    if len(dots) > 1:
        raise ArgumentError("index: expected at most one ellipsis")
    if used > rank:
        raise ArgumentError(f"index: {used} indices for an array with {rank} axes")
    fill = [slice(None)] * (rank - used)
    at = dots[0] if dots else len(entries)
    return [*entries[:at], *fill, *entries[at + len(dots) :]], at


def _nonzero(mask: Any) -> list[Any]:
    """Index arrays of a mask, which must be known now."""
    if isinstance(mask, (Tensor, jax.core.Tracer)):
        raise ConcretizationError(
            "index: a traced bool mask makes a shape that depends on data",
            note="use tracer.numpy.where(mask, x, y), or a mask that is a NumPy array",
        )
    return list(np.nonzero(np.asarray(mask)))


def plan(index: Any, shape: Shape, mode: str | None = None, wrap: bool = True) -> Plan:
    """Normalise `index` for an array of `shape`.

    Args:
      index, shape: what is indexed, and with what.
      mode: says what becomes of static ints out of range where it is "fill" or "clip".
      wrap: count negative numbers from the end; otherwise they are out of range.

    Raises:
      StaticIndexError: a static int is out of range, and no mode says what to do.
    """
    entries, dots = _entries(index, len(shape))
    sizes = iter(shape)
    expanded = tuple([1 if e is None or type(e) is _Truth else next(sizes) for e in entries])
    entries = [slice(None) if e is None else e.index if type(e) is _Truth else e for e in entries]
    outside = {
        axis
        for axis, (entry, size) in enumerate(zip(entries, expanded, strict=True))
        if isinstance(entry, int) and not (-size if wrap else 0) <= entry < size
    }
    # What is out of range is left to gather and scatter.
    has_arrays = any(_is_array(e) for e in entries) or bool(outside)
    slices: list[slice] = []
    dropped: list[int] = []
    arrays: dict[int, Any] = {}
    for axis, (entry, size) in enumerate(zip(entries, expanded, strict=True)):
        if isinstance(entry, slice):
            slices.append(slice(*_static_slice(entry).indices(size)))
        elif isinstance(entry, int):
            if axis in outside and mode not in ("fill", "clip"):
                raise StaticIndexError(f"index {entry} is out of range for axis {axis} of size {size}")
            if has_arrays:
                arrays[axis] = np.asarray(_in_int32(entry))
                slices.append(slice(0, size, 1))
            else:
                slices.append(slice(entry % size, entry % size + 1, 1))
                dropped.append(axis)
        else:
            arrays[axis] = entry
            slices.append(slice(0, size, 1))
    known = {axis: _wrapped(a, expanded[axis], wrap) for axis, a in arrays.items() if _is_known(a)}
    lifted = {
        axis: _constant(known[axis]) if axis in known else _non_negative(lift(a), expanded[axis], wrap)
        for axis, a in arrays.items()
    }
    batch = broadcast_shapes(*[a.shape for a in lifted.values()]) if lifted else ()
    axes = sorted(lifted)
    # An ellipsis separates index arrays even where it stands for no axis.
    front = bool(axes) and (axes != list(range(axes[0], axes[-1] + 1)) or axes[0] < dots <= axes[-1])
    return Plan(
        expanded,
        tuple(slices),
        tuple(dropped),
        {axis: broadcast_to(a, batch) for axis, a in lifted.items()},
        batch,
        tuple([known[axis] for axis in axes]) if len(known) == len(axes) > 0 else None,
        front,
    )


def _static_slice(entry: slice) -> slice:
    try:
        return slice(
            *[None if x is None else operator.index(x) for x in (entry.start, entry.stop, entry.step)]
        )
    except ConcretizationError as error:
        raise ConcretizationError(
            "index: slices need static bounds, got a traced one",
            note="use tracer.numpy.take with computed indices, or dynamic_slice",
        ) from error


def _constant(index: Any) -> Tensor:
    """Indices that are known, which rewrites may look at."""
    trace = current_trace()
    if index.nbytes > CONSTANT_BYTES:
        return trace.lift(index)
    return trace.embedded(index, *type_of(index))


def _is_known(index: Any) -> bool:
    return isinstance(index, np.ndarray) and index.dtype.kind in "iu"


def _in_int32(index: int) -> Any:
    """A static index, one that is out of range in any case kept so."""
    limits = np.iinfo(np.int32)
    return np.int32(min(max(index, limits.min), limits.max))


def _wrapped(index: Any, size: int, wrap: bool) -> Any:
    """`_non_negative` of an array that is known now."""
    index = index if index.dtype.itemsize >= 4 else index.astype(np.int32)
    return index if index.dtype.kind == "u" or not wrap else np.where(index < 0, index + size, index)


def _non_negative(index: Tensor, size: int, wrap: bool = True) -> Tensor:
    """Negative indices counted from the end."""
    if index.value.type.dtype.kind == "uint":
        return convert(index, i32) if index.value.type.dtype.bits < 32 else index
    if index.value.type.dtype.bits < 32:
        index = convert(index, i32)
    if not wrap:
        return index
    wrapped: Tensor = el.where(el.less(index, 0), el.add(index, size), index)
    return wrapped


def _sliced(t: Tensor, slices: tuple[slice, ...]) -> Tensor:
    """Static slices of every axis; negative steps read backwards."""
    starts, limits, strides, reverse = [], [], [], []
    for axis, s in enumerate(slices):
        count = len(range(s.start, s.stop, s.step))
        if s.step > 0:
            starts.append(s.start if count else 0)
            limits.append(max(s.stop, s.start) if count else 0)
            strides.append(s.step)
        else:
            starts.append(s.start + (count - 1) * s.step if count else 0)
            limits.append(s.start + 1 if count else 0)
            strides.append(-s.step)
            reverse.append(axis)
    whole = tuple(limits) == t.shape and not any(starts) and all(k == 1 for k in strides)
    if not whole:
        t = record(
            sh.slice, t, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides), weak=t.weak
        )
    return record(sh.rev, t, axes=tuple(reverse), weak=t.weak) if reverse else t


def _without(t: Tensor, dropped: tuple[int, ...]) -> Tensor:
    return reshaped(t, tuple([n for i, n in enumerate(t.shape) if i not in dropped])) if dropped else t


def _layout(p: Plan, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(indexed axes, positions in the result of the other axes)."""
    axes = tuple(sorted(p.arrays))
    at = 0 if p.front or not axes else axes[0]
    taken = range(at, at + len(p.batch))
    return axes, tuple([i for i in range(rank - len(axes) + len(p.batch)) if i not in taken])


def _index_vectors(p: Plan, axes: tuple[int, ...]) -> Tensor:
    """Index arrays joined along a last axis."""
    if p.known is not None and len(axes) > 1:
        return _constant(p.vectors())
    columns = [reshaped(p.arrays[axis], (*p.batch, 1)) for axis in axes]
    if len(columns) == 1:
        return columns[0]
    from tracer.numpy.manipulation import concatenate

    joined: Tensor = concatenate(columns, -1)
    return joined


def _gathered(block: Tensor, p: Plan, mode: str, fill_value: Any = None, **hints: bool) -> Tensor:
    axes, offset_dims = _layout(p, block.ndim)
    if not p.batch and mode == "promise_in_bounds":
        # All index arrays are scalars: one window, which dynamic_slice reads faster.
        zero = current_trace().scalar(0, i32, ())
        dtype = p.arrays[axes[0]].value.type.dtype
        starts = [p.arrays[i] if i in p.arrays else convert(zero, dtype) for i in range(block.ndim)]
        starts = [convert(s, dtype) for s in starts]
        sizes = tuple([1 if i in p.arrays else n for i, n in enumerate(block.shape)])
        return _without(record(ix.dynamic_slice, block, *starts, sizes=sizes, weak=block.weak), axes)
    return record(
        ix.gather,
        block,
        _index_vectors(p, axes),
        offset_dims=offset_dims,
        collapsed_slice_dims=axes,
        start_index_map=axes,
        slice_sizes=tuple([1 if i in p.arrays else n for i, n in enumerate(block.shape)]),
        mode=mode,
        fill_value=fill_value,
        weak=block.weak,
        **hints,
    )


def getitem(
    x: Any,
    index: Any,
    mode: str | None = None,
    fill_value: Any = None,
    wrap_negative_indices: bool = True,
    **hints: bool,
) -> Any:
    """`x[index]`."""
    t = lift(x)
    return gathered(t, plan(index, t.shape, mode, wrap_negative_indices), mode, fill_value, **hints)


def gathered(t: Tensor, p: Plan, mode: str | None, fill_value: Any = None, **hints: bool) -> Tensor:
    """What `t` holds at a planned index."""
    block = _sliced(reshaped(t, p.expanded), p.slices)
    if not p.arrays:
        return _without(block, p.dropped)
    return _gathered(block, p, mode or "promise_in_bounds", fill_value, **hints)


# Updates ----------------------------------------------------------------------------------------------

_SCATTER: dict[str, Op] = {
    "set": sc.scatter,
    "add": sc.scatter_add,
    "multiply": sc.scatter_mul,
    "min": sc.scatter_min,
    "max": sc.scatter_max,
}
_JOIN: dict[str, Any] = {
    "set": lambda old, new: new,
    "add": el.add,
    "multiply": el.multiply,
    "min": el.minimum,
    "max": el.maximum,
}


def update(
    x: Any,
    index: Any,
    values: Any,
    how: str,
    mode: str | None = None,
    wrap_negative_indices: bool = True,
    **hints: bool,
) -> Any:
    """`x` with `x[index]` set to, or combined with, `values` (broadcast to the shape of `x[index]`).

    Array indices out of range are dropped, where no mode says otherwise.
    """
    t, new = lift(x), lift(values)
    dtype, weak = t.value.type.dtype, t.weak
    wide, wide_weak = promote_dtypes(dtype, weak, new.value.type.dtype, new.weak)
    if how != "set" and wide is not dtype:  # combined in the common type, as in JAX
        widened = convert(t, wide, wide_weak)
        return convert(update(widened, index, values, how, mode, wrap_negative_indices, **hints), dtype, weak)
    p = plan(index, t.shape, mode, wrap_negative_indices)
    whole = reshaped(t, p.expanded)
    block = _sliced(whole, p.slices)
    new = convert(new, dtype, weak)
    if p.arrays:
        axes, offset_dims = _layout(p, block.ndim)
        sizes = iter([n for i, n in enumerate(block.shape) if i not in axes])
        batch = iter(p.batch)
        rank = len(offset_dims) + len(p.batch)
        shape = tuple([next(sizes) if i in offset_dims else next(batch) for i in range(rank)])
        block = record(
            _SCATTER[how],
            block,
            _index_vectors(p, axes),
            broadcast_to(new, shape),
            update_window_dims=offset_dims,
            inserted_window_dims=axes,
            scatter_dims_to_operand_dims=axes,
            mode=mode or "fill",
            weak=t.weak,
            **hints,
        )
    else:
        kept = tuple([n for i, n in enumerate(block.shape) if i not in p.dropped])
        new = broadcast_to(new, kept)
        old = block
        block = _JOIN[how](old, reshaped(new, old.shape)) if how != "set" else reshaped(new, old.shape)
    return reshaped(_put(whole, block, p.slices), t.shape)


def _put(whole: Tensor, block: Tensor, slices: tuple[slice, ...]) -> Tensor:
    """`whole` with the statically sliced part replaced by `block`."""
    if block.shape == whole.shape and all(s.step == 1 for s in slices):
        return block
    if block.size == 0:
        return whole
    backwards = tuple(i for i, s in enumerate(slices) if s.step < 0)
    if backwards:
        block = record(sh.rev, block, axes=backwards, weak=block.weak)
    ranges = [sorted(range(s.start, s.stop, s.step)) for s in slices]
    strided = tuple(i for i, r in enumerate(ranges) if len(r) > 1 and r[1] - r[0] > 1)
    trace = current_trace()
    if not strided:
        starts = [trace.scalar(r[0], i32, ()) for r in ranges]
        return record(ix.dynamic_update_slice, whole, block, *starts, weak=whole.weak)
    # Strided axes are written by index, the others as a window at its start.
    grids = np.meshgrid(*[np.asarray(ranges[i], np.int32) for i in strided], indexing="ij")
    others = tuple(i for i in range(whole.ndim) if i not in strided)
    starts_at = [np.full_like(grids[0], ranges[i][0]) for i in others]
    order = (*strided, *others)
    vectors = np.stack([*grids, *starts_at], axis=-1)
    return record(
        sc.scatter,
        whole,
        _constant(vectors),
        block,
        update_window_dims=others,
        inserted_window_dims=strided,
        scatter_dims_to_operand_dims=order,
        mode="promise_in_bounds",
        unique_indices=True,
        indices_are_sorted=False,
        weak=whole.weak,
    )


_MODES = {
    None: None,
    "drop": "fill",
    "fill": "fill",
    "clip": "clip",
    "promise_in_bounds": "promise_in_bounds",
}


def fill_of(value: Any, dtype: DType) -> Dense | None:
    """What is read out of range, in the element type of the array; integers wrap, as in JAX."""
    return None if value is None else Dense(np.asarray(value).astype(dtype.np), dtype)


def mode_named(mode: Any) -> str | None:
    """The mode of gather and scatter that a user calls so."""
    name = getattr(mode, "name", mode)
    name = {"FILL_OR_DROP": "fill", "CLIP": "clip", "PROMISE_IN_BOUNDS": "promise_in_bounds"}.get(name, name)
    if name not in _MODES:
        raise ArgumentError(f"index: expected a mode of {[m for m in _MODES if m]}, got {mode!r}")
    return _MODES[name]


# Functions ---------------------------------------------------------------------------------------------


@native(jnp.take)
def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: Any = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """Elements along an axis, of the flattened array by default; NaN (or `fill_value`) out of range."""
    t = lift(a)
    if axis is None:
        t, axis = reshaped(t, (t.size,)), 0
    axis = normalize_axis(axis, t.ndim, "take")
    if mode == "wrap":
        indices, mode = ar.remainder(lift(indices), t.shape[axis]), "clip"
    elif mode_named(mode) == "clip":  # negative indices are out of range here, as in NumPy
        indices = el.maximum(lift(indices), 0)
    index = lift(indices)
    if index.value.type.dtype is bool_ or not index.value.type.dtype.is_integer:
        raise ArgumentTypeError(f"take: expected integer indices, got {index.value.type}")
    fill = fill_of(fill_value, t.value.type.dtype)
    entries = (*[slice(None)] * axis, index)
    return getitem(
        t,
        entries,
        mode_named(mode) or "fill",
        fill,
        unique_indices=unique_indices,
        indices_are_sorted=indices_are_sorted,
    )


@native(jnp.take_along_axis)
def take_along_axis(
    arr: Any,
    indices: Any,
    axis: int | None = -1,
    mode: Any = None,
    fill_value: Any = None,
    *,
    wrap_negative_indices: bool = True,
) -> Any:
    """Elements along an axis at positions that differ from line to line."""
    t, index = lift(arr), lift(indices)
    if not index.value.type.dtype.is_integer:
        raise ArgumentTypeError(f"take_along_axis: expected integer indices, got {index.value.type}")
    if axis is None:
        t, axis = reshaped(t, (t.size,)), 0
    if t.ndim != index.ndim:
        raise ArgumentError(
            f"take_along_axis: expected indices of the rank of the array, got {t.value.type} and {index.value.type}"
        )
    axis = normalize_axis(axis, t.ndim, "take_along_axis")
    lines = broadcast_shapes(
        *[tuple([1 if i == axis else n for i, n in enumerate(s)]) for s in (t.shape, index.shape)]
    )
    size, count = t.shape[axis], index.shape[axis]
    t = broadcast_to(t, (*lines[:axis], size, *lines[axis + 1 :]))
    index = _non_negative(index, size) if wrap_negative_indices else index
    index = broadcast_to(index, (*lines[:axis], count, *lines[axis + 1 :]))
    others = tuple([i for i in range(t.ndim) if i != axis])
    return record(
        ix.gather,
        t,
        reshaped(index, (*index.shape, 1)),
        offset_dims=(),
        collapsed_slice_dims=(axis,),
        start_index_map=(axis,),
        operand_batching_dims=others,
        start_indices_batching_dims=others,
        slice_sizes=(1,) * t.ndim,
        mode=mode_named(mode) or "fill",
        fill_value=fill_of(fill_value, t.value.type.dtype),
        weak=t.weak,
    )


__all__ = ["fill_of", "gathered", "getitem", "mode_named", "plan", "take", "take_along_axis", "update"]
