"""Reductions over axes: sum, product, extrema with their indices, logic, and any associative function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np

from ir.core import Array, Function, Value
from ir.errors import DifferentiationError, IRTypeError, ShapeError
from ir.numerics import sorting
from ir.numerics.precision import highest, is_complex, is_float, lowest, narrow, widen
from ir.op import Op, build, current_builder, inline
from ir.ops.calls import stop_gradient
from ir.ops.convert import convert
from ir.ops.elementwise import div, eq, ge, le, mul, or_, select
from ir.ops.families import (
    BITS,
    LINEAR,
    NUMBER,
    ORDERED,
    ZERO,
    Kinds,
    batch_axis_moved,
    check,
    materialize,
    op,
    require_dtype,
)
from ir.ops.shape import (
    broadcast_along,
    broadcast_in_dim,
    concatenate,
    full,
    full_like,
    iota,
    permute,
    reshape_to,
    slice_axis,
    squeeze,
)
from ir.types import DType, Shape, TensorType, i32

Axes = tuple[int, ...]
Values = tuple[Value, ...]


def _reduced(name: str, x: TensorType, axes: Axes) -> TensorType:
    check(
        len(set(axes)) == len(axes) and all(0 <= a < x.rank for a in axes),
        f"{name}: expected distinct axes of {x}, got {axes}",
    )
    return x.with_shape(tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def _reduction(
    name: str,
    *,
    on: Kinds,
    eval: Callable[..., Any],
    jvp: Any,
    transpose: Callable[..., Any] | None = None,
) -> Op:
    """A reduction of one operand over `axes`; `eval(x, axes, dtype)` gets `x` as it is accumulated.

    `dtype` is that of the operand and, after rounding, of the result.
    """

    def type_rule(x: TensorType, *, axes: Axes) -> TensorType:
        require_dtype(name, x, on)
        return _reduced(name, x, axes)

    def eval_rule(x: Array, *, axes: Axes) -> Array:
        # NumPy adds up in the order of memory: a transposed or repeated view would be summed in another.
        ordered = np.asarray(widen(x), order="C")
        return narrow(np.asarray(eval(ordered, axes, x.dtype)), x.dtype)

    def batch(operands: Any, batched: Any, size: int, *, axes: Axes) -> Any:
        return (made(operands[0], axes=batch_axis_moved(axes)),), (True,)

    made = op(
        name,
        attrs=("axes",),
        type=type_rule,
        eval=eval_rule,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
        flops=lambda operands, results, **_: operands[0].size,
    )
    return made


# Sum and product ----------------------------------------------------------------------------------


def _sum_transpose(cts: Any, operands: Any, *, axes: Axes) -> Any:
    return (broadcast_along(cts[0], operands[0].type.shape, axes),)


# Floats narrower than f32 are accumulated in f32 and rounded once.
reduce_sum = _reduction(
    "reduce_sum",
    on=NUMBER,
    eval=lambda x, axes, dtype: np.sum(x, axis=axes, dtype=x.dtype),
    jvp=LINEAR,
    transpose=_sum_transpose,
)


def _gathered(x: Value, axes: Axes) -> Value:
    """`x` as a matrix: all of `axes` as axis 0, all others as axis 1."""
    shape = x.type.shape
    others = tuple([d for d in range(len(shape)) if d not in axes])
    rows, columns = math.prod(shape[d] for d in axes), math.prod(shape[d] for d in others)
    return reshape_to(permute(x, (*axes, *others)), (rows, columns))


def _by_halves(combine: Callable[[Values, Values], Values], xs: Values) -> Values:
    """Reduce the rows of matrices, of which there is at least one, by combining halves of the rows.

    The pairs are those of JAX's rule, so that ties among equals share a derivative as there. Where the
    number of rows is odd the middle one is left for the next round.
    """
    while (rows := xs[0].type.shape[0]) > 1:
        half = rows // 2
        middle = rows - half
        out = combine(
            tuple([slice_axis(x, 0, 0, half) for x in xs]),
            tuple([slice_axis(x, 0, middle, rows) for x in xs]),
        )
        if half != middle:
            left = [slice_axis(x, 0, half, middle) for x in xs]
            out = tuple([concatenate(y, x, axis=0) for y, x in zip(out, left, strict=True)])
        xs = out
    return tuple([squeeze(x, (0,)) for x in xs])


def _tree_tangents(
    combine: Callable[[Values, Values], Values],
    operands: Sequence[Value],
    tangents: Sequence[Value | None],
    axes: Axes,
) -> tuple[Value | None, ...]:
    """Tangents of a reduction of at least one element by an associative function, through a tree of it."""
    from ir.transforms.jvp import push

    matrices = [_gathered(x, axes) for x in operands]
    moved = [None if t is None else _gathered(t, axes) for t in tangents]
    tree = build(
        [x.type for x in matrices], lambda *xs: _by_halves(combine, xs), source=current_builder().source
    )
    kept = tuple([n for d, n in enumerate(operands[0].type.shape) if d not in axes])
    out = push(tree, matrices, moved)[1]
    return tuple([None if t is None else reshape_to(t, kept) for t in out])


def _prod_jvp(tangents: Any, operands: Any, results: Any, *, axes: Axes) -> Any:
    """Through a tree of products: no division, so that any number of factors may be zero."""
    if 0 in [operands[0].type.shape[a] for a in axes]:
        return (None,)
    return _tree_tangents(lambda xs, ys: (mul(xs[0], ys[0]),), operands, tangents, axes)


reduce_prod = _reduction(
    "reduce_prod",
    on=NUMBER,
    eval=lambda x, axes, dtype: np.prod(x, axis=axes, dtype=x.dtype),
    jvp=_prod_jvp,
)

# Extrema ------------------------------------------------------------------------------------------


def identity(bound: Callable[[Any], Any], dtype: Any) -> Any:
    """The identity of max or min in a type: its infinity where it has one, otherwise its last number."""
    identity = bound(dtype)
    if is_float(dtype) and np.isnan(np.asarray(identity).astype(dtype).astype(np.float64)):
        info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
        return float(info.min if identity < 0 else info.max)
    return identity.real if is_complex(dtype) else identity


def _extremum(function: np.ufunc, bound: Callable[[Any], Any]) -> Callable[..., Any]:
    def eval_rule(x: Array, axes: Axes, dtype: Any) -> Any:
        if x.size:
            return function.reduce(x, axis=axes)
        kept = [n for d, n in enumerate(x.shape) if d not in axes]
        return np.full(kept, identity(bound, dtype), x.dtype)

    return eval_rule


def _index_of_extremum(x: Value, axes: Axes, bound: Callable[[Any], Any], beats: Op) -> Values:
    """Where along the axes, flattened, an element of `x` attains its extremum; any of those that do;
    and the places of all elements.

    One reduction of values with their places. Without meaning where there is a nan or nothing but bounds.
    """
    sizes = [x.type.shape[a] for a in axes]
    order = sorted(range(len(axes)), key=lambda i: axes[i])
    places = reshape_to(iota(shape=(math.prod(sizes),), dtype=i32, axis=0), tuple([sizes[i] for i in order]))
    spread = broadcast_in_dim(places, shape=x.type.shape, dims=tuple([axes[i] for i in order]))
    scalars = [TensorType((), d) for d in (x.type.dtype, i32, x.type.dtype, i32)]

    def better(a: Value, i: Value, b: Value, j: Value) -> Values:
        first = beats(a, b)
        return select(first, a, b), select(first, i, j)

    function = build(scalars, better, "better", source=current_builder().source)
    inits = (full((), identity(bound, x.type.dtype.np), x.type.dtype), full((), -1, i32))
    # The place is that of an element, which does not move: no derivative to compute of it.
    return reduce(stop_gradient(x), spread, *inits, function=function, axes=axes)[1], spread


def _extremum_jvp(
    bound: Callable[[Any], Any], beats: Op, tangents: Any, operands: Any, results: Any, *, axes: Axes
) -> Any:
    """All elements that attain the extremum share its derivative equally; it is nan where that is nan.

    One of them is known by its place: XLA may compute `x` once for the extremum and again here with
    other roundings, and then it equals the extremum nowhere.
    """
    (dx,), (x,), (y,) = tangents, operands, results
    shape = x.type.shape
    attains = eq(x, broadcast_along(y, shape, axes))
    if not x.type.dtype.is_complex and x.type.size:
        place, places = _index_of_extremum(x, axes, bound, beats)
        known = select(eq(y, y), place, full_like(place, -1))
        attains = or_(attains, eq(places, broadcast_along(known, shape, axes)))
    attains = convert(attains, dtype=x.type.dtype)
    return (div(reduce_sum(mul(dx, attains), axes=axes), reduce_sum(attains, axes=axes)),)


# Complex numbers are ordered by their real, then their imaginary parts.
reduce_max = _reduction(
    "reduce_max",
    on=ORDERED | NUMBER,
    eval=_extremum(np.maximum, lowest),
    jvp=partial(_extremum_jvp, lowest, ge),
)
reduce_min = _reduction(
    "reduce_min",
    on=ORDERED | NUMBER,
    eval=_extremum(np.minimum, highest),
    jvp=partial(_extremum_jvp, highest, le),
)


def _index_reduction(name: str, eval: Callable[..., Any]) -> Op:
    """The index of an extremum along one axis, as an integer `dtype`: the first, and a nan before all."""

    def type_rule(x: TensorType, *, axis: int, dtype: DType) -> TensorType:
        require_dtype(name, x, ORDERED)
        check(dtype.is_integer, f"{name}: expected an integer type for indices, got {dtype}")
        out = _reduced(name, x, (axis,))
        if x.shape[axis] == 0:
            raise ShapeError(f"{name}: expected an axis of at least one element, got axis {axis} of {x}")
        return out.with_dtype(dtype)

    def batch(operands: Any, batched: Any, size: int, *, axis: int, dtype: DType) -> Any:
        return (made(operands[0], axis=axis + 1, dtype=dtype),), (True,)

    made = op(
        name,
        attrs=("axis", "dtype"),
        type=type_rule,
        eval=lambda x, *, axis, dtype: eval(x, axis, dtype.np),
        jvp=ZERO,
        batch=batch,
        flops=lambda operands, results, **_: operands[0].size,
    )
    return made


argmax = _index_reduction("argmax", sorting.argmax)
argmin = _index_reduction("argmin", sorting.argmin)

# Logic, bit by bit --------------------------------------------------------------------------------


def _bitwise(function: np.ufunc) -> Callable[..., Any]:
    return lambda x, axes, dtype: function.reduce(x, axis=axes)


reduce_and = _reduction("reduce_and", on=BITS, eval=_bitwise(np.bitwise_and), jvp=ZERO)
reduce_or = _reduction("reduce_or", on=BITS, eval=_bitwise(np.bitwise_or), jvp=ZERO)
reduce_xor = _reduction("reduce_xor", on=BITS, eval=_bitwise(np.bitwise_xor), jvp=ZERO)

# Any associative function -------------------------------------------------------------------------


def _reduce_type(*types: TensorType, function: Function, axes: Axes) -> tuple[TensorType, ...]:
    count = len(types) // 2
    check(count > 0 and len(types) == 2 * count, f"reduce: expected operands and as many inits, got {types}")
    xs, inits = types[:count], types[count:]
    if any(x.shape != xs[0].shape for x in xs):
        raise ShapeError(f"reduce: expected operands of equal shape, got {xs}")
    if any(init.shape != () for init in inits):
        raise ShapeError(f"reduce: expected scalars as inits, got {inits}")
    if any(x.dtype is not init.dtype for x, init in zip(xs, inits, strict=True)):
        raise IRTypeError(f"reduce: expected inits of the operands' element types {xs}, got {inits}")
    if function.in_types != (*inits, *inits) or function.out_types != inits:
        raise IRTypeError(
            f"reduce: expected a function from {(*inits, *inits)} to {inits}, "
            f"got one from {function.in_types} to {function.out_types}"
        )
    return tuple([_reduced("reduce", x, axes) for x in xs])


def _reduce_eval(*arrays: Array, function: Function, axes: Axes) -> tuple[Array, ...]:
    """From the inits on, one element after the other in row-major order."""
    from ir.evaluate import evaluate
    from ir.transforms.batch import batch

    count = len(arrays) // 2
    shape = arrays[0].shape
    others = [d for d in range(len(shape)) if d not in axes]
    kept = [shape[d] for d in others]
    rows, columns = math.prod(shape[a] for a in axes), math.prod(kept)
    matrices = [x.transpose(*axes, *others).reshape(rows, columns) for x in arrays[:count]]
    held = tuple([np.full(columns, init) for init in arrays[count:]])
    step, _ = batch(function, [True] * (2 * count), columns, all_results=True)
    for row in range(rows):
        held = evaluate(step, *held, *[x[row] for x in matrices])
    return tuple([x.reshape(kept) for x in held])


def _elementwise(function: Function, xs: Values, ys: Values) -> Values:
    """`function` of scalars, applied to arrays of one shape element by element."""
    from ir.transforms.batch import batch

    shape, size = xs[0].type.shape, xs[0].type.size
    over, _ = batch(function, [True] * len(function.params), size, all_results=True)
    flat = inline(over, [reshape_to(x, (size,)) for x in (*xs, *ys)])
    return tuple([reshape_to(x, shape) for x in flat])


def _reduce_jvp(tangents: Any, operands: Any, results: Any, *, function: Function, axes: Axes) -> Any:
    count = len(results)
    if any(t is not None for t in tangents[count:]):
        raise DifferentiationError(
            "reduce has no derivative by its inits: they must be identities of the function; "
            "combine the result with the value to differentiate by instead"
        )
    if 0 in [operands[0].type.shape[a] for a in axes]:
        return (None,) * count
    return _tree_tangents(partial(_elementwise, function), operands[:count], tangents[:count], axes)


def _reduce_batch(operands: Any, batched: Any, size: int, *, function: Function, axes: Axes) -> Any:
    count = len(operands) // 2
    xs = tuple([materialize(x, b, size) for x, b in zip(operands[:count], batched, strict=False)])
    moved = batch_axis_moved(axes)
    if not any(batched[count:]):
        out = reduce(*xs, *operands[count:], function=function, axes=moved)
        return (out if isinstance(out, tuple) else (out,)), (True,) * count
    # Inits that differ: a tree without them, and then each with its own.
    inits = [materialize(x, b, size) for x, b in zip(operands[count:], batched[count:], strict=True)]
    kept: Shape = tuple([n for d, n in enumerate(xs[0].type.shape) if d not in moved])
    spread = tuple([broadcast_along(x, kept, tuple(range(1, len(kept)))) for x in inits])
    if 0 in [xs[0].type.shape[a] for a in moved]:
        return spread, (True,) * count
    rows = _by_halves(partial(_elementwise, function), tuple([_gathered(x, moved) for x in xs]))
    reduced = tuple([reshape_to(x, kept) for x in rows])
    return _elementwise(function, spread, reduced), (True,) * count


def _reduce_flops(operands: Any, results: Any, *, function: Function, axes: Axes) -> int:
    from ir.cost import flops

    return operands[0].size * flops(function)  # type: ignore[no-any-return]


# reduce(*operands, *inits, function=..., axes=...): `function` takes the scalars of one element of each
# operand, then of another, and returns their combination. It must be associative and the inits its
# identities; otherwise the result is undefined, as in XLA.
reduce = op(
    "reduce",
    attrs=("function", "axes"),
    type=_reduce_type,
    eval=_reduce_eval,
    jvp=_reduce_jvp,
    batch=_reduce_batch,
    flops=_reduce_flops,
)
