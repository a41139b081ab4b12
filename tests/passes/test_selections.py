"""Products with matrices that only choose: rows are chosen, and the results are those of the products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg
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
from ir.passes.fold import fold
from ir.passes.pipeline import optimize
from ir.passes.selections import choose, choose_rows
from ir.passes.simplify import simplify
from ir.remarks import remarks
from tests.tracer.helpers import assert_close, x64

N = 6
RNG = np.random.default_rng(0)
A = RNG.normal(size=(N, 5))
X = RNG.normal(size=N)
INDEX = np.array([2, 0, 5, 2, 4, 1], np.int32)
PERMUTATION = RNG.permutation(N).astype(np.int32)
OUTSIDE = np.array([-1, 0, 6, 2, 99, -7], np.int32)


def one_hot(i: Any, xp: Any = tnp) -> Any:
    return (i[:, None] == xp.arange(N)).astype(np.float64)


def eye(xp: Any, **options: Any) -> Any:
    return xp.eye(N, dtype=np.float64, **options)


# What chooses, as a function of an index and a vector; `xp` is tracer's NumPy or NumPy.
CHOICES: dict[str, Callable[[Any, Any, Any], Any]] = {
    "one-hot": lambda xp, i, x: one_hot(i, xp),
    "one-hot, the other way round": lambda xp, i, x: (xp.arange(N)[:, None] == i).astype(np.float64),
    "transposed one-hot": lambda xp, i, x: one_hot(i, xp).T,
    "weighted one-hot": lambda xp, i, x: one_hot(i, xp) * x[:, None],
    "negated one-hot": lambda xp, i, x: -one_hot(i, xp),
    "selected": lambda xp, i, x: xp.where(i[:, None] == xp.arange(N), x[:, None], 0.0),
    "shifted by an index": lambda xp, i, x: (i[:, None] == xp.arange(N) + 1).astype(np.float64),
    "next to an index": lambda xp, i, x: (i[:, None] + 1 == xp.arange(N)).astype(np.float64),
    "small integers": lambda xp, i, x: (i.astype(np.int8)[:, None] == xp.arange(N, dtype=np.int8)).astype(
        np.float64
    ),
    "identity": lambda xp, i, x: eye(xp),
    "beside the diagonal": lambda xp, i, x: eye(xp, k=2),
    "below the diagonal": lambda xp, i, x: eye(xp, k=-1),
    "rows of the identity": lambda xp, i, x: eye(xp)[xp.clip(i, 0, N - 1)],
    "columns of the identity": lambda xp, i, x: eye(xp)[:, xp.clip(i, 0, N - 1)],
    "backwards": lambda xp, i, x: eye(xp)[::-1],
    "columns backwards": lambda xp, i, x: eye(xp)[:, ::-1],
    "turned": lambda xp, i, x: xp.roll(eye(xp), 2, 0),
    "columns turned": lambda xp, i, x: xp.roll(eye(xp), 1, 1),
    "padded": lambda xp, i, x: xp.pad(one_hot(i, xp)[1:4, 1:5], ((1, 2), (2, 0))),
    "diagonal": lambda xp, i, x: xp.diag(x),
    "diagonal beside": lambda xp, i, x: xp.diag(x[1:], 1),
    "two diagonals": lambda xp, i, x: xp.diag(x) - xp.diag(x[:-1], -1),
    "three diagonals": lambda xp, i, x: xp.diag(x) + 2.0 * xp.diag(x[1:], 1) + xp.diag(x[2:], -2),
    "a constant": lambda xp, i, x: xp.asarray(np.eye(N)[PERMUTATION] * 3.0),
    "a constant with an empty row": lambda xp, i, x: xp.asarray(np.eye(N)[PERMUTATION] * (np.arange(N) != 2)),
    "every other row": lambda xp, i, x: xp.concatenate([eye(xp)[::2], eye(xp)[1::2]]),
}
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "m @ A": lambda m, a: m @ a,
    "m' @ A": lambda m, a: m.T @ a,
    "B @ m": lambda m, a: a.T[:3] @ m,
    "B @ m'": lambda m, a: a.T[:3] @ m.T,
    "m @ x": lambda m, a: m @ a[:, 0],
    "x @ m": lambda m, a: a[:, 1] @ m,
}


# Adding up rows is always quicker than a product.
SLOW = Machine(flops=1.0, bandwidth=1e9, launch=1e-6)


def traced(f: Callable[..., Any]) -> Callable[..., Function]:
    """The program with constants folded, as the pass sees it."""
    return lambda *args: fold(cse(tr.trace(f)(*args)))


def products(function: Function) -> int:
    return sum(e.op.name == "dot_general" for e in function.eqns)


@pytest.fixture
def slow_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "current", lambda: SLOW)


@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("index", [INDEX, OUTSIDE], ids=["regular", "outside"])
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("name", CHOICES)
def test_rows_are_chosen(name: str, product: str, index: Any) -> None:
    """No product is left, and what there is equals NumPy's product."""
    with x64():
        function = traced(lambda i, x, a: PRODUCTS[product](CHOICES[name](tnp, i, x), a))(index, X, A)
        assert products(function) == 1
        with remarks() as said:
            chosen = choose_rows(function)
        ir.verify(chosen)
        assert not products(chosen) and len(said) == 1
        want = PRODUCTS[product](CHOICES[name](np, index, X), A)
        for each in (chosen, optimize(function)):
            (got,) = ir.evaluate(each, index, X, A)
            assert_close(got, want, 1e-13)


