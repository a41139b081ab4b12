"""`vmap`: a function of one example becomes a function of a batch."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

import ir
from ir.core import Value
from ir.errors import ArgumentTypeError, BatchingError
from ir.op import Builder, building
from ir.ops.families import materialize
from ir.ops.shape import transpose
from ir.transforms.batch import batch_into
from ir.types import TensorType, i32
from tracer.api.arguments import Flat, call, flatten, function_name, tree_flatten, tree_unflatten
from tracer.api.autograph import requested
from tracer.api.collectives import Lanes
from tracer.concrete import UNKNOWN, Inputs
from tracer.execution import apply
from tracer.numpy.creation import arange
from tracer.state import state
from tracer.trace import trace_flat

_NUMBER = TensorType((), i32)  # of an example


def vmap(
    f: Callable[..., Any],
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    *,
    autograph: bool = False,
) -> Callable[..., Any]:
    """A function that applies `f` along an axis of its arguments, all examples at once.

    Args:
      f: takes and returns pytrees of arrays.
      in_axes: an int, None (not mapped), or a pytree prefix of the positional arguments of those;
        keyword arguments are mapped over axis 0.
      out_axes: likewise for the result: where the new axis goes.
      axis_name: names the axis, so that `f` may exchange along it: `tracer.psum(x, axis_name)` and the like.
      axis_size: how many examples, where no argument is mapped.
      autograph: convert plain Python control flow in `f`; see `tracer.autograph`.

    Raises:
      BatchingError: no mapped argument and no `axis_size`, mapped sizes that differ, an axis out of range, or a mapped
        result with out_axes None.

    Examples:
      >>> dot = lambda a, b: a @ b
      >>> a, b = np.float32([[1, 2], [3, 4]]), np.float32([1, 1])
      >>> print(tr.vmap(dot, in_axes=(0, None))(a, b))
      [3. 7.]
      >>> centred = lambda x: x - tr.pmean(x, "batch")
      >>> print(tr.vmap(centred, axis_name="batch")(np.float32([1, 2, 6])))
      [-2. -1.  3.]
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def batched(*args: Any, **kwargs: Any) -> Any:
        if isinstance(in_axes, (tuple, list)) and len(in_axes) != len(args):
            raise BatchingError(
                f"vmap: expected in_axes for {len(args)} positional arguments, got {len(in_axes)}"
            )
        every = (
            *_spread(tuple(in_axes) if isinstance(in_axes, list) else in_axes, args, "in_axes"),
            *_spread(0, kwargs, "in_axes"),
        )
        flat = flatten(args, kwargs, f, [a is None for a in every])
        axes, size = _check_axes(flat, [a for i, a in enumerate(every) if i not in flat.fixed], axis_size)
        inner_types = [
            t if a is None else t.with_shape((*t.shape[:a], *t.shape[a + 1 :]))
            for t, a in zip(flat.types, axes, strict=True)
        ]

        mapped = [a is not None for a in axes]
        # Of a named axis, the number of the example is one more argument (`ir.ops.collectives`).
        with _named(axis_name, size) as lanes:
            numbers = [] if lanes is None else [arange(size, dtype="int32")]
            count = len(flat.leaves)
            known = [UNKNOWN if m else x for x, m in zip(flat.leaves, mapped, strict=True)]
            traced = trace_flat(
                lambda *leaves: call(f, *flat.unflatten(leaves[:count])),
                [*inner_types, *[_NUMBER for _ in numbers]],
                (*flat.weak, *[False for _ in numbers]),
                name=function_name(f),
                names=(*flat.names, *[str(axis_name) for _ in numbers]),
                inputs=Inputs([*known, *[UNKNOWN for _ in numbers]], [*mapped, *[True for _ in numbers]]),
                begin=None if lanes is None else lambda args: setattr(lanes, "index", args[-1]),
            )
        out_tree = traced.out_tree
        outs_like = tree_unflatten(out_tree, [0] * out_tree.num_leaves)
        wanted = _spread(out_axes, outs_like, "out_axes")
        all_axes = (*[None] * len(traced.captures), *axes, *[0 for _ in numbers])
        outs = apply(
            ("vmap", all_axes, wanted, size),
            traced.function,
            lambda fn: _batched(fn, all_axes, wanted, size),
            (*traced.captures, *flat.leaves, *numbers),
            traced.out_weak,
        )
        return tree_unflatten(out_tree, outs)

    return batched


