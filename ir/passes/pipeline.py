"""The default pipeline: one list that can be read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ir.core import Function
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.inlining import inline_calls

Pass = Callable[[Function], Function]

DEFAULT: tuple[Pass, ...] = (inline_calls, dce, cse)


def pipeline(opt: int = 1, *, exact: bool = False, fast_math: bool = False) -> tuple[Pass, ...]:
    """The passes of an optimisation level; 0 only inlines."""
    return DEFAULT if opt else (inline_calls,)


def optimize(function: Function, passes: Sequence[Pass] | None = None) -> Function:
    """Run passes in order; the default pipeline when none are given."""
    for each in DEFAULT if passes is None else passes:
        function = each(function)
    return function


def simplify_inner(function: Function) -> Function:
    """What runs after each transform inside a trace: keeps nested derivatives small, and rules intact."""
    return cse(dce(function))
