"""Products of which half is known: the same numbers from fewer operations."""

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
from ir.cost import flops
from ir.machine import ACCELERATOR, CPU, Machine
from ir.passes.pipeline import optimize, pipeline
from ir.passes.products import multiply_panels, panels
from ir.remarks import remarks

N = 24
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, N, N))
X = RNG.normal(size=(N, 3, 5))
# On which any operation that is saved pays.
SLOW = Machine(flops=1e3, bandwidth=1e12, launch=1e-9)

BEFORE = pipeline()[: [each.__name__ for each in pipeline()].index("multiply_panels")]

# Each takes about 5/8 of the operations of the whole product.
PROGRAMS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "lower": lambda xp, a, b: xp.tril(a) @ b,
    "upper": lambda xp, a, b: xp.triu(a) @ b,
    "strictly lower": lambda xp, a, b: xp.tril(a, -1) @ b,
    "transposed": lambda xp, a, b: xp.tril(a).T @ b,
    "from the right": lambda xp, a, b: b @ xp.tril(a),
    "upper from the right": lambda xp, a, b: b @ xp.triu(a, 1),
    "transposed from the right": lambda xp, a, b: b.T @ xp.triu(a).T,
    "an array": lambda xp, a, b: xp.tensordot(xp.triu(a), X, 1),
    "an array from the right": lambda xp, a, b: xp.tensordot(X, xp.tril(a), ((0,), (1,))),
    "Cholesky's factor": lambda xp, a, b: xp.linalg.cholesky(a @ b @ b.T @ a.T + xp.eye(N)) @ b,
    "Gram": lambda xp, a, b: a @ a.T,
    "Gram of columns": lambda xp, a, b: a.T @ a,
    "Gram of a wide matrix": lambda xp, a, b: a[:, :5].T @ a[:, :5],
    "Gram of a product": lambda xp, a, b: b.T @ a @ a.T @ b,
}
WHOLE: dict[str, Callable[[Any], Any]] = {
    "beside the diagonal": lambda a: tnp.tril(a, 1) @ B,
    "not square": lambda a: tnp.tril(a[:, :9]) @ B[:9],
    "a vector": lambda a: tnp.tril(a) @ B[0],
    "a batch": lambda a: tnp.einsum("bij,bjk->bik", a.reshape(2, 12, N), B.reshape(2, N, 12)),
    "a square": lambda a: a @ a,
}


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "current", lambda: SLOW)


def before(f: Callable[..., Any], *args: Any) -> ir.Function:
    return optimize(tr.trace(f)(*args), BEFORE)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", PROGRAMS)
def test_half_is_left_out(name: str) -> None:
    f = PROGRAMS[name]
    with jax.enable_x64(True):
        whole = before(lambda a, b: f(tnp, a, b), A, B)
        parts = multiply_panels(whole)
        ir.verify(parts)
        assert flops(parts) < flops(whole)
        want = f(np, A, B)
        for got in (*ir.evaluate(parts, A, B), tr.jit(lambda a, b: f(tnp, a, b))(A, B)):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
        again = multiply_panels(parts)
        assert flops(again) <= flops(parts)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients(name: str) -> None:
    f = PROGRAMS[name]
    with jax.enable_x64(True):
        args = jnp.asarray(A), jnp.asarray(B)
        got = tr.jit(tr.grad(lambda a, b: tnp.sum(tnp.sin(f(tnp, a, b))), (0, 1)))(*args)
        want = jax.grad(lambda a, b: jnp.sum(jnp.sin(f(jnp, a, b))), (0, 1))(*args)
    for p, q in zip(got, want, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-8, atol=1e-8)


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("name", WHOLE)
def test_others_stay(name: str) -> None:
    whole = before(WHOLE[name], A)
    assert multiply_panels(whole) is whole


@pytest.mark.parametrize("machine", [CPU, ACCELERATOR])
def test_small_products_stay(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "current", lambda: machine)
    for n, is_parted in ((64, False), (4000, True)):
        shape = jax.ShapeDtypeStruct((n, n), jnp.float32)
        for f in (lambda a: a @ a.T, lambda a: tnp.tril(a) @ a):
            whole = before(f, shape)
            assert (multiply_panels(whole) is not whole) == is_parted


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.int32, jnp.complex64])
def test_element_types(dtype: Any) -> None:
    a = jnp.asarray(np.round(3 * A), dtype)
    for f in (lambda a: a @ a.T, lambda a: tnp.triu(a) @ a):
        np.testing.assert_array_equal(tr.jit(f)(a), tr.jit(f, opt=0)(a))


@pytest.mark.usefixtures("slow")
def test_special_values() -> None:
    """Of a Gram matrix all are kept; a triangle of finite numbers keeps those of what it multiplies, on its side."""
    a = A.copy()
    a[3, 4], a[7, 2], a[11, 0] = np.nan, np.inf, -0.0
    with jax.enable_x64(True), np.errstate(invalid="ignore"):
        np.testing.assert_allclose(tr.jit(lambda a: a @ a.T)(a), a @ a.T, rtol=1e-10)
        got, want = tr.jit(lambda a, b: tnp.tril(b) @ a)(a, B), np.tril(B) @ a
        np.testing.assert_array_equal(np.isnan(got)[7:], np.isnan(want)[7:])
        np.testing.assert_array_equal(np.isfinite(got)[7:], np.isfinite(want)[7:])


@given(st.integers(1, 13), st.integers(0, 5), st.booleans(), st.booleans(), st.integers(-3, 3))
@settings(deadline=None, max_examples=40)
def test_any_sizes(n: int, columns: int, left: bool, upper: bool, offset: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, n)), rng.normal(size=(n, columns) if left else (columns, n))
    part = (lambda xp, a: xp.triu(a, offset)) if upper else (lambda xp, a: xp.tril(a, offset))
    f = lambda xp, a, b: part(xp, a) @ b if left else b @ part(xp, a)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(panels, "current", lambda: SLOW)
        whole = before(lambda a, b: f(tnp, a, b), a, b)
        (got,) = ir.evaluate(multiply_panels(whole), a, b)
    np.testing.assert_allclose(got, f(np, a, b), rtol=1e-10, atol=1e-10)


def test_exact_programs_and_remarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "current", lambda: SLOW)
    a = A.astype(np.float32)
    with remarks() as found:
        multiply_panels(before(lambda a: a @ a.T, a))
    assert [each.by for each in found] == ["multiply_panels"]
    assert sum(e.op.name == "dot_general" for e in tr.jit(lambda a: a @ a.T, exact=True).ir(a).eqns) == 1
