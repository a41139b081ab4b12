"""What every pass keeps, on random programs: results, invariants, cost; and that it comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import ir.op
from ir.core import Function
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.fold import fold, fold_exact
from ir.passes.grouping import group_regions
from ir.passes.inlining import inline_calls
from ir.passes.pipeline import optimize, pipeline, simplify_inner
from ir.passes.simplify import simplify, simplify_exact, tidy
from ir.rewrite import NOTHING, ROUNDING
from tests.ir.generate import arguments, functions
from tests.passes import theorems
from tests.passes.programs import program


def optimize_exact(function: Function) -> Function:
    """The pipeline that changes not a bit."""
    return optimize(function, pipeline(exact=True))


EXACT = (
    group_regions,
    inline_calls,
    dce,
    cse,
    fold,
    fold_exact,
    simplify_exact,
    tidy,
    optimize_exact,
    simplify_inner,
)
ROUNDING_TOO = (simplify, optimize)
exact_passes = pytest.mark.parametrize("run", EXACT, ids=lambda run: run.__name__)
all_passes = pytest.mark.parametrize("run", (*EXACT, *ROUNDING_TOO), ids=lambda run: run.__name__)
seeds = st.integers(0, 2**32 - 1)


def applied(run: Callable[[Function], Function], before: Function) -> Function:
    after = run(before)
    try:
        ir.verify(after)
    except ir.errors.VerificationError as error:
        raise AssertionError(f"{run.__name__} made\n{before}\ninto\n{after}") from error
    assert (after.in_types, after.out_types) == (before.in_types, before.out_types)
    return after


def check(before: Function, after: Function, arrays: list[Any], **allowed: Any) -> None:
    for old, new in zip(ir.evaluate(before, *arrays), ir.evaluate(after, *arrays), strict=True):
        wrong = theorems.difference(old, new, **allowed)
        assert wrong is None, f"{wrong}\n{before}\nbecame\n{after}\nat {arrays}"


def check_exact(before: Function, after: Function) -> None:
    # Where the sign of a zero is not defined, no zero is drawn: all else could follow from it.
    orderless = theorems.orderless(before)
    draws = [theorems.normal, theorems.positive] if orderless else [theorems.special, theorems.normal]
    for seed, draw in enumerate(draws):
        rng = np.random.default_rng(seed)
        check(before, after, [draw(t, rng) for t in before.in_types], signs=not orderless)


@exact_passes
@given(before=functions())
def test_exact_passes_keep_every_bit(run: Any, before: Function) -> None:
    after = applied(run, before)
    check(before, after, arguments(before), signs=not theorems.orderless(before))


@exact_passes
@given(seed=seeds)
def test_exact_passes_keep_every_bit_where_rewrites_meet(run: Any, seed: int) -> None:
    before = program(seed)
    check_exact(before, applied(run, before))


@pytest.mark.parametrize("run", ROUNDING_TOO, ids=lambda run: run.__name__)
@given(seed=seeds)
def test_other_passes_keep_results_up_to_rounding(run: Any, seed: int) -> None:
    before = program(seed, ROUNDING, count=4)
    after = applied(run, before)
    rng = np.random.default_rng(0)
    check(before, after, [theorems.small(t, rng) for t in before.in_types], eps=1e3, signs=False)


@all_passes
@given(seed=seeds)
def test_nothing_is_left_to_do_after_a_few_runs(run: Any, seed: int) -> None:
    function = program(seed, NOTHING if run in EXACT else ROUNDING)
    for _ in range(3 if run in (optimize, optimize_exact, simplify_inner) else 1):
        function = run(function)
    assert run(function) is function


@all_passes
@given(seed=seeds)
def test_no_pass_adds_operations(run: Any, seed: int) -> None:
    before = program(seed, NOTHING if run in EXACT else ROUNDING)
    assert ir.flops(run(before)) <= ir.flops(before)


@given(seed=seeds)
def test_no_rewrite_adds_memory_traffic(seed: int) -> None:
    before = cse(dce(program(seed, ROUNDING)))
    assert theorems.traffic(cse(dce(simplify(before)))) <= theorems.traffic(before)


def test_programs_do_meet_rewrites() -> None:
    changed = sum(
        simplify(cse(program(seed, ROUNDING))) is not cse(program(seed, ROUNDING)) for seed in range(50)
    )
    assert changed > 40


@given(before=functions())
def test_inner_simplification_keeps_calls(before: Function) -> None:
    def calls(function: Function) -> int:
        return sum(eqn.op.name in ("call", "checkpoint") for eqn in function.eqns)

    assert calls(simplify_inner(before)) == calls(cse(dce(before)))
    assert all(eqn.op.name != "call" for eqn in optimize(before).eqns)


# Growth: a pass does the same work for each equation, however many there are -----------------------


def chain(length: int) -> Function:
    """A chain in which rewrites apply over and over."""
    from ir.ops.elementwise import add, mul, neg, sin
    from ir.ops.shape import full_like, transpose
    from ir.types import TensorType, f32

    def body(x: ir.Value) -> ir.Value:
        y = x
        for i in range(length // 8):
            y = neg(neg(y)) if i % 2 else sin(y)
            y = transpose(transpose(y, perm=(1, 0)), perm=(1, 0))
            y = add(mul(y, full_like(y, 1)), mul(neg(x), y))
        return y

    return ir.op.build([TensorType((2, 2), f32)], body)


@pytest.mark.parametrize("length", [20_000])
@all_passes
def test_long_chains_pass(run: Any, length: int) -> None:
    before = chain(length)
    after = run(before)
    assert len(after.eqns) <= len(before.eqns)
    if run in (simplify, simplify_exact, optimize):
        assert len(after.eqns) < 0.7 * len(before.eqns)


def test_attempts_grow_with_length() -> None:
    from ir.rewriter import Statistics, apply_rules
    from ir.rewrites import rule_table

    counts = []
    for length in (1000, 2000, 4000):
        statistics = Statistics()
        apply_rules(chain(length), rule_table(), statistics=statistics)
        counts.append(statistics.attempts)
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])
    assert counts[2] <= 20 * 4000
