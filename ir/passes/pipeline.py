"""The default pipeline: one list that can be read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ir.collector import without_collection
from ir.core import Function
from ir.errors import ArgumentError
from ir.passes.again import compute_again
from ir.passes.blocking import block
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.factors import share_factors
from ir.passes.fold import fold, fold_exact
from ir.passes.inlining import inline_calls
from ir.passes.masking import skip_masked
from ir.passes.parts import compute_parts
from ir.passes.power_tables import tabulate_powers
from ir.passes.products import (
    add_masked,
    multiply_blocks,
    multiply_panels,
    reorder_products,
    share_adjoints,
)
from ir.passes.rolling import roll, roll_exact
from ir.passes.scans import simplify_scans
from ir.passes.selections import choose_rows, read_determinants, solve_structured
from ir.passes.simplify import simplify, simplify_exact, simplify_fast, tidy
from ir.passes.sinking import sink_constants
from ir.passes.slicing import sink_slices
from ir.passes.solves import solve_products, without_inverses

Pass = Callable[[Function], Function]

# (Which products there are of a solution is known when they are in order.)
_PRODUCTS: tuple[Pass, ...] = (
    compute_parts,
    multiply_blocks,
    add_masked,
    choose_rows,
    solve_products,
    reorder_products,
    without_inverses,
    share_adjoints,
    multiply_panels,
    solve_structured,
    read_determinants,
    share_factors,
)


def pipeline(opt: int = 1, *, exact: bool = False, fast_math: bool = False) -> tuple[Pass, ...]:
    """The passes of an optimisation level.

    Args:
      opt: 0 only inlines calls.
      exact: forbid passes and rewrites that change rounding.
      fast_math: allow rewrites that change NaN, inf or signed-zero behaviour.

    Raises:
      ArgumentError: `exact` and `fast_math` contradict each other.
    """
    if exact and fast_math:
        raise ArgumentError("expected at most one of exact=True and fast_math=True, got both")
    if not opt:
        return (inline_calls,)
    rules = simplify_exact if exact else simplify_fast if fast_math else simplify
    return (
        inline_calls,
        roll_exact if exact else roll,
        dce,
        cse,
        *(() if exact else (tabulate_powers,)),
        fold_exact if exact else fold,
        sink_constants,
        fold_exact if exact else fold,
        rules,
        cse,
        simplify_scans,
        *(() if exact else (*_PRODUCTS, rules, cse, compute_again, block, skip_masked, rules, cse)),
        sink_slices,
        dce,
    )


DEFAULT: tuple[Pass, ...] = pipeline()


@without_collection()
def optimize(function: Function, passes: Sequence[Pass] | None = None) -> Function:
    """Run passes in order; the default pipeline when none are given."""
    for each in DEFAULT if passes is None else passes:
        function = each(function)
    return function


def simplify_inner(function: Function) -> Function:
    """What runs after each transform inside a trace: cheap, and keeps all that later transforms need.

    Calls with custom derivatives and checkpoints stay as they are, and every value keeps its derivatives.
    """
    return tidy(cse(dce(function)))
