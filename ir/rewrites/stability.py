"""Exponentials, logarithms and their kin in the forms that lose neither digits nor range.

A number that overflows or underflows on the way to a result in range makes the result inf, 0 or nan, and its derivative
nan. These rules run before a program is differentiated, too. (Higham, "Accuracy and Stability of Numerical Algorithms",
2002, chapter 1; Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions", 2021.)
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

from ir.ops.elementwise import (
    abs,
    add,
    div,
    exp,
    expm1,
    gt,
    is_finite,
    log,
    log1p,
    logistic,
    lt,
    mul,
    neg,
    select,
    square,
    sub,
    tanh,
)
from ir.ops.shape import full_like
from ir.rewrite import RANGE, at, collected, lit, rule
from ir.rewriter import constant_number
from ir.rewrites import log_sums
from ir.rewrites.kinds import FLOAT


@rule(changes=RANGE, on=FLOAT)
def exp_minus_one(x):
    """exp(x) - 1 = expm1(x), also for small x."""
    return sub(exp(x), lit(1)), expm1(x)


@rule(changes=RANGE, on=FLOAT, single_use=True)
def one_minus_exp(x):
    """1 - exp(x) = -expm1(x), also for small x."""
    return sub(lit(1), exp(x)), neg(expm1(x))


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
    if _is_least_less_largest(eqn, definition):
        return False
    test, above = definition(eqn.operands[0]), definition(eqn.operands[1])
    v = eqn.operands[2]
    is_negated = above is not None and above.op is neg and above.operands[0] is v
    compared = test is not None and test.op is gt and test.operands[0] is v
    return not (is_negated and compared and constant_number(definition(test.operands[1])) == 0)


def _is_least_less_largest(eqn, definition):
    """Whether it is the difference of two values of which the first is the smaller one (`log_sums`)."""
    test, difference = definition(eqn.operands[0]), definition(eqn.operands[1])
    if test is None or test.op is not is_finite or difference is None or difference.op is not sub:
        return False
    low, high = map(definition, difference.operands)
    return (
        test.operands[0] is difference.operands[1]
        and low is not None
        and high is not None
        and low.op is high.op is select
        and low.operands[0] is high.operands[0]
        and low.operands[1:] == high.operands[:0:-1]
    )


@rule(changes=RANGE, on=FLOAT)
def softplus(x):
    """log1p(exp(x)), also for x whose exponential is inf; not for what is never positive."""
    return log1p(exp(x)), lambda x, definition: _softplus(x) if _may_be_positive(x, definition) else None


@rule(changes=RANGE, on=FLOAT)
def log_of_logistic(x):
    """log(logistic(x)) = -softplus(-x), also for x whose logistic function is 0."""
    return log(logistic(x)), lambda x: neg(_softplus(neg(x)))


_LOG_2 = 0.6931471805599453


def _log_one_minus_exp(x, definition):
    """log(-expm1(x)) near 0, log1p(-exp(x)) elsewhere (Maechler, "Accurately computing log(1 - exp(-|a|))", 2012)."""
    eqn = definition(x)
    if eqn is not None and eqn.op is select and (test := definition(eqn.operands[0])) is not None:
        bound = constant_number(definition(test.operands[1])) if test.op is gt else None
        if bound is not None and math.fabs(bound + _LOG_2) < 1e-2:
            return None  # what this makes
    near = gt(x, full_like(x, -_LOG_2))
    close, far = select(near, x, full_like(x, -1)), select(near, full_like(x, -1), x)
    return select(near, log(neg(expm1(close))), log1p(neg(exp(far))))


def _below_zero(make):
    return neg(abs(make((40,))))


@rule(changes=RANGE, on=FLOAT, examples=[at(_below_zero, dtypes=("f32", "f64"))])
def log_of_one_minus_exp(x):
    """log(1 - exp(x)), also for x near 0 and far from it."""
    return log(neg(expm1(x))), _log_one_minus_exp


@rule(changes=RANGE, on=FLOAT, examples=[at(_below_zero, dtypes=("f32", "f64"))])
def log1p_of_minus_exp(x):
    """log(1 - exp(x)), likewise."""
    return log1p(neg(exp(x))), _log_one_minus_exp


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

    @rule(changes=RANGE, on=FLOAT, name=f"one_minus_logistic{suffix}", single_use=True, examples=_WIDE)
    def one_minus(x):
        """1 - logistic(x) = logistic(-x), also for x whose logistic function is 1."""
        return sub(lit(1), logistic(x)), lambda x: replacement(neg(x))

    @rule(changes=RANGE, on=FLOAT, name=f"over_one_plus_exp{suffix}", guard=_is_no_number,
          counterexamples=[at((3,), lambda make: full_like(make((3,)), 3))])  # fmt: skip
    def over(x, y):
        """y / (1 + exp(-x)) = y logistic(x), whose derivative is finite where exp(-x) is inf."""
        return div(y, add(lit(1), exp(neg(x)))), lambda x, y: mul(y, replacement(x))

    return of_exp, of_negative, one_minus, over


def _is_no_number(y, definition):
    return constant_number(definition(y)) is None


def _as_op(x):
    return logistic(x)


def _tanh_of_half(x):
    """tanh(x / 2) near 0; (1 - exp(-|x|)) / (1 + exp(-|x|)) elsewhere, whose derivative keeps its digits."""
    one = full_like(x, 1)
    near = lt(abs(x), one)
    positive, e = _decayed(select(near, one, x))
    far = div(select(positive, sub(one, e), sub(e, one)), add(one, e))
    return select(near, tanh(mul(select(near, x, one), full_like(x, 0.5))), far)


@rule(changes=RANGE, on=FLOAT)
def tanh_of_exps(x):
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)) = tanh(x), also for x whose exponentials are inf."""
    return div(sub(exp(x), exp(neg(x))), add(exp(x), exp(neg(x)))), lambda x: _tanh_of_half(
        mul(x, full_like(x, 2))
    )


@rule(changes=RANGE, on=FLOAT)
def tanh_of_expm1(x):
    """(exp(x) - 1) / (exp(x) + 1) = tanh(x / 2), likewise."""
    return div(expm1(x), add(exp(x), lit(1))), _tanh_of_half


@rule(changes=RANGE, on=FLOAT)
def tanh_of_neg_expm1(x):
    """(1 - exp(x)) / (1 + exp(x)) = -tanh(x / 2), likewise."""
    return div(neg(expm1(x)), add(lit(1), exp(x))), lambda x: neg(_tanh_of_half(x))


# Before derivatives are taken `expm1` is not in place yet.
@rule(changes=RANGE, on=FLOAT)
def tanh_of_exp_minus_one(x):
    """As `tanh_of_expm1`."""
    return div(sub(exp(x), lit(1)), add(exp(x), lit(1))), _tanh_of_half


@rule(changes=RANGE, on=FLOAT)
def tanh_of_one_minus_exp(x):
    """As `tanh_of_neg_expm1`."""
    return div(sub(lit(1), exp(x)), add(lit(1), exp(x))), lambda x: neg(_tanh_of_half(x))


LOGISTIC = _logistic_rules("", _as_op)
RULES = collected(globals())

# Where derivatives are to be taken: that of the logistic function z, z (1 - z), has no digits left where z is near 1.
# (Nor has that of expm1(x), expm1(x) + 1, where exp(x) is small.)
_LATER = (*LOGISTIC, exp_minus_one, one_minus_exp)
SMOOTH = (
    *[each for each in RULES if each not in _LATER],
    *log_sums.RULES,
    *_logistic_rules("_in_pieces", _logistic),
)
