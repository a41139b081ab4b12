"""Factors of a matrix are found once, for systems with it and its transpose and for determinants."""

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
from ir.core import inner_first
from ir.passes.factors import share_factors
from ir.passes.pipeline import optimize, pipeline
from ir.remarks import remarks

N = 7
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, N)) + 3 * np.eye(N)
B, C = RNG.normal(size=(2, N))
M = RNG.normal(size=(N, 3))

# (program of a library's `linalg` and a matrix, how often the value and the gradient factor it)
PROGRAMS: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "twice": (lambda la, a: (la.solve(a, B), la.solve(a, M)), 1),
    "transposed": (lambda la, a: (la.solve(a, B), la.solve(a.T, C)), 1),
    "transposed first": (lambda la, a: (la.solve(a.T, M), la.inv(a), la.solve(a, B)), 1),
    "determinant": (lambda la, a: (la.solve(a, B), la.slogdet(a)[1]), 1),
    "all": (lambda la, a: (la.solve(a, B), la.solve(a.T, C), la.det(a)), 1),
    "determinant of the transpose": (lambda la, a: (la.solve(a, B), la.slogdet(a.T)[1], la.solve(a.T, M)), 1),
    "both determinants": (lambda la, a: (la.slogdet(a)[1], la.slogdet(a.T)[1], la.solve(a.T, C)), 1),
    "other matrices": (lambda la, a: (la.solve(a, B), la.solve(a + 1, C)), 2),
}


def factorings(function: ir.Function) -> int:
    return sum(e.op.name == "lu" for f in inner_first(function) for e in f.eqns)


def total(xp: Any, results: Any) -> Any:
    return sum(xp.sum(xp.sin(v)) for v in results)


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name: str) -> None:
    f, count = PROGRAMS[name]
    with jax.enable_x64(True):
        a = jnp.asarray(A)
        fast = tr.jit(lambda a: f(tnp.linalg, a))
        assert factorings(fast.ir(a)) == count
        ir.verify(fast.ir(a))
        for got, want in zip(fast(a), f(np.linalg, A), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10)
        for got, want in zip(ir.evaluate(fast.ir(a), A), f(np.linalg, A), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10)
        want = jax.grad(lambda a: total(jnp, f(jnp.linalg, a)))(a)
        gradient = tr.jit(tr.grad(lambda a: total(tnp, f(tnp.linalg, a))))
        assert factorings(gradient.ir(a)) == count
        # JAX differentiates the system, not its factors.
        outside = jax.grad(lambda a: total(jnp, fast(a)))
        for got in (gradient(a), outside(a)):
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9)
        tangents = jax.jvp(lambda a: total(jnp, fast(a)), (a,), (jnp.ones_like(a),))[1]
        np.testing.assert_allclose(tangents, want.sum(), rtol=1e-8)


def test_second_derivatives() -> None:
    f = lambda la, a: la.solve(a, B) @ la.solve(a.T, C) + la.slogdet(a)[1]
    with jax.enable_x64(True):
        a, v = jnp.asarray(A), jnp.asarray(RNG.normal(size=(N, N)))
        product = tr.jit(lambda a: tr.hvp(lambda a: f(tnp.linalg, a), (a,), (v,)))
        assert factorings(product.ir(a)) == 1
        want = jax.jvp(jax.grad(lambda a: f(jnp.linalg, a)), (a,), (v,))[1]
        np.testing.assert_allclose(product(a), want, rtol=1e-8, atol=1e-9)


def test_a_stopped_matrix_has_no_derivative() -> None:
    f = lambda la, a, b: la.solve(a, B) @ la.solve(b.T, C)
    with jax.enable_x64(True):
        a = jnp.asarray(A)
        fast = tr.jit(lambda a: f(tnp.linalg, a, tr.stop_gradient(a)))
        assert factorings(fast.ir(a)) == 1
        want = jax.grad(lambda a: f(jnp.linalg, a, jax.lax.stop_gradient(a)))(a)
        np.testing.assert_allclose(jax.grad(fast)(a), want, rtol=1e-8)
        np.testing.assert_allclose(tr.grad(fast)(a), want, rtol=1e-8)


def test_batches_and_complex_matrices() -> None:
    rng = np.random.default_rng(1)
    many = rng.normal(size=(4, N, N)) + 3 * np.eye(N)
    f = lambda la, a: (la.solve(a, M), la.solve(a.T, M), la.slogdet(a)[1])
    with jax.enable_x64(True):
        fast = tr.jit(tr.vmap(lambda a: f(tnp.linalg, a)))
        for k, got in enumerate(zip(*fast(jnp.asarray(many)), strict=True)):
            for one, want in zip(got, f(np.linalg, many[k]), strict=True):
                np.testing.assert_allclose(one, want, rtol=1e-9)
        a = A + 1j * many[0]
        plain = tr.jit(lambda a: f(tnp.linalg, a))
        assert factorings(plain.ir(a)) == 1
        for got, want in zip(plain(a), f(np.linalg, a), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9)


def test_singular_matrices() -> None:
    """What is not finite is not finite in the same places."""
    a = A.copy()
    a[:, 2] = 0
    f = lambda a: (tnp.linalg.solve(a, B), tnp.linalg.solve(a.T, C), *tnp.linalg.slogdet(a))
    with jax.enable_x64(True):
        for got, want in zip(tr.jit(f)(a), tr.jit(f, opt=0)(a), strict=True):
            np.testing.assert_array_equal(np.isfinite(got).all(), np.isfinite(want).all())


def test_what_stays() -> None:
    """Factors that are results themselves, one matrix, and systems with solvers of the caller's own."""
    before = pipeline()[: [each.__name__ for each in pipeline()].index("share_factors")]
    with jax.enable_x64(True), remarks() as found:
        for f in (
            lambda a: tnp.linalg.solve(a, B),
            lambda a: (tr.linalg.lu_factor(a), tr.linalg.lu_factor(a.T)),
        ):
            whole = optimize(tr.trace(f)(A), before)
            assert share_factors(whole) is whole
        assert not [each for each in found if each.by == "share_factors"]
        got = tr.jit(lambda a: (tr.linalg.lu_factor(a)[0], tnp.linalg.solve(a.T, B)))(A)
        np.testing.assert_allclose(got[1], np.linalg.solve(A.T, B), rtol=1e-10)
