"""Products of square matrices, multiples and inverses: factored where that is less work, against NumPy and JAX."""

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
from ir.cost import flops
from ir.passes.pipeline import optimize
from tests.passes.test_determinants import factored
from tests.tracer.helpers import x64

N = 24
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, N, N)) + 2 * np.eye(N)
D, V = RNG.uniform(0.5, 2, N), RNG.normal(size=N)
M = RNG.normal(size=(N, 3))
CUBE = N**3
Program = Callable[[Any, Any, Any, Any], Any]


def slogdet(xp: Any, a: Any) -> Any:
    return xp.linalg.slogdet(a)[1]


# How many matrices are factored, the operations at most (of n^3), and the program of two matrices and a vector.
PROGRAMS: dict[str, tuple[int, float, Program]] = {
    "logarithm of a product": (2, 1.9, lambda xp, a, b, d: slogdet(xp, a @ b)),
    "logarithm of a product and of a factor": (2, 1.9, lambda xp, a, b, d: slogdet(xp, a @ b) + slogdet(xp, a)),
    "logarithm of a Gram matrix": (1, 1.2, lambda xp, a, b, d: slogdet(xp, a @ a.T)),
    "sign of a product": (2, 1.9, lambda xp, a, b, d: xp.linalg.slogdet(a @ b.T)[0]),
    "determinant of a product": (2, 1.9, lambda xp, a, b, d: xp.linalg.det((a / 2) @ (b / 2))),
    "logarithm of an inverse": (1, 1.2, lambda xp, a, b, d: slogdet(xp, xp.linalg.inv(a))),
    "determinant of an inverse": (1, 1.2, lambda xp, a, b, d: xp.linalg.det(xp.linalg.inv(a))),
    "sign of an inverse": (1, 1.2, lambda xp, a, b, d: xp.linalg.slogdet(xp.linalg.inv(-a.T))[0]),
    "logarithm of a multiple": (1, 1.2, lambda xp, a, b, d: slogdet(xp, 0.1 * a) + slogdet(xp, a)),
    "sign of a negative multiple": (1, 1.2, lambda xp, a, b, d: xp.linalg.slogdet(-3.0 * a)[0] + slogdet(xp, a)),
    "logarithm of a quotient": (1, 1.2, lambda xp, a, b, d: slogdet(xp, a / d[0]) + slogdet(xp, a)),
    "logarithm of multiplied rows": (1, 1.2, lambda xp, a, b, d: slogdet(xp, d[:, None] * a) * slogdet(xp, a)),
    "logarithm of multiplied columns": (1, 1.2, lambda xp, a, b, d: slogdet(xp, (a * d).T) * slogdet(xp, a)),
    "system with a product": (2, 2.5, lambda xp, a, b, d: xp.linalg.solve(a @ b, V)),
    "systems with a product": (2, 3, lambda xp, a, b, d: xp.linalg.solve(a @ b.T, M)),
    "system with a product, transposed": (2, 2.5, lambda xp, a, b, d: xp.linalg.solve((a @ b).T, V)),
    "system with a product, and with a factor": (
        2, 3, lambda xp, a, b, d: xp.linalg.solve(a @ b, V) + xp.linalg.solve(a, V)
    ),
    "system with a square": (1, 2, lambda xp, a, b, d: xp.linalg.solve(a @ a, V)),
    "inverse of a product": (2, 2.5, lambda xp, a, b, d: xp.linalg.inv(a @ b) @ V),
    "system with a multiple": (1, 2, lambda xp, a, b, d: xp.linalg.solve(d[0] * a, V) + xp.linalg.solve(a, V)),
    "system with multiplied rows": (
        1, 2, lambda xp, a, b, d: xp.linalg.solve(d[:, None] * a, M) + xp.linalg.solve(a, M)
    ),
    "system with multiplied columns, transposed": (
        1, 2, lambda xp, a, b, d: xp.linalg.solve((a * d).T, M) + xp.linalg.solve(a, M)
    ),
    "system with divided columns": (
        1, 2, lambda xp, a, b, d: xp.linalg.solve(a / d, M) + xp.linalg.solve(a, M)
    ),
    "logarithm and system": (
        2, 2.8, lambda xp, a, b, d: slogdet(xp, a @ b) * xp.linalg.solve(a @ b, V)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_factors_instead_of_products(name: str) -> None:
    count, most, f = PROGRAMS[name]
    with x64():
        fast = tr.jit(lambda a, b, d: f(tnp, a, b, d))
        program = fast.ir(A, B, D)
        ir.verify(program)
        assert len(factored(program)) == count
        assert flops(program) <= most * CUBE
        np.testing.assert_allclose(fast(A, B, D), f(np, A, B, D), rtol=1e-9)
        np.testing.assert_allclose(ir.evaluate(program, A, B, D)[0], f(np, A, B, D), rtol=1e-9)
        gradient = tr.jit(tr.grad(lambda a, b, d: tnp.sum(tnp.sin(f(tnp, a, b, d))), (0, 1, 2)))(A, B, D)
        reference = jax.grad(lambda a, b, d: jnp.sum(jnp.sin(f(jnp, a, b, d))), (0, 1, 2))(A, B, D)
        for got, want in zip(gradient, reference, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


# Where the product is needed, or so many systems are solved that its inverse is less, it is what is factored.
WHOLE: dict[str, Program] = {
    "a result too": lambda xp, a, b, d: (a @ b, slogdet(xp, a @ b)),
    "read by something else": lambda xp, a, b, d: xp.tanh(a @ b).sum() + slogdet(xp, a @ b),
    "an inverse": lambda xp, a, b, d: xp.linalg.inv(a @ b),
    "a multiple alone": lambda xp, a, b, d: slogdet(xp, 3.0 * a),
    "with an inverse": lambda xp, a, b, d: (xp.linalg.inv(a @ b), slogdet(xp, a @ b)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_no_more_is_factored(name: str) -> None:
    f = WHOLE[name]
    with x64():
        fast = tr.jit(lambda a, b, d: f(tnp, a, b, d))
        assert len(factored(fast.ir(A, B, D))) == 1
        got, want = fast(A, B, D), f(np, A, B, D)
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-8)


def test_complex_systems() -> None:
    f = lambda xp, a, b, d: xp.linalg.solve((a + 1j * b) @ (b - 1j * a).conj().T * (2 - 1j), M)
    with x64():
        fast = tr.jit(lambda a, b, d: f(tnp, a, b, d))
        np.testing.assert_allclose(fast(A, B, D), f(np, A, B, D), rtol=1e-8)


def test_singular_matrices() -> None:
    """A zero among the factors is one of the product, and infinite in the inverse."""
    singular = np.diag(np.arange(float(N)))
    with x64():
        assert tr.jit(lambda a, b: slogdet(tnp, a @ b))(singular, B) == -np.inf
        assert tr.jit(lambda a, b: slogdet(tnp, b @ a))(singular, B) == -np.inf
        assert tr.jit(lambda a: slogdet(tnp, 0.0 * a))(A) == -np.inf
        assert tr.jit(lambda a: slogdet(tnp, tnp.linalg.inv(a)))(singular) == np.inf
        assert not np.isfinite(tr.jit(lambda a, b: tnp.linalg.solve(a @ b, V))(singular, B)).all()


def test_factors_whose_diagonals_are_of_other_orders() -> None:
    """Elements of diagonals are in the order of pivots: their products may have no range."""
    d = np.ones(20, np.float32)
    d[0], d[-1] = 1e-25, 1e25
    a = np.diag(d)[::-1].copy()
    for f in (
        lambda xp, a: xp.linalg.slogdet(a @ a),
        lambda xp, a: xp.linalg.slogdet(a @ a.T),
        lambda xp, a: (*xp.linalg.slogdet(-a @ a), xp.linalg.det(a @ a)),
        lambda xp, a: xp.linalg.slogdet(xp.linalg.inv(a) @ (a @ a)),
    ):
        fast = tr.jit(lambda a, f=f: tuple(f(tnp, a)))
        for got, want in zip(fast(a), f(np, a.astype(np.float64)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_products_of_sizes_are_of_the_product() -> None:
    """A product of sizes of its factors may have no range."""

    def size(a: Any, b: Any) -> Any:
        return tnp.prod(tnp.abs(tnp.diagonal(jax.lax.linalg.lu(a @ b)[0])))

    a, b = (c * np.eye(5, dtype=np.float32) + np.tri(5, k=-1, dtype=np.float32) * c / 9 for c in (1e9, 1e-9))
    np.testing.assert_allclose(tr.jit(size)(a, b), np.linalg.det(np.float64(a) @ b), rtol=1e-4)


def test_products_of_many_factors() -> None:
    """A thousand factors and more are read without recursion."""
    ops = [tnp.sin, tnp.cos, tnp.tanh, tnp.exp, tnp.arctan, tnp.sinh, tnp.square]

    def program(a: Any, b: Any) -> Any:
        product = a
        for k in range(1200):
            op = ops[(k * k * 7 + k // 3 + k**3 % 11) % 7]  # no loop is found in it
            product = product * op(b + 0.01 * k)[:, None] if k % 2 else product @ op(a * 0.1 + k)
        return tnp.linalg.slogdet(product)[1]

    function = optimize(tr.trace(program)(np.eye(20), np.ones(20)))
    assert len(factored(function)) > 500
