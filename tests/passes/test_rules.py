"""Every rewrite is a theorem: both sides are equal, on every type that it is for, special values included."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import ir
import ir.transforms
from ir.core import Function
from ir.ops.elementwise import abs as abs_
from ir.ops.elementwise import add, mul, neg
from ir.passes.dce import dce
from ir.passes.simplify import simplify, simplify_fast, stabilize, tidy
from ir.rewrite import NOTHING, RANGE, ROUNDING, SPECIAL, Rule, at, rule
from ir.rewrites import INNER, RULES, stability
from ir.rewrites.catalogue import catalogue
from tests.passes import theorems
from tests.passes.theorems import Instance, difference, instances, rewritten

# Those too that apply before derivatives are taken only.
EVERY = (*RULES, *[each for each in stability.SMOOTH if each not in RULES])
each_rule = pytest.mark.parametrize("each", EVERY, ids=lambda each: each.name)


def drawn(each: Rule) -> list[Instance]:
    found = list(instances(each))
    assert found, f"rule {each.name}: no example can be drawn; give examples that fit its pattern"
    return found


def check(before: Function, after: Function, label: str, draws: list, **allowed: object) -> None:
    for number, draw in enumerate(draws):
        rng = np.random.default_rng(number)
        arrays = [draw(t, rng) for t in before.in_types]
        pairs = zip(ir.evaluate(before, *arrays), ir.evaluate(after, *arrays), strict=True)
        for old, new in pairs:
            wrong = difference(old, new, **allowed)
            assert wrong is None, f"{label}: {wrong}\n{before}\nbecame\n{after}\nat {arrays}"


def check_theorem(each: Rule, instance: Instance) -> None:
    """Both sides have equal results, as far as the rule says what it changes."""
    before = instance.function
    after, applied = rewritten(each, before)
    assert applied, f"{instance.label}: the rule does not apply to its pattern\n{before}"
    ir.verify(after)
    signs = not theorems.orderless(before)
    if each.changes == NOTHING:
        draws = [theorems.special, theorems.special, theorems.finite, theorems.small]
        check(before, after, instance.label, draws, signs=signs)
    elif each.changes == ROUNDING:
        check(
            before,
            after,
            instance.label,
            [theorems.small, theorems.finite, theorems.normal],
            eps=16,
            signs=signs,
        )
    elif each.changes == RANGE:
        check(before, after, instance.label, [theorems.small, theorems.normal], eps=16, signs=False)
    else:
        check(before, after, instance.label, [theorems.positive], eps=16, signs=False)


@pytest.mark.parametrize("each", stability.SMOOTH, ids=lambda each: each.name)
def test_what_single_precision_loses_is_right(each: Rule) -> None:
    """As if the pattern were computed in double precision; and so are derivatives."""
    wide = {i.label[:-3]: i.function for i in drawn(each) if i.label.endswith("f64")}
    for instance in drawn(each):
        if not instance.label.endswith("f32"):
            continue
        after, reference = rewritten(each, instance.function)[0], wide[instance.label[:-3]]
        # Large numbers, or small ones where digits are lost; what is divided by stays positive.
        bound = 1e-4 if each.name in ("exp_minus_one", "log_of_one_plus", "log_of_one_minus") else 300
        if each.name.startswith("log_of_one_minus_logistic"):
            bound = 25  # farther out double precision loses all digits too
        rng = np.random.default_rng(0)
        arrays = [np.asarray(rng.uniform(-bound, bound, t.shape), np.float32) for t in reference.in_types]
        arrays[1:] = [abs(x) + np.float32(1) for x in arrays[1:]]
        lost = 0
        for want, got, was in zip(
            (reference, derivatives(reference)), (after, derivatives(after)),
            (instance.function, derivatives(instance.function)), strict=True,
        ):  # fmt: skip
            assert want is not None and got is not None and was is not None
            given = arrays if len(want.params) == len(arrays) else [*arrays, *map(np.ones_like, arrays)]
            exact = ir.evaluate(want, *[x.astype(np.float64) for x in given])[-1]
            np.testing.assert_allclose(ir.evaluate(got, *given)[-1], exact, rtol=1e-4, atol=1e-15)
            lost += int(np.sum(~np.isclose(ir.evaluate(was, *given)[-1], exact, rtol=1e-3, atol=0)))
        assert lost or arrays[0].size < 40, f"{instance.label}: nothing was lost"


@each_rule
def test_both_sides_are_equal(each: Rule) -> None:
    for instance in drawn(each):
        check_theorem(each, instance)


@each_rule
def test_nothing_becomes_slower(each: Rule) -> None:
    for instance in drawn(each):
        for before in [instance.function] + ([] if each.single_use else [instance.exposed()]):
            after = dce(rewritten(each, before)[0])
            if each.changes == RANGE:
                continue  # a result that is right is worth an operation
            assert ir.flops(after) <= ir.flops(before), instance.label
            shown = f"{instance.label}:\n{before}\nbecame\n{after}"
            assert theorems.traffic(after) <= theorems.traffic(before), shown


@each_rule
def test_rewriting_comes_to_an_end(each: Rule) -> None:
    """What all rules together make of a pattern is no longer than it, or as short, and is left as it is then."""
    for instance in drawn(each):
        for rewrite in (simplify, simplify_fast, tidy, stabilize):
            before = instance.function
            after = rewrite(before)
            assert len(after.eqns) <= len(before.eqns) + 16, f"{instance.label}:\n{before}\nbecame\n{after}"
            assert rewrite(after) is after, f"{instance.label}:\n{after}\nbecame\n{rewrite(after)}"


@each_rule
def test_other_consumers_forbid_single_use(each: Rule) -> None:
    for instance in drawn(each):
        if each.single_use and instance.covered:
            before = instance.exposed()
            assert rewritten(each, before)[0] is before, instance.label


@each_rule
def test_guard_turns_down_counterexamples(each: Rule) -> None:
    for number, counterexample in enumerate(each.counterexamples):
        found = list(instances(each, [counterexample]))
        assert found, f"{each.name}: counterexample {number} cannot be drawn"
        for instance in found:
            assert rewritten(each, instance.function)[0] is instance.function, instance.label


# The derivative of x**0.0 is 0 * x**-1.0, nan at 0; that of 1 is 0.
DERIVATIVES_DIFFER = ("power_zero",)


def derivatives(function: Function) -> Function | None:
    """The JVP program with respect to all float params, or None where there is none."""
    moved = [t.dtype.is_inexact for t in function.in_types]
    if not any(moved) or not function.out_types[0].dtype.is_inexact:
        return None
    return ir.transforms.jvp(function, moved)[0]


@pytest.mark.parametrize("each", [r for r in EVERY if r.changes != SPECIAL], ids=lambda each: each.name)
def test_derivatives_are_kept(each: Rule) -> None:
    """At zeros and ties too, where a derivative is a convention: rules may run before it is taken."""
    for instance in drawn(each):
        if any(t.dtype.name not in ("f32", "f64", "c128", "bool", "i32") for t in instance.function.in_types):
            continue
        before, after = derivatives(instance.function), derivatives(rewritten(each, instance.function)[0])
        if before is not None and after is not None and each.name not in DERIVATIVES_DIFFER:
            # Not by zeros, where only one of both derivatives need be lost.
            draws = [theorems.normal, theorems.positive if each.changes == RANGE else theorems.small]
            check(before, after, instance.label, draws, eps=64, signs=False)


@pytest.mark.parametrize("each", stability.SMOOTH, ids=lambda each: each.name)
def test_second_derivatives_are_kept(each: Rule) -> None:
    """At zero above all, where the pieces of a function meet."""
    for instance in drawn(each):
        if not instance.label.endswith("f64"):
            continue
        before, after = instance.function, rewritten(each, instance.function)[0]
        for _ in range(2):
            before, after = (derivatives(f) for f in (before, after))
        arrays = [np.resize([0.0, -0.0, 0.5, -0.25, 2.0], t.shape) for t in before.in_types]
        n = len(instance.function.in_types)
        tangents = [np.resize([1.0, 0.5, 1.5, 0.75], x.shape) for x in arrays[n:]]
        arrays = [*arrays[:1], *[np.abs(x) + 1 for x in arrays[1:n]], *tangents]
        for a, b in zip(ir.evaluate(before, *arrays), ir.evaluate(after, *arrays), strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-10)


def test_names_are_unique_and_every_rule_says_what_it_does() -> None:
    assert [name for name, count in Counter(each.name for each in RULES).items() if count > 1] == []
    assert [each.name for each in RULES if not each.doc] == []


def test_the_document_is_of_these_rules() -> None:
    document = Path(__file__).parents[2] / "docs" / "rewrites.md"
    assert document.read_text() == catalogue(), "update: python -m ir.rewrites > docs/rewrites.md"
    assert all(f"**{each.name}**" in catalogue() for each in RULES)


def test_every_guard_has_a_counterexample() -> None:
    assert [each.name for each in RULES if each.guard is not None and not each.counterexamples] == []


def test_rules_that_run_before_differentiation_are_exact() -> None:
    assert [each.name for each in INNER if each.changes != NOTHING] == []
    assert set(INNER) <= set(RULES)
    assert set(DERIVATIVES_DIFFER).isdisjoint(each.name for each in INNER)


# The checks themselves: false theorems are found ---------------------------------------------------


@rule(changes=NOTHING)
def zero_is_neutral(x):
    """Not where x is -0.0."""
    from ir.rewrite import lit

    return add(x, lit(0.0)), x


@rule(changes=NOTHING)
def abs_is_odd(x):
    return abs_(neg(x)), neg(abs_(x))


@rule(changes=ROUNDING)
def doubled(x, y):
    return mul(x, y), add(mul(x, y), mul(x, y))


@pytest.mark.parametrize("false", [zero_is_neutral, abs_is_odd, doubled], ids=lambda each: each.name)
def test_false_theorem_is_found(false: Rule) -> None:
    with pytest.raises(AssertionError, match=false.name):
        for instance in drawn(false):
            check_theorem(false, instance)


@rule(changes=NOTHING, examples=[at((2,), (3,))])
def never_drawn(x, y):
    return add(x, y), add(y, x)


def test_rule_that_cannot_be_drawn_fails_by_name() -> None:
    with pytest.raises(AssertionError, match="never_drawn: no example can be drawn"):
        drawn(never_drawn)
