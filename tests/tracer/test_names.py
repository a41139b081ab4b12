"""Results of traced equations have the names of the user's variables, and derived equations do not."""

from __future__ import annotations

from typing import Any

import numpy as np

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array

V = array(4)
STEP = 0


def names(function: ir.Function) -> list[str]:
    return [v.name for eqn in function.eqns for v in eqn.results if v.name]


def test_variables() -> None:
    def f(x: Any) -> Any:
        half = x * 0.5
        whole = tnp.tanh(half) + half
        return whole.sum()

    assert names(tr.trace(f)(V)) == ["half", "whole"]
    assert "half: f32[4] = mul(x, a)" in str(tr.trace(f)(V))


def test_globals_cells_and_functions_of_the_users() -> None:
    def inner(x: Any) -> Any:
        doubled = x + x
        return doubled

    def f(x: Any) -> Any:
        global STEP  # noqa: PLW0603
        seen = inner(x)  # inner's equation is called what inner calls it
        STEP = seen * seen
        cell = tnp.cos(seen)
        return (lambda: cell + STEP)()

    assert names(tr.trace(f)(V)) == ["doubled", "STEP", "cell"]


def test_what_is_unpacked() -> None:
    def f(x: Any) -> Any:
        orthogonal, upper = tnp.linalg.qr(x)
        state = tr.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), (0, x))
        return orthogonal.sum() + upper.sum() + state[1].sum()

    function = tr.trace(f)(array(3, 3))
    assert {"orthogonal", "upper", "state"} <= set(names(function))
    assert "orthogonal: f32[3,3], upper: f32[3,3] = qr(x)" in str(function)
    assert "state: i32[], state_1: f32[3,3] = while_loop" in str(function)


def test_assignments_of_other_kinds() -> None:
    def f(x: Any) -> Any:
        first = second = tnp.sin(x)
        first += second
        for row in first[:2]:
            picked = row * 3
        _kept = x.at[0].set(picked)
        return _kept.sum(), second

    assert names(tr.trace(f)(V))[:2] == ["first", "first"]
    assert {"row", "picked", "_kept"} <= set(names(tr.trace(f)(V)))


def test_nothing_else_is_named() -> None:
    def f(x: Any) -> Any:
        left, right = x[:2]  # which of the equations is of which, nobody knows
        x = [x, left, right][0]
        held = [x + 1]
        held.append(held[0] * 2)
        return tnp.sin(held[1])

    assert names(tr.trace(f)(V)) == []


def test_derived_equations_have_no_names() -> None:
    def f(x: Any) -> Any:
        bent = tnp.sin(x)
        weighed = bent * x
        return weighed.sum()

    function = tr.trace(tr.grad(f))(V)
    assert names(function) == ["bent", "weighed"]
    again = tr.trace(tr.grad(lambda x: tr.grad(f)(x).sum()))(V)
    assert set(names(again)) == {"bent"}
    # Passes keep names, and what replaces an equation has its name.
    assert names(tr.jit(tr.grad(f)).ir(V)) == ["bent"]

    def g(x: Any) -> Any:
        slope = tr.grad(f)(x)
        return slope * 2

    assert "slope" not in names(tr.trace(g)(V))


def test_converted_control_flow() -> None:
    def f(x: Any) -> Any:
        total = x
        while total.sum() < 10:
            step = total * 0.5
            total = total + step
        return total

    function = tr.trace(f, autograph=True)(V)
    body = next(f for e in function.eqns for f in ir.nested_functions(e) if "step" in str(f))
    assert names(body) == ["step", "total"]
    assert not any(name.startswith(("ag__", "_")) for name in names(function))


def test_captures_are_called_what_they_are_outside() -> None:
    def f(weights: Any, x: Any) -> Any:
        return tr.map(lambda row: weights * row, x)

    function = tr.trace(f)(V, array(3, 4))
    (body,) = [g for e in function.eqns for g in ir.nested_functions(e)]
    assert body.params[0].name == "weights"
    assert ir.parse(str(function)) == function


def test_values_do_not_depend_on_names() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        return y

    def g(x: Any) -> Any:
        return x * 2

    assert tr.trace(f)(V) == tr.trace(g)(V)
    np.testing.assert_array_equal(tr.jit(f)(V), tr.jit(g)(V))


def test_what_is_unpacked_of_a_loop_is_not_its_results() -> None:
    def f(x):
        carry, _ = tr.scan(lambda c, _: ((c[0] + c[1], c[1] * 2.0), None), (x, x + 1), None, length=3)
        return carry

    (loop,) = [eqn for eqn in tr.trace(f)(1.0).eqns if eqn.op.name == "scan"]
    assert [v.name for v in loop.results] == ["", ""]


def test_an_underscore_is_no_name() -> None:
    def f(x):
        _ = tnp.sin(x)
        return tnp.cos(_)

    assert [eqn.results[0].name for eqn in tr.trace(f)(1.0).eqns] == ["", ""]
