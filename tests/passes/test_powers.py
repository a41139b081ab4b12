"""Tables of powers with exponents in progression: products instead of powers, and what NumPy and JAX give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.op import build
from ir.passes.power_tables import tabulate_powers
from ir.passes.rolling import roll, roll_exact
from ir.passes.rolling.powers import is_progression, progression
from ir.types import TensorType, f64

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 1e30, -1e-30, np.inf, -np.inf, np.nan])
EXPONENTS = [
    *[np.arange(n) for n in (2, 3, 4, 5, 8, 13, 16, 31, 64, 127, 128)],
    np.arange(3, 40),
    np.arange(1, 60, 2),
    np.arange(40)[::-1],
    -np.arange(25),
    -np.arange(25)[::-1],
    -np.arange(4, 40, 3),
]


@pytest.mark.parametrize("exponents", EXPONENTS, ids=lambda e: f"{e[0]}_{e[1]}_{e[-1]}")
def test_tables_are_powers(exponents: np.ndarray) -> None:
    x = np.concatenate([SPECIAL, np.random.default_rng(0).uniform(-2, 2, 20)]).reshape(4, 8)
    assert is_progression(exponents)
    table = build([TensorType(x.shape, f64)], lambda x: progression(x, exponents))
    ir.verify(table)
    with np.errstate(all="ignore"):
        want = x[None] ** exponents[:, None, None].astype(np.float64)
        (got,) = ir.evaluate(table, x)
    # (A sign of zero may be lost where the reciprocal of what overflows is taken.)
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_what_is_in_progression() -> None:
    assert not is_progression(np.array([0, 1, 2, 4]))
    assert not is_progression(np.array([3, 3, 3]))
    assert not is_progression(np.array([5]))


def polynomial(x: Any, t: Any) -> Any:
    r = 0.0 * t
    for j in range(50):
        r = r - x[j] * t**j
    return r


@pytest.mark.parametrize("n", [4, 300])
def test_running_powers_become_products_where_there_are_many(n: int) -> None:
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x, t = rng.normal(size=50), rng.uniform(-1, 1, n)
        program = tr.trace(polynomial)(x, t)
        assert ("pow" in {e.op.name for e in roll(program).eqns}) == (n == 4)
        assert "pow" not in {e.op.name for e in roll_exact(program).eqns}
        assert len(roll(program).eqns) < 60 < len(program.eqns)
        np.testing.assert_allclose(
            tr.jit(polynomial)(x, t), -np.polynomial.polynomial.polyval(t, x), rtol=1e-12, atol=1e-13
        )

        def loss(x: Any, t: Any) -> Any:
            return (polynomial(x, t) ** 2).sum()

        for got, want in zip(
            tr.jit(tr.grad(loss, (0, 1)))(x, t), jax.jit(jax.grad(loss, (0, 1)))(x, t), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(
            tr.jit(tr.hvp, static_argnums=0)(lambda t: loss(x, t), (t,), (np.cos(t),)),
            jax.jvp(jax.grad(lambda t: loss(x, t)), (t,), (np.cos(t),))[1],
            rtol=1e-10,
            atol=1e-11,
        )


def test_derivatives_at_special_values() -> None:
    """At 0, at 1, where powers overflow and where the cotangents of those are zero."""
    with jax.enable_x64(True):
        t = np.resize(np.array([0.0, -0.0, 1.0, -1.0, 1e10, -1e10, 1e-200, 0.5]), 64)
        for x in (np.ones(50), np.where(np.arange(50) < 30, 1.0, 0.0)):
            got = tr.jit(tr.grad(lambda t, x=x: polynomial(x, t).sum()))(t)
            want = jax.grad(lambda t, x=x: polynomial(x, t).sum())(t)
            np.testing.assert_allclose(got, want, rtol=1e-12)


TABLES: dict[str, Callable[[Any, Any], Any]] = {
    "constants along the last axis": lambda np_, t: t[:, None] ** np.arange(40),
    "a count along the last axis": lambda np_, t: t[:, None] ** np_.arange(40),
    "a count along the first axis": lambda np_, t: t ** np_.arange(40)[:, None],
    "floats": lambda np_, t: t[:, None] ** np_.arange(40.0),
    "falling": lambda np_, t: np_.vander(t, 40),
    "every second": lambda np_, t: t[:, None] ** np_.arange(3, 80, 2),
    "negative": lambda np_, t: t[:, None] ** (-np_.arange(40)),
    "in the middle": lambda np_, t: t.reshape(5, 1, 12) ** np_.arange(40)[:, None],
    "running products": lambda np_, t: np_.cumprod(np_.broadcast_to(t[:, None], (60, 40)), axis=1),
    "running products of rows": lambda np_, t: np_.cumprod(np_.broadcast_to(t, (40, 60)), axis=0)[::-1],
    "of rows": lambda np_, t: np_.broadcast_to(t[:5, None, None], (5, 40, 12)) ** np_.arange(40)[:, None],
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_written_as_arrays(name: str) -> None:
    f = TABLES[name]
    with jax.enable_x64(True):
        t = np.random.default_rng(0).uniform(0.5, 1.5, 60) * np.where(np.arange(60) % 3, 1, -1)
        program = tr.trace(lambda t: f(tnp, t))(t)
        tabulated = tabulate_powers(program)
        ir.verify(tabulated)
        assert {"pow", "cumprod"} & {e.op.name for e in program.eqns}
        assert not {"pow", "cumprod"} & {e.op.name for e in tabulated.eqns}
        for special in (t, np.resize(SPECIAL, 60)):
            with np.errstate(all="ignore"):
                (want,), (got,) = ir.evaluate(program, special), ir.evaluate(tabulated, special)
            np.testing.assert_allclose(got, want, rtol=1e-13)
        weights, v = np.cos(np.arange(want.size)).reshape(want.shape), np.cos(t)

        def derivatives(lib: Any, np_: Any) -> Any:
            g = lib.grad(lambda t: (f(np_, t) * weights).sum())
            return lib.jit(lambda t: (g(t), *lib.jvp(g, (t,), (v,))))

        for got, want in zip(derivatives(tr, tnp)(t), derivatives(jax, jnp)(t), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize(
    "f",
    [
        lambda t: t[:, None] ** (np.arange(40) ** 2),
        lambda t: t[:, None] ** (np.arange(40) - 7),
        lambda t: t[:, None] ** np.arange(0.0, 20.0, 0.5),
        lambda t: t[:, None] ** np.arange(5),
        lambda t: tnp.outer(t, tnp.arange(60.0)) ** np.arange(60),
        lambda t: t[:, None] ** np.add.outer(np.arange(60), np.arange(40)),
        lambda t: t[:, None].astype("float16") ** np.arange(40),
        lambda t: t[:, None].astype(complex) ** np.arange(40),
        lambda t: t[:, None] ** np.arange(10_000),
        lambda t: tnp.cumprod(tnp.broadcast_to(t[:, None], (60, 40)), axis=0),
        lambda t: tnp.cumprod(tnp.outer(t, t), axis=1),
    ],
)
def test_other_powers_stay(f: Callable[[Any], Any]) -> None:
    """No progression, both signs, fractions, few, bases that change too, types without the digits, other products."""
    program = tr.trace(f)(np.ones(60, np.float32))
    assert tabulate_powers(program) is program


def test_exponents_that_are_sums_of_constants() -> None:
    """Nothing is followed where both are known."""
    x = np.random.default_rng(0).uniform(0.5, 2, 3).astype(np.float32)

    def f(x: Any) -> Any:
        return x ** (tnp.asarray(-1.0) * tnp.asarray(2.0)) + x[:, None] ** (
            tnp.asarray(1.0) + tnp.asarray(np.ones(1, np.float32))
        )

    function = tr.trace(f)(x)
    for got, want in zip(ir.evaluate(tabulate_powers(function), x), ir.evaluate(function, x), strict=True):
        np.testing.assert_array_equal(got, want)
