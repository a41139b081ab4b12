"""Running reductions along one axis, from its start or, if `reverse`, from its end."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from ir.core import Array, Value
from ir.numerics import sorting
from ir.op import Op, build, current_builder
from ir.ops.elementwise import add, eq, exp, max, min, mul, real, select, sub
from ir.ops.families import INEXACT, LINEAR, NUMBER, Kinds, check, op, require_dtype
from ir.ops.shape import concatenate, full_like, pad_axis, rev, slice_axis, zeros_like
from ir.types import TensorType

Values = tuple[Value, ...]


def _cumulative(
    name: str, *, on: Kinds, combine: str, jvp: Any, transpose: Callable[..., Any] | None = None
) -> Op:
    """A running reduction; `combine` names it in `ir.numerics.sorting.cumulative`."""

    def type_rule(x: TensorType, *, axis: int, reverse: bool) -> TensorType:
        require_dtype(name, x, on)
        check(0 <= axis < x.rank, f"{name}: expected an axis of {x}, got {axis}")
        return x

    def eval_rule(x: Array, *, axis: int, reverse: bool) -> Array:
        return sorting.cumulative(x, axis, reverse, combine)

    def batch(operands: Any, batched: Any, size: int, *, axis: int, reverse: bool) -> Any:
        return (made(operands[0], axis=axis + 1, reverse=reverse),), (True,)

    made = op(
        name,
        attrs={"axis": 0, "reverse": False},
        type=type_rule,
        eval=eval_rule,
        jvp=jvp,
        transpose=transpose,
        batch=batch,
    )
    return made


def associative_scan(combine: Callable[[Values, Values], Values], xs: Values, axis: int) -> Values:
    """Running combinations along `axis` of arrays of one shape, by an associative elementwise function.

    2n applications in 2 log2(n) steps (Blelloch, "Prefix sums and their applications", 1990), in the
    order of `jax.lax.associative_scan`, so that ties share a derivative as they do there.
    """
    size = xs[0].type.shape[axis]
    if size < 2:
        return xs

    def every_second(values: Values, start: int, stop: int) -> Values:
        return tuple([slice_axis(x, axis, start, stop, 2) for x in values])

    pairs = combine(every_second(xs, 0, size - 1), every_second(xs, 1, size))
    odd = associative_scan(combine, pairs, axis)
    before = tuple([slice_axis(x, axis, 0, (size - 1) // 2) for x in odd])
    even = combine(before, every_second(xs, 2, size)) if size > 2 else ()
    first = tuple([slice_axis(x, axis, 0, 1) for x in xs])
    even = tuple([concatenate(x, y, axis=axis) for x, y in zip(first, even, strict=True)]) if even else first
    return tuple([_interleave(x, y, axis) for x, y in zip(even, odd, strict=True)])


def _interleave(even: Value, odd: Value, axis: int) -> Value:
    """The elements of both in turn, `even` first."""
    longer = even.type.shape[axis] - odd.type.shape[axis]
    spread_even = pad_axis(even, axis, 0, 1 - longer, interior=1)
    spread_odd = pad_axis(odd, axis, 1, longer, interior=1)
    return add(spread_even, spread_odd)  # type: ignore[no-any-return]


def _in_order(x: Value, axis: int, reverse: bool) -> Value:
    return rev(x, axes=(axis,)) if reverse else x


def _jvp_by_scan(
    combine: Callable[[Value, Value], Value],
    tangents: Any,
    operands: Any,
    results: Any,
    *,
    axis: int,
    reverse: bool,
) -> Any:
    """Push the tangent through a scan; there is no division, so that zeros are no special case."""
    from ir.transforms.jvp import push

    (dx,), (x,) = tangents, operands
    scan = build(
        [x.type],
        lambda x: associative_scan(lambda xs, ys: (combine(xs[0], ys[0]),), (x,), axis),
        source=current_builder().source,
    )
    _, (dy,) = push(scan, [_in_order(x, axis, reverse)], [_in_order(dx, axis, reverse)])
    return (None if dy is None else _in_order(dy, axis, reverse),)


def _infinity_as_zero(x: Value) -> Value:
    part = real(x) if x.type.dtype.is_complex else x
    return select(eq(part, full_like(part, math.inf)), zeros_like(x), x)  # type: ignore[no-any-return]


def _cumlogsumexp_jvp(tangents: Any, operands: Any, results: Any, *, axis: int, reverse: bool) -> Any:
    """The recurrence dy[i] = exp(y[i - 1] - y[i]) dy[i - 1] + exp(x[i] - y[i]) dx[i], by a scan.

    No factor exceeds 1 in size. An infinity of y counts as 0 in the differences, as in JAX.
    """
    dx, x, y = [_in_order(v, axis, reverse) for v in (*tangents, *operands, *results)]
    size = x.type.shape[axis]
    if size < 2:
        return (tangents[0],)
    x, y = _infinity_as_zero(x), _infinity_as_zero(y)
    x_next, y_next = slice_axis(x, axis, 1, size), slice_axis(y, axis, 1, size)
    y_before = slice_axis(y, axis, 0, size - 1)
    # y[0] is x[0], whatever its value.
    decay = pad_axis(exp(sub(y_before, y_next)), axis, 1, 0)
    weight = pad_axis(exp(sub(x_next, y_next)), axis, 1, 0, fill=1)

    def combine(early: Values, late: Values) -> Values:
        return mul(late[0], early[0]), add(mul(late[0], early[1]), late[1])

    dy = associative_scan(combine, (decay, mul(weight, dx)), axis)[1]
    return (_in_order(dy, axis, reverse),)


cumsum: Op = _cumulative(
    "cumsum",
    on=NUMBER,
    combine="sum",
    jvp=LINEAR,
    transpose=lambda cts, operands, *, axis, reverse: (cumsum(cts[0], axis=axis, reverse=not reverse),),
)
cumprod = _cumulative("cumprod", on=NUMBER, combine="prod", jvp=partial(_jvp_by_scan, mul))
cummax = _cumulative("cummax", on=NUMBER, combine="max", jvp=partial(_jvp_by_scan, max))
cummin = _cumulative("cummin", on=NUMBER, combine="min", jvp=partial(_jvp_by_scan, min))
cumlogsumexp = _cumulative("cumlogsumexp", on=INEXACT, combine="logsumexp", jvp=_cumlogsumexp_jvp)
