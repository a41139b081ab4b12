"""Systems with, and determinants of, matrices of blocks that are zero on one side of the diagonal, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.passes.cse import cse
from ir.passes.dce import dce
from ir.passes.pipeline import optimize
from ir.passes.selections import solve_structured
from tests.passes.test_determinants import factored
from tests.tracer.helpers import x64

RNG = np.random.default_rng(0)
A, C, D = RNG.normal(size=(10, 10)) + 3 * np.eye(10), RNG.normal(size=(12, 12)), RNG.normal(size=(7, 7))
B, E, F = RNG.normal(size=(10, 12)), RNG.normal(size=(7, 10)), RNG.normal(size=(7, 12))
V, M = RNG.normal(size=22), RNG.normal(size=(22, 3))
W = RNG.normal(size=29)


def zeros(xp: Any, x: Any, y: Any) -> Any:
    return xp.zeros((x.shape[0], y.shape[1]), x.dtype)


def upper(xp: Any, a: Any, b: Any, c: Any) -> Any:
    return xp.block([[a, b], [zeros(xp, c, a), c]])


def lower(xp: Any, a: Any, b: Any, c: Any) -> Any:
    return xp.concatenate([xp.concatenate([a, zeros(xp, a, c)], 1), xp.concatenate([b.T, c], 1)], 0)


def of_columns(xp: Any, a: Any, b: Any, c: Any) -> Any:
    return xp.concatenate([xp.concatenate([a, zeros(xp, c, a)], 0), xp.concatenate([b, c], 0)], 1)


def three(xp: Any, a: Any, b: Any, c: Any) -> Any:
    rows = (
        [a, zeros(xp, a, C), zeros(xp, a, D)],
        [b.T, c, zeros(xp, c, D)],
        [xp.asarray(E), xp.asarray(F), xp.asarray(D)],
    )
    return xp.block([list(row) for row in rows])


# Programs of blocks, and the rows of the matrices that are factored, for values and gradients.
PROGRAMS: dict[str, tuple[list[int], Callable[..., Any]]] = {
    "upper": ([10, 12], lambda xp, a, b, c: xp.linalg.solve(upper(xp, a, b, c), V)),
    "lower": ([10, 12], lambda xp, a, b, c: xp.linalg.solve(lower(xp, a, b, c), M)),
    "of columns": ([10, 12], lambda xp, a, b, c: xp.linalg.solve(of_columns(xp, a, b, c), M)),
    "diagonal": ([10, 12], lambda xp, a, b, c: xp.linalg.solve(upper(xp, a, 0 * b, c) * 1.0, V)),
    "transposed": ([10, 12], lambda xp, a, b, c: xp.linalg.solve(upper(xp, a, b, c).T, M)),
    "three": ([7, 10, 12], lambda xp, a, b, c: xp.linalg.solve(three(xp, a, b, c), W)),
    "three, transposed": ([7, 10, 12], lambda xp, a, b, c: xp.linalg.solve(three(xp, a, b, c).T, W)),
    "a triangle in it": ([10], lambda xp, a, b, c: xp.linalg.solve(upper(xp, a, b, xp.tril(c)), V)),
    "an identity in it": ([10], lambda xp, a, b, c: xp.linalg.solve(upper(xp, a, b, xp.eye(12)), V)),
    "inverse times a vector": ([10, 12], lambda xp, a, b, c: xp.linalg.inv(lower(xp, a, b, c)) @ V),
    "logarithm": ([10, 12], lambda xp, a, b, c: xp.linalg.slogdet(upper(xp, a, b, c))[1]),
    "determinant": ([10, 12], lambda xp, a, b, c: xp.linalg.det(lower(xp, a, b, c) / 2)),
    "sign": ([10, 12], lambda xp, a, b, c: xp.linalg.slogdet(lower(xp, a, b, c))[0]),
    "logarithm of three": ([7, 10, 12], lambda xp, a, b, c: xp.linalg.slogdet(three(xp, a, b, c))[1]),
    "both": (
        [10, 12],
        lambda xp, a, b, c: xp.linalg.slogdet(lower(xp, a, b, c))[1] * xp.linalg.solve(lower(xp, a, b, c), V),
    ),
}  # fmt: skip
# In which the pass sees no blocks, but a product with 0 and a quotient.
UNSEEN = {"diagonal", "determinant"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_blocks_are_factored(name: str) -> None:
    sizes, f = PROGRAMS[name]
    with x64():
        fast = tr.jit(lambda a, b, c: f(tnp, a, b, c))
        program = fast.ir(A, B, C)
        ir.verify(program)
        if name not in UNSEEN:
            assert factored(program) == sizes
        np.testing.assert_allclose(fast(A, B, C), f(np, A, B, C), rtol=1e-8)
        np.testing.assert_allclose(ir.evaluate(program, A, B, C)[0], f(np, A, B, C), rtol=1e-8)
        loss = lambda a, b, c: tnp.sum(tnp.sin(f(tnp, a, b, c)))
        gradient = tr.jit(tr.grad(loss, (0, 1, 2)))
        if name not in UNSEEN and name != "sign":
            assert factored(gradient.ir(A, B, C)) == sizes
        plain = tr.jit(tr.grad(loss, (0, 1, 2)), opt=0)
        for got, want in zip(gradient(A, B, C), plain(A, B, C), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)


def test_complex_blocks() -> None:
    f = lambda xp, a, b, c: xp.linalg.solve(xp.conj(lower(xp, a + 1j * a.T, b, c * 1j)).T, V)
    with x64():
        fast = tr.jit(lambda a, b, c: f(tnp, a, b, c))
        assert factored(fast.ir(A, B, C)) in ([10, 12], [22])
        np.testing.assert_allclose(fast(A, B, C), f(np, A, B, C), rtol=1e-8)
        g = lambda xp, a, b, c: xp.linalg.solve(lower(xp, a + 1j * a.T, b + 0j, c * 1j).T, V)
        fast = tr.jit(lambda a, b, c: g(tnp, a, b, c))
        assert factored(fast.ir(A, B, C)) == [10, 12]
        np.testing.assert_allclose(fast(A, B, C), g(np, A, B, C), rtol=1e-8)


STAYS: dict[str, Callable[..., Any]] = {
    "blocks that are not square": lambda a, b, c: tnp.linalg.solve(
        tnp.block([[a, b[:, :6], tnp.zeros((10, 6))], [tnp.ones((12, 10)), c]]), V
    ),
    "zeros on the diagonal": lambda a, b, c: tnp.linalg.solve(tnp.block([[a, b], [b.T, tnp.zeros((12, 12))]]), V),
    "small": lambda a, b, c: tnp.linalg.solve(upper(tnp, a[:4, :4], b[:4, :5], c[:5, :5]), V[:9]),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_others_are_factored_whole(name: str) -> None:
    f = STAYS[name]
    with x64():
        fast = tr.jit(f)
        assert len(factored(fast.ir(A, B, C))) == 1
        np.testing.assert_allclose(fast(A, B, C), tr.jit(f, opt=0)(A, B, C), rtol=1e-10)


def test_factors_that_are_results_serve_systems_too() -> None:
    def f(a: Any, b: Any, c: Any) -> Any:
        m = upper(tnp, a, b, c)
        factors = tr.from_jax(jax.lax.linalg.lu)(m)
        return factors[0], tnp.linalg.solve(m, V)

    with x64():
        assert factored(tr.jit(f).ir(A, B, C)) == [22]


def test_a_singular_block_gives_no_numbers() -> None:
    with x64():
        f = lambda a, b, c: tnp.linalg.solve(upper(tnp, a, b, c), V)
        singular = np.zeros_like(C)
        assert not np.isfinite(tr.jit(f)(A, B, singular)).all()
        assert tr.jit(lambda a, b, c: tnp.linalg.slogdet(upper(tnp, a, b, c))[1])(A, B, singular) == -np.inf


def test_nested_borders() -> None:
    """Blocks in blocks are read without recursion, and left alone where they are many."""

    def bordered(a: Any, count: int) -> Any:
        m = a
        for k in range(count):
            n = m.shape[0]
            row = (a + k) * tnp.ones((1, n))
            m = tnp.concatenate(
                [tnp.concatenate([m, tnp.zeros((n, 1))], 1), tnp.concatenate([row, a + k + 1], 1)]
            )
        return tnp.linalg.solve(m, tnp.ones(m.shape[0]))

    a = np.ones((1, 1))
    for count, is_taken_apart in ((30, True), (600, False)):
        function = cse(tr.trace(lambda a, count=count: bordered(a, count))(a))
        after = optimize(function, [solve_structured])
        assert (
            any(e.op.name == "lu" and e.results[0].type.shape[0] > 1 for e in dce(after).eqns)
            != is_taken_apart
        )