@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("name", CHOICES)
def test_gradients(name: str, product: str) -> None:
    """Of the chosen rows, and through the pass of the whole gradient, against JAX."""

    def loss(xp: Any, i: Any, x: Any, a: Any) -> Any:
        return xp.sum(xp.sin(PRODUCTS[product](CHOICES[name](xp, i, x), a)))

    with x64():
        args = jnp.asarray(INDEX), jnp.asarray(X), jnp.asarray(A)
        want = jax.grad(lambda *args: loss(jnp, *args), (1, 2))(*args)
        got = tr.jit(tr.grad(lambda *args: loss(tnp, *args), (1, 2)))(*args)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-12)


LEFT: dict[str, Callable[[Any, Any], Any]] = {  # (of an index and a vector)
    "dense": lambda i, x: tnp.outer(x, x) @ A,
    "two in a line": lambda i, x: (i[:, None] <= tnp.arange(N)).astype(np.float64) @ A,
    "compared with another index": lambda i, x: (i[:, None] == i).astype(np.float64) @ A,
    "no zeros": lambda i, x: tnp.where(i[:, None] == tnp.arange(N), x[:, None], 1.0) @ A,
    "padded with ones": lambda i, x: tnp.pad(one_hot(i), ((0, 0), (1, 0)), constant_values=1.0)[:, :N] @ A,
    "plus one": lambda i, x: (one_hot(i) + 1.0) @ A,
    "floats": lambda i, x: (x[:, None] == tnp.arange(N).astype(np.float64)).astype(np.float64) @ A,
    "a table of two in a row": lambda i, x: tnp.asarray(np.tri(N)) @ tnp.outer(x, x),
    "rounded": lambda i, x: tnp.matmul(
        one_hot(i).astype(np.float32), x.astype(np.float32), preferred_element_type=np.float64
    ),
}


@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("name", LEFT)
def test_products_that_stay(name: str) -> None:
    with x64():
        function = traced(LEFT[name])(INDEX, X)
        assert products(function) == 1 and choose_rows(function) is function


