"""Passes over loops and branches: what nobody reads goes, effects stay and run as often as they should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ir
from ir import transforms
from ir.contents import has_effects, has_open_loops
from ir.core import Function
from ir.op import _TABLE, Op, build
from ir.ops.cond import cond
from ir.ops.elementwise import add, exp, lt, mul, sin
from ir.ops.loops import scan
from ir.ops.replay import replay
from ir.ops.shape import full
from ir.ops.while_loop import while_loop
from ir.ops.while_record import while_record
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.fold import fold
from ir.passes.pipeline import optimize
from ir.types import TensorType, bool_, f64, i32

F = TensorType((2,), f64)
I = TensorType((), i32)
X = np.asarray([0.3, -1.2])


def ops(function: Function) -> list[str]:
    return [eqn.op.name for eqn in function.eqns]


def only(function: Function, name: str) -> Any:
    (eqn,) = [e for e in function.eqns if e.op.name == name]
    return eqn


def checked(function: Function, *arrays: Any) -> Function:
    """The function after dead code went; it computes the same and verifies."""
    out = dce(function)
    ir.verify(out)
    for a, b in zip(ir.evaluate(function, *arrays), ir.evaluate(out, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)
    assert dce(out) is out
    return out


# Dead code ------------------------------------------------------------------------------------------


def counted() -> dict[str, Any]:
    """(i, x, s, y): x feeds itself, s adds up x, y is fed by s and by nothing that is used."""

    def body(w: Any, u: Any, i: Any, x: Any, s: Any, y: Any) -> Any:
        return add(i, full((), 1, i32)), mul(w, sin(x)), add(s, x), mul(add(y, s), u)

    return {
        "cond": build([I, I, F, F, F], lambda n, i, x, s, y: lt(i, n), "going"),
        "body": build([F, F, I, F, F, F], body, "body"),
        "num_cond_consts": 1,
        "num_body_consts": 2,
    }


def test_dead_carries_of_while_loop() -> None:
    zero = lambda: full((), 0, i32)
    for result, carries, consts in ((1, 2, 1), (2, 3, 1), (3, 4, 2)):
        f = build([I, F], lambda n, x, k=result: while_loop(n, x, x, zero(), x, x, x, **counted())[k])
        eqn = only(checked(f, np.int32(4), X), "while_loop")
        assert len(eqn.results) == carries
        assert eqn.attrs["num_body_consts"] == consts
    unused = build([I, F], lambda n, x: (while_loop(n, x, x, zero(), x, x, x, **counted()), x)[1])
    assert ops(dce(unused)) == []


def test_dead_record_is_a_plain_loop() -> None:
    def run(n: Any, x: Any) -> Any:
        outs = while_record(n, x, x, full((), 0, i32), x, x, x, **counted(), kept=(1, 2), slots=(4, 1, 2))
        return outs[1]

    assert only(checked(build([I, F], run), np.int32(9), X), "while_loop").attrs["num_body_consts"] == 1

    def one(n: Any, x: Any) -> Any:
        outs = while_record(n, x, x, full((), 0, i32), x, x, x, **counted(), kept=(1, 2), slots=(4, 1, 2))
        return outs[0], outs[4], outs[7]

    eqn = only(checked(build([I, F], one), np.int32(9), X), "while_record")
    assert eqn.attrs["kept"] == (2,)
    assert len(eqn.results) == 3 + 2 + 1


def test_dead_parts_of_scan() -> None:
    def body(w: Any, u: Any, c: Any, d: Any, x: Any, z: Any) -> Any:
        return add(c, mul(w, x)), add(d, mul(u, z)), mul(c, x), mul(d, z)

    function = build([F] * 6, body, "body")
    attrs = {"function": function, "num_consts": 2, "num_carry": 2, "length": 3}
    stacked = TensorType((3, 2), f64)
    for result in (0, 2):
        f = build([F, stacked], lambda x, xs, k=result: scan(x, x, x, x, xs, xs, **attrs)[k])
        eqn = only(checked(f, X, np.stack([X, 2 * X, 3 * X])), "scan")
        assert (eqn.attrs["num_consts"], eqn.attrs["num_carry"], len(eqn.operands)) == (1, 1, 3)


def test_dead_results_of_cond() -> None:
    types = [F, F]
    branches = (
        build(types, lambda x, y: (sin(x), exp(y)), "a"),
        build(types, lambda x, y: (mul(x, x), add(y, x)), "b"),
    )
    f = build([I, F, F], lambda i, x, y: cond(i, x, y, branches=branches)[0])
    eqn = only(checked(f, np.int32(1), X, X), "cond")
    assert len(eqn.operands) == 2
    assert [ops(b) for b in eqn.attrs["branches"]] == [["sin"], ["mul"]]


def test_dead_folds_of_replay() -> None:
    forward = build([F, F, F], lambda w, x, z: (sin(x), mul(w, z)), "forward")
    step = build([F] * 5, lambda w, x, z, u, v: (mul(u, x), mul(v, add(w, z))), "step")
    attrs = {"forward": forward, "step": step, "num_consts": 1, "num_state": 2, "slots": (2, 1, 1)}
    for reverse in (False, True):
        f = build([I, F], lambda n, x, r=reverse: replay(n, x, x, x, x, x, **attrs, reverse=r)[0])
        eqn = only(checked(f, np.int32(5), X), "replay")
        assert (eqn.attrs["num_consts"], eqn.attrs["num_state"], len(eqn.results)) == (0, 1, 1)


# Effects --------------------------------------------------------------------------------------------


@pytest.fixture
def report() -> Iterator[tuple[Op, list[Any]]]:
    """An op with an effect: it writes down what it is given."""
    seen: list[Any] = []

    def evaluate(x: Any) -> Any:
        seen.append(np.asarray(x).copy())
        return x

    op = Op(
        name="report", attrs={}, type_rule=lambda x: x, eval=evaluate, jvp=None, transpose=None,
        batch=lambda operands, batched, size: ((op(*operands),), (True,)),
        flops=lambda operands, results: 0, effect=True,
    )  # fmt: skip
    assert "report" not in _TABLE
    yield op, seen


def program(report: Op) -> Function:
    """A loop and a branch that report and are not used, each twice."""
    going = build([I], lambda i: lt(i, full((), 3, i32)), "going")
    body = build([I], lambda i: (report(i), add(i, full((), 1, i32)))[1], "body")
    branches = (build([F], lambda x: x, "quiet"), build([F], lambda x: (report(x), x)[1], "loud"))
    loop = {"cond": going, "body": body, "num_cond_consts": 0, "num_body_consts": 0}

    def run(i: Any, x: Any) -> Any:
        for _ in range(2):
            while_loop(i, **loop)
            cond(i, x, branches=branches)
        return sin(x)

    return build([I, F], run)


def test_effects_inside_are_found(report: Any) -> None:
    function = program(report[0])
    assert has_effects(function)
    assert [has_effects(e) for e in function.eqns] == [True, True, True, True, False]
    assert has_open_loops(function)
    pure = build([F], sin)
    assert not has_effects(pure)
    assert not has_open_loops(pure)


def test_effects_inside_are_kept_and_not_merged(report: Any) -> None:
    op, seen = report
    function = program(op)
    for each in (dce, cse, fold, optimize):
        out = each(function)
        assert ops(out).count("while_loop") == ops(out).count("cond") == 2
        seen.clear()
        ir.evaluate(out, np.int32(1), X)
        assert len(seen) == 2 * (2 + 1)


def test_pure_loops_are_merged() -> None:
    loop = {
        "cond": build([I], lambda i: lt(i, full((), 3, i32)), "going"),
        "body": build([I], lambda i: add(i, full((), 1, i32)), "body"),
        "num_cond_consts": 0,
        "num_body_consts": 0,
    }
    function = build([I], lambda i: add(while_loop(i, **loop), while_loop(i, **loop)))
    assert ops(cse(function)).count("while_loop") == 1


def test_examples_have_the_effects_of_what_they_run(report: Any) -> None:
    """In a batch, each example reports for its own trips and its own branch."""
    op, seen = report
    batched, _ = transforms.batch(program(op), [True, False], 3)
    ir.verify(batched)
    ir.evaluate(batched, np.asarray([0, 2, 5], np.int32), X)
    trips = [x for x in seen if x.dtype == np.int32]
    assert sorted(int(x) for x in trips) == sorted(2 * [0, 1, 2, 2])
    assert len(seen) - len(trips) == 2 * 2  # two of the three take the branch that reports


def test_a_replay_does_not_repeat_effects(report: Any) -> None:
    op, seen = report
    going = build([TensorType((), f64)], lambda x: lt(x, full((), 9.0, f64)), "going")
    body = build(
        [TensorType((), f64)],
        lambda x: (op(lt(x, x)), mul(x, full((), 1.5, f64)))[1],
        "body",
    )
    f = build(
        [TensorType((), f64)],
        lambda x: while_loop(x, cond=going, body=body, num_cond_consts=0, num_body_consts=0),
    )
    gradient = transforms.value_and_grad(f, [True])
    ir.evaluate(gradient, np.float64(1.0))
    assert len(seen) == 6
    assert seen[0].dtype == bool_.np
