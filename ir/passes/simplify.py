"""Simplification by the rules of `ir.rewrites`.

a = neg(x); b = sub(y, a)     becomes     b = add(y, x)
"""

from __future__ import annotations

from ir.core import Function
from ir.passes.cse import cse
from ir.passes.nested import deep
from ir.rewriter import RuleTable, apply_rules


def _rules(**allowed: bool) -> RuleTable:
    from ir.rewrites import rule_table  # builds some hundred patterns

    return rule_table(**allowed)


@deep
def simplify(function: Function) -> Function:
    """Apply the rules that change no more than rounding, or give back what went out of range."""
    return apply_rules(function, _rules())


@deep
def simplify_exact(function: Function) -> Function:
    """Apply the rules that change not a bit."""
    return apply_rules(function, _rules(exact=True))


@deep
def simplify_fast(function: Function) -> Function:
    """Apply all rules, those too that change NaN, inf or signed zeros."""
    return apply_rules(function, _rules(fast_math=True))


@deep
def tidy(function: Function) -> Function:
    """Apply the few rules that serve a program which is to be differentiated or batched further."""
    from ir.rewrites import inner_table

    return apply_rules(function, inner_table())


@deep
def stabilize(function: Function) -> Function:
    """Apply the rules that keep digits and range."""
    from ir.rewrites import stability_table

    table = stability_table()
    if not any(eqn.op in table for eqn in function.eqns):
        return function
    # (What is computed twice is one variable of a rule.)
    return apply_rules(cse(function), table)