@pytest.mark.parametrize(("rows", "width", "is_added"), [(512, 8, False), (512, 4096, True)])
def test_rows_are_added_up_where_that_is_quicker(rows: int, width: int, is_added: bool) -> None:
    """Not for small matrices: each row takes its time."""
    i, y = np.zeros(rows, np.int32), np.ones((rows, 3), np.float32)
    function = traced(lambda i, y: (i[:, None] == tnp.arange(width)).astype(np.float32).T @ y)(i, y)
    chosen = choose_rows(function)
    assert products(chosen) == (not is_added)
    (got,) = ir.evaluate(chosen, i, y)
    assert_close(
        got,
        np.where(np.arange(width)[:, None] == 0, np.float32(rows), np.float32(0)) + np.zeros((1, 3)),
        1e-6,
    )


def test_signs_of_zero_and_empty_arrays() -> None:
    """A sum of products is 0 where all terms are zeros, and so are the rows."""
    y = np.full((N, 2), -0.0)
    with x64():
        function = traced(lambda i, y: one_hot(i) @ y)(INDEX, y)
        for f in (function, choose_rows(function)):
            (got,) = ir.evaluate(f, INDEX, y)
            assert not np.signbit(got).any()
        for shape in ((0, 2), (N, 0)):
            i = INDEX[: shape[0]]
            function = traced(lambda i, y: one_hot(i) @ y)(i, np.zeros((N, shape[1])))
            (got,) = ir.evaluate(choose_rows(function), i, np.zeros((N, shape[1])))
            assert got.shape == shape


def test_diagonal_systems() -> None:
    """Each unknown is found by itself, whatever is solved for, and the inverse is a diagonal matrix too."""
    inv, solve = tnp.linalg.inv, tnp.linalg.solve
    programs: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
        "inverse": (lambda x, a: inv(tnp.diag(x)) @ a, lambda x, a: a / x[:, None]),
        "from the right": (lambda x, a: a.T @ inv(tnp.diag(x)), lambda x, a: a.T / x),
        "between": (lambda x, a: a.T @ inv(tnp.diag(x)) @ a, lambda x, a: (a.T / x) @ a),
        "vector": (lambda x, a: solve(tnp.diag(x), a[:, 0]), lambda x, a: a[:, 0] / x),
        "matrix": (lambda x, a: solve(tnp.diag(x), a), lambda x, a: a / x[:, None]),
        "identity": (lambda x, a: solve(tnp.eye(N), a), lambda x, a: a),
    }
    with x64():
        x, a = jnp.asarray(X), jnp.asarray(A)
        for f, by_hand in programs.values():
            program = tr.jit(f).ir(x, a)
            assert not {"linear_solve", "lu", "triangular_solve"} & {e.op.name for e in program.eqns}
            assert_close(tr.jit(f)(x, a), by_hand(X, A), 1e-12)
            got = tr.jit(tr.grad(lambda x, a, f=f: tnp.sum(tnp.sin(f(x, a))), (0, 1)))(x, a)
            want = jax.grad(lambda x, a, f=by_hand: jnp.sum(jnp.sin(f(x, a))), (0, 1))(x, a)
            for p, q in zip(got, want, strict=True):
                assert_close(p, q, 1e-10)


TRIANGULAR: dict[str, Callable[[Any, Any, Any], Any]] = {
    "lower": lambda xp, m, a: xp.linalg.solve(xp.tril(m), a),
    "upper": lambda xp, m, a: xp.linalg.solve(xp.triu(m), a),
    "transposed": lambda xp, m, a: xp.linalg.solve(xp.tril(m).T, a[:, 0]),
    "inverse": lambda xp, m, a: xp.linalg.inv(xp.tril(m)) @ a,
    "inverse from the right": lambda xp, m, a: a.T @ xp.linalg.inv(xp.triu(m)),
    "Cholesky's factor": lambda xp, m, a: xp.linalg.solve(xp.linalg.cholesky(m @ m.T), a),
    "its transpose": lambda xp, m, a: xp.linalg.solve(xp.linalg.cholesky(m @ m.T).T, a),
    "below the diagonal too": lambda xp, m, a: xp.linalg.solve(xp.triu(m, 1) + xp.eye(N), a),
}


