"""Determinants and systems of Kronecker products and lower triangular matrices, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import inner_first
from ir.passes.pipeline import optimize

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 4)) + np.eye(4), RNG.normal(size=(5, 5)) - np.eye(5)
X, M = RNG.normal(size=20), RNG.normal(size=(20, 3))
Program = Callable[[Any, Any, Any], Any]


def factored(function: ir.Function) -> list[int]:
    """Rows of the matrices that are factored."""
    return sorted(
        e.results[0].type.shape[0] for f in inner_first(function) for e in f.eqns if e.op.name == "lu"
    )


# Of these only the factors of the Kronecker products are factored, also in gradients; `slogdet` of `numpy` is a tuple.
KRONECKER: dict[str, Program] = {
    "system": lambda xp, a, b: xp.linalg.solve(xp.kron(a, b), X),
    "columns": lambda xp, a, b: xp.linalg.solve(xp.kron(a, b), M),
    "transposed": lambda xp, a, b: xp.linalg.solve(xp.kron(a, b).T, M),
    "of transposes": lambda xp, a, b: xp.linalg.solve(xp.kron(a.T, b.T), X),
    "inverse": lambda xp, a, b: xp.linalg.inv(xp.kron(a, b)) @ X,
    "inverse from the right": lambda xp, a, b: M.T @ xp.linalg.inv(xp.kron(a, b)),
    "logarithm": lambda xp, a, b: xp.linalg.slogdet(xp.kron(a, b))[1],
    "logarithm, and system": lambda xp, a, b: (
        xp.linalg.slogdet(xp.kron(a, b))[1] * xp.linalg.solve(xp.kron(a, b), X)
    ),
}


@pytest.mark.parametrize("name", KRONECKER)
def test_kronecker_products(name: str) -> None:
    f = KRONECKER[name]
    with jax.enable_x64(True):
        args = jnp.asarray(A), jnp.asarray(B)
        fast = tr.jit(lambda a, b: f(tnp, a, b))
        assert factored(fast.ir(*args)) == [4, 5]
        ir.verify(fast.ir(*args))
        np.testing.assert_allclose(fast(*args), f(np, A, B), rtol=1e-9)
        np.testing.assert_allclose(ir.evaluate(fast.ir(*args), A, B)[0], f(np, A, B), rtol=1e-9)
        gradient = tr.jit(tr.grad(lambda a, b: tnp.sum(tnp.sin(f(tnp, a, b))), (0, 1)))
        assert factored(gradient.ir(*args)) == [4, 5]
        want = jax.grad(lambda a, b: jnp.sum(jnp.sin(f(jnp, a, b))), (0, 1))(*args)
        outside = jax.grad(lambda a, b: jnp.sum(jnp.sin(fast(a, b))), (0, 1))(*args)
        for got in (gradient(*args), outside):
            for p, q in zip(got, want, strict=True):
                np.testing.assert_allclose(p, q, rtol=1e-7, atol=1e-9)


@given(st.integers(2, 5), st.integers(2, 5), st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_determinants_of_kronecker_products(m: int, p: int, seed: int) -> None:
    """Their signs, too: whatever the sizes, exchanges of rows are counted."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(m, m)), rng.normal(size=(p, p))
    f = lambda xp: lambda a, b: (*xp.linalg.slogdet(xp.kron(a, b)), xp.linalg.det(xp.kron(a, b)))
    with jax.enable_x64(True):
        program = tr.jit(f(tnp)).ir(a, b)
        for got, want in zip(ir.evaluate(program, a, b), f(np)(a, b), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-8)
    assert factored(program) == sorted([m, p])


def test_three_factors_and_structured_ones() -> None:
    c = RNG.normal(size=(2, 2)) + 2 * np.eye(2)
    three = lambda xp: (
        lambda a, b, c: (
            xp.linalg.solve(xp.kron(a, xp.kron(b, c)), xp.arange(40.0)),
            xp.linalg.slogdet(xp.kron(xp.kron(a, b), c))[1],
        )
    )
    with jax.enable_x64(True):
        fast = tr.jit(three(tnp))
        assert factored(fast.ir(A, B, c)) == [2, 4, 5]
        for got, want in zip(fast(A, B, c), three(np)(A, B, c), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-8)
        blocks = lambda xp: lambda b: xp.linalg.solve(xp.kron(xp.eye(4), b), X)
        np.testing.assert_allclose(tr.jit(blocks(tnp))(B), blocks(np)(B), rtol=1e-9)


