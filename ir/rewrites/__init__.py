"""The rewrites, by family. A rule is added in one of the files; `RULES` has all of them, in order.

`ir.rewrite` says how a rule is written, `ir.passes.simplify` which are applied when.
"""

from __future__ import annotations

import functools

from ir.rewrite import NOTHING, RANGE, SPECIAL, Rule
from ir.rewriter import RuleTable
from ir.rewrites import (
    arithmetic,
    around_products,
    batches,
    common_factors,
    contractions,
    conversions,
    indexing,
    log_sums,
    logic,
    pads,
    points,
    put,
    reductions,
    scatters,
    shapes,
    slices,
    stability,
    taken,
)

FAMILIES = (
    arithmetic,
    logic,
    conversions,
    shapes,
    slices,
    pads,
    indexing,
    batches,
    scatters,
    reductions,
    around_products,
    taken,
    points,
    put,
    contractions,
    common_factors,
    stability,
    log_sums,
)
RULES: tuple[Rule, ...] = tuple(each for family in FAMILIES for each in family.RULES)

# Exact, cheap, and always fewer equations: what serves a program that is to be transformed further.
INNER: tuple[Rule, ...] = (
    arithmetic.double_negation,
    arithmetic.sub_of_neg,
    arithmetic.add_of_neg,
    arithmetic.product_of_negs,
    arithmetic.mul_by_one,
    arithmetic.div_by_one,
    arithmetic.sub_of_zero,
    arithmetic.add_of_zero,
    arithmetic.integer_power_one,
    logic.double_not,
    logic.select_of_equals,
    logic.select_by_opposite,
    logic.select_twice_then,
    logic.select_twice_else,
    conversions.conversion_to_own_type,
    conversions.real_of_complex,
    conversions.imag_of_complex,
    conversions.complex_of_parts,
    conversions.conj_of_conj,
    shapes.reshape_to_own_shape,
    shapes.reshape_of_reshape,
    shapes.transpose_by_identity,
    shapes.transpose_of_transpose,
    shapes.broadcast_of_size_one,
    shapes.broadcast_of_broadcast,
    shapes.rev_of_ones,
    shapes.rev_of_rev,
    slices.slice_of_everything,
    slices.slice_of_slice,
    pads.pad_by_nothing,
    pads.concatenation_of_one,
)


@functools.cache
def rule_table(*, exact: bool = False, fast_math: bool = False) -> RuleTable:
    """The rules that may be applied: all but those that change special values, unless told otherwise.

    Args:
      exact: only rules that change not a bit.
      fast_math: rules too that change NaN, inf or signed zeros.
    """
    limit = NOTHING if exact else SPECIAL if fast_math else RANGE
    return RuleTable([each for each in RULES if each.changes <= limit])


@functools.cache
def inner_table() -> RuleTable:
    """The rules of `INNER`."""
    return RuleTable(INNER)


@functools.cache
def stability_table() -> RuleTable:
    """The rules that keep digits and range, which serve derivatives most; logarithms are taken before broadcasting."""
    sunk = [each for each in shapes.RULES if each.name == "log_of_broadcast"]
    return RuleTable([*stability.SMOOTH, *sunk])