@pytest.mark.parametrize("name", TRIANGULAR)
def test_triangular_systems(name: str) -> None:
    """They are solved as they are, without being factored, and so are those of their derivatives."""
    f = TRIANGULAR[name]
    m = np.random.default_rng(1).normal(size=(N, N)) + 3 * np.eye(N)
    with x64():
        program = tr.jit(lambda m, a: f(tnp, m, a)).ir(m, A)
        named = {e.op.name for e in program.eqns}
        assert ("lu" in named) == (name == "below the diagonal too") and "triangular_solve" in str(program)
        assert_close(tr.jit(lambda m, a: f(tnp, m, a))(m, A), f(np, m, A), 1e-10)
        args = jnp.asarray(m), jnp.asarray(A)
        gradient = tr.jit(tr.grad(lambda m, a: tnp.sum(tnp.sin(f(tnp, m, a))), (0, 1)))
        assert ("lu" in {e.op.name for e in gradient.ir(*args).eqns}) == (name == "below the diagonal too")
        want = jax.grad(lambda m, a: jnp.sum(jnp.sin(f(jnp, m, a))), (0, 1))(*args)
        for p, q in zip(gradient(*args), want, strict=True):
            assert_close(p, q, 1e-9)


def test_masks_of_triangular_systems_are_not_written() -> None:
    m = np.random.default_rng(1).normal(size=(N, N)) + 3 * np.eye(N)
    solve = tnp.linalg.solve
    cases: list[tuple[Callable[[Any], Any], bool]] = [
        (lambda m: solve(tnp.tril(m), A), True),
        (lambda m: solve(tnp.triu(m), A), True),
        (lambda m: solve(tnp.tril(m).T, A), False),
        (lambda m: solve(tnp.tril(m, -1) + tnp.eye(N), A), False),
        (lambda m: solve(tnp.where(tnp.tri(N, k=0, dtype=bool), m, 0.0), A), True),
        (lambda m: solve(tnp.where(tnp.tri(N, k=-1, dtype=bool), 0.0, m), A), True),
        (lambda m: solve(tnp.tril(tnp.triu(m, -1)), A), False),
    ]
    with x64():
        for f, is_plain in cases:
            names = [e.op.name for e in tr.jit(f).ir(m).eqns]
            assert not is_plain or "select" not in names, names
            assert_close(tr.jit(f)(m), tr.jit(f, opt=0)(m), 1e-10)
        # What is not a number beside the triangle is not read.
        m[0, 3] = np.nan
        assert np.isfinite(tr.jit(cases[0][0])(m)).all()


def test_solvers_of_the_caller_stay() -> None:
    """Whatever they give, it is not what solving exactly would."""
    with x64():
        x = jnp.asarray(X)
        f = lambda x: tr.custom_linear_solve(
            lambda v: tnp.diag(x) @ v, x, lambda _, b: 0.5 * b, symmetric=True
        )
        assert_close(tr.jit(f)(x), 0.5 * X, 1e-12)


def test_other_systems_stay() -> None:
    with x64():
        for f in (lambda x: tnp.diag(x, 1)[:N, :N] + tnp.eye(N), lambda x: tnp.diag(x) + tnp.outer(x, x)):
            program = tr.jit(lambda x, f=f: tnp.linalg.solve(f(x), x)).ir(X)
            assert "linear_solve" in {e.op.name for e in program.eqns}


def test_no_number_is_lost() -> None:
    """0 / 0 beside the diagonal of a matrix that is divided is no number, and nor is what it is multiplied by."""
    with x64():
        x = np.array([1.0, 0.0, 2.0, 3.0, 4.0, 5.0])
        program = tr.jit(lambda x, a: (tnp.eye(N) / x[:, None]) @ a).ir(x, A)
        with np.errstate(all="ignore"):
            (got,) = ir.evaluate(program, x, A)  # (XLA itself has inf there)
        assert np.isnan(got[1]).all() and np.isfinite(got[2:]).all()


# What a first version got wrong -------------------------------------------------------------------


