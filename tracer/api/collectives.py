"""What the examples of a `vmap` with an `axis_name` know of each other: sums, extrema and exchange over the axis.

Names and conventions are those of `jax.lax`. Where the axis is one of JAX (`jax.vmap`, `jax.shard_map` around a
function of ours), the function of JAX is called.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from ir.core import Value
from ir.errors import ArgumentError, ArgumentTypeError, UnboundAxisError
from ir.ops import collectives as ops
from tracer.api.arguments import tree_flatten, tree_unflatten
from tracer.numpy.dispatch import convert, lift, normalize_axis
from tracer.state import state
from tracer.types import scalar_dtype
from tracer.value import Tensor

AxisName = Any  # hashable; a tuple of them means all of these axes together
_NUMBERS = (int, float, complex)


@dataclass(slots=True)
class Lanes:
    """An axis that `vmap` has named.

    Attributes:
      name: in the program; that of the user, unless an axis around it has the same.
      size: how many examples.
      index: the number of the example, a traced value, once the function is being traced.
    """

    name: str
    size: int
    index: Any = None

    def here(self) -> ops.Axis:
        """The axis in the innermost trace."""
        return ops.Axis(self.name, self.size, lift(self.index).value)


def _names(axis_name: AxisName) -> tuple[Any, ...]:
    return axis_name if isinstance(axis_name, tuple) else (axis_name,)


def _found(what: str, axis_name: AxisName) -> list[Lanes] | None:
    """The axes of these names, outermost first as they are given; None where JAX may know them."""
    names = _names(axis_name)
    found = [state.axes[n] for n in names if n in state.axes]
    if state.trace is None or not found:
        return None
    if len(found) < len(names):
        missing = [n for n in names if n not in state.axes]
        raise UnboundAxisError(f"{what}: no axis is named {missing[0]!r} here, only {list(state.axes)}")
    return found


def _of_jax(what: str, f: Callable[..., Any], named: AxisName, /, *args: Any, **kwargs: Any) -> Any:
    """A function of `jax.lax` where the axis is none of ours."""
    try:
        if state.trace is None:
            return f(*args, **kwargs)
        from tracer.bridge import through_jax

        return through_jax(functools.partial(f, **kwargs), what, *args)
    except NameError as error:
        if isinstance(error, UnboundAxisError):
            raise
        raise UnboundAxisError(
            f"{what}: no axis is named {named!r} here; name one by vmap(f, axis_name={named!r})"
        ) from error


def _mapped(f: Callable[[Any], Any], x: Any) -> Any:
    # (An error of ours under `tree_map` would stand for code of JAX that is to be traced by JAX.)
    leaves, tree = tree_flatten(x)
    return tree_unflatten(tree, [f(leaf) for leaf in leaves])


def _each(f: Callable[[ops.Axis, Value], Value], axis: Lanes, x: Any) -> Any:
    """`f` of the axis and each array of a tree."""
    trace = state.trace
    assert trace is not None
    here = axis.here()
    return _mapped(lambda leaf: Tensor(trace, f(here, lift(leaf).value), False), x)


def _reduced(f: Callable[[ops.Axis, Value], Value], x: Any, axes: Sequence[Lanes]) -> Any:
    for axis in reversed(axes):
        x = _each(f, axis, x)
    return x


def axis_size(axis_name: AxisName) -> int:
    """The number of examples along a named axis; of several axes, their product.

    Raises:
      UnboundAxisError: no axis has this name.
    """
    found = _found("axis_size", axis_name)
    if found is None:
        return int(_of_jax("axis_size", jax.lax.axis_size, axis_name, axis_name))
    return math.prod([axis.size for axis in found])


def axis_index(axis_name: AxisName) -> Any:
    """The number of the example along a named axis, an int32; of several axes, counted with the last one fastest.

    Examples:
      >>> print(tr.vmap(lambda x: x + tr.axis_index("i"), axis_name="i")(np.int32([5, 5, 5])))
      [5 6 7]
    """
    found = _found("axis_index", axis_name)
    if found is None:
        return _of_jax("axis_index", jax.lax.axis_index, axis_name, axis_name)
    index: Any = 0
    for axis in found:
        index = index * axis.size + lift(axis.index)
    return index


def psum(x: Any, axis_name: AxisName) -> Any:
    """The sum of `x` over the examples along a named axis, which all of them get.

    Args:
      x: a pytree of arrays; a Python number gives a Python number, as `psum(1, "i")`, the size of the axis.
      axis_name: of `vmap`, or a tuple of names.

    Raises:
      UnboundAxisError: no axis has this name.

    Examples:
      >>> share = lambda x: x / tr.psum(x, "i")
      >>> print(tr.vmap(share, axis_name="i")(np.float32([1, 2, 5])))
      [0.125 0.25  0.625]
    """
    found = _found("psum", axis_name)
    if found is None:
        return _of_jax("psum", jax.lax.psum, axis_name, x, axis_name=axis_name)
    size = math.prod([axis.size for axis in found])

    def total(leaf: Any) -> Any:
        if type(leaf) in _NUMBERS:
            return leaf * size
        array = lift(leaf)
        if array.value.type.dtype.kind == "bool":
            array = convert(array, scalar_dtype(int))
        return _reduced(ops.Axis.sum, array, found)

    return _mapped(total, x)


def pmean(x: Any, axis_name: AxisName) -> Any:
    """The mean of `x` over the examples along a named axis; as `psum`."""
    if _found("pmean", axis_name) is None:
        return _of_jax("pmean", jax.lax.pmean, axis_name, x, axis_name=axis_name)
    size = axis_size(axis_name)
    return _mapped(lambda total: total / size, psum(x, axis_name))


def pmax(x: Any, axis_name: AxisName) -> Any:
    """The largest `x` of all examples along a named axis, element by element; as `psum`."""
    found = _found("pmax", axis_name)
    if found is None:
        return _of_jax("pmax", jax.lax.pmax, axis_name, x, axis_name=axis_name)
    return _reduced(ops.Axis.max, x, found)


def pmin(x: Any, axis_name: AxisName) -> Any:
    """The least `x` of all examples along a named axis, element by element; as `psum`."""
    found = _found("pmin", axis_name)
    if found is None:
        return _of_jax("pmin", jax.lax.pmin, axis_name, x, axis_name=axis_name)
    return _reduced(ops.Axis.min, x, found)


def all_gather(x: Any, axis_name: AxisName, *, axis: int = 0, tiled: bool = False) -> Any:
    """`x` of all examples along a named axis, stacked along a new axis.

    Args:
      x: a pytree of arrays.
      axis_name: of `vmap`, or a tuple of names.
      axis: where the new axis goes.
      tiled: put the arrays one after the other along an axis that there is.

    Examples:
      >>> rank = lambda x: tnp.sum(tr.all_gather(x, "i") < x)
      >>> print(tr.vmap(rank, axis_name="i")(np.float32([3, 1, 2])))
      [2 0 1]
    """
    found = _found("all_gather", axis_name)
    if found is None:
        return _of_jax(
            "all_gather", jax.lax.all_gather, axis_name, x, axis_name=axis_name, axis=axis, tiled=tiled
        )

    def gathered(leaf: Any) -> Any:
        rank = lift(leaf).ndim
        if tiled and not rank:
            raise ArgumentTypeError("all_gather: with tiled=True, expected arrays with an axis, got a scalar")
        position = normalize_axis(axis, rank if tiled else rank + 1, "all_gather")
        # Of several axes the last is gathered first: it counts fastest.
        out = _each(lambda here, v: here.gather_along(v, position, tiled=tiled), found[-1], leaf)
        for outer in found[-2::-1]:
            out = _each(lambda here, v: here.gather_along(v, position, tiled=True), outer, out)
        return out

    return _mapped(gathered, x)


def ppermute(x: Any, axis_name: AxisName, perm: Sequence[tuple[int, int]]) -> Any:
    """`x` of another example.

    Args:
      x: a pytree of arrays.
      axis_name: of `vmap`.
      perm: pairs `(from, to)`; an example that nobody sends to gets zeros.

    Raises:
      ArgumentError: an example sends or receives twice, or does not exist.

    Examples:
      >>> shift = lambda x: tr.ppermute(x, "i", [(0, 1), (1, 2)])
      >>> print(tr.vmap(shift, axis_name="i")(np.int32([4, 5, 6])))
      [0 4 5]
    """
    found = _found("ppermute", axis_name)
    if found is None:
        return _of_jax("ppermute", jax.lax.ppermute, axis_name, x, axis_name=axis_name, perm=perm)
    axis = _single("ppermute", found)
    senders = senders_of(perm, axis.size)
    return _each(lambda here, v: here.permute(v, senders), axis, x)


def senders_of(perm: Sequence[tuple[int, int]], size: int) -> tuple[int, ...]:
    """Who sends to each of `size` lanes, -1 for nobody."""
    pairs = [(int(a), int(b)) for a, b in perm]
    for each in zip(*pairs, strict=True):
        if len(set(each)) < len(each) or not all(0 <= k < size for k in each):
            raise ArgumentError(
                f"ppermute: expected pairs of different examples from 0 to {size - 1}, got {pairs}"
            )
    to = {b: a for a, b in pairs}
    return tuple([to.get(k, -1) for k in range(size)])


def all_to_all(x: Any, axis_name: AxisName, split_axis: int, concat_axis: int, *, tiled: bool = False) -> Any:
    """Every example gives a part of `x` to each, and puts together what it gets, as `jax.lax.all_to_all`.

    Args:
      x: a pytree of arrays.
      axis_name: of `vmap`.
      split_axis: the axis of `x` whose elements go to different examples; as long as the named axis, or a multiple
        with `tiled`.
      concat_axis: where what comes is stacked; with `tiled` the axis along which it is concatenated.
      tiled: keep the axes of `x`.
    """
    found = _found("all_to_all", axis_name)
    if found is None:
        return _of_jax(
            "all_to_all", jax.lax.all_to_all, axis_name, x, axis_name=axis_name, split_axis=split_axis,
            concat_axis=concat_axis, tiled=tiled,
        )  # fmt: skip
    axis = _single("all_to_all", found)

    def exchanged(leaf: Any) -> Any:
        split, concat = (normalize_axis(a, lift(leaf).ndim, "all_to_all") for a in (split_axis, concat_axis))
        return _each(lambda here, v: here.exchange_along(v, split, concat, tiled=tiled), axis, leaf)

    return _mapped(exchanged, x)


def psum_scatter(x: Any, axis_name: AxisName, *, scatter_dimension: int = 0, tiled: bool = False) -> Any:
    """Part k of the sum of `x` over the examples along a named axis, for example k.

    Args:
      x: a pytree of arrays.
      axis_name: of `vmap`.
      scatter_dimension: the axis of `x` that is split among examples; as long as the named axis, or a multiple with
        `tiled`.
      tiled: keep that axis.
    """
    found = _found("psum_scatter", axis_name)
    if found is None:
        return _of_jax(
            "psum_scatter", jax.lax.psum_scatter, axis_name, x, axis_name=axis_name,
            scatter_dimension=scatter_dimension, tiled=tiled,
        )  # fmt: skip
    axis = _single("psum_scatter", found)

    def scattered(leaf: Any) -> Any:
        position = normalize_axis(scatter_dimension, lift(leaf).ndim, "psum_scatter")
        return _each(lambda here, v: here.sum_scattered(v, position, tiled=tiled), axis, leaf)

    return _mapped(scattered, x)


def _single(what: str, found: Sequence[Lanes]) -> Lanes:
    if len(found) != 1:
        raise ArgumentTypeError(f"{what}: expected one axis name, got {[axis.name for axis in found]}")
    return found[0]


__all__ = [
    "Lanes", "all_gather", "all_to_all", "axis_index", "axis_size", "pmax", "pmean", "pmin", "ppermute", "psum",
    "psum_scatter",
]  # fmt: skip
