"""How patterns match, and what the rewriter does to the program around a match."""

from __future__ import annotations

import pytest

import ir
from ir.core import Eqn, Function
from ir.errors import IRTypeError
from ir.op import build
from ir.ops.elementwise import add, cos, exp, mul, neg, sin, sub
from ir.ops.shape import broadcast_in_dim, concatenate, full_like, reshape, transpose
from ir.rewrite import NOTHING, Rule, lit, rule
from ir.rewriter import RuleTable, Statistics, apply_rules
from ir.source import Source
from ir.types import TensorType, f32, i32

F = TensorType((2,), f32)
M = TensorType((2, 3), f32)


def ops(function: Function) -> list[str]:
    return [eqn.op.name for eqn in function.eqns]


def apply(function: Function, *rules: Rule, sweeps: int = 8) -> Function:
    out = apply_rules(function, RuleTable(rules), max_sweeps=sweeps)
    ir.verify(out)
    return out


# Matching -----------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def twice(x):
    return add(x, x), neg(x)


def test_a_variable_is_the_same_value_each_time() -> None:
    assert ops(apply(build([F], lambda x: add(x, x)), twice)) == ["neg"]
    assert ops(apply(build([F, F], add), twice)) == ["add"]


@rule(changes=NOTHING)
def factor(x, y, z):
    return add(mul(x, y), mul(x, z)), mul(x, add(y, z))


