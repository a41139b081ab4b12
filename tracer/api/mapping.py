"""`map` and `associative_scan`: over the leading axis one by one or in batches, and prefixes in parallel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from ir.errors import ArgumentError, ArgumentTypeError
from tracer.api.arguments import function_name, tree_flatten, tree_unflatten
from tracer.api.scan import scan
from tracer.api.vmap import vmap
from tracer.numpy.dispatch import lift, normalize_axis
from tracer.state import state


def map(f: Callable[[Any], Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """`f` of each slice along the leading axis, one after the other, stacked; as `jax.lax.map`.

    Args:
      f: a slice of `xs` -> a pytree of arrays.
      xs: a pytree of arrays with equal leading axes.
      batch_size: slices to compute at once by `vmap`; 0 for all. What is left over is one more batch.

    Raises:
      ArgumentError: leading axes differ, or there is none; a negative batch size.
    """
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda xs: map(f, xs, batch_size=batch_size))(xs)
    if batch_size is None:
        return scan(lambda _, x: ((), f(x)), (), xs)[1]
    if type(batch_size) is not int or batch_size < 0:
        raise ArgumentError(f"map: expected batch_size to be an int of at least 0, got {batch_size!r}")
    leaves, tree = tree_flatten(xs)
    arrays = [lift(x) for x in leaves]
    lengths = {x.shape[0] if x.shape else None for x in arrays}
    if len(lengths) != 1 or None in lengths:
        raise ArgumentError(
            f"map: expected arrays with equal leading axes, got shapes {[x.shape for x in arrays]}"
        )
    length = arrays[0].shape[0]
    size = min(batch_size, length) or length
    whole = length // size * size if size else 0
    if whole <= size:
        first = vmap(f)(tree_unflatten(tree, [x[: whole or None] for x in arrays]))
    else:
        batches = [x[:whole].reshape(whole // size, size, *x.shape[1:]) for x in arrays]
        stacked = scan(lambda _, x: ((), vmap(f)(x)), (), tree_unflatten(tree, batches))[1]
        first = jax.tree_util.tree_map(lambda y: y.reshape(whole, *y.shape[2:]), stacked)
    if not size or whole == length:
        return first
    rest = vmap(f)(tree_unflatten(tree, [x[whole:] for x in arrays]))
    from tracer.numpy.manipulation import concatenate

    return jax.tree_util.tree_map(lambda a, b: concatenate([a, b], axis=0), first, rest)


def associative_scan(fn: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes of `elems` combined by an associative function; as `jax.lax.associative_scan`.

    Pairs are combined first, their prefixes found by recursion, and the others from those: about twice
    the work of one pass in a logarithmic number of steps (Blelloch 1990).

    Args:
      fn: combines two pytrees like `elems`, elementwise along `axis`.
      elems: a pytree of arrays with equal sizes along `axis`.
      reverse: combine suffixes instead.
      axis: the axis to scan over.

    Raises:
      ArgumentError: sizes differ.
      ArgumentTypeError: `fn` changes the structure.
    """
    if not callable(fn):
        raise ArgumentTypeError(f"associative_scan: expected a function, got {type(fn).__name__}")
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(lambda elems: associative_scan(fn, elems, reverse, axis))(elems)
    from tracer.numpy.manipulation import flip

    leaves, tree = tree_flatten(elems)
    arrays = [lift(x) for x in leaves]
    if not arrays:
        raise ArgumentError("associative_scan: expected arrays, got none")
    along = normalize_axis(axis, arrays[0].ndim, "associative_scan")
    sizes = {x.shape[along] if along < x.ndim else None for x in arrays}
    if len(sizes) != 1:
        raise ArgumentError(
            f"associative_scan: expected equal sizes along axis {along}, got {[x.shape for x in arrays]}"
        )

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        out, out_tree = tree_flatten(fn(tree_unflatten(tree, a), tree_unflatten(tree, b)))
        if out_tree != tree:
            raise ArgumentTypeError(
                f"associative_scan: expected {function_name(fn)} to return the structure {tree}, got {out_tree}"
            )
        return [lift(x) for x in out]

    if reverse:
        arrays = [flip(x, along) for x in arrays]
    outs = _prefixes(combine, arrays, along)
    if reverse:
        outs = [flip(x, along) for x in outs]
    return tree_unflatten(tree, outs)


def _prefixes(combine: Any, xs: list[Any], axis: int) -> list[Any]:
    from tracer.numpy.manipulation import concatenate

    def part(x: Any, start: int, stop: int | None, stride: int = 1) -> Any:
        return x[(*(slice(None),) * axis, slice(start, stop, stride))]

    size = xs[0].shape[axis]
    if size < 2:
        return xs
    pairs = combine([part(x, 0, size - 1, 2) for x in xs], [part(x, 1, None, 2) for x in xs])
    odd = _prefixes(combine, pairs, axis)
    left = [part(x, 0, x.shape[axis] - 1) for x in odd] if size % 2 == 0 else odd
    even = [part(x, 0, 1) for x in xs]
    if size > 2:
        rest = combine(left, [part(x, 2, None, 2) for x in xs])
        even = [concatenate([a, b], axis=axis) for a, b in zip(even, rest, strict=True)]
    return [_interleaved(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _interleaved(a: Any, b: Any, axis: int) -> Any:
    """a[0], b[0], a[1], b[1], ... along `axis`; a may be longer by one."""
    from tracer.numpy.manipulation import concatenate, stack

    count = b.shape[axis]
    both = stack([a[(*(slice(None),) * axis, slice(0, count))], b], axis=axis + 1)
    shape = (*a.shape[:axis], 2 * count, *a.shape[axis + 1 :])
    out = both.reshape(shape)
    if a.shape[axis] == count:
        return out
    return concatenate([out, a[(*(slice(None),) * axis, slice(count, None))]], axis=axis)


__all__ = ["associative_scan", "map"]
