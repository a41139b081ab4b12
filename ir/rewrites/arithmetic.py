"""Sums, products, quotients and powers.

Signs of zero decide what is exact: x + 0.0 is not x where x is -0.0, but x + -0.0 is. Products of
complex numbers add zeros to zeros, so that few of these rules hold for them.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from ir.core import Dense, Value
from ir.ops.elementwise import abs, add, div, exp, integer_pow, log, mul, neg, pow, square, sub
from ir.ops.shape import constant, full_like
from ir.rewrite import NOTHING, ROUNDING, SPECIAL, Fill, at, collected, lit, rule
from ir.rewrites.kinds import FLOAT, INTEGER, NUMBER, REAL, fill, filled

# Signs --------------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def double_negation(x):
    """--x = x."""
    return neg(neg(x)), x


def _other(x, y, definition):
    """Unless x is that very -y, which would be read beside y."""
    made = definition(x)
    return made is None or made.op is not neg or made.operands[0] is not y


_BOTH_NEGATIVE = at(lambda make: neg(make((3,))), lambda make: make.params[0])


@rule(changes=NOTHING, guard=_other, counterexamples=[_BOTH_NEGATIVE])
def sub_of_neg(x, y):
    """x - -y = x + y."""
    return sub(x, neg(y)), add(x, y)


@rule(changes=NOTHING, guard=_other, counterexamples=[_BOTH_NEGATIVE])
def add_of_neg(x, y):
    """x + -y = x - y."""
    return add(x, neg(y)), sub(x, y)


@rule(changes=NOTHING)
def product_of_negs(x, y):
    """-x * -y = x * y."""
    return mul(neg(x), neg(y)), mul(x, y)


@rule(changes=NOTHING, on=FLOAT)
def quotient_of_negs(x, y):
    """-x / -y = x / y."""
    return div(neg(x), neg(y)), div(x, y)


# A constant that is one number, not a table of them.
def _is_number(c: Dense) -> bool:
    return fill(c) is not None


_NUMBERS = [at((3,), c=Fill(3), s=(3,)), at((2, 0), c=Fill(5), s=(2, 0))]
_TABLES = [at((2,), c=Dense(np.array([1, 2], np.float32)), s=(2,), dtypes=["f32"])]


def _negated(c: Dense, shape: tuple[int, ...]) -> Value:
    return filled(np.negative(c.array), c, shape)


@rule(changes=NOTHING, on=REAL, guard=_is_number, examples=_NUMBERS, counterexamples=_TABLES)
def neg_times_constant(x, *, c, s):
    """-x * c = x * -c."""
    return mul(neg(x), constant(value=c, shape=s)), lambda x, c, s: mul(x, _negated(c, s))


@rule(changes=NOTHING, on=REAL, single_use=True, guard=_is_number, examples=_NUMBERS, counterexamples=_TABLES)
def neg_of_multiple(x, *, c, s):
    """-(x * c) = x * -c."""
    return neg(mul(x, constant(value=c, shape=s))), lambda x, c, s: mul(x, _negated(c, s))


@rule(
    changes=NOTHING, on=FLOAT, single_use=True, guard=_is_number, examples=_NUMBERS, counterexamples=_TABLES
)
def neg_of_quotient(x, *, c, s):
    """-(x / c) = x / -c."""
    return neg(div(x, constant(value=c, shape=s))), lambda x, c, s: div(x, _negated(c, s))


@rule(
    changes=NOTHING, on=FLOAT, single_use=True, guard=_is_number, examples=_NUMBERS, counterexamples=_TABLES
)
def neg_of_reciprocal(x, *, c, s):
    """-(c / x) = -c / x."""
    return neg(div(constant(value=c, shape=s), x)), lambda x, c, s: div(_negated(c, s), x)


@rule(changes=NOTHING, on=REAL, single_use=True)
def product_with_neg(x, y):
    """-x * y = -(x * y): outside, a sign may meet another."""
    return mul(neg(x), y), neg(mul(x, y))


@rule(changes=NOTHING, on=FLOAT, single_use=True)
def quotient_of_neg(x, y):
    """-x / y = -(x / y)."""
    return div(neg(x), y), neg(div(x, y))


@rule(changes=NOTHING, on=FLOAT, single_use=True)
def quotient_by_neg(x, y):
    """x / -y = -(x / y)."""
    return div(x, neg(y)), neg(div(x, y))


@rule(changes=NOTHING, on=INTEGER, single_use=True)
def neg_of_difference(x, y):
    """-(x - y) = y - x, but for the sign of zero where x = y."""
    return neg(sub(x, y)), sub(y, x)


@rule(changes=NOTHING)
def square_of_neg(x):
    """(-x)^2 = x^2."""
    return square(neg(x)), square(x)


@rule(changes=NOTHING)
def abs_of_abs(x):
    """||x|| = |x|."""
    return abs(abs(x)), abs(x)


# Units and zeros ----------------------------------------------------------------------------------


@rule(changes=NOTHING, on=REAL)
def add_of_zero(x):
    """x + -0.0 = x, signs of zero included."""
    return add(x, lit(-0.0)), x


@rule(changes=NOTHING, on=REAL)
def sub_of_zero(x):
    """x - 0.0 = x, signs of zero included."""
    return sub(x, lit(0.0)), x


@rule(changes=NOTHING, on=REAL)
def sub_from_zero(x):
    """-0.0 - x = -x, signs of zero included."""
    return sub(lit(-0.0), x), neg(x)


@rule(changes=NOTHING, on=REAL)
def mul_by_one(x):
    """x * 1 = x."""
    return mul(x, lit(1)), x


@rule(changes=NOTHING, on=REAL)
def div_by_one(x):
    """x / 1 = x."""
    return div(x, lit(1)), x


@rule(changes=NOTHING, on=frozenset({"int", "float"}))
def mul_by_minus_one(x):
    """x * -1 = -x."""
    return mul(x, lit(-1)), neg(x)


@rule(changes=NOTHING, on=frozenset({"int", "float"}))
def div_by_minus_one(x):
    """x / -1 = -x."""
    return div(x, lit(-1)), neg(x)


@rule(changes=NOTHING, on=INTEGER)
def mul_by_zero(x):
    """x * 0 = 0 for integers."""
    return mul(x, lit(0)), lit(0)


@rule(changes=NOTHING, on=INTEGER)
def difference_of_equals(x):
    """x - x = 0 for integers."""
    return sub(x, x), lit(0)


@rule(changes=SPECIAL, on=NUMBER)
def add_of_positive_zero(x):
    """x + 0 = x; -0.0 would become 0.0."""
    return add(x, lit(0.0)), x


@rule(changes=SPECIAL, on=NUMBER)
def mul_by_zero_inexact(x):
    """x * 0 = 0; inf, nan and negative x would not give 0.0."""
    return mul(x, lit(0.0)), lit(0.0)


@rule(changes=SPECIAL, on=NUMBER)
def difference_of_equals_inexact(x):
    """x - x = 0; inf and nan would give nan."""
    return sub(x, x), lit(0.0)


@rule(changes=SPECIAL, on=FLOAT)
def zero_over(x):
    """0 / x = 0; 0 and nan would give nan, negative x -0.0."""
    return div(lit(0.0), x), lit(0.0)


# A sum of disjoint paddings keeps a `+ 0.0` for the sake of -0.0; these bring all of them to one.


@rule(changes=NOTHING)
def zero_added_twice(x):
    """(x + 0) + 0 = x + 0."""
    return add(add(x, lit(0.0)), lit(0.0)), add(x, lit(0.0))


@rule(changes=NOTHING, single_use=True)
def zero_added_last(x, y):
    """(x + 0) + y = (x + y) + 0, -0.0 + -0.0 included."""
    return add(add(x, lit(0.0)), y), add(add(x, y), lit(0.0))


@rule(changes=NOTHING, single_use=True)
def zero_added_before_product(x, y):
    """(x + 0) y + 0 = x y + 0: only the sign of a product that is zero differs."""
    return add(mul(add(x, lit(0.0)), y), lit(0.0)), add(mul(x, y), lit(0.0))


# Constants ----------------------------------------------------------------------------------------

_SCALARS = [
    at((3,), a=Fill(3), b=Fill(7), s=(3,)),
    at((), a=Fill(-1), b=Fill(100), s=(), dtypes=["i8", "i32"]),
]
_PAIRS_OF_TABLES = [
    at((2,), a=Dense(np.array([1, 2], np.int32)), b=Dense(np.int32(3)), s=(2,), dtypes=["i32"])
]


def _are_numbers(a: Dense, b: Dense) -> bool:
    return fill(a) is not None and fill(b) is not None


@rule(changes=NOTHING, on=INTEGER, guard=_are_numbers, examples=_SCALARS, counterexamples=_PAIRS_OF_TABLES)
def sum_of_constants(x, *, a, b, s):
    """(x + a) + b = x + (a + b) for integers."""
    return (
        add(add(x, constant(value=a, shape=s)), constant(value=b, shape=s)),
        lambda x, a, b, s: add(x, filled(np.add(a.array, b.array), a, s)),
    )


@rule(changes=NOTHING, on=INTEGER, guard=_are_numbers, examples=_SCALARS, counterexamples=_PAIRS_OF_TABLES)
def product_of_constants(x, *, a, b, s):
    """(x * a) * b = x * (a * b) for integers."""
    return (
        mul(mul(x, constant(value=a, shape=s)), constant(value=b, shape=s)),
        lambda x, a, b, s: mul(x, filled(np.multiply(a.array, b.array), a, s)),
    )


def _has_exact_reciprocal(c: Dense) -> bool:
    """Whether c is a power of two, up to sign, and so is its reciprocal, as a normal number."""
    number = fill(c)
    if number is None or c.dtype.kind != "float":
        return False
    wide = math.fabs(float(number))
    info = ml_dtypes.finfo(c.dtype.np)
    if not np.isfinite(wide) or math.frexp(wide)[0] != 0.5:
        return False
    return min(wide, 1 / wide) >= float(info.smallest_normal) and max(wide, 1 / wide) <= float(info.max)


@rule(
    changes=NOTHING,
    on=FLOAT,
    guard=_has_exact_reciprocal,
    examples=[at((3,), c=Fill(4), s=(3,)), at((), c=Fill(-0.5), s=())],
    counterexamples=[
        at((3,), c=Fill(3), s=(3,)),
        at((3,), c=Fill(0), s=(3,)),
        at((3,), c=Fill(np.inf), s=(3,), dtypes=["f32"]),
    ],
)
def quotient_by_power_of_two(x, *, c, s):
    """x / 2^n = x * 2^-n."""
    return div(x, constant(value=c, shape=s)), lambda x, c, s: mul(x, filled(1 / float(c.array), c, s))


# Powers -------------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def integer_power_zero(x):
    """x^0 = 1, for nan too."""
    return integer_pow(x, y=0), lit(1)


@rule(changes=NOTHING, on=REAL)
def integer_power_one(x):
    """x^1 = x."""
    return integer_pow(x, y=1), x


@rule(changes=NOTHING, on=REAL)
def integer_power_two(x):
    """x^2 as the square."""
    return integer_pow(x, y=2), square(x)


@rule(changes=NOTHING, on=FLOAT)
def integer_power_minus_one(x):
    """x^-1 = 1 / x."""
    return integer_pow(x, y=-1), lambda x: div(full_like(x, 1), x)


@rule(
    changes=NOTHING,
    on=REAL,
    guard=lambda y: y % 2 == 0,
    examples=[at((3,), y=2), at((3,), y=4)],
    counterexamples=[at((3,), y=3)],
)
def even_power_of_neg(x, *, y):
    """(-x)^2n = x^2n."""
    return integer_pow(neg(x), y=y), lambda x, y: integer_pow(x, y=y)


@rule(changes=NOTHING, on=FLOAT)
def power_zero(x):
    """x^0.0 = 1, for nan too."""
    return pow(x, lit(0.0)), lit(1)


@rule(changes=NOTHING, on=FLOAT)
def power_one(x):
    """x^1.0 = x."""
    return pow(x, lit(1)), x


@rule(changes=ROUNDING, on=FLOAT)
def power_two(x):
    """x^2.0 as the square."""
    return pow(x, lit(2)), square(x)


@rule(changes=ROUNDING, on=FLOAT)
def power_three(x):
    """x^3.0 by multiplication."""
    return pow(x, lit(3)), integer_pow(x, y=3)


@rule(changes=ROUNDING, on=FLOAT)
def power_minus_one(x):
    """x^-1.0 = 1 / x."""
    return pow(x, lit(-1)), lambda x: div(full_like(x, 1), x)


@rule(changes=SPECIAL, on=FLOAT)
def exp_of_log(x):
    """exp(log x) = x; negative x would give nan."""
    return exp(log(x)), x


RULES = collected(globals())
