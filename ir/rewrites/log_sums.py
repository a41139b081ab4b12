"""Sums of exponentials of which the logarithm, or a share, is taken: the largest exponent is taken out first.

What is subtracted changes nothing, and has no derivative; where it is not finite, nothing is subtracted. Exponents from
which a maximum has been subtracted already stay as they are. (Blanchard, Higham and Higham, "Accurately computing the
log-sum-exp and softmax functions", 2021.)
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

from ir.ops.calls import stop_gradient
from ir.ops.convert import convert
from ir.ops.elementwise import add, div, exp, gt, is_finite, log, log1p, max, mul, neg, select, sub
from ir.ops.reduce import reduce_max, reduce_sum
from ir.ops.shape import broadcast_in_dim, constant, full_like, reshape, transpose
from ir.rewrite import RANGE, Fill, at, collected, rule
from ir.rewrites.kinds import FLOAT, fill

_ALONG = (broadcast_in_dim, convert, div, mul, neg, reshape, select, stop_gradient, transpose)
_FAR = 6  # equations that are followed


def _is_shifted(x, definition, far=_FAR):
    """Whether a maximum has been subtracted."""
    eqn = definition(x)
    if eqn is None or not far:
        return False
    if eqn.op is sub:
        return _is_maximum(eqn.operands[1], definition, far - 1)
    return eqn.op in _ALONG and any(_is_shifted(v, definition, far - 1) for v in eqn.operands)


def _is_maximum(x, definition, far):
    eqn = definition(x)
    if eqn is None or not far:
        return False
    if eqn.op in (reduce_max, max):
        return True
    return eqn.op in _ALONG and any(_is_maximum(v, definition, far - 1) for v in eqn.operands)


def _largest(x, axes):
    """The largest elements along some axes, or 0 where that is not finite; it has no derivative."""
    largest = reduce_max(stop_gradient(x), axes=axes)
    return select(is_finite(largest), largest, full_like(largest, 0))


def _less(x, largest, axes):
    dims = tuple([d for d in range(x.type.rank) if d not in axes])
    return sub(x, broadcast_in_dim(largest, shape=x.type.shape, dims=dims))


def _log_sum(x, axes, definition):
    """The largest exponent, and what is added to it; None where that is done already, or there is nothing to sum."""
    if 0 in x.type.shape or not axes or _is_shifted(x, definition):
        return None
    largest = _largest(x, axes)
    return largest, log(reduce_sum(exp(_less(x, largest, axes)), axes=axes))


@rule(
    changes=RANGE,
    on=FLOAT,
    examples=[
        at((3, 40), axes=(1,), dtypes=("f32", "f64")),
        at((2, 3, 2), axes=(0, 2), dtypes=("f32", "f64")),
    ],
    counterexamples=[at((0, 3), axes=(0,)), at((2, 3), axes=())],
)
def log_of_sum_of_exp(x, *, axes):
    """log(sum exp(x)) = m + log(sum exp(x - m)) with m = max x, also for x whose exponentials are inf or 0."""

    def write(x, axes, definition):
        made = _log_sum(x, axes, definition)
        return None if made is None else add(*made)

    return log(reduce_sum(exp(x), axes=axes)), write


def _scaled(op, name):
    @rule(
        changes=RANGE,
        on=FLOAT,
        name=f"log_of_{name}_of_sum_of_exp",
        guard=lambda c: fill(c) is not None and 0 < fill(c) < math.inf,
        examples=[at((3, 40), axes=(1,), c=Fill(4.0), s=(3,), dtypes=("f32", "f64"))],
        counterexamples=[at((3, 4), axes=(1,), c=Fill(-4.0), s=(3,))],
    )
    def of_scaled(x, *, axes, c, s):
        """As `log_of_sum_of_exp`, of a mean of exponentials, or of another positive multiple of their sum."""

        def write(x, axes, c, s, definition):
            made = _log_sum(x, axes, definition)
            if made is None:
                return None
            return add(made[0], (add if op is mul else sub)(made[1], log(constant(value=c, shape=s))))

        return log(op(reduce_sum(exp(x), axes=axes), constant(value=c, shape=s))), write

    return of_scaled


SCALED = (_scaled(mul, "multiple"), _scaled(div, "fraction"))


def _share(x, axes, definition, repeated):
    """exp(x - m) over the sum of those, which `repeated` brings to the shape of `x`."""
    if 0 in x.type.shape or not axes or _is_shifted(x, definition):
        return None
    e = exp(_less(x, _largest(x, axes), axes))
    return div(e, repeated(reduce_sum(e, axes=axes)))


@rule(
    changes=RANGE,
    on=FLOAT,
    examples=[
        at((3, 40), axes=(1,), shape=(3, 40), dims=(0,), dtypes=("f32", "f64")),
        at((40,), axes=(0,), shape=(40,), dims=(), dtypes=("f32", "f64")),
    ],
    counterexamples=[
        at((2, 0), axes=(1,), shape=(2, 0), dims=(0,)),
        at((4, 4), axes=(1,), shape=(4, 4), dims=(1,)),
        at((3, 3, 3), axes=(0,), shape=(3, 3, 3), dims=(0, 1)),
    ],
)
def share_of_exp(x, *, axes, shape, dims):
    """exp(x) / sum exp(x) = exp(x - m) / sum exp(x - m) with m = max x, also for x whose exponentials are inf."""

    def write(x, axes, shape, dims, definition):
        kept = tuple([d for d in range(x.type.rank) if d not in axes])
        if shape != x.type.shape or dims != kept:
            return None  # (sums of rows that divide columns, say)
        return _share(x, axes, definition, lambda total: broadcast_in_dim(total, shape=shape, dims=dims))

    return div(exp(x), broadcast_in_dim(reduce_sum(exp(x), axes=axes), shape=shape, dims=dims)), write


@rule(
    changes=RANGE,
    on=FLOAT,
    examples=[at((3, 40), axes=(1,), one=(3, 1), shape=(3, 40), dims=(0, 1), dtypes=("f32", "f64"))],
    counterexamples=[
        at((2, 0), axes=(1,), one=(2, 1), shape=(2, 0), dims=(0, 1)),
        at((4, 4), axes=(1,), one=(1, 4), shape=(4, 4), dims=(0, 1)),
        at((4, 4), axes=(1,), one=(4,), shape=(4, 4), dims=(1,)),
    ],
)
def share_of_exp_with_axes_kept(x, *, axes, one, shape, dims):
    """As `share_of_exp`, with axes of one element in place of those summed over."""

    def write(x, axes, one, shape, dims, definition):
        kept = tuple([1 if d in axes else n for d, n in enumerate(x.type.shape)])
        if shape != x.type.shape or one != kept or dims != tuple(range(x.type.rank)):
            return None
        return _share(
            x, axes, definition, lambda t: broadcast_in_dim(reshape(t, shape=one), shape=shape, dims=dims)
        )

    total = reshape(reduce_sum(exp(x), axes=axes), shape=one)
    return div(exp(x), broadcast_in_dim(total, shape=shape, dims=dims)), write


@rule(changes=RANGE, on=FLOAT, examples=[at((40,), (40,), dtypes=("f32", "f64"))])
def log_of_two_exps(x, y):
    """log(exp(x) + exp(y)) = max + log1p(exp(min - max)), also for exponentials that are inf or 0."""

    def write(x, y):
        above = gt(x, y)
        high, low = select(above, x, y), select(above, y, x)
        # (The difference of two infinities would be nan; beside one, the other adds nothing.)
        return add(high, log1p(exp(select(is_finite(high), sub(low, high), full_like(low, -math.inf)))))

    return log(add(exp(x), exp(y))), write


RULES = collected(globals())