def test_singular_kronecker_products() -> None:
    a = A.copy()
    a[1] = 0
    with jax.enable_x64(True):
        sign, logarithm = tr.jit(lambda a, b: tnp.linalg.slogdet(tnp.kron(a, b)))(a, B)
        assert (sign, logarithm) == (0, -np.inf)
        assert tr.jit(lambda a, b: tnp.linalg.det(tnp.kron(a, b)))(a, B) == 0
        assert not np.isfinite(tr.jit(lambda a, b: tnp.linalg.solve(tnp.kron(a, b), X))(a, B)).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_lower_triangular_matrices(sign: int) -> None:
    """As JAX's, whose gradient of a determinant needs the factors; signs, zeros and large numbers included."""
    a = sign * np.tril(RNG.normal(size=(6, 6)))
    programs: list[tuple[Callable[[Any], Callable[[Any], Any]], Callable[[Any], Any]]] = [
        (lambda xp: lambda a: xp.linalg.det(xp.tril(a)), np.prod),
        (lambda xp: lambda a: xp.linalg.slogdet(xp.triu(a.T).T)[1], lambda d: np.sum(np.log(np.abs(d)))),
        (lambda xp: lambda a: xp.linalg.slogdet(xp.tril(a))[0], lambda d: np.prod(np.sign(d))),
    ]
    zero, large = a.copy(), 1e40 * a
    zero[2, 2] = 0
    with jax.enable_x64(True):
        for f, by_diagonal in programs:
            assert not factored(tr.jit(f(tnp)).ir(a))
            for given in (a, zero, large):
                with np.errstate(divide="ignore"):
                    want = by_diagonal(np.diag(given))
                np.testing.assert_allclose(tr.jit(f(tnp))(given), want, rtol=1e-10)
        for f, _ in programs[:2]:
            got = tr.jit(tr.grad(f(tnp)))(jnp.asarray(a))
            np.testing.assert_allclose(got, jax.grad(f(jnp))(jnp.asarray(a)), rtol=1e-8, atol=1e-9)
        got = tr.jit(tr.grad(programs[0][0](tnp)))(jnp.asarray(zero))
        np.testing.assert_allclose(
            got, jax.grad(programs[0][0](jnp))(jnp.asarray(zero)), rtol=1e-8, atol=1e-9
        )


# What is read of the factors is not a determinant.
OTHERS: dict[str, Callable[[Any], Any]] = {
    "the factors": lambda a: tr.linalg.lu_factor(tnp.tril(a))[0],
    "the diagonal": lambda a: tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0]),
    "its sum": lambda a: tnp.sum(tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0])),
    "its largest": lambda a: tnp.max(tnp.abs(tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0]))),
    "its product, with the sign": lambda a: tnp.prod(tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0])),
    "its signs": lambda a: tnp.sum(tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0]) < 0) % 2,
    "a row": lambda a: tnp.prod(tr.linalg.lu_factor(tnp.tril(a))[0][1]),
    "how many rows": lambda a: tnp.sum(tr.linalg.lu_factor(tnp.tril(a))[1] != tnp.arange(6)),
    "pivots": lambda a: tr.linalg.lu_factor(tnp.tril(a))[1],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_readers_see_the_factors(name: str) -> None:
    a = RNG.normal(size=(6, 6))
    with jax.enable_x64(True):
        f = OTHERS[name]
        assert factored(optimize(tr.trace(f)(a))) == [6]
        np.testing.assert_allclose(tr.jit(f)(a), tr.jit(f, opt=0)(a), rtol=1e-12)


def test_own_determinants() -> None:
    """Not only those of the library are known."""

    def product(a: Any) -> Any:
        return tnp.prod(tnp.diag(tr.linalg.lu_factor(tnp.tril(a))[0]))

    a = RNG.normal(size=(6, 6))
    with jax.enable_x64(True):
        assert not factored(tr.jit(lambda a: tnp.abs(product(a))).ir(a))
        np.testing.assert_allclose(
            tr.jit(lambda a: tnp.abs(product(a)))(a), abs(np.prod(np.diag(a))), rtol=1e-12
        )


# Products of matrices of which all but one are triangular -------------------------------------------

C = RNG.normal(size=(5, 5)) + 3 * np.eye(5)
Y = RNG.normal(size=(5, 2))
PRODUCTS: dict[str, tuple[list[int], Program]] = {
    "of a triangle and its transpose": ([], lambda xp, a, b: xp.linalg.solve(xp.tril(a) @ xp.tril(a).T, Y)),
    "transposed": ([], lambda xp, a, b: xp.linalg.solve((xp.tril(a) @ xp.triu(b)).T, Y)),
    "with another matrix": ([5], lambda xp, a, b: xp.linalg.solve(xp.triu(a) @ b @ xp.tril(a), Y)),
    "determinant": ([], lambda xp, a, b: xp.linalg.slogdet(xp.tril(a) @ xp.tril(b).T)[1]),
    "sign": ([], lambda xp, a, b: xp.linalg.slogdet(xp.tril(b) @ xp.triu(a))[0]),
    "determinant with another matrix": ([5], lambda xp, a, b: xp.linalg.slogdet(xp.tril(a) @ b)[1]),
    "sign with another matrix": ([5], lambda xp, a, b: xp.linalg.slogdet(b.T @ xp.tril(a))[0]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_read_factor_by_factor(name: str) -> None:
    wanted, f = PRODUCTS[name]
    with jax.enable_x64(True):
        args = jnp.asarray(C), jnp.asarray(B)
        fast = tr.jit(lambda a, b: f(tnp, a, b))
        assert factored(fast.ir(*args)) == wanted
        ir.verify(fast.ir(*args))
        np.testing.assert_allclose(fast(*args), f(np, C, B), rtol=1e-9)
        np.testing.assert_allclose(ir.evaluate(fast.ir(*args), C, B)[0], f(np, C, B), rtol=1e-9)
        gradient = tr.jit(tr.grad(lambda a, b: tnp.sum(tnp.sin(f(tnp, a, b))), (0, 1)))(*args)
        reference = jax.grad(lambda a, b: jnp.sum(jnp.sin(f(jnp, a, b))), (0, 1))(*args)
        for got, want in zip(gradient, reference, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)
