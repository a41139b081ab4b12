"""Common factors of products that are added up: x . y + x . z = x . (y + z), numbers before the products included."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

from ir.machine import current
from ir.ops.elementwise import add, mul, sub
from ir.ops.shape import broadcast_in_dim, full_like
from ir.rewrite import ROUNDING, at, collected, rule
from ir.rewriter import constant_number
from ir.rewrites.kinds import BATCHED, INEXACT, MATMUL, dot

_WIDE = ("f32", "f64", "c64", "c128")


def _pays(y, z, out, contract):
    """Whether one product saves more than the sum of factors, instead of products, costs."""
    if y.type is not z.type or y.type.dtype.real.bits < 32 or out.type.dtype is not y.type.dtype:
        return False
    depth = math.prod([y.type.shape[d] for d in contract])
    machine = current()
    product = machine.seconds(2 * out.type.size * depth, y.type.nbytes + out.type.nbytes)
    return product >= 3 * (y.type.nbytes - out.type.nbytes) / machine.bandwidth


def _left_pays(y, z, out, lc):
    return _pays(y, z, out, lc)


def _right_pays(y, z, out, rc):
    return _pays(y, z, out, rc)


def _common(op):
    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{op.name}_of_products_by_left",
        single_use=True,
        guard=_right_pays,
        examples=[
            at((40, 30), (30, 20), (30, 20), dtypes=_WIDE, **MATMUL),
            at((2, 9, 3), (2, 3, 5), (2, 3, 5), dtypes=_WIDE, **BATCHED),
        ],
        counterexamples=[at((2, 300), (300, 200), (300, 200), **MATMUL)],
    )
    def by_left(x, y, z, *, lc, rc, lb, rb, precision, preferred):
        """x . y + x . z = x . (y + z)."""
        dims = (lc, rc, lb, rb, precision, preferred)
        return op(dot(x, y, dims), dot(x, z, dims)), dot(x, op(y, z), dims)

    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{op.name}_of_products_by_right",
        single_use=True,
        guard=_left_pays,
        examples=[
            at((20, 30), (20, 30), (30, 40), dtypes=_WIDE, **MATMUL),
            at((2, 4, 3), (2, 4, 3), (2, 3, 9), dtypes=_WIDE, **BATCHED),
        ],
        counterexamples=[at((200, 300), (200, 300), (300, 2), **MATMUL)],
    )
    def by_right(y, z, x, *, lc, rc, lb, rb, precision, preferred):
        """y . x + z . x = (y + z) . x."""
        dims = (lc, rc, lb, rb, precision, preferred)
        return op(dot(y, x, dims), dot(z, x, dims)), dot(op(y, z), x, dims)

    return by_left, by_right


COMMON = tuple(each for op in (add, sub) for each in _common(op))


# Multiples of products ----------------------------------------------------------------------------


def _times(p, y, definition):
    """`y` times the number that `p` has everywhere; None where it is not known to have one."""
    eqn = definition(p)
    number = constant_number(eqn)
    if number is not None:
        return mul(y, full_like(y, number))
    if eqn is None or eqn.op is not broadcast_in_dim or eqn.attrs["dims"]:
        return None
    return mul(y, broadcast_in_dim(eqn.operands[0], shape=y.type.shape, dims=()))


def _number(make):
    return broadcast_in_dim(make(()), shape=(40, 40), dims=())


_LEFT = at((40, 30), (30, 40), (30, 40), _number, dtypes=_WIDE, **MATMUL)
_RIGHT = at((40, 30), (40, 30), (30, 40), _number, dtypes=_WIDE, **MATMUL)
_NO_NUMBER = [at((40, 30), (30, 40), (30, 40), (40, 40), **MATMUL)]
_NO_NUMBER_RIGHT = [at((40, 30), (40, 30), (30, 40), (40, 40), **MATMUL)]


_BOTH = at((40, 30), (30, 40), (30, 40), _number, _number, dtypes=_WIDE, **MATMUL)
_BOTH_RIGHT = at((40, 30), (40, 30), (30, 40), _number, _number, dtypes=_WIDE, **MATMUL)
_NEITHER = [at((40, 30), (30, 40), (30, 40), (40, 40), _number, **MATMUL)]
_NEITHER_RIGHT = [at((40, 30), (40, 30), (30, 40), (40, 40), _number, **MATMUL)]


def _summed(op, y, z, p, q, definition):
    """p y + q z; None where a number is not known to be one."""
    one = y if p is None else _times(p, y, definition)
    other = z if q is None else _times(q, z, definition)
    return None if one is None or other is None else op(one, other)


def _multiples(op, first):
    """Rules for a multiple of the first product, or of the second."""
    name, which = op.name, "first" if first else "second"

    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{name}_of_{which}_multiple_by_left",
        single_use=True,
        guard=_right_pays,
        examples=[_LEFT],
        counterexamples=_NO_NUMBER,
    )
    def by_left(x, y, z, p, *, lc, rc, lb, rb, precision, preferred):
        """p (x . y) + x . z = x . (p y + z) for a number p."""

        def write(x, y, z, p, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p if first else None, None if first else p, definition)
            return None if made is None else dot(x, made, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        one, other = dot(x, y, dims), dot(x, z, dims)
        return (op(mul(one, p), other) if first else op(one, mul(other, p))), write

    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{name}_of_{which}_multiple_by_right",
        single_use=True,
        guard=_left_pays,
        examples=[_RIGHT],
        counterexamples=_NO_NUMBER_RIGHT,
    )
    def by_right(y, z, x, p, *, lc, rc, lb, rb, precision, preferred):
        """p (y . x) + z . x = (p y + z) . x for a number p."""

        def write(y, z, x, p, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p if first else None, None if first else p, definition)
            return None if made is None else dot(made, x, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        one, other = dot(y, x, dims), dot(z, x, dims)
        return (op(mul(one, p), other) if first else op(one, mul(other, p))), write

    return by_left, by_right


def _both_multiples(op):
    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{op.name}_of_multiples_by_left",
        single_use=True,
        guard=_right_pays,
        examples=[_BOTH],
        counterexamples=_NEITHER,
    )
    def by_left(x, y, z, p, q, *, lc, rc, lb, rb, precision, preferred):
        """p (x . y) + q (x . z) = x . (p y + q z) for numbers p and q."""

        def write(x, y, z, p, q, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p, q, definition)
            return None if made is None else dot(x, made, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        return op(mul(dot(x, y, dims), p), mul(dot(x, z, dims), q)), write

    @rule(
        changes=ROUNDING,
        on=INEXACT,
        name=f"{op.name}_of_multiples_by_right",
        single_use=True,
        guard=_left_pays,
        examples=[_BOTH_RIGHT],
        counterexamples=_NEITHER_RIGHT,
    )
    def by_right(y, z, x, p, q, *, lc, rc, lb, rb, precision, preferred):
        """p (y . x) + q (z . x) = (p y + q z) . x for numbers p and q."""

        def write(y, z, x, p, q, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p, q, definition)
            return None if made is None else dot(made, x, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        return op(mul(dot(y, x, dims), p), mul(dot(z, x, dims), q)), write

    return by_left, by_right


MULTIPLES = (*_multiples(add, True), *_multiples(sub, True), *_multiples(sub, False))
BOTH = (*_both_multiples(add), *_both_multiples(sub))

RULES = collected(globals())