@contextlib.contextmanager
def _named(axis_name: Any, size: int) -> Iterator[Lanes | None]:
    """A function that is traced knows the axis by its name, if it has one."""
    if axis_name is None:
        yield None
        return
    outer = state.axes
    taken = {axis.name for axis in outer.values()}
    name = str(axis_name)
    while name in taken:
        name += "_"
    lanes = Lanes(name, size)
    state.axes = {**outer, axis_name: lanes}
    try:
        yield lanes
    finally:
        state.axes = outer


def _spread(prefix: Any, full: Any, what: str) -> tuple[int | None, ...]:
    """One axis a leaf of `full`, from a pytree prefix."""
    leaves: list[int | None] = []
    is_none = lambda x: x is None  # noqa: E731

    def add(axis: Any, subtree: Any) -> None:
        if axis is not None and (not isinstance(axis, int) or isinstance(axis, bool)):
            raise ArgumentTypeError(f"vmap: expected ints or None in {what}, got {axis!r}")
        leaves.extend([axis] * len(tree_flatten(subtree)[0]))

    try:
        jax.tree_util.tree_map(add, prefix, full, is_leaf=is_none)
    except (ValueError, TypeError) as error:
        if isinstance(error, ArgumentTypeError):
            raise
        raise BatchingError(
            f"vmap: {what} {prefix!r} is no prefix of the structure {tree_flatten(full)[1]}: {error}"
        ) from error
    return tuple(leaves)


def _check_axes(
    flat: Flat, axes: Sequence[int | None], size: int | None
) -> tuple[tuple[int | None, ...], int]:
    """Non-negative axes and the common size, which is `size` where that is given."""
    out: list[int | None] = []
    sizes: dict[str, int] = {} if size is None else {"axis_size": size}
    for name, type_, axis in zip(flat.names, flat.types, axes, strict=True):
        if axis is None:
            out.append(None)
            continue
        if not -type_.rank <= axis < type_.rank:
            raise BatchingError(f"vmap: {name} of type {type_} has no axis {axis} to map")
        out.append(axis % type_.rank)
        sizes[f"{name} ({type_}, axis {axis})"] = type_.shape[axis]
    if not sizes:
        raise BatchingError(
            "vmap: expected at least one mapped argument, all in_axes are None; give axis_size where that is meant"
        )
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name} {'is' if name == 'axis_size' else 'has'} {n}" for name, n in sizes.items())
        raise BatchingError(f"vmap: expected mapped axes of equal size, got {shown}")
    return tuple(out), next(iter(sizes.values()))


def _batched(
    function: ir.Function, axes: Sequence[int | None], wanted: Sequence[int | None], size: int
) -> ir.Function:
    """The batched program with mapped axes where the caller has and wants them."""
    params = tuple(
        [
            Value(
                p.type if a is None else p.type.with_shape((*p.type.shape[:a], size, *p.type.shape[a:])),
                p.name,
            )
            for p, a in zip(function.params, axes, strict=True)
        ]
    )
    builder = Builder()
    with building(builder):
        operands = [_moved(p, a, 0) if a else p for p, a in zip(params, axes, strict=True)]
        results, flags = batch_into(function, operands, [a is not None for a in axes], size)
        outs = []
        for value, is_batched, axis in zip(results, flags, wanted, strict=True):
            if axis is None:
                if is_batched:
                    raise BatchingError(
                        "vmap: a result depends on mapped arguments, but its out_axes is None"
                    )
                outs.append(value)
                continue
            full = materialize(value, is_batched, size)
            rank = full.type.rank
            if not -rank <= axis < rank:
                raise BatchingError(f"vmap: out_axes {axis} is out of range for a result {full.type}")
            outs.append(_moved(full, 0, axis % rank))
    return ir.Function(params, tuple(builder.eqns), tuple(outs), f"vmap_{function.name}")


def _moved(x: Value, source: int, destination: int) -> Value:
    if source == destination:
        return x
    order = [i for i in range(x.type.rank) if i != source]
    order.insert(destination, source)
    return transpose(x, perm=tuple(order))  # type: ignore[no-any-return]


__all__ = ["vmap"]
