"""Lanes: the examples of a batch that a loop or a branch runs for while others rest.

A program has `lanes`, the sizes of leading axes, and a mask `live` of that shape. An operand has a
depth: how many of the leading axes it carries. What resting lanes compute is thrown away; where it
could do harm (a loop that does not end, an infinite derivative times zero), they are given the
operands of a lane that is live, so that nothing is computed that would not be without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Value
from ir.op import Builder, Op, building
from ir.ops.calls import stop_gradient
from ir.ops.elementwise import select
from ir.ops.families import check, materialize
from ir.ops.indexing import dynamic_slice, gather
from ir.ops.reduce import argmax, reduce_or
from ir.ops.shape import broadcast_in_dim, reshape, transpose, zeros
from ir.types import Shape, TensorType, i32


def spread(live: Value, shape: Shape) -> Any:
    """A mask over the leading axes of `shape` as one of that shape."""
    rank = live.type.rank
    return live if shape == live.type.shape else broadcast_in_dim(live, shape=shape, dims=tuple(range(rank)))


def select_lanes(live: Value, new: Sequence[Value], old: Sequence[Value]) -> list[Value]:
    """`new` in lanes that are live, `old` in the others."""
    return [b if a is b else select(spread(live, a.type.shape), a, b) for a, b in zip(new, old, strict=True)]


def any_live(live: Value) -> Any:
    """Whether any lane is live."""
    return reduce_or(live, axes=tuple(range(live.type.rank))) if live.type.rank else live


def _pick(x: Value, index: Value, axis: int) -> Value:
    """`x[..., index, ...]` along `axis`, for each index over the axes before it; of the shape of x."""
    shape = x.type.shape
    if axis == 0:
        starts = [index, *[zeros(index.type)] * (x.type.rank - 1)]
        one = dynamic_slice(x, *starts, sizes=(1, *shape[1:]))
    else:
        before = tuple(range(axis))
        one = gather(
            x,
            reshape(index, shape=(*index.type.shape, 1)),
            offset_dims=tuple(range(axis, x.type.rank)),
            start_index_map=(axis,),
            operand_batching_dims=before,
            start_indices_batching_dims=before,
            slice_sizes=(*(1,) * axis, 1, *shape[axis + 1 :]),
            mode="promise_in_bounds",
        )
    return broadcast_in_dim(one, shape=shape, dims=tuple(range(x.type.rank)))  # type: ignore[no-any-return]


def live_operands(live: Value, operands: Sequence[Value], depths: Sequence[int]) -> list[Value]:
    """The operands, where lanes rest those of a live lane, with no derivative.

    The lane is the first one that is live with the same index along the axes before, so that operands
    of less depth fit it.
    """
    out = list(operands)
    if 0 in live.type.shape:
        return out
    for axis in reversed(range(live.type.rank)):
        chosen = argmax(live, axis=axis, dtype=i32)
        for k, depth in enumerate(depths):
            if depth > axis:
                x = out[k]
                other = stop_gradient(_pick(x, chosen, axis))
                out[k] = select(spread(live, x.type.shape), x, other)
        live = reduce_or(live, axes=(axis,))
    return out


def deeper(
    operands: Sequence[Value], batched: Sequence[bool], depths: Sequence[int], size: int
) -> tuple[list[Value], tuple[int, ...]]:
    """Operands and their depths under one more axis of lanes; one that lacks it has depth 0."""
    values, out = [], []
    for v, b, depth in zip(operands, batched, depths, strict=True):
        full = b or depth > 0
        values.append(materialize(v, b, size) if full else v)
        out.append(depth + 1 if full else 0)
    return values, tuple(out)


def by_lane(the_op: Op, operands: Any, batched: Any, size: int, attrs: dict[str, Any]) -> Any:
    """A batching rule for what has effects: one example after the other."""
    from ir.ops.loops import scan

    consts = [v for v, b in zip(operands, batched, strict=True) if not b]
    xs = [v for v, b in zip(operands, batched, strict=True) if b]
    params = [
        Value(v.type.with_shape(v.type.shape[1:]) if b else v.type)
        for v, b in zip(operands, batched, strict=True)
    ]
    builder = Builder()
    with building(builder):
        out = the_op(*params, **attrs)
    results = out if isinstance(out, tuple) else (out,)
    order = [p for p, b in zip(params, batched, strict=True) if not b]
    order += [p for p, b in zip(params, batched, strict=True) if b]
    function = Function(tuple(order), tuple(builder.eqns), tuple(results), the_op.name)
    out = scan(*consts, *xs, function=function, num_consts=len(consts), num_carry=0, length=size)
    outs = out if isinstance(out, tuple) else (out,)
    return outs, (True,) * len(outs)


def check_lanes(name: str, lanes: Shape, depths: Sequence[int], types: Sequence[TensorType]) -> None:
    """IRTypeError unless each operand carries as many of the lanes as its depth says."""
    check(
        len(depths) == (len(types) if lanes else 0) and all(0 <= d <= len(lanes) for d in depths),
        f"{name}: expected a depth of at most {len(lanes)} for each of {len(types)} operands, got {depths}",
    )
    for t, depth in zip(types, depths, strict=False):
        check(
            t.shape[:depth] == lanes[:depth],
            f"{name}: expected an operand with leading axes {lanes[:depth]}, got {t}",
        )


def stacked_batch_last(x: Value) -> Value:
    """Swap the two leading axes: a batch of stacks and a stack of batches."""
    return transpose(x, perm=(1, 0, *range(2, x.type.rank)))  # type: ignore[no-any-return]


def blank(type: TensorType) -> Value:
    """A value of a type that is not looked at; keys too, which have no zero."""
    from ir.ops.random import random_wrap
    from ir.types import u32

    if type.dtype.kind != "key":
        return zeros(type)
    words = zeros(TensorType((*type.shape, type.dtype.bits // 32), u32))
    return random_wrap(words, impl=type.dtype.name[4:-1])  # type: ignore[no-any-return]
