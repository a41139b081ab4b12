"""The search for origins, run by the NumPy evaluator, against a forward search in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Value
from ir.op import build
from ir.ops.elementwise import add, div, log, mul, select, sqrt, sub
from ir.ops.loops import scan
from ir.origins import Argument, Kind, Origin, search
from ir.origins.flagged import counted, flagged
from ir.origins.inside import EVERY, inside
from ir.passes.silent import silent
from ir.transforms.checked import checked
from ir.types import TensorType, bool_, f32, i32

X = TensorType((3,), f32)


def run(function: ir.Function, operands: Any) -> Any:
    ir.verify(function)
    return ir.evaluate(function, *operands)


def found(function: ir.Function, *operands: Any, kind: Kind = Kind.NAN, **options: Any) -> Any:
    return search(function, operands, run, kind, **options)


# Straight-line programs -----------------------------------------------------------------------------------


def every_value(function: ir.Function, operands: Any) -> dict[Value, Any]:
    values = (*function.params, *[r for e in function.eqns for r in e.results])
    return dict(zip(values, ir.evaluate(function.replace(results=values), *operands), strict=True))


def forwards(function: ir.Function, operands: Any) -> Any:
    """The first origin whose NaN goes from value to value to a result; by following every NaN from where it is."""
    env = every_value(function, operands)
    bad = {v for v, x in env.items() if x.dtype.kind == "f" and np.isnan(x).any()}
    came_from: dict[Value, set[int]] = {p: {-1} for p in function.params if p in bad}
    for i, eqn in enumerate(function.eqns):
        for r in eqn.results:
            if r in bad:
                sources = [came_from[v] for v in eqn.operands if v in bad]
                came_from[r] = set().union(*sources) if sources else {i}
    return min((i for r in function.results if r in bad for i in came_from[r]), default=None)


@st.composite
def programs(draw: Any) -> tuple[ir.Function, list[Any]]:
    name, at = st.sampled_from(["add", "sub", "mul", "div", "log", "sqrt", "select"]), st.integers(0, 99)
    steps = draw(st.lists(st.tuples(name, at, at), min_size=1, max_size=9))
    binary = {"add": add, "sub": sub, "mul": mul, "div": div}

    def body(mask: Value, x: Value, y: Value) -> list[Value]:
        values = [x, y]
        for name, i, j in steps:
            a, b = values[i % len(values)], values[j % len(values)]
            if name == "select":
                made = select(mask, a, b)
            elif name in binary:
                made = binary[name](a, b)
            else:
                made = {"log": log, "sqrt": sqrt}[name](a)
            values.append(made)
        return [values[-1], values[len(values) // 2]]

    function = build([TensorType((3,), bool_), X, X], body)
    numbers = st.lists(st.sampled_from([0.0, 1.0, -1.0, 3e38, 2.0, np.inf, np.nan]), min_size=3, max_size=3)
    arrays = [np.float32(draw(numbers)) for _ in range(2)]
    return function, [np.array(draw(st.lists(st.booleans(), min_size=3, max_size=3))), *arrays]


@given(programs())
@settings(max_examples=150, deadline=None)
def test_straight_line_programs(program: Any) -> None:
    function, operands = program
    expected = forwards(function, operands)
    got = found(function, *operands)
    if expected is None:
        assert got is None
    elif expected == -1:
        assert isinstance(got, Argument)
        assert all(np.isnan(operands[i]).any() for i in got.positions)
    else:
        assert isinstance(got, Origin)
        assert got.eqn.results == function.eqns[expected].results
        assert not any(np.isnan(x).any() for x in got.operands if x.dtype.kind == "f")
        assert any(np.isnan(x).any() for x in got.results)


@pytest.mark.parametrize(
    ("kind", "x", "holds"),
    [
        (Kind.NAN, [1, np.nan, 2], True), (Kind.NAN, [1, np.inf, 2], False), (Kind.INF, [1, np.nan, 2], False),
        (Kind.INF, [1, -np.inf, 2], True), (Kind.EITHER, [1, -np.inf, 2], True), (Kind.EITHER, [1, 2, 3], False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
def test_kinds(kind: Kind, x: Any, holds: bool, dtype: Any) -> None:
    array = np.array(x, dtype)
    function = build([TensorType((3,), ir.types.from_numpy(array.dtype))], lambda x: x)
    (flags,) = ir.evaluate(flagged(function, kind), array)
    assert flags.tolist() == [holds]


# Loops --------------------------------------------------------------------------------------------------------


def test_a_loop_is_entered_with_what_it_carried() -> None:
    def step(c: Value, x: Value) -> list[Value]:
        return [add(c, sqrt(x)), c]

    scalar = TensorType((), f32)
    body = build([scalar, scalar], step)
    whole = build(
        [scalar, TensorType((5,), f32)],
        lambda c, xs: scan(c, xs, function=body, num_consts=0, num_carry=1, length=5),
    )
    operands = np.float32(1), np.float32([4, 9, -1, 16, -1])
    entry = inside(whole.eqns[0], 0, Kind.NAN)
    assert entry is not None
    trip, carry, x = run(entry.program, (np.int32(EVERY), *operands))
    assert (trip, carry, x) == (2, 6, -1)
    trip, *_ = run(entry.program, (np.int32(2), *operands))  # before that, nothing happened
    assert trip == -1


def test_counting_changes_no_results() -> None:
    def f(x):
        def step(carry, row):
            healed = tnp.where(tnp.isnan(carry), 0, carry)
            inner = tr.while_loop(lambda s: s < 3, lambda s: s + 1, healed)
            return tr.cond(row > 0, lambda a: tnp.log(a), lambda a: a * 2, inner) + row, healed

        return tr.scan(step, 1.0, x)

    for x in (np.float32([1, -2, 3]), np.float32([1, -9, 1, 2])):
        for g in (f, tr.jacrev(lambda x: f(x)[0]), tr.jacfwd(lambda x: f(x)[0])):
            function = tr.trace(g)(x)
            made = counted(function, Kind.NAN)
            ir.verify(made)
            *outs, flag = ir.evaluate(made, x)
            for a, b in zip(outs, ir.evaluate(function, x), strict=True):
                np.testing.assert_array_equal(a, b)
            assert flag == (found(function, x, everywhere=True) is not None)


# Effects and checks -------------------------------------------------------------------------------------------


def test_silent() -> None:
    def f(x):
        def step(carry, row):
            tr.check(row > 0, "negative")
            return carry + row, None

        tr.debug.print("{}", x)
        return tr.scan(step, 0.0, x)[0]

    function = tr.trace(f)(np.float32([1, 2]))
    made = silent(function)
    ir.verify(made)
    assert "check" not in str(made)
    assert "print" not in str(made)
    assert silent(made) is made
    from ir.ops.check import check

    assert "print" in str(silent(function, check))
    assert "check" not in str(silent(function, check))


def test_checked_programs_are_well_formed() -> None:
    def f(x):
        def step(carry, row):
            tr.check(row > 0, "negative: {}", row)
            return tr.cond(row > 2, lambda c: (tr.check(c < 9, "large"), c * 2)[1], lambda c: c, carry), None

        return tr.while_loop(
            lambda s: s < 5, lambda s: (tr.check(s > -1, "small"), s + 1)[1], tr.scan(step, 1.0, x)[0]
        )

    x = np.float32([1, 3, 4])
    for g in (f, tr.grad(f), tr.jacfwd(f), tr.grad(tr.checkpoint(f))):
        function = tr.trace(g)(x)
        made = checked(function)
        ir.verify(made.function)
        assert len(made.checks) == 3
        assert "check(" not in str(made.function)
        count = len(function.results)
        for row, code in ((x, 0), (np.float32([1, -3, 4]), None)):
            outs = ir.evaluate(made.function, row)
            assert (outs[count] == 0) == (code == 0)
            assert outs[count].dtype == i32.np
