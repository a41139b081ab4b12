"""Reduction over sliding windows with any function: `reduce_window`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Function, Value
from ir.errors import DifferentiationError, IRTypeError, ShapeError
from ir.numerics import windows as numerics
from ir.op import build, inline
from ir.ops import elementwise as ew
from ir.ops import shape as shapes
from ir.ops.families import NUMBER, ORDERED, REQUIRED, check, materialize, op, require_dtype
from ir.ops.shape import full, zeros
from ir.ops.windows import WINDOW, window_flops, window_shape, with_batch
from ir.types import TensorType, bool_


def _type(*types: TensorType, function: Function, **window: Any) -> tuple[TensorType, ...]:
    xs, inits = types[: len(types) // 2], types[len(types) // 2 :]
    check(
        len(xs) == len(inits) > 0,
        f"reduce_window: expected arrays and as many initial values, got {len(types)} operands",
    )
    for x, init in zip(xs, inits, strict=True):
        require_dtype("reduce_window", x, NUMBER | ORDERED)
        if x.shape != xs[0].shape:
            raise ShapeError(f"reduce_window: expected arrays of equal shape, got {', '.join(map(str, xs))}")
        if init is not x.with_shape(()):
            raise IRTypeError(f"reduce_window: expected the initial value of {x} to be a scalar, got {init}")
    scalars = tuple(inits)
    check(
        function.in_types == scalars * 2 and function.out_types == scalars,
        f"reduce_window: expected a function from {scalars} twice to {scalars}, "
        f"got {function.in_types} to {function.out_types}",
    )
    shape = window_shape("reduce_window", xs[0], **window)
    return tuple([x.with_shape(shape) for x in xs])


def _eval(*arrays: Any, function: Function, **window: Any) -> tuple[Any, ...]:
    from ir.evaluate import evaluate
    from ir.transforms.batch import batch

    count = len(arrays) // 2

    def combine(accumulated: Any, elements: Any) -> Any:
        shape = accumulated[0].shape
        rows = [np.ravel(a) for a in (*accumulated, *elements)]
        over, _ = batch(function, [True] * len(rows), rows[0].size, all_results=True)
        return tuple([out.reshape(shape) for out in evaluate(over, *rows)])

    return numerics.reduce_window_variadic(arrays[:count], arrays[count:], combine, **window)


def _jvp(tangents: Any, operands: Any, results: Any, *, function: Function, **window: Any) -> Any:
    """Reduces pairs of value and tangent with the derivative of the function."""
    from ir.transforms.jvp import jvp

    count = len(operands) // 2
    if any(t is not None for t in tangents[count:]):
        raise DifferentiationError("reduce_window: no derivative with respect to the initial values")
    xs, inits = operands[:count], operands[count:]
    inexact = [i for i, x in enumerate(xs) if x.type.dtype.is_inexact]
    pairs, _ = jvp(function, [p.type.dtype.is_inexact for p in function.params])
    dxs = [zeros(xs[i].type) if tangents[i] is None else tangents[i] for i in inexact]
    dinits = [zeros(inits[i].type) for i in inexact]

    def body(*params: Value) -> tuple[Value, ...]:
        half = len(params) // 2
        (left, dleft), (right, dright) = (
            (side[:count], side[count:]) for side in (params[:half], params[half:])
        )
        return inline(pairs, (*left, *right, *dleft, *dright))

    scalars = [v.type for v in (*inits, *dinits)]
    both = build(scalars * 2, body, f"jvp_{function.name}")
    outs = reduce_window(*xs, *dxs, *inits, *dinits, function=both, **window)
    douts = dict(zip(inexact, outs[count:], strict=True))
    return tuple([douts.get(i) for i in range(count)])


def _as_tuple(out: Any) -> tuple[Value, ...]:
    return out if isinstance(out, tuple) else (out,)


def _or_other(function: Function) -> Function:
    """`function` for values that may be absent, with a flag last: what is absent leaves the other side."""

    def body(*params: Value) -> tuple[Value, ...]:
        half = len(params) // 2
        left, right = params[:half], params[half:]
        both = inline(function, (*left[:-1], *right[:-1]))
        there = ew.and_(left[-1], right[-1])
        outs = [
            ew.select(there, out, ew.select(left[-1], a, b))
            for out, a, b in zip(both, left[:-1], right[:-1], strict=True)
        ]
        return (*outs, ew.or_(left[-1], right[-1]))

    side = (*function.out_types, TensorType((), bool_))
    return build(side * 2, body, function.name)


def _batch(operands: Any, batched: Any, size: int, *, function: Function, **window: Any) -> Any:
    from ir.transforms.batch import batch_into

    count = len(operands) // 2
    xs = [materialize(x, b, size) for x, b in zip(operands[:count], batched[:count], strict=True)]
    inits = operands[count:]
    window = with_batch(window)
    if not any(batched[count:]):
        return _as_tuple(reduce_window(*xs, *inits, function=function, **window)), (True,) * count
    # A window takes one initial value: reduce without, then combine with that of the example.
    flags = full(xs[0].type.shape, True, bool_)
    starts = [full((), 0, x.type.dtype) for x in (*xs, flags)]
    *outs, found = reduce_window(*xs, flags, *starts, function=_or_other(function), **window)
    shape = found.type.shape
    spread = [
        shapes.broadcast_in_dim(init, shape=shape, dims=(0,) if b else ())
        for init, b in zip(inits, batched[count:], strict=True)
    ]
    rows = [shapes.reshape(v, shape=(found.type.size,)) for v in (*spread, *outs)]
    joined, flags_of = batch_into(function, rows, [True] * len(rows), found.type.size)
    results = [
        ew.select(found, shapes.reshape(materialize(v, b, found.type.size), shape=shape), init)
        for v, b, init in zip(joined, flags_of, spread, strict=True)
    ]
    return tuple(results), (True,) * count


# reduce_window(*arrays, *inits): `function` takes the accumulated and the next elements, all scalars. It
# is to be associative, and `inits` its neutral element.
reduce_window = op(
    "reduce_window",
    attrs={"function": REQUIRED, **WINDOW},
    type=_type,
    eval=_eval,
    jvp=_jvp,
    batch=_batch,
    flops=window_flops,
)
