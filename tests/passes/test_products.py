"""Products in another order: what that costs, that it is equal, and that it is left alone where it does not pay."""

from __future__ import annotations

import functools
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
from ir.machine import Machine
from ir.passes.cse import cse
from ir.passes.pipeline import optimize, pipeline
from ir.passes.products import choices, reorder, reorder_products
from ir.remarks import remarks

N = 90
RNG = np.random.default_rng(0)
GIVEN: dict[str, Any] = {name: RNG.normal(size=(N, N)) / 9 for name in "ABC"}
GIVEN |= {name: RNG.normal(size=N) for name in "xyz"}
GIVEN |= {"U": RNG.normal(size=(N, 2)), "V": RNG.normal(size=(2, N)), "T": RNG.normal(size=(3, N, N))}
GIVEN |= {"D": RNG.normal(size=(9, 9)), "E": RNG.normal(size=(10, 10)), "u": RNG.normal(size=N)}
GIVEN |= {"i": np.array([4, 0, 89, 4], np.int32)}

FLOPS = 2 * N**2  # of a matrix times a vector


def _gradients(f: Callable[..., Any]) -> Callable[..., Any]:
    """The gradients of a function in all of its floating-point arguments."""
    return lambda *args: tr.grad(f, argnums=tuple(k for k, a in enumerate(args) if a.dtype.kind == "f"))(
        *args
    )


