"""Tables of powers with exponents in progression: products instead of powers, and what NumPy and JAX give."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ir
import tracer as tr
from ir.op import build
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
