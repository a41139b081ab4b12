"""Writing at computed positions: `scatter` and its combining variants (add, sub, mul, min, max).

Dimension numbers and modes are those of `jax.lax` (see `ir.ops.indexing`). Where several updates hit one
element, `scatter` keeps one of them, in no certain order; the others combine them all. `unique_indices`
promises that there are no such hits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ir.core import Dense, Value
from ir.errors import DifferentiationError, ShapeError
from ir.numerics import indexing as numerics
from ir.op import Op
from ir.ops import elementwise as ew
from ir.ops import shape as shapes
from ir.ops.convert import convert
from ir.ops.families import (
    ANY,
    NUMBER,
    ORDERED,
    Kinds,
    Linear,
    batch_axis_moved,
    check,
    materialize,
    op,
    require_dtype,
)
from ir.ops.indexing import Dims, check_dims, check_indexed, gather
from ir.ops.shape import full_like, zeros, zeros_like
from ir.types import TensorType, i32, u32

# Dimension numbers ------------------------------------------------------------------------------------


def _window_sizes(x: TensorType, updates: TensorType, update_window_dims: Dims, dropped: Dims) -> Dims:
    """Size of a window along each axis of `x`."""
    sizes = iter([updates.shape[d] for d in update_window_dims])
    return tuple([1 if d in dropped else next(sizes) for d in range(x.rank)])


def _read(
    x: Value,
    indices: Value,
    updates: TensorType,
    fill: Any = 0,
    *,
    update_window_dims: Dims,
    inserted_window_dims: Dims,
    scatter_dims_to_operand_dims: Dims,
    operand_batching_dims: Dims,
    scatter_indices_batching_dims: Dims,
    mode: str,
    **promises: bool,
) -> Value:
    """What `x` has where the updates of a scatter go: a gather of the type of `updates`."""
    if x.type.size == 0 or updates.size == 0:
        return shapes.full(updates.shape, fill, x.type.dtype)
    dropped = (*inserted_window_dims, *operand_batching_dims)
    return gather(  # type: ignore[no-any-return]
        x,
        indices,
        offset_dims=update_window_dims,
        collapsed_slice_dims=inserted_window_dims,
        start_index_map=scatter_dims_to_operand_dims,
        operand_batching_dims=operand_batching_dims,
        start_indices_batching_dims=scatter_indices_batching_dims,
        slice_sizes=_window_sizes(x.type, updates, update_window_dims, dropped),
        mode=mode,
        fill_value=Dense(fill, x.type.dtype) if mode == "fill" else None,
        **promises,
    )


def _is_unique(indices: TensorType | Any, unique_indices: bool) -> bool:
    """Whether no element is hit twice: promised, or a single window."""
    return unique_indices or math.prod(indices.shape[:-1]) <= 1


# Rules that all variants share ------------------------------------------------------------------------


def _type_rule(name: str, on: Kinds) -> Callable[..., TensorType]:
    def rule(
        x: TensorType,
        indices: TensorType,
        updates: TensorType,
        *,
        update_window_dims: Dims,
        inserted_window_dims: Dims,
        scatter_dims_to_operand_dims: Dims,
        operand_batching_dims: Dims,
        scatter_indices_batching_dims: Dims,
        mode: str,
        indices_are_sorted: bool,
        unique_indices: bool,
    ) -> TensorType:
        require_dtype(name, x, on)
        check(x.dtype is updates.dtype, f"{name}: expected updates of the type of {x}, got {updates}")
        check_indexed(
            name,
            x,
            indices,
            dropped=("inserted_window_dims", inserted_window_dims),
            index_map=("scatter_dims_to_operand_dims", scatter_dims_to_operand_dims),
            batching=("operand_batching_dims", operand_batching_dims),
            indices_batching=("scatter_indices_batching_dims", scatter_indices_batching_dims),
            mode=mode,
        )
        check_dims(name, "update_window_dims", update_window_dims, updates.rank, ordered=True)
        dropped = (*inserted_window_dims, *operand_batching_dims)
        if len(update_window_dims) + len(dropped) != x.rank:
            raise ShapeError(
                f"{name}: expected each axis of {x} in the windows of the updates or in inserted_window_dims "
                f"or operand_batching_dims, got update_window_dims={update_window_dims}, "
                f"inserted_window_dims={inserted_window_dims}, operand_batching_dims={operand_batching_dims}"
            )
        outer = tuple([n for d, n in enumerate(updates.shape) if d not in update_window_dims])
        if outer != indices.shape[:-1]:
            raise ShapeError(
                f"{name}: expected updates with axes {indices.shape[:-1]} besides their windows, as "
                f"{indices} has, got {updates} with update_window_dims={update_window_dims}"
            )
        sizes = _window_sizes(x, updates, update_window_dims, dropped)
        if any(n > of for d, (n, of) in enumerate(zip(sizes, x.shape, strict=True)) if d not in dropped):
            raise ShapeError(f"{name}: expected windows within {x}, got {updates} with windows of {sizes}")
        return x

    return rule


def _eval_rule(combine: str) -> Callable[..., Any]:
    def rule(
        x: Any, indices: Any, updates: Any, *, indices_are_sorted: bool, unique_indices: bool, **attrs: Any
    ) -> Any:
        return numerics.scatter(x, indices, updates, combine=combine, **attrs)

    return rule


def _batch_rule(this: Callable[[], Op]) -> Callable[..., Any]:
    def rule(
        operands: Any,
        batched: Any,
        size: int,
        *,
        update_window_dims: Dims,
        inserted_window_dims: Dims,
        scatter_dims_to_operand_dims: Dims,
        operand_batching_dims: Dims,
        scatter_indices_batching_dims: Dims,
        **attrs: Any,
    ) -> Any:
        x, indices, updates = operands
        update_window_dims = batch_axis_moved(update_window_dims)
        operand_batching_dims = batch_axis_moved(operand_batching_dims)
        if batched[1]:
            operand_batching_dims = (0, *operand_batching_dims)
            scatter_indices_batching_dims = (0, *batch_axis_moved(scatter_indices_batching_dims))
        else:  # the batch is one more axis of every window
            update_window_dims = (0, *update_window_dims)
        out = this()(
            materialize(x, batched[0], size),
            indices,
            materialize(updates, batched[2], size),
            update_window_dims=update_window_dims,
            inserted_window_dims=batch_axis_moved(inserted_window_dims),
            scatter_dims_to_operand_dims=batch_axis_moved(scatter_dims_to_operand_dims),
            operand_batching_dims=operand_batching_dims,
            scatter_indices_batching_dims=scatter_indices_batching_dims,
            **attrs,
        )
        return (out,), (True,)

    return rule


def _scatter_op(
    name: str,
    combine: str,
    on: Kinds,
    *,
    jvp: Any = None,
    transpose: Callable[..., Any] | None = None,
    differentiate: Callable[..., Any] | None = None,
) -> Op:
    declared: Op = op(
        name,
        attrs={
            "update_window_dims": (),
            "inserted_window_dims": (),
            "scatter_dims_to_operand_dims": (),
            "operand_batching_dims": (),
            "scatter_indices_batching_dims": (),
            "mode": "fill",
            "indices_are_sorted": False,
            "unique_indices": False,
        },
        type=_type_rule(name, on),
        eval=_eval_rule(combine),
        jvp=jvp,
        transpose=transpose,
        differentiate=differentiate,
        batch=_batch_rule(lambda: declared),
        flops=lambda operands, results, **_: 0 if combine == "set" else operands[2].size,
    )
    return declared


# scatter: one update wins -----------------------------------------------------------------------------


def _winners(x: TensorType, indices: Value, updates: TensorType, **attrs: Any) -> tuple[Value, Value]:
    """Which elements of x a scatter keeps, and which elements of the updates it writes for good."""
    outer = tuple([d for d in range(updates.rank) if d not in attrs["update_window_dims"]])
    count = math.prod(indices.type.shape[:-1])
    numbers = shapes.reshape(shapes.iota(shape=(count,), axis=0, dtype=u32), shape=indices.type.shape[:-1])
    numbers = ew.add(numbers, full_like(numbers, 1))
    numbers = shapes.broadcast_in_dim(numbers, shape=updates.shape, dims=outer)
    winners = scatter(shapes.full(x.shape, 0, u32), indices, numbers, **attrs)
    return ew.eq(winners, zeros_like(winners)), ew.eq(numbers, _read(winners, indices, updates, **attrs))


def _scatter_differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    """Finds out which update wins by scattering their numbers, and lets only that one through.

    The primal result is made from the same winners, so that it and its tangent agree in any order.
    """
    (x, indices, updates), (dx, _, dupdates) = operands, tangents
    dx = zeros(x.type) if dx is None else dx
    dupdates = zeros(updates.type) if dupdates is None else dupdates
    if _is_unique(indices.type, attrs["unique_indices"]):
        return (scatter(*operands, **attrs),), (scatter(dx, indices, dupdates, **attrs),)
    kept, wins = _winners(x.type, indices, updates.type, **attrs)
    # What loses is -0.0, the neutral element of addition that keeps the sign of zero.
    result = scatter_add(
        ew.select(kept, x, _negative_zeros(x)),
        indices,
        ew.select(wins, updates, _negative_zeros(updates)),
        **attrs,
    )
    tangent = scatter_add(
        ew.select(kept, dx, zeros_like(dx)),
        indices,
        ew.select(wins, dupdates, zeros_like(dupdates)),
        **attrs,
    )
    return (result,), (tangent,)


def _negative_zeros(x: Value) -> Value:
    return full_like(x, complex(-0.0, -0.0) if x.type.dtype.is_complex else -0.0)


def _scatter_transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    (ct,), (x, indices, updates) = cts, operands
    ct_x = ct_updates = None
    if isinstance(updates, Linear):
        ct_updates = _read(ct, indices, updates.type, **attrs)
        if not _is_unique(indices.type, attrs["unique_indices"]):
            _, wins = _winners(x.type, indices, updates.type, **attrs)
            ct_updates = ew.select(wins, ct_updates, zeros_like(ct_updates))
    if isinstance(x, Linear):
        ct_x = scatter(ct, indices, zeros_like(updates), **attrs)
    return ct_x, None, ct_updates


scatter = _scatter_op(
    "scatter", "set", ANY, differentiate=_scatter_differentiate, transpose=_scatter_transpose
)


# scatter_add, scatter_sub: linear -----------------------------------------------------------------------


def _sum_jvp(this: Callable[[], Op]) -> Callable[..., Any]:
    def rule(tangents: Any, operands: Any, results: Any, **attrs: Any) -> Any:
        (x, indices, _), (dx, _, dupdates) = operands, tangents
        if dupdates is None:
            return (dx,)
        return (this()(zeros(x.type) if dx is None else dx, indices, dupdates, **attrs),)

    return rule


def _add_transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    (ct,), (x, indices, updates) = cts, operands
    return (
        ct if isinstance(x, Linear) else None,
        None,
        _read(ct, indices, updates.type, **attrs) if isinstance(updates, Linear) else None,
    )


def _sub_transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    ct_x, _, ct_updates = _add_transpose(cts, operands, **attrs)
    return ct_x, None, None if ct_updates is None else ew.neg(ct_updates)


scatter_add: Op = _scatter_op(
    "scatter_add", "add", NUMBER, jvp=_sum_jvp(lambda: scatter_add), transpose=_add_transpose
)
scatter_sub: Op = _scatter_op(
    "scatter_sub", "sub", NUMBER, jvp=_sum_jvp(lambda: scatter_sub), transpose=_sub_transpose
)


# scatter_mul: linear in x, and in the updates where they do not meet --------------------------------------


def _needs_unique(indices: Value, unique_indices: bool) -> None:
    if not _is_unique(indices.type, unique_indices):
        raise DifferentiationError(
            "scatter_mul: the derivative with respect to the updates needs unique_indices=True"
        )


def _mul_jvp(tangents: Any, operands: Any, results: Any, **attrs: Any) -> Any:
    (x, indices, updates), (dx, _, dupdates) = operands, tangents
    total = None
    if dx is not None:
        total = scatter_mul(dx, indices, updates, **attrs)
    if dupdates is not None and x.type.size and updates.type.size:
        _needs_unique(indices, attrs["unique_indices"])
        term = ew.mul(x, scatter_add(zeros_like(x), indices, dupdates, **attrs))
        total = term if total is None else ew.add(total, term)
    return (total,)


def _mul_transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    (ct,), (x, indices, updates) = cts, operands
    if isinstance(x, Linear):
        return scatter_mul(ct, indices, updates, **attrs), None, None
    if x.type.size and updates.type.size:
        _needs_unique(indices, attrs["unique_indices"])
    return None, None, _read(ew.mul(ct, x), indices, updates.type, **attrs)


scatter_mul = _scatter_op("scatter_mul", "mul", NUMBER, jvp=_mul_jvp, transpose=_mul_transpose)


# scatter_min, scatter_max: ties share the derivative --------------------------------------------------------


def _extremum_jvp(tangents: Any, operands: Any, results: Any, **attrs: Any) -> Any:
    """Averages the tangents of all values, of `x` and of the updates, that equal the result."""
    (x, indices, updates), (dx, _, dupdates), (out,) = operands, tangents, results
    dtype = x.type.dtype
    retained = ew.or_(ew.eq(x, out), ew.ne(x, x))  # a NaN stays where it is
    reached = ew.eq(updates, _read(out, indices, updates.type, **attrs))
    # Counted as integers: narrow floats cannot count.
    ones = shapes.full(updates.type.shape, 1, i32)
    ties = scatter_add(
        ew.select(retained, shapes.full(x.type.shape, 1, i32), shapes.full(x.type.shape, 0, i32)),
        indices,
        ew.select(reached, ones, zeros_like(ones)),
        **attrs,
    )
    ties = convert(ew.max(ties, full_like(ties, 1)), dtype=dtype)  # no update that is NaN is reached
    total = zeros_like(x) if dx is None else ew.select(retained, dx, zeros_like(dx))
    if dupdates is not None:
        total = scatter_add(total, indices, ew.select(reached, dupdates, zeros_like(dupdates)), **attrs)
    return (ew.div(total, ties),)


scatter_min = _scatter_op("scatter_min", "min", ORDERED, jvp=_extremum_jvp)
scatter_max = _scatter_op("scatter_max", "max", ORDERED, jvp=_extremum_jvp)