# Expressions, their operands, and the operations that they take at most, in products of a matrix and a vector.
PROGRAMS: dict[str, tuple[str, float, Callable[..., Any]]] = {
    "gram times vector": ("Ax", 2, lambda A, x: A.T @ A @ x),
    "vector times gram": ("Ax", 2, lambda A, x: x @ (A.T @ A)),
    "four matrices and a vector": ("ABx", 4, lambda A, B, x: A.T @ B @ A.T @ B @ x),
    "twice the same product": ("AB", 2 * N, lambda A, B: (A.T @ B).T @ A.T @ B),
    "outer product between": ("Axy", 3, lambda A, x, y: A.T @ tnp.outer(y, x) @ A),
    "factors of few columns": ("AUV", 8, lambda A, U, V: U @ V @ A @ U),
    "a batch": ("TAx", 4, lambda T, A, x: T @ A @ x),
    "einsum": ("ABxy", 3, lambda A, B, x, y: tnp.einsum("ij,jk,k,i->", A, B, x, y)),
    "trace": ("AB", 1.1, lambda A, B: tnp.trace(A @ B)),
    "trace of three": ("AUV", 4, lambda A, U, V: tnp.trace(A @ U @ V)),
    "diagonal": ("AB", 1.1, lambda A, B: tnp.diagonal(A @ B)),
    "diagonal of a batch": ("TB", 3.2, lambda T, B: tnp.diagonal(T @ B, axis1=1, axis2=2)),
    "sum of all": ("AB", 1.1, lambda A, B: (A @ B).sum()),
    "sum of rows": ("AB", 1.6, lambda A, B: (A @ B).sum(0)),
    "row": ("AB", 1, lambda A, B: (A @ B)[7]),
    "element": ("AB", 0.1, lambda A, B: (A @ B)[2, -3]),
    "part": ("AB", 12, lambda A, B: (A @ B)[3:20:2, 5:60:6]),
    "part of a part": ("ABx", 1.2, lambda A, B, x: (A @ B)[3:40][2:7:2] @ x),
    "element of three": ("ABC", 1.1, lambda A, B, C: (A @ B @ C)[1, 2]),
    "diagonal matrix": ("Ax", 1.1, lambda A, x: tnp.diag(x) @ A),
    "diagonal matrices around": ("Axy", 1.6, lambda A, x, y: tnp.diag(x) @ A @ tnp.diag(y)),
    "identity": ("A", 0.6, lambda A: A @ tnp.eye(N, dtype=A.dtype)),
    "numbers": ("Ax", 1.1, lambda A, x: (3 * A) @ (2 * x)),
    "sum with a product": ("ABx", 3.1, lambda A, B, x: (A - B.T @ B) @ x),
    "sum with an outer product": ("Axy", 1.2, lambda A, x, y: (A + tnp.outer(x, y)) @ x),
    "identity less an outer product": ("Axy", 2.6, lambda A, x, y: (tnp.eye(N) - tnp.outer(x, y)) @ A),
    "sum of two products": ("ABx", 4.1, lambda A, B, x: (A @ B + B @ A) @ x),
    "Householder": ("Ax", 3.1, lambda A, x: (tnp.eye(N) - 2 * tnp.outer(x, x)) @ A),
    "quadratic form": ("Axy", 1.1, lambda A, x, y: tnp.sum(tnp.outer(x, y) * A)),
    "diagonals between": ("Axy", 2.2, lambda A, x, y: A @ tnp.diag(x) @ A.T @ y),
    "fourth power": ("A", 2 * N + 1, lambda A: A @ A @ A @ A),
    "sixteenth power": ("A", 4 * N + 1, lambda A: A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A @ A),
    "sixth power": ("A", 3 * N + 1, lambda A: A @ A @ A @ A @ A @ A),
    "Kronecker product times vector": ("DEu", 0.5, lambda D, E, u: tnp.kron(D, E) @ u),
    "vector times Kronecker product": ("DEu", 0.5, lambda D, E, u: u @ tnp.kron(D, E)),
    "product of Kronecker products": ("DE", 1.2, lambda D, E: tnp.kron(D, E) @ tnp.kron(D, E)),
    "Kronecker product of three": ("DEu", 1, lambda D, E, u: tnp.kron(D, tnp.kron(E[:2, :2], E[:5, :5])) @ u),
    "gradient of a Kronecker product": ("DEu", 2, tr.grad(lambda D, E, u: ((tnp.kron(D, E) @ u) ** 2).sum())),
    "rows in blocks": ("Ax", 1.1, lambda A, x: (A.reshape(10, 9, N) @ x).reshape(N) + 0),
    "reshaped between": ("Au", 2.1, lambda A, u: (A @ A.reshape(N, 9, 10).reshape(N, N) @ u[:N])),
    "rows of a product, by number": ("Axi", 1.1, lambda A, x, i: A[i] @ x),
    "element of a gradient": ("AB", 0.1, tr.grad(lambda A, B: (A @ B)[2, 2])),
    "common left": ("ABC", N + 1, lambda A, B, C: A @ B + A @ C),
    "common right": ("ABC", N + 1, lambda A, B, C: A @ B - C @ B),
    "rows by comparison": ("Ai", 0.2, lambda A, i: (i[:, None] == tnp.arange(N)).astype(A.dtype) @ A),
    "gradient of a chain": ("xAB", 4.1, tr.grad(lambda x, A, B: ((A @ B @ x) ** 2).sum())),
    "gradient by low rank": ("UVx", 0.3, tr.grad(lambda U, V, x: ((U @ V @ x) ** 2).sum(), argnums=(0, 1))),
    "gradient of a trace": ("AB", 0.6, tr.grad(lambda A, B: tnp.trace(A @ B))),
    "gradients of a power": ("Ax", 9.6, _gradients(lambda A, x: (A @ A @ A @ x).sum())),
    "gradients of a row": ("AB", 3.1, _gradients(lambda A, B: ((A @ B)[3] ** 2).sum())),
    "gradients of an element": ("AB", 1.1, _gradients(lambda A, B: (A @ B)[2, 3])),
    "gradients of rows, by number": ("ABi", 14, _gradients(lambda A, B, i: ((A @ B)[i] ** 2).sum())),
    "gradients of a row, by number": ("ABi", 4.1, _gradients(lambda A, B, i: ((A @ B)[i[0]] ** 2).sum())),
    "rows by number": ("ABi", 4.1, lambda A, B, i: (A @ B)[i]),
    "row by number": ("ABi", 1.1, lambda A, B, i: (A @ B)[i[1]]),
    "diagonal beside the main one": ("AB", 1.1, lambda A, B: tnp.diagonal(A @ B, 1)),
    "sum of three products": ("ABCx", 6.6, lambda A, B, C, x: (A @ B + B @ C - C @ A) @ x),
    "sum of multiples": ("ABCu", N + 2.6, lambda A, B, C, u: 2 * (A @ B) + u[0] * (A @ C)),
    "centred": ("A", 1.6, lambda A: (tnp.eye(N) - tnp.ones((N, N)) / N) @ A),
    "product of sums": ("Axy", 3.2, lambda A, x, y: (A + tnp.outer(x, x)) @ (A + tnp.outer(x, x)) @ y),
    "reflection": ("Ax", 3.6, lambda A, x: (tnp.eye(N) - 2 * tnp.outer(x, x) / (x @ x)) @ A),
    "weighted mean of rows": ("ABx", 2.1, lambda A, B, x: tnp.average(A @ B, axis=0, weights=x * x + 1)),
    "sum of a sum": ("ABC", 1.6, lambda A, B, C: (A @ B + C).sum()),
    "sum of a sum with a number": ("AB", 1.1, lambda A, B: (3 * (A @ B) - 1).sum()),
    "sums of an outer product": ("xy", 0.1, lambda x, y: (tnp.outer(x, y) ** 2).sum() + tnp.outer(x, y).sum(0)[0]),
    "norm of low rank": ("U", 0.2, lambda U: ((U @ U.T) ** 2).sum()),
    "zeros": ("A", 0, lambda A: A @ tnp.zeros_like(A)),
    "in a loop": ("Ax", 20.2, lambda A, x: tr.fori_loop(0, 10, lambda _, y: A.T @ A @ y / 9, x)),
}  # fmt: skip


