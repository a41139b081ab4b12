"""Exponentials, logarithms and their kin in the forms that lose neither digits nor range.

A number that overflows or underflows on the way to a result in range makes the result inf, 0 or nan, and its derivative
nan. These rules run before a program is differentiated, too. (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, chapter 1; Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions", 2021.)
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from ir.ops.elementwise import (
    abs,
    add,
    div,
    exp,
    expm1,
    gt,
    log,
    log1p,
    logistic,
    mul,
    neg,
    select,
    square,
    sub,
)
from ir.ops.shape import full_like
from ir.rewrite import RANGE, at, collected, lit, rule
from ir.rewriter import constant_number
from ir.rewrites.kinds import FLOAT


@rule(changes=RANGE, on=FLOAT)
def exp_minus_one(x):
    """exp(x) - 1 = expm1(x), also for small x."""
    return sub(exp(x), lit(1)), expm1(x)


@rule(changes=RANGE, on=FLOAT)
def log_of_one_plus(x):
    """log(1 + x) = log1p(x), also for small x."""
    return log(add(lit(1), x)), log1p(x)


@rule(changes=RANGE, on=FLOAT)
def log_of_one_minus(x):
    """log(1 - x) = log1p(-x), also for small x."""
    return log(sub(lit(1), x)), log1p(neg(x))


@rule(changes=RANGE, on=FLOAT)
def log_of_exp(x):
    """log(exp x) = x, also for x whose exponential is inf or 0."""
    return log(exp(x)), x


@rule(changes=RANGE, on=FLOAT)
def log_of_exp_over(x, y):
    """log(exp(x) / y) = x - log(y): log-softmax, also for x far from the largest."""
    return log(div(exp(x), y)), sub(x, log(y))


@rule(changes=RANGE, on=FLOAT)
def log_of_exp_times(x, y):
    """log(exp(x) y) = x + log(y)."""
    return log(mul(exp(x), y)), add(x, log(y))


def _decayed(x):
    """Whether x > 0, and exp(-|x|): two analytic pieces, so that derivatives of all orders are right at 0 too."""
    positive = gt(x, full_like(x, 0))
    return positive, exp(select(positive, neg(x), x))


def _softplus(x):
    """max(x, 0) + log1p(exp(-|x|)): what is exponentiated is never positive."""
    positive, e = _decayed(x)
    return add(select(positive, x, full_like(x, 0)), log1p(e))


def _logistic(x):
    """1 / (1 + exp(-x)) above 0, exp(x) / (1 + exp(x)) below: the derivative keeps its digits on both sides."""
    positive, e = _decayed(x)
    return div(select(positive, full_like(x, 1), e), add(full_like(x, 1), e))


def _may_be_positive(x, definition):
    """Unless it is -|v|, as an absolute value or as `_decayed` writes it."""
    eqn = definition(x)
    if eqn is None:
        return True
    if eqn.op is neg:
        inner = definition(eqn.operands[0])
        return inner is None or inner.op not in (abs, square)
    if eqn.op is not select:
        return True
    test, above = definition(eqn.operands[0]), definition(eqn.operands[1])
    v = eqn.operands[2]
    is_negated = above is not None and above.op is neg and above.operands[0] is v
    compared = test is not None and test.op is gt and test.operands[0] is v
    return not (is_negated and compared and constant_number(definition(test.operands[1])) == 0)


@rule(changes=RANGE, on=FLOAT)
def softplus(x):
    """log1p(exp(x)), also for x whose exponential is inf; not for what is never positive."""
    return log1p(exp(x)), lambda x, definition: _softplus(x) if _may_be_positive(x, definition) else None


@rule(changes=RANGE, on=FLOAT)
def log_of_logistic(x):
    """log(logistic(x)) = -softplus(-x), also for x whose logistic function is 0."""
    return log(logistic(x)), lambda x: neg(_softplus(neg(x)))


# In narrower types the logistic function is 1 so soon that hardly a number is left to compare.
_WIDE = [at((40,), dtypes=("f32", "f64")), at((0, 2), dtypes=("f32", "f64"))]


@rule(changes=RANGE, on=FLOAT, examples=_WIDE)
def log_of_one_minus_logistic(x):
    """log(1 - logistic(x)) = -softplus(x), also for x whose logistic function is 1."""
    return log1p(neg(logistic(x))), lambda x: neg(_softplus(x))


def _in_pieces(x):
    """The pattern of what `_logistic` makes."""
    positive = gt(x, lit(0))
    e = exp(select(positive, neg(x), x))
    return div(select(positive, lit(1), e), add(lit(1), e))


@rule(changes=RANGE, on=FLOAT)
def log_of_logistic_in_pieces(x):
    """log(1 / (1 + exp(-x))) = -softplus(-x), where the quotient is in the form for derivatives already."""
    return log(_in_pieces(x)), lambda x: neg(_softplus(neg(x)))


@rule(changes=RANGE, on=FLOAT, examples=_WIDE)
def log_of_one_minus_logistic_in_pieces(x):
    """log(1 - 1 / (1 + exp(-x))) = -softplus(x), likewise."""
    return log1p(neg(_in_pieces(x))), lambda x: neg(_softplus(x))


def _logistic_rules(suffix, replacement):
    @rule(changes=RANGE, on=FLOAT, name=f"logistic_of_exp{suffix}")
    def of_exp(x):
        """exp(x) / (1 + exp(x)) is the logistic function, also for x whose exponential is inf."""
        return div(exp(x), add(lit(1), exp(x))), replacement

    @rule(changes=RANGE, on=FLOAT, name=f"logistic_of_negative{suffix}")
    def of_negative(x):
        """1 / (1 + exp(-x)) is the logistic function, with a derivative that is finite where exp(-x) is inf."""
        return div(lit(1), add(lit(1), exp(neg(x)))), replacement

    return of_exp, of_negative


def _as_op(x):
    return logistic(x)


LOGISTIC = _logistic_rules("", _as_op)
RULES = collected(globals())

# Where derivatives are to be taken: that of the logistic function z, z (1 - z), has no digits left where z is near 1.
SMOOTH = (*[each for each in RULES if each not in LOGISTIC], *_logistic_rules("_in_pieces", _logistic))
