"""Shapes and order: reshape, transpose, join, split, repeat, pad."""

from __future__ import annotations

import builtins
import inspect
import itertools
import math
from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ir.errors import ArgumentError, ArgumentTypeError, ShapeError
from ir.ops import shape as sh
from tracer.numpy.creation import array as as_array
from tracer.numpy.creation import shape_of
from tracer.numpy.dispatch import (
    broadcast_shapes,
    convert,
    lift,
    native,
    normalize_axes,
    normalize_axis,
    record,
    reshaped,
)
from tracer.numpy.dispatch import (
    broadcast_to as _broadcast_to,
)
from tracer.types import promote_dtypes
from tracer.value import Tensor

# What a function gives that has several results: a list before jax 0.12, a tuple since.
_SEVERAL = tuple if "tuple" in str(inspect.signature(jnp.broadcast_arrays).return_annotation) else list


@native(jnp.reshape)
def reshape(a: Any, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    """The elements of `a` in another shape; one size may be -1."""
    t = lift(a)
    wanted = list(shape_of(shape))
    if order not in ("C", "F"):
        raise ArgumentError(f"reshape: expected order 'C' or 'F', got {order!r}")
    if wanted.count(-1) > 1:
        raise ArgumentError(f"reshape: expected at most one -1, got {tuple(wanted)}")
    if -1 in wanted:
        rest = math.prod(n for n in wanted if n != -1)
        if rest == 0 or t.size % rest:
            raise ShapeError(f"reshape: {t.size} elements of {t.value.type} do not fit {tuple(wanted)}")
        wanted[wanted.index(-1)] = t.size // rest
    if math.prod(wanted) != t.size:
        raise ShapeError(f"reshape: {t.size} elements of {t.value.type} do not fit {tuple(wanted)}")
    if order == "F":
        return transpose(reshaped(transpose(t), tuple(reversed(wanted))))
    return reshaped(t, tuple(wanted))


@native(jnp.ravel)
def ravel(a: Any, order: str = "C") -> Any:
    """All elements in one axis."""
    return reshape(a, (-1,) if lift(a).size else (0,), order)


@native(jnp.transpose)
def transpose(a: Any, axes: Any = None) -> Any:
    """Axes in another order; reversed by default."""
    t = lift(a)
    perm = (
        tuple(reversed(range(t.ndim))) if axes is None else normalize_axes(tuple(axes), t.ndim, "transpose")
    )
    if len(perm) != t.ndim:
        raise ArgumentError(f"transpose: expected {t.ndim} axes for {t.value.type}, got {axes}")
    return t if perm == tuple(range(t.ndim)) else record(sh.transpose, t, perm=perm, weak=t.weak)


permute_dims = transpose


@native(jnp.matrix_transpose)
def matrix_transpose(x: Any, /) -> Any:
    """The last two axes exchanged."""
    return swapaxes(x, -1, -2)


@native(jnp.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes exchanged."""
    t = lift(a)
    perm = list(range(t.ndim))
    i, j = normalize_axis(axis1, t.ndim, "swapaxes"), normalize_axis(axis2, t.ndim, "swapaxes")
    perm[i], perm[j] = j, i
    return transpose(t, perm)


@native(jnp.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places, the rest in order."""
    t = lift(a)
    sources = normalize_axes(source, t.ndim, "moveaxis")
    targets = normalize_axes(destination, t.ndim, "moveaxis")
    if len(sources) != len(targets):
        raise ArgumentError(
            f"moveaxis: expected as many sources as destinations, got {source} and {destination}"
        )
    order = [i for i in range(t.ndim) if i not in sources]
    for to, at in sorted(zip(targets, sources, strict=True)):
        order.insert(to, at)
    return transpose(t, order)


@native(jnp.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """One axis moved to lie before position `start`."""
    t = lift(a)
    axis = normalize_axis(axis, t.ndim, "rollaxis")
    start = start + t.ndim if start < 0 else start
    return moveaxis(t, axis, start - 1 if start > axis else start)


@native(jnp.expand_dims)
def expand_dims(a: Any, axis: Any) -> Any:
    """New axes of size 1."""
    t = lift(a)
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = normalize_axes(tuple(given), t.ndim + len(given), "expand_dims")
    sizes = iter(t.shape)
    return reshaped(t, tuple([1 if i in axes else next(sizes) for i in range(t.ndim + len(axes))]))


@native(jnp.squeeze)
def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of size 1 removed."""
    t = lift(a)
    axes = (
        tuple(i for i, n in enumerate(t.shape) if n == 1)
        if axis is None
        else normalize_axes(axis, t.ndim, "squeeze")
    )
    if builtins.any(t.shape[i] != 1 for i in axes):
        raise ShapeError(f"squeeze: expected axes of size 1, got {t.value.type} and axis {axis}")
    return reshaped(t, tuple([n for i, n in enumerate(t.shape) if i not in axes]))


@native(jnp.broadcast_to)
def broadcast_to(array: Any, shape: Any, *, out_sharding: Any = None) -> Any:
    """`array` repeated to a shape, by NumPy's rule."""
    return _broadcast_to(lift(array), shape_of(shape))


@native(jnp.broadcast_arrays)
def broadcast_arrays(*args: Any) -> Any:
    """All arguments in their common shape."""
    ts = [lift(a) for a in args]
    shape = broadcast_shapes(*[t.shape for t in ts])
    return _SEVERAL(_broadcast_to(t, shape) for t in ts)


def same_dtype(arrays: Iterable[Any], name: str) -> list[Tensor]:
    """Traced values promoted to one element type."""
    ts = [lift(a) for a in arrays]
    if not ts:
        raise ArgumentError(f"{name}: expected at least one array")
    dtype, weak = ts[0].value.type.dtype, ts[0].weak
    for t in ts[1:]:
        dtype, weak = promote_dtypes(dtype, weak, t.value.type.dtype, t.weak)
    return [convert(t, dtype, weak) for t in ts]


@native(jnp.concatenate)
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None) -> Any:
    """Arrays joined along an existing axis; flattened first when `axis` is None."""
    from tracer.types import canonical

    ts = same_dtype(arrays, "concatenate")
    if axis is None:
        ts, axis = [ravel(t) for t in ts], 0
    if dtype is not None:
        ts = [convert(t, canonical(dtype)) for t in ts]
    if builtins.any(t.ndim != ts[0].ndim for t in ts) or ts[0].ndim == 0:
        shown = ", ".join(str(t.value.type) for t in ts[:8])
        raise ShapeError(f"concatenate: expected arrays of equal rank of at least 1, got {shown}")
    axis = normalize_axis(axis, ts[0].ndim, "concatenate")
    return ts[0] if len(ts) == 1 else record(sh.concatenate, *ts, axis=axis, weak=ts[0].weak)


concat = concatenate


@native(jnp.stack)
def stack(arrays: Any, axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """Arrays of equal shape joined along a new axis."""
    ts = same_dtype(arrays, "stack")
    if builtins.any(t.shape != ts[0].shape for t in ts):
        shown = ", ".join(str(t.value.type) for t in ts[:8])
        raise ShapeError(f"stack: expected arrays of equal shape, got {shown}")
    axis = normalize_axis(axis, ts[0].ndim + 1, "stack")
    return concatenate([expand_dims(t, axis) for t in ts], axis, dtype)


@native(jnp.vstack)
def vstack(tup: Any, dtype: Any = None) -> Any:
    """Rows on top of each other."""
    return concatenate([atleast_2d(a) for a in tup], 0, dtype)


@native(jnp.hstack)
def hstack(tup: Any, dtype: Any = None) -> Any:
    """Columns beside each other."""
    ts = [atleast_1d(a) for a in tup]
    return concatenate(ts, 0 if ts[0].ndim == 1 else 1, dtype)


def _at_least(name: str, rank: int) -> Any:
    def fn(*arys: Any) -> Any:
        out = []
        for a in arys:
            t = lift(a)
            if rank == 3 and t.ndim < 3:
                t = reshaped(t, {0: (1, 1, 1), 1: (1, t.size, 1)}.get(t.ndim, (*t.shape, 1)))
            while t.ndim < rank:
                t = expand_dims(t, 0)
            out.append(t)
        return out[0] if len(out) == 1 else _SEVERAL(out)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Arguments with at least {rank} axes."
    return native(getattr(jnp, name))(fn)


atleast_1d = _at_least("atleast_1d", 1)
atleast_2d = _at_least("atleast_2d", 2)
atleast_3d = _at_least("atleast_3d", 3)


def _slice_axis(t: Tensor, start: int, stop: int, axis: int) -> Tensor:
    starts = tuple([start if i == axis else 0 for i in range(t.ndim)])
    limits = tuple([stop if i == axis else n for i, n in enumerate(t.shape)])
    return record(sh.slice, t, starts=starts, limits=limits, strides=(1,) * t.ndim, weak=t.weak)


@native(jnp.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """Pieces along an axis: a number of equal ones, or cut at positions."""
    t = lift(ary)
    axis = normalize_axis(axis, t.ndim, "split")
    size = t.shape[axis]
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = int(indices_or_sections)
        if sections <= 0 or size % sections:
            raise ArgumentError(f"split: an axis of size {size} has no {sections} equal parts")
        cuts = [k * (size // sections) for k in range(1, sections)]
    else:
        cuts = [slice(None, int(c)).indices(size)[1] for c in np.asarray(indices_or_sections).tolist()]
    bounds = [0, *cuts, size]
    return [_slice_axis(t, a, builtins.max(a, b), axis) for a, b in itertools.pairwise(bounds)]


@native(jnp.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> Any:
    """As `split`, with parts that differ by at most one."""
    t = lift(ary)
    if not isinstance(indices_or_sections, (int, np.integer)):
        return split(t, indices_or_sections, axis)
    size = t.shape[normalize_axis(axis, t.ndim, "array_split")]
    each, extra = divmod(size, int(indices_or_sections))
    sizes = [each + (k < extra) for k in range(int(indices_or_sections))]
    return split(t, np.cumsum(sizes)[:-1], axis)


@native(jnp.flip)
def flip(m: Any, axis: Any = None) -> Any:
    """Elements in reverse order along axes."""
    t = lift(m)
    axes = normalize_axes(axis, t.ndim, "flip")
    return record(sh.rev, t, axes=axes, weak=t.weak) if axes else t


@native(jnp.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Elements moved cyclically by a static shift."""
    t = lift(a)
    if type(shift) is Tensor:
        raise ArgumentTypeError(
            "roll: expected a static shift, got a traced one; use take with computed indices"
        )
    if axis is None:
        return reshaped(roll(ravel(t), shift, 0), t.shape)
    shifts = np.atleast_1d(shift).tolist()
    axes = normalize_axes(axis, t.ndim, "roll")
    shifts = shifts * len(axes) if len(shifts) == 1 else shifts
    axes = axes * len(shifts) if len(axes) == 1 else axes
    for by, at in zip(shifts, axes, strict=True):
        n = t.shape[at]
        by = by % n if n else 0
        if by:
            t = concatenate([_slice_axis(t, n - by, n, at), _slice_axis(t, 0, n - by, at)], at)
    return t


@native(jnp.tile)
def tile(A: Any, reps: Any) -> Any:
    """The array repeated as a whole along each axis."""
    t = lift(A)
    times = shape_of(reps)
    rank = builtins.max(t.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - t.ndim) + t.shape
    t = reshaped(t, shape)
    paired = tuple(n for pair in zip(times, shape, strict=True) for n in pair)
    spread = record(sh.broadcast_in_dim, t, shape=paired, dims=tuple(range(1, 2 * rank, 2)), weak=t.weak)
    return reshaped(spread, tuple([k * n for k, n in zip(times, shape, strict=True)]))


@native(jnp.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None) -> Any:
    """Each element repeated along an axis a static number of times."""
    from tracer.numpy.indexing import take

    t = lift(a)
    if type(repeats) is Tensor:
        raise ArgumentTypeError(
            "repeat: expected static repeats, got traced ones: the shape would depend on data"
        )
    if axis is None:
        t, axis = ravel(t), 0
    axis = normalize_axis(axis, t.ndim, "repeat")
    size = t.shape[axis]
    counts = np.broadcast_to(np.asarray(repeats), (size,))
    if counts.dtype.kind not in "iub":
        raise ArgumentTypeError(f"repeat: expected repeats to be integers, got {counts.dtype} ones")
    if size and total_repeat_length is None and counts[0] >= 0 and (counts == counts[0]).all():
        # A broadcast, whose derivative is a sum over an axis and no scatter.
        before, times, after = t.shape[:axis], int(counts[0]), t.shape[axis + 1 :]
        dims = (*range(axis + 1), *range(axis + 2, t.ndim + 1))
        spread = record(sh.broadcast_in_dim, t, shape=(*before, size, times, *after), dims=dims, weak=t.weak)
        return reshaped(spread, (*before, size * times, *after))
    which = np.repeat(np.arange(t.shape[axis]), counts)
    if total_repeat_length is not None:
        # Cut off, or filled up with the last element, as in JAX.
        missing = builtins.max(0, int(total_repeat_length) - len(which))
        last = builtins.max(0, t.shape[axis] - 1)
        which = np.concatenate([which[: int(total_repeat_length)], np.full(missing, last)])
    return take(t, which.astype(np.int32), axis)


@native(jnp.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", **kwargs: Any) -> Any:
    """Borders added: constant, edge, reflect, symmetric or wrap."""
    from tracer.numpy.indexing import take

    t = lift(array)
    widths = np.broadcast_to(np.asarray(pad_width), (t.ndim, 2)).tolist()
    if builtins.any(k < 0 for pair in widths for k in pair):
        raise ArgumentError(f"pad: expected widths of at least 0, got {pad_width}")
    if mode == "constant":
        given = kwargs.pop("constant_values", 0)
        if not isinstance(given, (tuple, list)):
            given = lift(given)
        if kwargs:
            raise ArgumentError(f"pad: expected constant_values only, got {sorted(kwargs)}")
        if isinstance(given, Tensor) and given.ndim == 0:
            fill = convert(given, t.value.type.dtype)
            return record(sh.pad, t, fill, config=tuple([(lo, hi, 0) for lo, hi in widths]), weak=t.weak)
        pairs = _broadcast_to(as_array(given), (t.ndim, 2))
        for axis, (lo, hi) in enumerate(widths):
            for amount, side in ((lo, 0), (hi, 1)):
                config = [(0, 0, 0)] * t.ndim
                config[axis] = (0, amount, 0) if side else (amount, 0, 0)
                fill = convert(pairs[axis, side], t.value.type.dtype)
                t = record(sh.pad, t, fill, config=tuple(config), weak=t.weak)
        return t
    if mode not in ("edge", "reflect", "symmetric", "wrap") or kwargs:
        raise ArgumentError(
            "pad: expected a mode of 'constant' (with constant_values), 'edge', 'reflect', 'symmetric', 'wrap', "
            f"got {mode!r} and {sorted(kwargs)}"
        )
    for axis, (lo, hi) in enumerate(widths):
        if lo or hi:
            borders: Any = mode
            t = take(t, np.pad(np.arange(t.shape[axis]), (lo, hi), mode=borders), axis)
    return t


@native(jnp.meshgrid)
def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> Any:
    """Coordinate arrays from coordinate vectors."""
    ts = [ravel(x) for x in xi]
    rank = len(ts)
    out = [expand_dims(t, tuple(i for i in range(rank) if i != k)) for k, t in enumerate(ts)]
    if not sparse:
        out = broadcast_arrays(*out)
    return _SEVERAL(swapaxes(t, 0, 1) for t in out) if indexing == "xy" and rank > 1 else _SEVERAL(out)


__all__ = [name for name in list(globals()) if not name.startswith("_") and name in dir(jnp)]
