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


# Which operand of the products the common factor is, and whether one product pays.
_SIDES = (("left", _right_pays), ("right", _left_pays))


def _product(side, x, y, dims):
    """The common factor `x` times `y`, from its side."""
    return dot(x, y, dims) if side == "left" else dot(y, x, dims)


def _at(side, x, y, *numbers, **attrs):
    """An example: shapes of the common factor, as the left one, and of both others; numbers they are multiplied by."""
    if side == "right":
        x, y = [(*s[:-2], s[-1], s[-2]) for s in (x, y)]
    return at(x, y, y, *numbers, **attrs)


def _documented(fn, side, left, right):
    fn.__doc__ = left if side == "left" else right
    return fn


def _common(op, side, guard):
    def of_products(x, y, z, *, lc, rc, lb, rb, precision, preferred):
        dims = (lc, rc, lb, rb, precision, preferred)
        return op(_product(side, x, y, dims), _product(side, x, z, dims)), _product(side, x, op(y, z), dims)

    return rule(
        changes=ROUNDING, on=INEXACT, name=f"{op.name}_of_products_by_{side}", single_use=True, guard=guard,
        examples=[
            _at(side, (40, 30), (30, 20), dtypes=_WIDE, **MATMUL),
            _at(side, (2, 9, 3), (2, 3, 5), dtypes=_WIDE, **BATCHED),
        ],
        counterexamples=[_at(side, (2, 300), (300, 200), **MATMUL)],
    )(_documented(of_products, side, "x . y + x . z = x . (y + z).", "y . x + z . x = (y + z) . x."))  # fmt: skip


COMMON = tuple(_common(op, *side) for op in (add, sub) for side in _SIDES)


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


_SQUARE = (40, 30), (30, 40)


def _number(make):
    return broadcast_in_dim(make(()), shape=(40, 40), dims=())


def _summed(op, y, z, p, q, definition):
    """p y + q z; None where a number is not known to be one."""
    one = y if p is None else _times(p, y, definition)
    other = z if q is None else _times(q, z, definition)
    return None if one is None or other is None else op(one, other)


def _multiples(op, first, side, guard):
    """A rule for a multiple of the first product, or of the second."""

    def of_multiple(x, y, z, p, *, lc, rc, lb, rb, precision, preferred):
        def write(x, y, z, p, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p if first else None, None if first else p, definition)
            return None if made is None else _product(side, x, made, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        one, other = _product(side, x, y, dims), _product(side, x, z, dims)
        return (op(mul(one, p), other) if first else op(one, mul(other, p))), write

    return rule(
        changes=ROUNDING, on=INEXACT, name=f"{op.name}_of_{'first' if first else 'second'}_multiple_by_{side}",
        single_use=True, guard=guard, examples=[_at(side, *_SQUARE, _number, dtypes=_WIDE, **MATMUL)],
        counterexamples=[_at(side, *_SQUARE, (40, 40), **MATMUL)],
    )(
        _documented(
            of_multiple, side, "p (x . y) + x . z = x . (p y + z) for a number p.",
            "p (y . x) + z . x = (p y + z) . x for a number p.",
        )
    )  # fmt: skip


def _both_multiples(op, side, guard):
    def of_multiples(x, y, z, p, q, *, lc, rc, lb, rb, precision, preferred):
        def write(x, y, z, p, q, lc, rc, lb, rb, precision, preferred, definition):
            made = _summed(op, y, z, p, q, definition)
            return None if made is None else _product(side, x, made, (lc, rc, lb, rb, precision, preferred))

        dims = (lc, rc, lb, rb, precision, preferred)
        return op(mul(_product(side, x, y, dims), p), mul(_product(side, x, z, dims), q)), write

    return rule(
        changes=ROUNDING, on=INEXACT, name=f"{op.name}_of_multiples_by_{side}", single_use=True, guard=guard,
        examples=[_at(side, *_SQUARE, _number, _number, dtypes=_WIDE, **MATMUL)],
        counterexamples=[_at(side, *_SQUARE, (40, 40), _number, **MATMUL)],
    )(
        _documented(
            of_multiples, side, "p (x . y) + q (x . z) = x . (p y + q z) for numbers p and q.",
            "p (y . x) + q (z . x) = (p y + q z) . x for numbers p and q.",
        )
    )  # fmt: skip


MULTIPLES = tuple(
    _multiples(op, first, *side) for op, first in ((add, True), (sub, True), (sub, False)) for side in _SIDES
)
BOTH = tuple(_both_multiples(op, *side) for op in (add, sub) for side in _SIDES)

RULES = collected(globals())
