"""Products with solutions of linear systems: solved for less, and equal to NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function
from ir.ops.linear_solve import linear_solve
from ir.passes.pipeline import optimize, pipeline
from ir.passes.solves import solve_products
from ir.remarks import remarks

N = 7
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, N)) + 4 * np.eye(N)
B = RNG.normal(size=(N, 2))
C = RNG.normal(size=(N, N))
X = RNG.normal(size=N)
I = np.array([4], np.int32)
inv = tnp.linalg.inv
solve = tnp.linalg.solve
BEFORE = pipeline()[: [each.__name__ for each in pipeline()].index("solve_products")]

# (program, what NumPy makes of it, columns that are solved for)
PROGRAMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any], int]] = {
    "inverse times vector": (lambda a: inv(a) @ X, lambda a: np.linalg.inv(a) @ X, 1),
    "vector times inverse": (lambda a: X @ inv(a), lambda a: X @ np.linalg.inv(a), 1),
    "transposed inverse": (lambda a: inv(a).T @ X, lambda a: np.linalg.inv(a).T @ X, 1),
    "inverse times matrix": (lambda a: inv(a) @ B, lambda a: np.linalg.inv(a) @ B, 2),
    "matrix times inverse": (lambda a: B.T @ inv(a), lambda a: B.T @ np.linalg.inv(a), 2),
    "inverse times array": (
        lambda a: tnp.einsum("ij,jkl->ikl", inv(a), B.reshape(N, 1, 2)),
        lambda a: np.einsum("ij,jkl->ikl", np.linalg.inv(a), B.reshape(N, 1, 2)),
        2,
    ),
    "solution times vector": (lambda a: solve(a, C) @ X, lambda a: np.linalg.solve(a, C) @ X, 1),
    "vector times solution": (lambda a: X @ solve(a, C), lambda a: X @ np.linalg.solve(a, C), 1),
    "inverse of a product": (
        lambda a: inv(a) @ (inv(a + 1) @ X),
        lambda a: np.linalg.inv(a) @ np.linalg.inv(a + 1) @ X,
        2,
    ),
    "powers of the inverse": (
        lambda a: (lambda i: i @ (i @ (i @ X)))(inv(a)),
        lambda a: (lambda i: i @ i @ i @ X)(np.linalg.inv(a)),
        3,
    ),
    "row of the inverse": (lambda a: inv(a)[2], lambda a: np.linalg.inv(a)[2], 1),
    "column of the inverse": (lambda a: inv(a)[:, -2], lambda a: np.linalg.inv(a)[:, -2], 1),
    "element of the inverse": (lambda a: inv(a)[2, 3], lambda a: np.linalg.inv(a)[2, 3], 1),
    "rows of the inverse at an index": (lambda a: inv(a)[I], lambda a: np.linalg.inv(a)[I], 1),
    "columns of the inverse at an index": (lambda a: inv(a)[:, I], lambda a: np.linalg.inv(a)[:, I], 1),
    "row of the transposed inverse": (lambda a: inv(a.T).T[2], lambda a: np.linalg.inv(a)[2], 1),
    "row of a solution": (lambda a: solve(a, C)[3], lambda a: np.linalg.solve(a, C)[3], 1),
    "column of a solution": (lambda a: solve(a, C)[:, 3], lambda a: np.linalg.solve(a, C)[:, 3], 1),
    "sum of products": (
        lambda a: (lambda i: i @ X + (i @ B)[:, 0])(inv(a)),
        lambda a: np.linalg.inv(a) @ (X + B[:, 0]),
        3,
    ),
}
# Programs in which nothing is gained, or in which columns are mixed.
LEFT: dict[str, Callable[[Any], Any]] = {
    "inverse used besides": lambda a: (lambda i: (i @ X, tnp.sin(i)))(inv(a)),
    "rows and columns of a solution": lambda a: (lambda x: x[3] + x[:, 2])(solve(a, C)),
    "as many columns": lambda a: inv(a) @ C,
    "both operands": lambda a: (lambda i: i @ i)(inv(a)),
}


def columns(function: Function) -> int:
    """How many columns systems are solved for, all together."""
    return sum(e.operands[-1].type.size // N for e in function.eqns if e.op is linear_solve)


def prepared(f: Callable[..., Any], *args: Any) -> Function:
    return optimize(tr.trace(f)(*args), BEFORE)


def test_products_in_another_order() -> None:
    """What the inverse is multiplied with is only known when the order of products is."""
    n = 200
    a, b, x = RNG.normal(size=(n, n)) + 20 * np.eye(n), RNG.normal(size=(n, n)), RNG.normal(size=n)
    with jax.enable_x64(True):
        after = optimize(tr.trace(lambda a, b, x: inv(a) @ b @ x)(a, b, x))
    (system,) = [e for e in after.eqns if e.op is linear_solve]
    assert system.operands[-1].type.size == n
    np.testing.assert_allclose(
        ir.evaluate(after, a, b, x)[0], np.linalg.inv(a) @ b @ x, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize("columns_of_b", [2, N, 2 * N])
def test_no_inverse_is_multiplied(columns_of_b: int) -> None:
    """Solving for the columns is less than solving for the inverse and multiplying; unless they are very many."""
    b = RNG.normal(size=(N, columns_of_b))
    with jax.enable_x64(True):
        for f in (lambda a: inv(a) @ b, lambda a: b.T @ inv(a), lambda a: inv(a).T @ b):
            before = tr.trace(f)(A)
            after = optimize(before)
            assert "dot_general" not in {e.op.name for e in after.eqns} and columns(after) == columns_of_b
            np.testing.assert_allclose(*ir.evaluate(after, A), *ir.evaluate(before, A), rtol=1e-10)
        many = RNG.normal(size=(N, 2 * N + 1))
        for f in (lambda a: (lambda i: (i @ b, i))(inv(a)), lambda a: inv(a) @ many):
            assert columns(optimize(tr.trace(f)(A))) == N


@pytest.mark.parametrize("name", PROGRAMS)
def test_less_is_solved_for(name: str) -> None:
    f, want, count = PROGRAMS[name]
    with jax.enable_x64(True):
        before = prepared(f, A)
        after = solve_products(before)
        ir.verify(after)
        assert columns(before) % N == 0
        assert columns(after) < columns(before)
        assert columns(after) == count
        np.testing.assert_allclose(ir.evaluate(after, A)[0], want(A), rtol=1e-10)
        np.testing.assert_allclose(tr.jit(f)(A), want(A), rtol=1e-10)


@pytest.mark.parametrize("name", LEFT)
def test_the_rest_is_left(name: str) -> None:
    with jax.enable_x64(True):
        before = prepared(LEFT[name], A)
        assert solve_products(before) is before


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives_are_those_of_the_program(name: str) -> None:
    f = PROGRAMS[name][0]
    with jax.enable_x64(True):
        loss = lambda a: tnp.sum(tnp.sin(f(a)))
        for transform in (tr.grad, lambda g: tr.jacfwd(tr.grad(g))):
            got = tr.jit(transform(loss))(A)
            want = tr.jit(transform(loss), opt=0)(A)
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


@given(st.integers(2, 9), st.integers(0, 5), st.booleans(), st.sampled_from([0, 1j]))
def test_any_sizes(n: int, k: int, left: bool, imaginary: complex) -> None:
    rng = np.random.default_rng(n)
    a = rng.normal(size=(n, n)) + n * np.eye(n) + imaginary * rng.normal(size=(n, n))
    b = rng.normal(size=(n, k)) + imaginary
    with jax.enable_x64(True):
        f = (lambda a, b: inv(a) @ b) if left else (lambda a, b: b.T @ inv(a))
        want = np.linalg.inv(a) @ b if left else b.T @ np.linalg.inv(a)
        np.testing.assert_allclose(tr.jit(f)(a, b), want, rtol=1e-9, atol=1e-12)


def test_it_is_remarked() -> None:
    with remarks() as found:
        solve_products(prepared(PROGRAMS["inverse times vector"][0], np.float32(A)))
    assert [each.by for each in found] == ["solve_products"]


# Factors of triangular matrices ---------------------------------------------------------------------

_TRIANGULAR: dict[str, Callable[[Any], Any]] = {
    "upper": tnp.triu,
    "lower": tnp.tril,
    "lower by transposes": lambda a: tnp.triu(a).T,
    "upper by transposes": lambda a: tnp.tril(a).T,
    "diagonal": lambda a: tnp.diag(a[0]),
    "diagonal by numbers": lambda a: -3 * tnp.eye(N, dtype=a.dtype) / 2,
    "said to be upper": lambda a: tr.assume(tnp.triu(a) + 0 * a, "upper_triangular"),
    "said to be diagonal": lambda a: tr.assume(tnp.diag(a[1]) + 0 * a, "diagonal"),
}


@pytest.mark.parametrize("made", _TRIANGULAR.values(), ids=_TRIANGULAR)
@pytest.mark.parametrize("singular", [False, True])
def test_determinants_of_triangular_matrices_take_no_factors(made: Any, singular: bool) -> None:
    a = A.copy()
    if singular:
        a[:, 3] = 0
    programs = [
        lambda a: tnp.linalg.slogdet(made(a)),
        lambda a: tnp.linalg.det(made(a)),
        tr.grad(lambda a: tnp.linalg.slogdet(made(a))[1]),
    ]
    with jax.enable_x64(True):
        for f in programs[: 2 if singular else 3]:
            after = optimize(tr.trace(f)(a))
            ir.verify(after)
            assert "lu" not in {e.op.name for e in after.eqns}, after
            for got, want in zip(
                jax.tree.leaves(tr.jit(f)(a)), jax.tree.leaves(tr.jit(f, opt=0)(a)), strict=True
            ):
                np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "made", [lambda a: tnp.tril(a, 1), lambda a: tnp.triu(a, -1), lambda a: a, lambda a: tnp.diag(a[0], 1)]
)
def test_other_matrices_are_factored(made: Any) -> None:
    with jax.enable_x64(True):
        after = optimize(tr.trace(lambda a: tnp.linalg.slogdet(made(a)))(A))
    assert "lu" in {e.op.name for e in after.eqns}


# Each is of a matrix, some of which is stopped.
STOPPED: dict[str, Callable[[Any, Any, Any], Any]] = {
    "kron": lambda xp, stop, a: xp.linalg.solve(stop(xp.kron(a, a)), xp.arange(1.0, 10.0)),
    "a factor of kron": lambda xp, stop, a: xp.linalg.solve(xp.kron(stop(a), a), xp.arange(1.0, 10.0)),
    "determinant of kron": lambda xp, stop, a: xp.linalg.slogdet(stop(xp.kron(a, a)))[1] * a,
    "diagonal": lambda xp, stop, a: xp.linalg.solve(stop(xp.diag(a[0])), a),
    "triangular": lambda xp, stop, a: xp.linalg.solve(stop(xp.tril(a)), a),
    "determinant of triangular": lambda xp, stop, a: xp.linalg.slogdet(stop(xp.tril(a)))[1] * a,
    "inverse": lambda xp, stop, a: xp.linalg.inv(stop(a)) @ a,
    "one factor for both": lambda xp, stop, a: (
        xp.linalg.solve(stop(a), a) + xp.linalg.solve(a.T, a) * xp.linalg.det(stop(a))
    ),
}


@pytest.mark.parametrize("name", STOPPED)
def test_what_is_stopped_stays_so_for_jax(name: str) -> None:
    """JAX differentiates the compiled program, in which the stopped matrix has become something else."""
    a = np.array([[3.0, 0.5, -1.0], [0.3, 2.0, 0.7], [-0.4, 0.2, 4.0]])
    f = STOPPED[name]
    with jax.enable_x64(True):
        want = jax.grad(lambda a: jnp.sum(f(jnp, jax.lax.stop_gradient, a) ** 2))(a)
        compiled = tr.jit(lambda a: tnp.sum(f(tnp, tr.stop_gradient, a) ** 2))
        inside = tr.jit(tr.grad(lambda a: tnp.sum(f(tnp, tr.stop_gradient, a) ** 2)))
        for got in (jax.grad(compiled)(a), inside(a)):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("turned", [False, True])
def test_gradients_of_inverses_solve_for_single_columns(turned: bool) -> None:
    """The cotangent of a product with an inverse has rank 1, and so has that of the matrix."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 60)) + 9 * np.eye(60), rng.normal(size=60)

    def f(xp: Any, a: Any, b: Any) -> Any:
        inverse = xp.linalg.inv(a)
        return xp.sum((b @ inverse if turned else inverse @ b) ** 2)

    with jax.enable_x64(True):
        fast = tr.jit(tr.grad(lambda a, b: f(tnp, a, b), argnums=(0, 1)))
        program = fast.ir(jnp.asarray(a), jnp.asarray(b))
        assert {e.operands[-1].type.size for e in program.eqns if e.op is linear_solve} == {60}
        want = jax.grad(lambda a, b: f(jnp, a, b), argnums=(0, 1))(a, b)
        for x, y, z in zip(fast(a, b), want, ir.evaluate(program, a, b), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(z, y, rtol=1e-9, atol=1e-12)


# Right-hand sides that are outer products, of vectors or of matrices with few columns, and what NumPy makes of them.
Y, W = RNG.normal(size=N), RNG.normal(size=(2, N))
LOW_RANK: dict[str, tuple[int, Callable[..., Any]]] = {
    "outer product": (1, lambda xp, a, x, y, b, w: xp.linalg.solve(a, xp.outer(x, y))),
    "repeated vectors": (1, lambda xp, a, x, y, b, w: xp.linalg.solve(a, x[:, None] * y)),
    "transposed": (1, lambda xp, a, x, y, b, w: xp.linalg.solve(a.T, xp.outer(x, y).T)),
    "negative": (1, lambda xp, a, x, y, b, w: xp.linalg.solve(a, -xp.outer(x, y).T)),
    "two columns": (2, lambda xp, a, x, y, b, w: xp.linalg.solve(a, -(b @ w).T)),
    "from both sides": (2, lambda xp, a, x, y, b, w: xp.linalg.solve(a, xp.linalg.solve(a, xp.outer(x, y)).T)),
    "a sum of outer products": (
        N, lambda xp, a, x, y, b, w: xp.linalg.solve(a, xp.outer(x, y) + xp.outer(y, xp.cos(x)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LOW_RANK)
def test_outer_products_are_multiplied_after(name: str) -> None:
    count, f = LOW_RANK[name]
    args = A, X, Y, B, W
    with jax.enable_x64(True):
        program = optimize(tr.trace(lambda *args: f(tnp, *args))(*args))
        ir.verify(program)
        assert columns(program) == count
        np.testing.assert_allclose(ir.evaluate(program, *args)[0], f(np, *args), rtol=1e-10)
        np.testing.assert_allclose(tr.jit(lambda *args: f(tnp, *args))(*args), f(np, *args), rtol=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda k, s, y: s @ inv(k) @ y,
        lambda k, s, y: (s - k @ inv(s) @ k.T) @ y,
        lambda k, s, y: inv(k) @ (inv(s) @ y),
        lambda k, s, y: inv(k.T @ k + s) @ k.T @ y,
    ],
)
def test_gradients_of_inverses_multiply_none(f: Callable[..., Any]) -> None:
    """Of what inverses and a vector give, all systems are for vectors."""
    n = 200
    k, s = (RNG.normal(size=(n, n)) / 9 + 3 * np.eye(n) for _ in range(2))
    y = RNG.normal(size=n)
    loss = lambda k, s, y: tnp.sum(tnp.sin(f(k, s, y)))
    with jax.enable_x64(True):
        before = tr.trace(tr.grad(loss, (0, 1, 2)))(k, s, y)
        after = optimize(before)
        solved = [e for e in after.eqns if e.op is linear_solve]
        assert solved and all(e.operands[-1].type.size == n for e in solved)
        for got, want in zip(ir.evaluate(after, k, s, y), ir.evaluate(before, k, s, y), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("turned", [False, True])
def test_outer_products_keep_the_range_of_the_system(turned: bool) -> None:
    """A^-1 u overflows where A^-1 (u v') does not; zeros and infinities of v are those of the solution."""
    rng = np.random.default_rng(3)
    n = 40
    a = ((np.eye(n) + rng.normal(size=(n, n)) / 16) * 1e-25).astype(np.float32)
    u, v = (rng.normal(size=n).astype(np.float32) * np.float32(c) for c in (1e20, 1e-20))

    def f(xp: Any, a: Any, u: Any, v: Any) -> Any:
        return xp.linalg.solve(a, xp.outer(u, v)) if not turned else xp.linalg.solve(a, xp.outer(v, u).T)

    fast = tr.jit(lambda *args: f(tnp, *args))
    assert columns(fast.ir(a, u, v)) == n // N  # of one column
    want = f(np, *[np.float64(x) for x in (a, u, v)])
    assert np.max(np.abs(fast(a, u, v) - want)) <= 1e-5 * np.max(np.abs(want))
    assert not np.any(fast(a, u, 0 * v))
    v[3] = np.inf
    assert np.isfinite(
        np.delete(np.asarray(fast(np.eye(n, dtype=np.float32), u / np.float32(1e20), v)), 3, 1)
    ).all()
    gradient = tr.jit(tr.grad(lambda *args: tnp.sum(tnp.sin(fast(*args))), (0, 1, 2)))(A, X, X)
    wanted = jax.grad(lambda *args: jnp.sum(jnp.sin(f(jnp, *args))), (0, 1, 2))(A, X, X)
    for got, want in zip(gradient, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4)
