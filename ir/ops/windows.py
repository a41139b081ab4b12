"""Reductions over sliding windows, and the two ops by which max and min pooling differentiate.

A window reduces the elements that are there; padding and the gaps of a base dilation are not. Each
attribute has one entry for each axis; negative padding removes elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from ir.core import Function, Value
from ir.errors import DifferentiationError, IRTypeError, ShapeError
from ir.numerics import windows as numerics
from ir.op import Op, build, inline
from ir.ops import elementwise as ew
from ir.ops import shape as shapes
from ir.ops.convolution import Dims, Padding, cotangent_padding, dilated
from ir.ops.families import (
    FLOAT,
    LINEAR,
    NUMBER,
    ORDERED,
    REQUIRED,
    Kinds,
    check,
    materialize,
    op,
    require_dtype,
    same_types,
)
from ir.ops.shape import full, zeros
from ir.types import DType, TensorType, bool_, from_numpy

_WINDOW = ("window_dimensions", "window_strides", "padding")
_ATTRS: dict[str, Any] = dict.fromkeys((*_WINDOW, "base_dilation", "window_dilation"), REQUIRED)


def window_shape(
    name: str,
    x: TensorType,
    *,
    window_dimensions: Dims,
    window_strides: Dims,
    padding: Padding,
    base_dilation: Dims | None = None,
    window_dilation: Dims | None = None,
) -> Dims:
    """The shape that remains of `x`: one element for each window."""
    ones = (1,) * x.rank
    base_dilation = ones if base_dilation is None else base_dilation
    window_dilation = ones if window_dilation is None else window_dilation
    for what, values in (
        ("window_dimensions", window_dimensions),
        ("window_strides", window_strides),
        ("base_dilation", base_dilation),
        ("window_dilation", window_dilation),
    ):
        if len(values) != x.rank or any(type(n) is not int or n < 1 for n in values):
            raise ShapeError(f"{name}: expected {x.rank} positive {what} for {x}, got {values}")
    if len(padding) != x.rank or any(len(pair) != 2 for pair in padding):
        raise ShapeError(f"{name}: expected {x.rank} pairs as padding for {x}, got {padding}")
    extents = [
        n + low + high for n, (low, high) in zip(dilated(x.shape, base_dilation), padding, strict=True)
    ]
    if any(n < 0 for n in extents):
        raise ShapeError(f"{name}: negative padding {padding} removes more than {x} has")
    windows = dilated(window_dimensions, window_dilation)
    return tuple([max((n - w) // s + 1, 0) for n, w, s in zip(extents, windows, window_strides, strict=True)])


def identity_of(combine: str, dtype: DType) -> Any:
    """The neutral element of "add", "max" or "min"; the largest finite number where there is no inf."""
    if combine == "add":
        return 0
    if dtype.kind == "bool":
        return combine == "min"
    if dtype.is_float:
        info = ml_dtypes.finfo(dtype.np)
        with np.errstate(all="ignore"):
            has_inf = bool(np.isinf(np.asarray(np.inf, dtype.np).astype(np.float64)))
        bound = np.inf if has_inf else float(info.max)
        return -bound if combine == "max" else bound
    limits = ml_dtypes.iinfo(dtype.np)
    return int(limits.min if combine == "max" else limits.max)


def _with_batch(attrs: dict[str, Any]) -> dict[str, Any]:
    """Window attributes with a leading axis that the window does not touch."""
    return {
        name: value if name in ("select", "function") else (((0, 0) if name == "padding" else 1), *value)
        for name, value in attrs.items()
    }


def _window_flops(operands: Any, results: Any, *, window_dimensions: Dims, **_: Any) -> int:
    return sum(r.size for r in results) * math.prod(window_dimensions)


# Sum, max and min --------------------------------------------------------------------------------------


def _reduction(name: str, combine: str, on: Kinds, *, jvp: Any, transpose: Any = None) -> Op:
    def type_rule(x: TensorType, **window: Any) -> TensorType:
        require_dtype(name, x, on)
        return x.with_shape(window_shape(name, x, **window))

    def eval_rule(x: Any, **window: Any) -> Any:
        return numerics.reduce_window(x, identity_of(combine, from_numpy(x.dtype)), combine, **window)

    declared: Op = op(
        name,
        attrs=_ATTRS,
        type=type_rule,
        eval=eval_rule,
        jvp=jvp,
        transpose=transpose,
        batch=lambda operands, batched, size, **window: (
            (declared(operands[0], **_with_batch(window)),),
            (True,),
        ),
        flops=_window_flops,
    )
    return declared


def _sum_transpose(
    cts: Any,
    operands: Any,
    *,
    window_dimensions: Dims,
    window_strides: Dims,
    padding: Padding,
    base_dilation: Dims,
    window_dilation: Dims,
) -> Any:
    """Each element gets the sum of the windows it is in: strides and base dilation change places."""
    (ct,), (x,) = cts, operands
    if ct.type.size == 0 or x.type.size == 0:
        return (None,)
    pads = cotangent_padding(
        x.type.shape,
        window_dimensions,
        ct.type.shape,
        strides=window_strides,
        padding=padding,
        base_dilation=base_dilation,
        window_dilation=window_dilation,
    )
    config = tuple([(low, high, step - 1) for (low, high), step in zip(pads, window_strides, strict=True)])
    out = reduce_window_sum(
        shapes.pad(ct, full((), 0, ct.type.dtype), config=config),
        window_dimensions=window_dimensions,
        window_strides=base_dilation,
        padding=((0, 0),) * x.type.rank,
        base_dilation=(1,) * x.type.rank,
        window_dilation=window_dilation,
    )
    return (out,)


def _chosen(select: str) -> Callable[..., Any]:
    def jvp(tangents: Any, operands: Any, results: Any, **window: Any) -> Any:
        return (select_and_gather_add(tangents[0], operands[0], select=select, **window),)

    return jvp


reduce_window_sum = _reduction("reduce_window_sum", "add", NUMBER, jvp=LINEAR, transpose=_sum_transpose)
reduce_window_max = _reduction("reduce_window_max", "max", ORDERED, jvp=_chosen("ge"))
reduce_window_min = _reduction("reduce_window_min", "min", ORDERED, jvp=_chosen("le"))


# The derivatives of max ("ge") and min ("le"): of equal elements the first is chosen --------------------


def _check_select(name: str, select: str) -> None:
    check(select in ("ge", "le"), f"{name}: expected select to be 'ge' or 'le', got {select!r}")


def _tangent_of_first(this: Callable[[], Op]) -> Callable[..., Any]:
    """Linear in the first operand; which element of the second is chosen is locally constant."""

    def jvp(tangents: Any, operands: Any, results: Any, **attrs: Any) -> Any:
        return (None if tangents[0] is None else this()(tangents[0], operands[1], **attrs),)

    return jvp


def _pair_batch(this: Callable[[], Op]) -> Callable[..., Any]:
    def batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
        pair = [materialize(v, b, size) for v, b in zip(operands, batched, strict=True)]
        return (this()(*pair, **_with_batch(attrs)),), (True,)

    return batch


def _gather_type(tangents: TensorType, x: TensorType, *, select: str, **window: Any) -> TensorType:
    _check_select("select_and_gather_add", select)
    require_dtype("select_and_gather_add", x, FLOAT)
    same_types("select_and_gather_add", (tangents, x))
    return x.with_shape(window_shape("select_and_gather_add", x, **window))


def _gather_transpose(
    cts: Any, operands: Any, *, select: str, base_dilation: Dims, window_dilation: Dims, **window: Any
) -> Any:
    (ct,), (_, x) = cts, operands
    if any(step != 1 for step in window_dilation):
        raise DifferentiationError(
            "select_and_gather_add: the transpose (reverse mode of max and min pooling) is not defined for "
            f"windows with dilation, got window_dilation={window_dilation}"
        )
    if ct.type.size == 0 or x.type.size == 0:
        return None, None
    spread = any(step != 1 for step in base_dilation)
    if spread:
        fill = identity_of("max" if select == "ge" else "min", x.type.dtype)
        gaps = tuple([(0, 0, step - 1) for step in base_dilation])
        x = shapes.pad(x, full((), fill, x.type.dtype), config=gaps)
    out = select_and_scatter_add(ct, x, select=select, **window)
    if spread:
        shape = out.type.shape
        out = shapes.slice(out, starts=(0,) * len(shape), limits=shape, strides=base_dilation)
    return out, None


# The elements of `tangents` at the maxima ("ge") or minima ("le") of the windows of x.
select_and_gather_add = op(
    "select_and_gather_add",
    attrs={"select": REQUIRED, **_ATTRS},
    type=_gather_type,
    eval=numerics.select_and_gather_add,
    jvp=_tangent_of_first(lambda: select_and_gather_add),
    transpose=_gather_transpose,
    batch=_pair_batch(lambda: select_and_gather_add),
    flops=_window_flops,
)


def _scatter_type(source: TensorType, x: TensorType, *, select: str, **window: Any) -> TensorType:
    _check_select("select_and_scatter_add", select)
    require_dtype("select_and_scatter_add", x, FLOAT)
    shape = window_shape("select_and_scatter_add", x, **window)
    if source is not x.with_shape(shape):
        raise ShapeError(
            f"select_and_scatter_add: expected a source {x.with_shape(shape)}, one element for each window "
            f"of {x}, got {source}"
        )
    return x


def _scatter_transpose(cts: Any, operands: Any, *, select: str, **window: Any) -> Any:
    ones = (1,) * operands[1].type.rank
    out = select_and_gather_add(
        cts[0], operands[1], select=select, **window, base_dilation=ones, window_dilation=ones
    )
    return out, None


# Zeros of the type of x, each element of `source` added where its window of x has its extremum.
select_and_scatter_add = op(
    "select_and_scatter_add",
    attrs=("select", *_WINDOW),
    type=_scatter_type,
    eval=numerics.select_and_scatter_add,
    jvp=_tangent_of_first(lambda: select_and_scatter_add),
    transpose=_scatter_transpose,
    batch=_pair_batch(lambda: select_and_scatter_add),
    flops=lambda operands, results, *, window_dimensions, **_: (
        operands[0].size * math.prod(window_dimensions)
    ),
)

# Any reduction -------------------------------------------------------------------------------------------


def _any_type(*types: TensorType, function: Function, **window: Any) -> tuple[TensorType, ...]:
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


def _any_eval(*arrays: Any, function: Function, **window: Any) -> tuple[Any, ...]:
    from ir.evaluate import evaluate
    from ir.transforms.batch import batch

    count = len(arrays) // 2

    def combine(accumulated: Any, elements: Any) -> Any:
        shape = accumulated[0].shape
        rows = [np.ravel(a) for a in (*accumulated, *elements)]
        over, _ = batch(function, [True] * len(rows), rows[0].size, all_results=True)
        return tuple([out.reshape(shape) for out in evaluate(over, *rows)])

    return numerics.reduce_window_variadic(arrays[:count], arrays[count:], combine, **window)


def _any_jvp(tangents: Any, operands: Any, results: Any, *, function: Function, **window: Any) -> Any:
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


def _results(out: Any) -> tuple[Value, ...]:
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


def _any_batch(operands: Any, batched: Any, size: int, *, function: Function, **window: Any) -> Any:
    from ir.transforms.batch import batch_into

    count = len(operands) // 2
    xs = [materialize(x, b, size) for x, b in zip(operands[:count], batched[:count], strict=True)]
    inits = operands[count:]
    window = _with_batch(window)
    if not any(batched[count:]):
        return _results(reduce_window(*xs, *inits, function=function, **window)), (True,) * count
    # A window takes one initial value: reduce without, then combine with that of the example.
    flags = full(xs[0].type.shape, True, bool_)
    starts = [full((), 0, x.type.dtype) for x in (*xs, flags)]
    *outs, found = reduce_window(*xs, flags, *starts, function=_or_other(function), **window)
    shape = found.type.shape
    inits = [
        shapes.broadcast_in_dim(init, shape=shape, dims=(0,) if b else ())
        for init, b in zip(inits, batched[count:], strict=True)
    ]
    rows = [shapes.reshape(v, shape=(found.type.size,)) for v in (*inits, *outs)]
    combined, flat = batch_into(function, rows, [True] * len(rows), found.type.size)
    combined = [materialize(v, b, found.type.size) for v, b in zip(combined, flat, strict=True)]
    combined = [shapes.reshape(v, shape=shape) for v in combined]
    results = [ew.select(found, v, init) for v, init in zip(combined, inits, strict=True)]
    return tuple(results), (True,) * count


# reduce_window(*arrays, *inits): `function` takes the accumulated and the next elements, all scalars. It
# is to be associative, and `inits` its neutral element.
reduce_window = op(
    "reduce_window",
    attrs={"function": REQUIRED, **_ATTRS},
    type=_any_type,
    eval=_any_eval,
    jvp=_any_jvp,
    batch=_any_batch,
    flops=_window_flops,
)