@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_narrow_sums_are_rounded_once(dtype: Any) -> None:
    """As sums of products are: 5,000 ones are no 256."""
    p, y = np.arange(5000, dtype=np.int32) % 2, np.ones((5000, 2), dtype)

    def sums(p: Any, y: Any) -> Any:
        hot = (p[:, None] == tnp.arange(4)).astype(dtype)
        triangle = tnp.tril(tnp.ones((5000, 5000), dtype))
        return (
            hot.T @ y,
            y.T @ hot,
            triangle @ y,
            (tnp.eye(5000, dtype=dtype) + tnp.eye(5000, k=1, dtype=dtype)) @ y,
        )

    function = simplify(traced(sums)(p, y))
    chosen = choose_rows(function)
    assert products(chosen) == 1 < products(function)  # (several matrices are not added up)
    half, whole = (
        np.float32(dtype(2500)),
        np.arange(1, 5001, dtype=np.float32).astype(dtype).astype(np.float32),
    )
    by_segment, turned, running, twice = (np.asarray(v, np.float32) for v in ir.evaluate(chosen, p, y))
    assert_close(by_segment, np.array([[half] * 2, [half] * 2, [0, 0], [0, 0]]), 1e-6)
    assert_close(turned, by_segment.T, 1e-6)
    assert_close(running[:, 0], whole, 1e-2)
    assert_close(twice[:, 0], np.array([2.0] * 4999 + [1.0]), 1e-6)


def test_weights_of_lines_that_choose_nothing() -> None:
    """They may be infinite: nothing is multiplied by them."""
    programs: list[Callable[[Any, Any, Any], Any]] = [
        lambda xp, d, y: xp.where(xp.arange(3)[:, None] + 1 == xp.arange(3), (1 / d)[:, None], 0.0) @ y,
        lambda xp, d, y: xp.where(xp.eye(3, dtype=bool), 1 / d, 0.0)[:, :2] @ y[:2],
        lambda xp, d, y: xp.where(xp.asarray([0, 1, -1])[:, None] == xp.arange(3), (1 / d)[:, None], 0.0) @ y,
    ]
    d, y = np.array([1.0, 2.0, 0.0]), np.ones(3)
    with x64(), np.errstate(divide="ignore"):
        for f in programs:
            want = f(np, d, y)
            assert np.isfinite(want).all()
            assert_close(tr.jit(lambda d, y, f=f: f(tnp, d, y))(d, y), want)


def test_constant_vectors() -> None:
    with x64():
        assert_close(tr.jit(lambda y: np.array([0.0, 0.0, 2.0]) @ y)(np.ones(3)), 2.0)
        f = lambda y: (tnp.arange(4) == np.array([2, 2, 2, 2])).astype(y.dtype) @ y
        assert_close(tr.jit(f)(np.ones((4, 3))), np.ones(3))


def test_indices_are_not_run_at_compile_time() -> None:
    """Neither loops, nor what shares its operands many times, nor the caller's own functions."""
    y = np.ones((64, 2))

    def shared(y: Any) -> Any:
        p = tnp.arange(64)
        for _ in range(60):
            p = p * p + 1
        return (p[:, None] == tnp.arange(64)).astype(y.dtype) @ y

    def looped(y: Any) -> Any:
        p = tr.fori_loop(0, 10**9, lambda _, p: (p + 1) % 64, tnp.arange(64))
        return (p[:, None] == tnp.arange(64)).astype(y.dtype) @ y

    def called(y: Any) -> Any:
        def never(p: Any) -> Any:
            raise AssertionError("called by the compiler")

        p = jax.pure_callback(never, jax.ShapeDtypeStruct((64,), jnp.int32), jnp.arange(64, dtype=jnp.int32))
        return (p[:, None] == tnp.arange(64)).astype(y.dtype) @ y

    for f in (shared, looped, called):
        tr.jit(f).ir(y)
    assert_close(tr.jit(shared)(y), jax.jit(lambda y: _shared(y))(y))