def traced(f: Callable[..., Any], names: str) -> tuple[Function, list[Any]]:
    args = [GIVEN[name] for name in names]
    return tr.trace(f)(*args), args


@pytest.mark.parametrize("name", PROGRAMS)
def test_costs_no_more_than_by_hand(name: str) -> None:
    names, wanted, f = PROGRAMS[name]
    with jax.enable_x64(True):
        before, args = traced(f, names)
        after = optimize(before)
        ir.verify(after)
        assert ir.flops(after) <= wanted * FLOPS, after
        got = tr.jit(f)(*args)
    want = ir.evaluate(before, *args)
    for a, b, c in zip(ir.evaluate(after, *args), want, jax.tree_util.tree_leaves(got), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(c, b, rtol=1e-9, atol=1e-9)


def centring() -> Any:
    return tnp.eye(N) - 1 / N


def _centred_by_ones(A: Any) -> Any:
    H = tnp.eye(N) - tnp.outer(tnp.ones(N), tnp.ones(N)) / N
    return H @ A @ H


def _reflection(x: Any) -> Any:
    return tnp.eye(N) - 2 * tnp.outer(x, x) / (x @ x)


def _reflections(*vectors: Any) -> Any:
    return functools.reduce(tnp.matmul, map(_reflection, vectors))


def _with_diagonal(x: Any) -> Any:
    return tnp.diag(x) + 3 * tnp.eye(N) - 1 / N


def _shifted(x: Any) -> Any:
    return tnp.diag(x) - x[0] * tnp.eye(N)


# As they are where a product of matrices takes much longer than to read one.
LARGE: dict[str, tuple[str, float, Callable[..., Any]]] = {
    "gradients of a chain": ("ABCx", 10.1, _gradients(lambda A, B, C, x: ((A @ B @ C @ x) ** 2).sum())),
    "gradients with a sum between": ("ABCx", 12.1, _gradients(lambda A, B, C, x: (A @ (B @ C + A) @ x).sum())),
    "centred on both sides": ("A", 4, lambda A: centring() @ A @ centring()),
    "centred by an outer product": ("A", 4, lambda A: _centred_by_ones(A)),
    "centred rows of a batch": ("T", 12, lambda T: centring() @ T @ centring()),
    "distances to products": ("A", 5, lambda A: -0.5 * centring() @ (A**2) @ centring()),
    "products of centred matrices": ("A", N + 4, lambda A: centring() @ A @ A.T @ centring()),
    "centred three times": ("AB", N + 8, lambda A, B: centring() @ A @ centring() @ B @ centring()),
    "independence": ("AB", 5, lambda A, B: tnp.trace(A @ centring() @ B @ centring())),
    "gradients of what is centred": ("A", 13, _gradients(lambda A: tnp.sin(centring() @ A @ centring()).sum())),
    "gradients of independence": ("AB", 10.1, _gradients(lambda A, B: tnp.trace(A @ centring() @ B @ centring()))),
    "gradients of weighted centring": ("Ax", 10.1, _gradients(lambda A, x: tnp.sin((tnp.eye(N) - x) @ A).sum())),
    "reflections": ("Axyz", 13, lambda A, x, y, z: _reflections(x, y, z) @ A),
    "reflections, from the right": ("Axyz", 13, lambda A, x, y, z: A @ _reflections(x, y) @ _reflection(z)),
    "reflections, transposed": ("Axyz", 13, lambda A, x, y, z: _reflections(x, y, z).T @ A),
    "a product of reflections": ("xyz", 13, lambda x, y, z: _reflections(x, y, z)),
    "diagonal and outer product": ("Axy", 4, lambda A, x, y: (tnp.diag(x) + tnp.outer(x, y)) @ A),
    "diagonals and outer product": ("Axy", 4.5, lambda A, x, y: (_shifted(x) + tnp.outer(x, y)) @ A),
    "diagonals that are added": ("Axy", 8, lambda A, x, y: _with_diagonal(x) @ A @ _with_diagonal(y)),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_products_that_gradients_share_are_computed_in_each(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, wanted, f = LARGE[name]
    monkeypatch.setattr(reorder, "current", lambda: Machine(flops=1e9, bandwidth=1e12, launch=0.0))
    monkeypatch.setattr(choices, "_SECONDS", 0.0)
    with jax.enable_x64(True):
        before, args = traced(f, names)
        after = optimize(before)
    ir.verify(after)
    assert ir.flops(after) <= wanted * FLOPS, after
    for a, b in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_what_another_wants_is_kept() -> None:
    """A product that is a result too is computed once and used."""
    with jax.enable_x64(True):
        before, args = traced(lambda A, B, x: (A @ B, A @ B @ x, (A @ B).T @ x), "ABx")
        after = optimize(before)
    assert ir.flops(after) == ir.flops(optimize(before, [cse])), after
    for a, b in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    "f",
    [
        lambda A, x: A @ x,
        lambda A, x: tnp.tanh(A @ x) @ A,
        lambda A, x: A @ (A @ x),
        lambda A, x: (A * x) @ A,
        lambda A, x: tnp.sum(A * x, axis=0),
        lambda A, x: (A @ x).astype(np.int32) @ A.astype(np.int32),
    ],
)
def test_the_best_is_left_alone(f: Callable[..., Any]) -> None:
    with jax.enable_x64(True):
        function = cse(traced(f, "Ax")[0])
    assert reorder_products(function) is function


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("vector_first", [False, True])
def test_outer_products_have_their_axes_in_any_order(axis: int, vector_first: bool) -> None:
    """What is repeated along axes of its own may be smaller or larger, and come first or last."""

    def f(A: Any, B: Any, x: Any) -> Any:
        product, vector = tnp.expand_dims(A @ B, axis), x.reshape([-1 if k == axis else 1 for k in range(3)])
        return (vector * product if vector_first else product * vector)[1:4, 1:5, 1:6]

    args = [GIVEN["A"], GIVEN["B"], GIVEN["x"][:7]]
    with jax.enable_x64(True):
        before = cse(tr.trace(f)(*args))
    after = reorder_products(before)
    assert ir.flops(after) < ir.flops(before)
    ir.verify(after)
    np.testing.assert_allclose(ir.evaluate(after, *args)[0], ir.evaluate(before, *args)[0], atol=1e-9)


SHARED_MULTIPLE = """
def f(n: c128[40,30], i: c128[30,40], t: c128[40,40]) -> (c128[30,40], c128[40,30]):
  e: c128[40,40] = 0.25+0.0j
  h: c128[40,40] = mul(e, t)
  j: c128[30,40] = dot_general(n, h) {lhs_contract=(0,), rhs_contract=(0,)}
  l: c128[40,30] = dot_general(h, i) {lhs_contract=(1,), rhs_contract=(1,)}
  return j, l
"""
ADDED_ROWS = """
def f(k: f64[6,400], d: i32[6,1], j: f64[400]) -> (f64[6,400]):
  l: f64[6] = 0.75
  n: f64[6,400] = dot_general(l, j)
  o: f64[6,400] = 0.0
  p: f64[6,400] = scatter_add(o, d, n) {update_window_dims=(1,), inserted_window_dims=(0,), \
scatter_dims_to_operand_dims=(0,)}
  return p
"""


@pytest.mark.parametrize("text", [SHARED_MULTIPLE, ADDED_ROWS])
def test_what_would_be_computed_twice_or_copied_is_left_alone(text: str) -> None:
    """A multiple that two products share; a vector repeated for the sum of rows, which reads it from memory."""
    function = ir.parse(text)
    assert reorder_products(function) is function


def test_what_is_rearranged_for_several_is_computed_once() -> None:
    """A sum that is repeated and read as a part and as a whole; a product whose transpose is multiplied twice."""

    def repeated(A: Any, B: Any) -> Any:
        every = tnp.broadcast_to((A @ B).sum() * 0.25, (2, N))
        return every, tnp.sin(every[:, :3])

    def turned(A: Any, B: Any) -> Any:
        product = (A @ B).T
        return product @ A, product @ B

    with jax.enable_x64(True):
        for f, most in ((repeated, 2 * FLOPS), (turned, (3 * N + 1) * FLOPS)):
            before, args = traced(f, "AB")
            after = optimize(before)
            assert ir.flops(after) <= most, after
            for a, b in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9)


def test_small_products_are_left_alone() -> None:
    x = np.ones((2, 2), np.float32)
    function = tr.trace(lambda a: a.T @ a @ a[0])(x)
    assert reorder_products(function) is function


def test_exact_programs_are_left_alone() -> None:
    f = lambda A, x: A.T @ A @ x
    args = [np.float32(GIVEN[name]) for name in "Ax"]
    exact = tr.jit(f, exact=True).ir(*args)
    assert ir.flops(exact) > 10 * ir.flops(tr.jit(f).ir(*args))


@pytest.mark.parametrize("dtype", ["float16", "float8_e5m2", "int32"])
def test_types_of_little_range_are_left_alone(dtype: str) -> None:
    args = [np.ones((N, N), jnp.dtype(dtype)), np.ones(N, jnp.dtype(dtype))]
    function = tr.trace(lambda A, x: A @ A @ x)(*args)
    assert reorder_products(function) is function


def test_precision_of_contractions_is_no_lower() -> None:
    both = lambda p, q: lambda A, x: tnp.matmul(tnp.matmul(A, A, precision=p), x, precision=q)
    args = [np.float32(GIVEN[name]) for name in "Ax"]
    after = reorder_products(tr.trace(both("highest", "highest"))(*args))
    assert [e.attrs["precision"] for e in after.eqns if e.op.name == "dot_general"] == ["highest"] * 2
    mixed = tr.trace(both("highest", None))(*args)
    after = reorder_products(mixed)
    assert [e.attrs["precision"] for e in after.eqns if e.op.name == "dot_general"] == ["highest"] * 2


def test_a_sum_has_no_negative_zero() -> None:
    a = np.ones((3, 200), np.float32) * -0.0
    z, wide = np.linspace(-2, 2, 200, dtype=np.float32), np.ones((200, 90), np.float32) * -0.0
    eye = lambda: tnp.eye(200, dtype=np.float32)
    for f, args in (
        (lambda a: a @ eye(), (a,)),
        (lambda a: eye() @ a.T, (a,)),
        (lambda z, b: tnp.diag(z) @ b, (z, wide)),
    ):
        before = optimize(tr.trace(f)(*args), pipeline(exact=True))
        (got,), (want,) = ir.evaluate(reorder_products(before), *args), ir.evaluate(before, *args)
        assert reorder_products(before) is not before
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(np.signbit(got), np.signbit(want))


def test_numbers_that_overflow_together_are_left() -> None:
    x = np.full((N, N), 1e-30, np.float32)
    f = lambda x: (1e30 * x) @ (1e30 * x)
    np.testing.assert_allclose(tr.jit(f)(x), np.full((N, N), N), rtol=1e-5)


def test_what_is_done_is_remarked() -> None:
    function = tr.trace(lambda A, x: A.T @ A @ x)(*[np.float32(GIVEN[name]) for name in "Ax"])
    with remarks() as found:
        reorder_products(function)
    assert [each.by for each in found] == ["reorder_products"]
    assert "test_products.py" in str(found[0].source)


def test_long_chains_pass() -> None:
    def chain(a: Any, x: Any) -> Any:
        product = a
        for _ in range(400):
            product = product @ a
        return product @ x

    args = [np.eye(60, dtype=np.float32) * np.float32(0.999), np.ones(60, np.float32)]
    before = tr.trace(chain)(*args)
    after = reorder_products(before)
    assert ir.flops(after) < ir.flops(before)
    np.testing.assert_allclose(ir.evaluate(after, *args)[0], ir.evaluate(before, *args)[0], rtol=1e-5)


# Random programs ------------------------------------------------------------------------------------


@st.composite
def programs(draw: Any) -> tuple[Callable[..., Any], list[Any]]:
    """A function of matrices and vectors that multiplies, adds, sums and cuts; and arguments."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 3, 5, 8]), min_size=2, max_size=3))
    size = st.sampled_from(sizes)
    shapes = draw(st.lists(st.one_of(st.tuples(size), st.tuples(size, size)), min_size=2, max_size=5))
    choices = draw(st.lists(st.integers(0, 10**6), min_size=6, max_size=14))

    def f(*args: Any) -> Any:
        pool = [*args, tnp.eye(sizes[0], dtype=args[0].dtype)]
        for n, choice in enumerate(choices):
            x, y = pool[choice % len(pool)], pool[choice // 7 % len(pool)]
            made = _step(x, y, choice // 97 % 22, n)
            if made is not None and made.size <= 600:
                pool.append(made)
        return pool[-1], sum([p.sum() for p in pool[len(args) + 1 :]], tnp.sum(args[0]))

    rng = np.random.default_rng(len(choices))
    return f, [rng.uniform(-1, 1, shape) for shape in shapes]


def _step(x: Any, y: Any, kind: int, n: int) -> Any:
    if kind <= 4:
        return x @ y if x.shape[-1:] == y.shape[-2:][:1] and x.ndim and y.ndim else None
    if kind == 5:
        return x.T
    if kind == 6:
        return x * y if x.shape == y.shape else x * 1.5
    if kind == 7:
        return x + y if x.shape == y.shape else -x
    if kind == 8:
        return x - y if x.shape == y.shape else x * -0.5
    if kind == 9:
        return tnp.outer(x, y) if x.ndim == y.ndim == 1 else x
    if kind == 10:
        return x[n % x.shape[0]] if x.ndim == 2 else x[: 1 + n % x.shape[0]] if x.ndim else None
    if kind == 11:
        return x[::2, 1:] if x.ndim == 2 and x.shape[1] > 1 else None
    if kind == 12:
        return tnp.diag(x) if x.ndim else None
    if kind == 13:
        return x.sum(n % x.ndim) if x.ndim else None
    if kind == 14:
        return tnp.trace(x) * y if x.ndim == 2 else None
    if kind == 15:
        return tnp.kron(x, y) if x.size * y.size <= 600 and x.ndim == y.ndim else None
    if kind == 16:
        return x.reshape(-1) if n % 2 else x.T.reshape(-1)
    if kind == 17:
        rows = [k for k in (2, 3, 5, 8) if x.size % k == 0]
        return x.reshape(rows[n % len(rows)], -1) if rows else None
    if kind == 18:
        return x @ x @ x @ x if x.ndim == 2 and x.shape[0] == x.shape[1] else x[::-1] if x.ndim else None
    if kind == 19:
        return x[np.arange(1 + n) * 7 % x.shape[0]] if x.ndim else None
    if kind == 20:
        return tnp.pad(x, [(n % 3, 1)] * x.ndim) if x.ndim else None
    return (
        x[:, None] * y
        if x.ndim == y.ndim == 1 or (x.ndim == 1 and y.ndim == 2 and len(x) == len(y))
        else None
    )


@given(programs(), st.sampled_from([1e3, 1e9]))
def test_random_programs_are_equal_and_no_dearer(program: Any, bandwidth: float) -> None:
    f, args = program
    machine = Machine(flops=1e9, bandwidth=bandwidth, launch=0.0)
    with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(reorder, "current", lambda: machine)
        patch.setattr(choices, "_SECONDS", 0.0)
        total = lambda *args: f(*args)[1]
        for each in (f, tr.grad(total, argnums=tuple(range(len(args)))), tr.hessian(total)):
            before = cse(tr.trace(each)(*args))
            after = optimize(before, [reorder_products])
            ir.verify(after)
            for a, b in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8 * (1 + np.max(np.abs(b), initial=0)))


def test_large_diagonals_are_known() -> None:
    """Indices too many to be written into a program are known all the same."""
    a, b = np.ones((3, 1500), np.float32), np.ones((1500, 3), np.float32)
    for f in (lambda b, a: tnp.trace(b @ a), tr.grad(lambda b, a: tnp.trace(b @ a))):
        lowered = tr.jit(f).lower(b, a).as_text()
        assert "1500x1500" not in lowered, lowered
        np.testing.assert_allclose(tr.jit(f)(b, a), tr.jit(f, opt=0)(b, a))


@pytest.mark.parametrize("size", [20, 200])
def test_chains_of_light_sums_take_few_orders(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one for each choice of terms: 3,400 for four reflections."""
    tried: list[None] = []

    class Counted(choices.Choice):
        def __init__(self, *args: Any) -> None:
            tried.append(None)
            super().__init__(*args)

    monkeypatch.setattr(reorder, "Choice", Counted)

    def reflected(A: Any, x: Any, count: int) -> Any:
        ops = [tnp.sin, tnp.cos, tnp.tanh, tnp.arctan, tnp.square]
        for k in range(count):
            u = ops[(k * k + k // 3) % 5](x + k)
            A = (tnp.eye(size, dtype=A.dtype) - 2 * tnp.outer(u, u) / (u @ u)) @ A
        return A

    args = np.eye(size, dtype=np.float32), np.ones(size, np.float32)
    counts = []
    for count in (4, 8, 16):
        tried.clear()
        after = optimize(tr.trace(lambda *args, count=count: reflected(*args, count))(*args))
        counts.append(len(tried))
        if size == 200:
            assert ir.flops(after) <= 4 * count * 2 * size**2
    assert counts[0] < 400 and counts[1] < 4 * counts[0] and counts[2] < 4 * counts[1], counts
