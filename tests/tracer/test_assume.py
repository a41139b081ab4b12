"""`assume`: systems are solved as what is said of their matrix allows, with the same values and derivatives."""

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
from ir.errors import IRTypeError, ShapeError
from tests.tracer.helpers import assert_close, x64

N = 6
RNG = np.random.default_rng(0)
B = RNG.normal(size=(N, 2))
GENERAL = RNG.normal(size=(N, N)) + 4 * np.eye(N)
MATRICES: dict[str, Any] = {
    "lower_triangular": np.tril(GENERAL),
    "upper_triangular": np.triu(GENERAL),
    "diagonal": np.diag(np.diag(GENERAL)),
    "positive_definite": GENERAL @ GENERAL.T,
    "orthogonal": np.linalg.qr(GENERAL)[0],
}
# How systems with a vector, a matrix, the transpose, the inverse are written.
SYSTEMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "vector": lambda xp, a, b: xp.linalg.solve(a, b[:, 0]),
    "matrix": lambda xp, a, b: xp.linalg.solve(a, b),
    "inverse": lambda xp, a, b: xp.linalg.inv(a) @ b,
    "from the right": lambda xp, a, b: b.T @ xp.linalg.inv(a),
}


def named(function: ir.Function) -> set[str]:
    return {e.op.name for e in function.eqns}


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("said", MATRICES)
def test_systems(said: str, system: str, dtype: Any) -> None:
    f = SYSTEMS[system]
    a, b = MATRICES[said].astype(dtype), B.astype(dtype)
    if dtype is np.complex128:
        turn = np.diag(np.exp(1j * np.arange(N)))
        a = turn @ a @ turn.conj().T  # (all properties are kept)
        b = b + 1j * b[::-1]
    with x64():
        program = tr.jit(lambda a, b: f(tnp, tr.assume(a, said), b))
        ops = named(program.ir(a, b))
        assert not ops & {"lu", "assume"} and "linear_solve" not in ops
        assert ("cholesky" in ops) == (said == "positive_definite")
        assert_close(program(a, b), f(np, a, b), 1e-10)

        def loss(library: Any, xp: Any, a: Any, b: Any) -> Any:
            return library.real(f(xp, tr.assume(a, said), b) ** 2).sum()

        got = tr.jit(tr.grad(lambda a, b: loss(tnp, tnp, a, b), (0, 1)))(a, b)
        want = jax.grad(lambda a, b: loss(jnp, jnp, a, b), (0, 1))(jnp.asarray(a), jnp.asarray(b))
        for p, q in zip(got, want, strict=True):  # (derivatives are those of a matrix of any kind)
            assert_close(p, q, 1e-8)


def test_factors_that_are_there_are_used() -> None:
    """A determinant needs those of LU: the system is solved with them."""
    a = MATRICES["positive_definite"]

    def f(a: Any) -> Any:
        a = tr.assume(a, "positive_definite")
        return tnp.linalg.slogdet(a)[1] + tnp.sum(tnp.linalg.solve(a, B))

    with x64():
        assert "cholesky" not in named(tr.jit(f).ir(a))
        assert_close(tr.jit(f)(a), np.linalg.slogdet(a)[1] + np.linalg.solve(a, B).sum(), 1e-10)


def test_identity() -> None:
    """It returns its operand, in every mode, and says nothing of tangents."""
    a = jnp.asarray(GENERAL, jnp.float32)
    assert tr.assume(a, "orthogonal") is a
    f = lambda a: tr.assume(a, "diagonal") * 2.0
    for options in ({}, {"opt": 0}, {"exact": True}):
        assert_close(tr.jit(f, **options)(a), 2 * a)
    assert_close(tr.vmap(f)(jnp.stack([a, a])), 2 * jnp.stack([a, a]))
    value, tangent = tr.jvp(f, (a,), (a,))
    assert_close(tangent, value)
    assert "assume" not in str(ir.transforms.jvp(tr.trace(f)(a), [True])).split("mul")[-1]
    assert_close(tr.grad(lambda a: tnp.sum(f(a)))(a), 2 * jnp.ones_like(a))
    solved = tr.vmap(lambda a, b: tnp.linalg.solve(tr.assume(a, "positive_definite"), b))
    many = jnp.stack([a @ a.T, 2 * a @ a.T])
    b = jnp.stack([jnp.asarray(B[:, 0], jnp.float32)] * 2)
    assert_close(tr.jit(solved)(many, b), jnp.linalg.solve(many, b[..., None])[..., 0], 1e-3)


def test_bad_input() -> None:
    a = jnp.ones((2, 3))
    with pytest.raises(IRTypeError, match=r"expected properties of lower_triangular.*got 'lower'"):
        tr.assume(a, "lower")
    with pytest.raises(IRTypeError, match="got none"):
        tr.jit(lambda a: tr.assume(a))(a)
    with pytest.raises(ShapeError, match="expected square matrices"):
        tr.jit(lambda a: tr.assume(a, "diagonal"))(a)
    with pytest.raises(IRTypeError, match="floating point or complex"):
        tr.jit(lambda a: tr.assume(a, "diagonal"))(jnp.ones((2, 2), jnp.int32))
    assert_close(tr.jit(lambda a: tr.assume(a, "diagonal"))(jnp.ones((2, 2))), jnp.ones((2, 2)))
