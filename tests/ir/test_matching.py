"""Correspondence of equations: copies under other names, single edits, long programs, invariants."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
from ir.core import Eqn, Function, Value
from ir.matching import match
from ir.ops.elementwise import add, cos, mul, neg, sin
from ir.types import TensorType, f32
from tests.ir.generate import NAMES, functions

TRIES = settings().max_examples  # of the profile
SCALAR = TensorType((), f32)


def renamed(function: Function) -> Function:
    """An equal function without any object in common; names gone."""
    made = ir.parse(str(function))
    for value in [*made.params, *[v for eqn in made.eqns for v in eqn.results]]:
        value.name = ""
    return made


def check(before: Function, after: Function) -> None:
    """What holds of any matching."""
    found = match(before, after)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(found.pairs, found.pairs[1:], strict=False))
    assert len(found.pairs) == len(found.equal)
    corresponds = dict(found.values)
    for (i, j), equal in zip(found.pairs, found.equal, strict=True):
        a, b = before.eqns[i], after.eqns[j]
        assert a.op is b.op or [v.name for v in a.results] == [v.name for v in b.results]
        if equal:
            # One equation in the place of the other, over corresponding values, is the same text.
            operands = tuple([corresponds.get(v, v) for v in a.operands])
            assert operands == b.operands
            params = tuple(dict.fromkeys(operands))
            one = Function(params, (Eqn(a.op, operands, a.attrs, b.results),), b.results)
            assert one == Function(params, (b,), b.results)


@given(functions())
def test_a_copy_is_equal_throughout(function: Function) -> None:
    found = match(function, renamed(function))
    assert found.pairs == tuple((i, i) for i in range(len(function.eqns)))
    assert all(found.equal)


@settings(max_examples=TRIES // 2)
@given(functions(), functions())
def test_matchings_are_consistent(before: Function, after: Function) -> None:
    check(before, after)


@given(functions(names=NAMES, depth=0), st.data())
def test_one_more_equation_is_one_more(function: Function, data: st.DataObject) -> None:
    where = data.draw(st.integers(0, len(function.eqns)))
    known = [*function.params, *[v for eqn in function.eqns[:where] for v in eqn.results]]
    numbers = [v for v in known if v.type.dtype.is_inexact]
    if not numbers:
        return
    operand = data.draw(st.sampled_from(numbers))
    extra = Eqn(ir.op_named("atan2"), (operand, operand), {}, (Value(operand.type),))
    if operand.type.dtype.is_complex:
        extra = Eqn(ir.op_named("conj"), (operand,), {}, (Value(operand.type),))
    longer = function.replace(eqns=(*function.eqns[:where], extra, *function.eqns[where:]))
    for after in (longer, renamed(longer)):
        check(function, after)
        found = match(function, after)
        kept = [j for _, j in found.pairs]
        assert [j for j in range(len(after.eqns)) if j not in kept] == [where]
        assert all(found.equal)


def chain(ops: str) -> Function:
    table = {"s": sin, "c": cos, "n": neg, "m": lambda x: mul(x, x), "a": lambda x: add(x, x)}

    def body(x: Value) -> Value:
        for letter in ops:
            x = table[letter](x)
        return x

    return ir.build([SCALAR], body, names=["x"])


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        ("scnma", "scnma", "0-0 1-1 2-2 3-3 4-4"),
        ("scnma", "scma", "0-0 1-1 3-2 4-3"),  # one less in the middle
        ("scnma", "csma", "0-1 3-2 4-3"),
        ("sc" * 50, "sc" * 50 + "n", " ".join(f"{i}-{i}" for i in range(100))),
        ("scm" * 40, "sm" * 40, " ".join(f"{3 * i + 2 * k}-{2 * i + k}" for i in range(40) for k in (0, 1))),
        ("", "s", ""),
    ],
)
def test_edits(before: str, after: str, pairs: str) -> None:
    first, second = chain(before), chain(after)
    check(first, second)
    found = match(first, second)
    assert " ".join(f"{i}-{j}" for i, j in found.pairs) == pairs


def test_params_correspond_by_name() -> None:
    first = ir.build([SCALAR, SCALAR], lambda x, y: add(sin(x), y), names=["x", "y"])
    second = ir.build([SCALAR, SCALAR], lambda y, x: add(sin(x), y), names=["y", "x"])
    assert all(match(first, second).equal)
    third = ir.build([SCALAR, SCALAR], lambda y, x: add(sin(y), x), names=["y", "x"])
    assert match(first, third).equal == (False, False)


def test_what_a_pass_keeps_is_found_by_identity() -> None:
    function = chain("ssss")  # equal equations but for their operands
    shorter = function.replace(eqns=function.eqns[1:], params=function.eqns[0].results)
    assert match(function, shorter).pairs == ((1, 0), (2, 1), (3, 2))


def test_what_is_written_anew_under_its_name() -> None:
    def body(op: str) -> Function:
        function = ir.build([SCALAR, SCALAR], lambda x, y: sin(ir.op_named(op)(x, y)), names=["x", "y"])
        function.eqns[0].results[0].name = "scaled"
        return function

    found = match(body("div"), body("mul"))
    assert found.pairs == ((0, 0), (1, 1))
    assert found.equal == (False, True)  # the value is another, and stands for the first


def work(before: Function, after: Function) -> int:
    """Calls made to match."""
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(called)
    try:
        match(before, after)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    ("before", "after"),
    [("scnma", "scnma"), ("scnma", "scma"), ("sssss", "ssss"), ("scnma", "amncs"), ("sc", "nm")],
)
def test_work_is_near_linear(before: str, after: str) -> None:
    small, large = [work(chain(before * n), chain(after * n)) for n in (500, 4000)]
    assert large < 8 * 1.4 * small
