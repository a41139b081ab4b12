"""Equations of one level side by side: values and derivatives stay, and nests of loops become products of arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.passes.dce import dce
from ir.passes.rolling import lanes, roll, roll_exact
from ir.passes.rolling.lanes import side_by_side
from ir.passes.rolling.roll import without_derivative
from tests.passes import test_rolling
from tests.passes.test_rolling import (
    check_derivatives,
    matrix,
    planted,
    repeated,
    rng,
    run_planted,
    traced,
    vector,
)
from tests.tracer.helpers import assert_close, x64

Program = Callable[[Any, Any], Any]


def however_few(function: ir.Function, **options: Any) -> ir.Function:
    """`side_by_side`, also where there are few lanes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes, "_MEAN", 1)
        return side_by_side(function, **options)


def orthogonal(xp: Any, m: Any) -> Any:
    """Gram and Schmidt's basis."""
    basis: list[Any] = []
    for i in range(m.shape[1]):
        v = m[:, i] + xp.arange(m.shape[0]) ** (i % 3)
        for q in basis:
            v = v - (q @ v) * q
        basis.append(v / xp.sqrt(xp.sum(v * v)))
    return xp.sum(xp.sin(xp.stack(basis)))


def cholesky(xp: Any, m: Any) -> Any:
    """A factor of a symmetric matrix, an entry at a time."""
    n = m.shape[1]
    a = [[m[i, j] + (2.0 * n if i == j else 0.0) for j in range(i + 1)] for i in range(n)]
    for i in range(n):
        for j in range(i + 1):
            for k in range(j):
                a[i][j] = a[i][j] - a[i][k] * a[j][k]
            a[i][j] = xp.sqrt(a[i][j]) if i == j else a[i][j] / a[j][j]
    return sum([xp.log(a[i][i]) + xp.cos(a[i][0]) for i in range(n)])


def heads(xp: Any, m: Any) -> Any:
    """Lanes that differ in a parameter, over several steps."""
    states = [m[i] for i in range(m.shape[0])]
    for step in range(12):
        mean = sum(states) / len(states)
        states = [xp.tanh(s * m[i, 0] - mean) + 0.1 * step for i, s in enumerate(states)]
    return sum([xp.sum(s * s) for s in states])


def swapped(xp: Any, m: Any) -> Any:
    """Lanes of lanes, in another order each time, and some that are left out."""
    values = [m[i, 0] for i in range(m.shape[0])]
    for step in range(24):
        values = [xp.sin(x) * values[(3 * i + step) % len(values)] for i, x in enumerate(values)]
        values = values[::-1] if step % 4 else [*values[2:], values[0], values[1]]
    return values[0] + xp.sum(xp.stack(values[3:]))


# (program, its argument, at most so many equations)
NESTS: list[tuple[Program, Any, int]] = [
    (orthogonal, matrix(20, 16), 120),
    (cholesky, matrix(14, 14), 400),
    (heads, matrix(9, 4), 400),
    (swapped, matrix(13, 1), 400),
]


@pytest.mark.parametrize(("f", "x", "most"), NESTS, ids=[f.__name__ for f, *_ in NESTS])
def test_nests_of_loops(f: Program, x: Any, most: int) -> None:
    with x64():
        x = np.asarray(x, np.float64)
        function = traced(f, x)
        for each in (lambda f: dce(side_by_side(f)), roll, roll_exact):
            packed = each(function)
            ir.verify(packed)
            assert len(packed.eqns) <= (most if each in (roll, roll_exact) else len(function.eqns) * 0.6)
            check_derivatives(packed, function, x, rng(3).uniform(-1, 1, x.shape), 1e-8)


def test_twice_the_columns_make_no_longer_program() -> None:
    lengths = [len(roll(traced(orthogonal, matrix(n + 4, n))).eqns) for n in (16, 32)]
    assert lengths[1] <= lengths[0] + 8


