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

from ir.core import Value
from ir.errors import DifferentiationError, ShapeError
from ir.numerics import windows as numerics
from ir.op import Op, build
from ir.ops import elementwise as ew
from ir.ops import shape as shapes
from ir.ops.calls import stop_gradient
from ir.ops.contraction import Dims
from ir.ops.convolution import Padding, cotangent_padding, dilated
from ir.ops.families import (
    FLOAT,
    LINEAR,
    NUMBER,
    ORDERED,
    REQUIRED,
    Kinds,
    Linear,
    check,
    materialize,
    op,
    require_dtype,
    same_types,
)
from ir.ops.scatter import scatter_add
from ir.ops.shape import full
from ir.types import DType, TensorType, from_numpy, i32

_WINDOW = ("window_dimensions", "window_strides", "padding")
WINDOW: dict[str, Any] = dict.fromkeys((*_WINDOW, "base_dilation", "window_dilation"), REQUIRED)


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
        info: Any = ml_dtypes.finfo(dtype.np)  # type: ignore[no-untyped-call]
        with np.errstate(all="ignore"):
            has_inf = bool(np.isinf(np.asarray(np.inf, dtype.np).astype(np.float64)))
        bound = np.inf if has_inf else float(info.max)
        return -bound if combine == "max" else bound
    limits: Any = ml_dtypes.iinfo(dtype.np)  # type: ignore[no-untyped-call]
    return int(limits.min if combine == "max" else limits.max)


def with_batch(attrs: dict[str, Any]) -> dict[str, Any]:
    """Window attributes with a leading axis that the window does not touch."""
    return {
        name: value if name in ("select", "function") else (((0, 0) if name == "padding" else 1), *value)
        for name, value in attrs.items()
    }


def window_flops(operands: Any, results: Any, *, window_dimensions: Dims, **_: Any) -> int:
    """One operation for each element that each window may hold."""
    return math.prod(window_dimensions) * sum([int(r.size) for r in results])


# Sum, max and min --------------------------------------------------------------------------------------


def _reduction(name: str, combine: str, on: Kinds, *, jvp: Any, transpose: Any = None) -> Op:
    def type_rule(x: TensorType, **window: Any) -> TensorType:
        require_dtype(name, x, on)
        return x.with_shape(window_shape(name, x, **window))

    def eval_rule(x: Any, **window: Any) -> Any:
        return numerics.reduce_window(x, identity_of(combine, from_numpy(x.dtype)), combine, **window)

    declared: Op = op(
        name,
        attrs=WINDOW,
        type=type_rule,
        eval=eval_rule,
        jvp=jvp,
        transpose=transpose,
        batch=lambda operands, batched, size, **window: (
            (declared(operands[0], **with_batch(window)),),
            (True,),
        ),
        flops=window_flops,
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
        return (this()(*pair, **with_batch(attrs)),), (True,)

    return batch


def _gather_type(tangents: TensorType, x: TensorType, *, select: str, **window: Any) -> TensorType:
    _check_select("select_and_gather_add", select)
    require_dtype("select_and_gather_add", x, FLOAT)
    same_types("select_and_gather_add", (tangents, x))
    return x.with_shape(window_shape("select_and_gather_add", x, **window))


def _scattered_by_index(ct: Value, x: Value, select: str, window: dict[str, Any]) -> Value:
    """Zeros of the type of x, each cotangent added at the index that its window selects.

    For windows with dilation, which XLA's select-and-scatter does not know.
    """
    from ir.ops.reduce_window import reduce_window

    value, index = TensorType((), x.type.dtype), TensorType((), i32)
    compare = ew.ge if select == "ge" else ew.le

    def first(a: Value, i: Value, b: Value, j: Value) -> tuple[Value, Value]:
        keep = compare(a, b)
        return ew.select(keep, a, b), ew.select(keep, i, j)

    size = x.type.size
    numbers = shapes.reshape(shapes.iota(shape=(size,), axis=0, dtype=i32), shape=x.type.shape)
    least = full((), identity_of("max" if select == "ge" else "min", x.type.dtype), x.type.dtype)
    _, at = reduce_window(
        stop_gradient(x),
        numbers,
        least,
        full((), size, i32),  # out of bounds: a window without elements adds nothing
        function=build((value, index, value, index), first, "first"),
        **window,
    )
    count = ct.type.size
    flat = scatter_add(
        full((size,), 0, x.type.dtype),
        shapes.reshape(at, shape=(count, 1)),
        shapes.reshape(ct, shape=(count,)),
        inserted_window_dims=(0,),
        scatter_dims_to_operand_dims=(0,),
        mode="fill",
    )
    return shapes.reshape(flat, shape=x.type.shape)  # type: ignore[no-any-return]


def _gather_transpose(
    cts: Any, operands: Any, *, select: str, base_dilation: Dims, window_dilation: Dims, **window: Any
) -> Any:
    (ct,), (_, x) = cts, operands
    if isinstance(x, Linear):
        raise DifferentiationError("select_and_gather_add is not linear in its second operand")
    if ct.type.size == 0 or x.type.size == 0:
        return None, None
    if any(step != 1 for step in window_dilation):
        window |= {"base_dilation": base_dilation, "window_dilation": window_dilation}
        return _scattered_by_index(ct, x, select, window), None
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
select_and_gather_add: Op = op(
    "select_and_gather_add",
    attrs={"select": REQUIRED, **WINDOW},
    type=_gather_type,
    eval=numerics.select_and_gather_add,
    jvp=_tangent_of_first(lambda: select_and_gather_add),
    transpose=_gather_transpose,
    batch=_pair_batch(lambda: select_and_gather_add),
    flops=window_flops,
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
    if isinstance(operands[1], Linear):
        raise DifferentiationError("select_and_scatter_add is not linear in its second operand")
    ones = (1,) * operands[1].type.rank
    out = select_and_gather_add(
        cts[0], operands[1], select=select, **window, base_dilation=ones, window_dilation=ones
    )
    return out, None


# Zeros of the type of x, each element of `source` added where its window of x has its extremum.
select_and_scatter_add: Op = op(
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