def _shared(y: Any) -> Any:
    p = jnp.arange(64)
    for _ in range(60):
        p = p * p + 1
    return (p[:, None] == jnp.arange(64)).astype(y.dtype) @ y


@pytest.mark.usefixtures("slow_products")
def test_counts_that_wrap() -> None:
    """A type of 256 numbers counts to 255; one without signs has no numbers below 0."""
    y = np.ones((300, 2), np.float32)
    p = np.arange(300).astype(np.uint8)
    f = lambda xp, p, y: (p[:, None] == xp.arange(300).astype(np.uint8)).astype(np.float32) @ y
    (got,) = ir.evaluate(choose_rows(traced(lambda p, y: f(tnp, p, y))(p, y)), p, y)
    assert_close(got, f(np, p, y))

    def g(xp: Any, y: Any) -> Any:
        i, k = (xp.arange(300) - 5).astype(np.uint32), xp.arange(300).astype(np.uint32)
        return (i[:, None] >= k).astype(np.float32) @ y

    (got,) = ir.evaluate(choose_rows(traced(lambda y: g(tnp, y))(y)), y)
    assert_close(got, g(np, y))


def test_signs_of_zero_of_sums() -> None:
    with x64():
        for f in (lambda y: (tnp.eye(3) - tnp.eye(3, k=1)) @ y, lambda y: (tnp.eye(3) + tnp.eye(3, k=1)) @ y):
            (got,) = ir.evaluate(choose_rows(traced(f)(X[:3])), np.array([-0.0, -0.0, -0.0]))
            assert not np.signbit(got).any()


def test_systems_of_the_caller() -> None:
    """Whatever is multiplied besides the matrix."""
    a, b = jnp.asarray(np.diag(np.arange(1.0, 7))), jnp.ones(6)
    with x64():
        for solver in (jax.scipy.sparse.linalg.cg, jax.scipy.sparse.linalg.gmres):
            got = tr.jit(lambda a, b, s=solver: s(lambda x: a @ x + 0.1 * x, b)[0])(a, b)
            assert_close(got, 1 / (np.arange(1.0, 7) + 0.1), 1e-4)
        for matvec in (lambda a, x: a @ x + 0.1 * x, lambda a, x: a @ (x * jnp.arange(1.0, 7)) + 0.0):
            f = lambda a, b, m=matvec: jax.lax.custom_linear_solve(
                lambda x: m(a, x), b, lambda mv, b: jnp.linalg.solve(jax.jacobian(mv)(b), b)
            )
            assert_close(tr.jit(f)(a, b), jax.jit(f)(a, b), 1e-6)


# Triangles of ones --------------------------------------------------------------------------------


@pytest.mark.usefixtures("slow_products")
@pytest.mark.parametrize("shape", [(6, 6), (6, 4), (3, 6), (1, 5)])
@pytest.mark.parametrize("offset", [-7, -1, 0, 2, 6])
@pytest.mark.parametrize("compare", ["greater_equal", "greater", "less_equal", "less"])
def test_running_sums(compare: str, offset: int, shape: tuple[int, int]) -> None:
    """Every side of every diagonal, from both sides, rows and columns."""
    rows, columns = shape
    a, b = RNG.normal(size=(columns, 2)), RNG.normal(size=(3, rows))

    def masks(xp: Any) -> list[Any]:
        i, k = xp.arange(rows)[:, None], xp.arange(columns)[None]
        test = getattr(xp, compare)
        return [test(i + offset, k), test(k, i - offset)]

    def f(xp: Any, a: Any, b: Any) -> list[Any]:
        m = [mask.astype(np.float64) for mask in masks(xp)]
        m += [xp.where(masks(xp)[0], 1.0, 0.0), xp.where(masks(xp)[1], 0.0, 1.0)]
        return [*[t @ a for t in m], *[b @ t for t in m], m[0].T @ b.T, a[:, 0] @ m[1].T]

    with x64():
        function = simplify(traced(lambda a, b: f(tnp, a, b))(a, b))
        chosen = choose_rows(function)
        ir.verify(chosen)
        if columns > 1 and rows > 1:
            assert products(function) and not products(chosen)
        for got, want in zip(ir.evaluate(chosen, a, b), f(np, a, b), strict=True):
            assert_close(got, want, 1e-12)