@pytest.mark.parametrize("order", range(8))
def test_operands_of_commutative_ops_match_in_every_order(order: int) -> None:
    def body(x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        left = mul(x, y) if order & 1 else mul(y, x)
        right = mul(x, z) if order & 2 else mul(z, x)
        return add(left, right) if order & 4 else add(right, left)

    assert ops(apply(build([F, F, F], body), factor)) == ["add", "mul"]


@rule(changes=NOTHING)
def negative_zero(x):
    return add(x, lit(-0.0)), x


@pytest.mark.parametrize(("number", "matches"), [(-0.0, True), (0.0, False), (1.0, False)])
def test_literals_tell_signs_of_zero_apart(number: float, matches: bool) -> None:
    function = build([F], lambda x: add(x, full_like(x, number)))
    assert (apply(function, negative_zero).eqns == ()) is matches


def test_a_literal_of_an_integer_has_no_sign() -> None:
    function = build([TensorType((2,), i32)], lambda x: add(x, full_like(x, 0)))
    assert apply(function, negative_zero).eqns == ()


@rule(changes=NOTHING)
def same_permutation(x, *, p):
    return transpose(transpose(x, perm=p), perm=p), neg(x)


def test_an_attribute_variable_is_the_same_each_time() -> None:
    square = TensorType((2, 2, 2), f32)
    equal = build([square], lambda x: transpose(transpose(x, perm=(1, 0, 2)), perm=(1, 0, 2)))
    other = build([square], lambda x: transpose(transpose(x, perm=(1, 0, 2)), perm=(2, 1, 0)))
    assert ops(apply(equal, same_permutation)) == ["neg"]
    assert ops(apply(other, same_permutation)) == ["transpose", "transpose"]


@rule(changes=NOTHING)
def first_part(x, *parts, axis):
    return neg(concatenate(x, *parts, axis=axis)), lambda x, parts, axis: concatenate(
        neg(x), *map(neg, parts), axis=axis
    )


def test_rest_takes_all_operands_that_are_left() -> None:
    function = build([F, F, F], lambda x, y, z: neg(concatenate(x, y, z, axis=0)))
    assert ops(apply(function, first_part)) == ["neg", "neg", "neg", "concatenate"]


# Replacing ----------------------------------------------------------------------------------------


@rule(changes=NOTHING)
def cancel(x):
    return neg(neg(x)), x


def test_what_a_rewrite_leaves_unused_is_removed() -> None:
    assert apply(build([F], lambda x: neg(neg(x))), cancel).eqns == ()
    shared = build([F], lambda x: (y := neg(x), neg(y)))
    assert ops(apply(shared, cancel)) == ["neg"]


def test_equations_that_were_unused_before_are_none_of_its_business() -> None:
    function = build([F], lambda x: (sin(x), neg(neg(x)))[1])
    assert ops(apply(function, cancel)) == ["sin"]


def test_nothing_to_do_gives_the_same_object() -> None:
    function = build([F], lambda x: neg(sin(x)))
    assert apply(function, cancel, twice) is function


def test_replacements_are_rewritten_in_turn() -> None:
    statistics = Statistics()
    merged = build([F], lambda x: add(y := neg(x), y))
    assert apply_rules(merged, RuleTable([twice, cancel]), statistics=statistics).eqns == ()
    assert statistics.applied["cancel"] == 1


@rule(changes=NOTHING, single_use=True)
def distribute(x, y):
    return neg(sub(x, y)), sub(y, x)


def test_a_value_with_other_consumers_is_not_computed_again() -> None:
    alone = build([F, F], lambda x, y: neg(sub(x, y)))
    shared = build([F, F], lambda x, y: (d := sub(x, y), neg(d)))
    assert ops(apply(alone, distribute)) == ["sub"]
    assert apply(shared, distribute) is shared


def test_consumers_are_counted_while_rewriting() -> None:
    """The second consumer of the difference is gone when its turn comes."""
    function = build([F, F], lambda x, y: (neg(neg(neg(d := sub(x, y)))), sin(d))[0])
    cleaned = function.replace(eqns=tuple(e for e in function.eqns if e.op is not sin))
    assert ops(apply(cleaned, cancel, distribute)) == ["sub"]


@rule(changes=NOTHING)
def never(x):
    return sin(x), lambda x: (cos(exp(x)), None)[1]


def test_a_replacement_that_declines_leaves_no_trace() -> None:
    function = build([F], lambda x: neg(sin(x)))
    assert apply(function, never) is function


@rule(changes=NOTHING)
def wrong(x):
    return sin(x), lambda x: reshape(x, shape=(*x.type.shape, 1))


def test_a_replacement_of_another_type_is_an_error_that_names_the_rule() -> None:
    with pytest.raises(IRTypeError, match=r"rule wrong turned f32\[2\] into f32\[2,1\]"):
        apply(build([F], sin), wrong)


@rule(changes=NOTHING)
def back(x):
    return sin(x), cos(x)


@rule(changes=NOTHING)
def forth(x):
    return cos(x), sin(x)


def test_rules_that_undo_each_other_come_to_an_end() -> None:
    statistics = Statistics()
    apply_rules(build([F], sin), RuleTable([back, forth]), statistics=statistics)
    assert statistics.sweeps == 8


def test_equal_nodes_of_pattern_and_replacement_are_one_value() -> None:
    @rule(changes=NOTHING)
    def absorb(x, y):
        return add(mul(x, y), sub(mul(x, y), y)), mul(x, y)

    function = build([F, F], lambda x, y: add(m := mul(x, y), sub(m, y)))
    after = apply(function, absorb)
    assert after.eqns[0] is function.eqns[0]
    assert len(after.eqns) == 1


def test_constants_are_shared() -> None:
    @rule(changes=NOTHING)
    def doubled(x):
        return sin(x), lambda x: mul(x, full_like(x, 2))

    function = build([F, F], lambda x, y: add(sin(x), sin(y)))
    assert ops(apply(function, doubled)) == ["constant", "mul", "mul", "add"]


def test_names_and_sources_go_on() -> None:
    inner, outer = Source.at("a.py", 1), Source.at("b.py", 2)
    function = build([F, F], lambda x, y: neg(sub(x, y)))
    a, b = function.eqns
    function = function.replace(
        eqns=(
            Eqn(a.op, a.operands, a.attrs, a.results, inner),
            Eqn(b.op, b.operands, b.attrs, b.results, outer),
        )
    )
    function.results[0].name = "loss"
    (made,) = apply(function, distribute).eqns
    assert made.results[0].name == "loss"
    assert [str(s) for s in made.source.all()] == ["b.py:2", "a.py:1"]


def test_the_given_function_is_not_changed() -> None:
    function = build([M], lambda x: neg(broadcast_in_dim(neg(neg(x)), shape=(2, 3), dims=(0, 1))))
    text = str(function)
    apply(function, cancel)
    assert str(function) == text