PROGRAMS: list[tuple[Program, Any]] = [
    *[(f, at(12)) for f, at, _ in test_rolling.GROWING],
    *[(f, argument(small // 3)) for f, argument, (small, _) in test_rolling.CASES],
]


@pytest.mark.parametrize(("f", "x"), PROGRAMS, ids=[f.__name__ for f, _ in PROGRAMS])
def test_programs_stay_what_they_are(f: Program, x: Any) -> None:
    """Whether it pays or not."""
    with x64():
        x = np.asarray(x, np.float64)
        function = traced(f, x)
        packed = dce(however_few(dce(function)))
        ir.verify(packed)
        check_derivatives(packed, function, x, rng(3).uniform(-1, 1, x.shape), 1e-9)


@given(planted(), st.integers(0, 3))
def test_planted_loops(program: tuple[list[Any], list[int], bool], seed: int) -> None:
    blocks, used, exact = program
    with x64():
        x = rng(seed).uniform(0.2, 1.0, 400)
        function = traced(lambda xp, x: run_planted(blocks, used, x, 5), x)
        packed = however_few(function, exact=exact)
        ir.verify(packed)
        want = ir.evaluate(ir.transforms.value_and_grad(function, [True]), x)
        got = ir.evaluate(ir.transforms.value_and_grad(packed, [True]), x)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-11)


@given(st.integers(0, 10**9))
def test_whatever_repeats_keeps_its_meaning(seed: int) -> None:
    function = repeated(seed)
    x = rng(seed % 97).uniform(-1, 1, 60)
    packed = however_few(function)
    ir.verify(packed)
    want = ir.evaluate(function, x, 0.3, -0.7)
    for a, b in zip(ir.evaluate(packed, x, 0.3, -0.7), want, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * max(1.0, float(np.max(np.abs(b)))))


@given(st.integers(0, 10**9))
def test_programs_without_loops(seed: int) -> None:
    """Lanes of many arrays, alone and together, in any order."""
    random = np.random.default_rng(seed)
    steps = [(int(random.integers(6)), *random.integers(0, 8, 3).tolist()) for _ in range(60)]

    def f(xp: Any, x: Any) -> Any:
        held = [x[i] for i in range(8)]
        for kind, a, b, to in steps:
            u, v = held[a], held[b]
            held[to] = [
                lambda u=u: xp.sin(u),
                lambda u=u, v=v: u * v,
                lambda u=u, v=v: 0.5 * u + v,
                lambda u=u, v=v: xp.tanh(u) - v,
                lambda u=u: xp.cos(u) * 0.3,
                lambda u=u: xp.exp(-u * u),
            ][kind]()
        return sum(held)

    with x64():
        x = rng(seed % 97).uniform(-1, 1, 8)
        function = traced(f, x)
        packed = however_few(function)
        ir.verify(packed)
        check_derivatives(packed, function, x, rng(3).uniform(-1, 1, x.shape), 1e-9)


def test_what_has_no_derivative_is_in_no_lane_with_what_has() -> None:
    """Roots of zeros that are only returned beside the loss: their slopes are infinite."""

    def f(x: Any) -> Any:
        roots = [tnp.sqrt(x[i]) for i in range(24)]
        return sum([tnp.sin(r) for r in roots[:18]]), *roots

    x = np.where(np.arange(24) < 18, 2.0, 0.0).astype(np.float32)
    function = tr.trace(f)(x)

    def gradient(apart: Any) -> Any:
        packed = side_by_side(function, apart)
        assert sum(eqn.op.name == "sqrt" for eqn in packed.eqns) <= 2
        loss = packed.replace(results=packed.results[:1])
        return ir.evaluate(ir.transforms.value_and_grad(loss, [True]), x)[1]

    want = np.where(x > 0, np.cos(np.sqrt(2.0)) * 0.5 / np.sqrt(2.0), 0.0)
    np.testing.assert_allclose(gradient(without_derivative(function, 1, ())), want, rtol=1e-6)
    assert not np.isfinite(gradient(())).all()


def test_effects_keep_their_order() -> None:
    def f(x: Any) -> Any:
        for i in range(4):
            tr.from_jax(lambda y: jax.debug.print("{}", y))(x[i])
        return [tnp.sin(x[i]) for i in range(4)]

    function = tr.trace(f)(vector(4))
    assert side_by_side(function) is function


def test_large_lanes_stay_apart() -> None:
    def f(x: Any) -> Any:
        return [tnp.sin(x[i]) for i in range(4)]

    for size, found in ((8, 1), (5000, 4)):
        packed = side_by_side(tr.trace(f)(np.ones((4, size), np.float32)))
        assert sum(eqn.op.name == "sin" for eqn in packed.eqns) == found


def test_few_lanes_stay_apart() -> None:
    for count in (3, 4):
        function = tr.trace(lambda x, n=count: [tnp.sin(x[i]) for i in range(n)])(vector(9))
        assert (side_by_side(function) is function) == (count < 4)


def test_loops_of_unknown_length_and_random_numbers_stay_apart() -> None:
    """All would run as long as the longest; and some generators give other numbers side by side."""

    def f(x: Any, key: Any) -> Any:
        halves = [tr.while_loop(lambda y: y > 1, lambda y: y * 0.5, x[i]) for i in range(5)]
        return [*halves, *[tr.random.uniform(k) for k in tr.random.split(key, 5)]]

    args = vector(5), jax.random.key(0)
    function = tr.trace(f)(*args)
    packed = however_few(function)
    for name in ("while_loop", "random_bits"):
        assert [e.op.name for e in packed.eqns].count(name) == [e.op.name for e in function.eqns].count(name)
    for a, b in zip(tr.to_jax(packed)(*args), f(*args), strict=True):
        np.testing.assert_allclose(a, b)