def test_short_sums_are_products() -> None:
    """A running sum takes several steps."""
    for n, is_sum in ((32, False), (1024, True)):
        y = np.ones((n, 4), np.float32)
        chosen = choose_rows(traced(lambda y: tnp.tril(tnp.ones((y.shape[0],) * 2, np.float32)) @ y)(y))
        assert products(chosen) == (not is_sum)
        assert_close(ir.evaluate(chosen, y)[0], np.cumsum(y, 0), 1e-6)


# Random matrices ----------------------------------------------------------------------------------

STEPS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "transpose": lambda xp, m, k: m.T,
    "reverse": lambda xp, m, k: m[::-1],
    "reverse columns": lambda xp, m, k: m[:, ::-1],
    "roll": lambda xp, m, k: xp.roll(m, k, 0),
    "cut": lambda xp, m, k: m[k % 2 :, : m.shape[1] - k % 2] if min(m.shape) > 3 else m,
    "pad": lambda xp, m, k: xp.pad(m, ((k % 2, 1), (0, k % 3))) if max(m.shape) < 12 else m,
    "negate": lambda xp, m, k: -m,
    "double": lambda xp, m, k: 2.0 * m,
    "weigh rows": lambda xp, m, k: m * (1.0 + xp.arange(m.shape[0]) % (k + 2))[:, None],
    "weigh columns": lambda xp, m, k: m * (2.0 - xp.arange(m.shape[1]) % (k + 2)),
    "take rows": lambda xp, m, k: m[xp.arange(k, k + m.shape[0]) % m.shape[0]],
    "take rows backwards": lambda xp, m, k: m[m.shape[0] - 1 - xp.arange(m.shape[0])],
    "stack": lambda xp, m, k: xp.concatenate([m[k % m.shape[0] :], m[: k % m.shape[0]]]),
}
KINDS: dict[str, Callable[[Any, Any, int], Any]] = {
    "one-hot": lambda xp, i, k: (i[:, None] == xp.arange(N + k)).astype(np.float64),
    "eye": lambda xp, i, k: xp.eye(N, N + k, k - 1, dtype=np.float64),
    "sum": lambda xp, i, k: xp.eye(N, dtype=np.float64) - xp.eye(N, k=k, dtype=np.float64),
}


@st.composite
def matrices(draw: st.DrawFn) -> tuple[str, int, list[tuple[str, int]]]:
    steps = st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 3))
    return draw(st.sampled_from(sorted(KINDS))), draw(st.integers(0, 2)), draw(st.lists(steps, max_size=6))


@given(matrices(), st.booleans(), st.lists(st.integers(-3, 9), min_size=N, max_size=N))
def test_random_matrices(
    matrix: tuple[str, int, list[tuple[str, int]]], is_left: bool, index: list[int]
) -> None:
    """Whatever is done to a matrix that chooses, products with it are what they were."""
    kind, size, steps = matrix
    i = np.array(index, np.int32)

    def made(xp: Any, i: Any) -> Any:
        m = KINDS[kind](xp, i, size)
        for name, k in steps:
            m = STEPS[name](xp, m, k)
        return m

    rows, columns = made(np, i).shape
    y = np.random.default_rng(size).normal(size=(columns, 2) if is_left else (2, rows))
    with x64(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "current", lambda: SLOW)
        function = traced(lambda i, y: made(tnp, i) @ y if is_left else y @ made(tnp, i))(i, y)
        chosen = choose_rows(function)
        ir.verify(chosen)
        (got,), (want,) = ir.evaluate(chosen, i, y), ir.evaluate(function, i, y)
        assert_close(got, want, 1e-12)
