"""Patterns of known structure are found exactly: no element too few, none too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jax import lax

import tracer as tr
import tracer.numpy as tnp
from ir.errors import SparsityError
from ir.sparsity import sets
from ir.sparsity.rules import control

N = 9
RNG = np.random.default_rng(0)
X = RNG.normal(size=N).astype(np.float32)
SQUARE = RNG.normal(size=(4, 5)).astype(np.float32)
INDEX = np.array([3, 3, 0, 8, 5])
FIRST = np.arange(N) == 0
PAIRS = np.array([[0, 4], [2, 1], [7, 7]])


def eye(*shifts: int, size: int = N) -> Any:
    """Diagonals of a square matrix."""
    return sum([np.eye(size, k=k) for k in shifts], np.zeros((size, size))) > 0


def rows(columns: Any, size: int = N) -> Any:
    """A matrix with these columns in each row."""
    out = np.zeros((len(columns), size), np.bool_)
    for row, some in zip(out, columns, strict=True):
        row[some] = True
    return out


def stencil(u: Any) -> Any:
    v = tnp.pad(u, 1)
    return v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4 * u + tnp.sin(u)


def five_points(shape: tuple[int, int]) -> Any:
    at = [(i, j) for i in range(shape[0]) for j in range(shape[1])]
    return np.array([[abs(i - k) + abs(j - m) <= 1 for k, m in at] for i, j in at])


def by_scan(x: Any) -> Any:
    """A filter with a memory of two elements."""

    def step(carry: Any, xi: Any) -> Any:
        return (xi, carry[0]), xi * carry[1]

    return tr.scan(step, (0.0, 0.0), x)[1]


def by_loop(x: Any) -> Any:
    return tr.fori_loop(0, 3, lambda i, u: u * tnp.roll(u, 1), x)


def convolved(u: Any) -> Any:
    laplacian = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
    image = tnp.reshape(u, (1, 1, *u.shape))
    return tr.from_jax(lambda x: lax.conv_general_dilated(x, laplacian[None, None], (1, 1), "SAME"))(image)


CASES: dict[str, tuple[Callable[..., Any], Any, Any]] = {
    "elementwise": (lambda x: tnp.sin(x) * x, X, eye(0)),
    "independent": (lambda x: tnp.sign(x) + tnp.floor(x), X, eye()),
    "stencil": (lambda x: x[2:] - 2 * x[1:-1] + x[:-2], X, rows([[i, i + 1, i + 2] for i in range(N - 2)])),
    "periodic": (lambda x: x * tnp.roll(x, 1), X, eye(0, -1) | eye(N - 1)),
    "strided": (lambda x: x[::2] * x[-1], X, rows([[i, N - 1] for i in range(0, N, 2)])),
    "reversed": (lambda x: x[::-1] ** 2, X, eye(0)[::-1]),
    "five points": (stencil, SQUARE, five_points((4, 5))),
    "convolution": (convolved, SQUARE, five_points((4, 5))),
    "sum": (lambda x: tnp.sum(x), X, np.ones((1, N), np.bool_)),
    "rows": (lambda x: tnp.sum(x**2, axis=1), SQUARE, np.kron(np.eye(4), np.ones(5)) > 0),
    "running sum": (lambda x: tnp.cumsum(x), X, np.tril(np.ones((N, N))) > 0),
    "running sum from the end": (
        lambda x: tnp.flip(tnp.cumsum(tnp.flip(x))), X, np.triu(np.ones((N, N))) > 0
    ),
    "gather": (lambda x: x[INDEX] * 2, X, rows([[i] for i in INDEX])),
    "pairs": (lambda x: x[PAIRS[:, 0]] - x[PAIRS[:, 1]], X, rows([list(p) for p in PAIRS])),
    "scatter": (lambda x: tnp.zeros(4).at[np.array([1, 3, 1])].add(x[:3]), X, rows([[], [0, 2], [], [1]])),
    "set": (lambda x: x.at[2].set(x[5]), X, rows([[0], [1], [5], *[[i] for i in range(3, N)]])),
    "masked": (lambda x: x * (np.arange(N) % 2), X, eye(0) & (np.arange(N) % 2 > 0)),
    "chosen": (
        lambda x: tnp.where(np.arange(N) < 4, x, x[::-1]), X, rows([[i if i < 4 else N - 1 - i] for i in range(N)])
    ),
    "matrix": (lambda x: np.diag(np.ones(N - 2, np.float32), 2) @ x, X, eye(2)),
    "outer": (lambda x: tnp.outer(x[:2], x[2:4]), X, rows([[0, 2], [0, 3], [1, 2], [1, 3]])),
    "matrix product": (
        lambda a: a @ a.T,
        SQUARE,
        np.array([[(c // 5) in (i, j) for c in range(20)] for i in range(4) for j in range(4)]),
    ),
    "sorted": (lambda a: tnp.sort(a, axis=1), SQUARE, np.kron(np.eye(4), np.ones((5, 5))) > 0),
    "scan": (by_scan, X, rows([[], [], *[[i, i - 2] for i in range(2, N)]])),
    "loop": (by_loop, X, sum(np.roll(np.eye(N), k, axis=0) for k in range(4)) > 0),
    "branch": (lambda x: tr.cond(np.True_, lambda x: x, lambda x: x[::-1], x), X, eye(0)),
    "branches": (lambda x: tr.cond(x[0] > 0, lambda x: x, lambda x: x[::-1], x), X, eye(0) | eye(0)[::-1]),
    "map": (lambda a: tr.map(lambda r: tnp.dot(r, r) * r, a), SQUARE, np.kron(np.eye(4), np.ones((5, 5))) > 0),
    "checkpoint": (tr.checkpoint(lambda x: tnp.sin(x[1:]) * x[:-1]), X, rows([[i, i + 1] for i in range(N - 1)])),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_jacobian(name: str) -> None:
    f, x, want = CASES[name]
    assert np.array_equal(tr.sparsity(f)(x).dense(), want)


def test_rows_and_columns_of_pytrees() -> None:
    """Leaf after leaf, each in row-major order."""
    p = {"a": X[:2], "b": SQUARE[:1, :3]}
    found = tr.sparsity(lambda p: (p["b"][0] ** 2, p["a"] * p["b"][0, 2]))(p)
    assert found.dense().astype(int).tolist() == [
        [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [1, 0, 0, 0, 1], [0, 1, 0, 0, 1],
    ]  # fmt: skip


SCALARS: dict[str, tuple[Callable[..., Any], Any]] = {
    "separable": (lambda x: tnp.sum(tnp.exp(x) * x), eye(0)),
    "linear": (lambda x: tnp.sum(3 * x) + x[0], eye()),
    "linear after a running sum": (lambda x: tnp.sum(tnp.cumsum(x)), eye()),
    "chain": (lambda x: tnp.sum((x[1:] - x[:-1]) ** 2), eye(-1, 0, 1)),
    "rosenbrock": (lambda x: tnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), eye(-1, 0, 1)),
    "product": (lambda x: tnp.sum(x[:4] * x[4:8]), eye(4, -4) & (np.arange(N) < 8) & (np.arange(N)[:, None] < 8)),
    "arrow": (lambda x: tnp.sum(x[1:] ** 3 * x[0]), (eye(0) | FIRST | FIRST[:, None]) & ~np.outer(FIRST, FIRST)),
    "function of a sum": (lambda x: tnp.exp(tnp.sum(x[:3])), np.outer(np.arange(N) < 3, np.arange(N) < 3)),
    "kinks": (lambda x: tnp.sum(abs(x) + tnp.maximum(x, 0)), eye()),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALARS)
def test_hessian(name: str) -> None:
    """Linear functions add nothing, products pair what their factors depend on, others pair all they depend on."""
    f, want = SCALARS[name]
    assert np.array_equal(tr.sparsity(f, hessian=True)(X).dense(), want)


# Loops of many trips ----------------------------------------------------------------------------------


def test_long_loops_without_carry(monkeypatch: pytest.MonkeyPatch) -> None:
    """All trips are one batch, as exact as trip by trip."""
    monkeypatch.setattr(control, "_WORK", 0)
    f, x, want = CASES["map"]
    assert np.array_equal(tr.sparsity(f)(x).dense(), want)


def test_long_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until nothing is added."""
    monkeypatch.setattr(control, "_WORK", 0)

    def f(x: Any) -> Any:
        return tr.fori_loop(
            0,
            100,
            lambda i, u: u * tnp.tile(tnp.sum(u.reshape(3, 3), axis=1, keepdims=True), 3).reshape(N),
            x,
        )

    assert np.array_equal(tr.sparsity(f)(X).dense(), np.kron(np.eye(3), np.ones((3, 3))) > 0)


def test_loops_that_go_on_growing() -> None:
    """After some trips, everything that moves counts as depending on everything; what does not move still does not."""

    def f(x: Any) -> Any:
        return tr.while_loop(
            lambda c: tnp.sum(c[0]) > 0.1, lambda c: (0.5 * tnp.roll(c[0], 1), c[1]), (x[:60], x[60:])
        )

    x = np.ones(70, np.float32)
    want = np.zeros((70, 70), np.bool_)
    want[:60, :60] = True
    want[60:, 60:] = np.eye(10)
    found = tr.sparsity(f)(x).dense()
    assert (found >= want).all()
    assert np.array_equal(found[60:, 60:], want[60:, 60:]) and not found[60:, :60].any()


# Custom rules -----------------------------------------------------------------------------------------


def test_the_derivative_of_a_custom_rule_counts() -> None:
    """Straight-through estimation: the function is constant almost everywhere, its derivative is not."""

    @tr.custom_jvp
    def rounded(x: Any) -> Any:
        return tnp.round(x)

    rounded.defjvp(lambda primals, tangents: (rounded(primals[0]), tangents[0]))
    assert not tr.sparsity(tnp.round)(X).nnz
    assert np.array_equal(tr.sparsity(rounded)(X).dense(), eye(0))


def test_rules_for_reverse_mode_alone() -> None:
    @tr.custom_vjp
    def shifted(x: Any) -> Any:
        return tnp.roll(x, 1)

    shifted.defvjp(lambda x: (shifted(x), x), lambda x, ct: (tnp.roll(ct, -1) * x,))
    assert np.array_equal(tr.sparsity(lambda x: shifted(x) + x)(X).dense(), eye(0, -1) | eye(N - 1))


def test_rules_for_reverse_mode_alone_in_long_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no batch of such a rule: the loop is followed until nothing is added."""
    monkeypatch.setattr(control, "_WORK", 0)

    @tr.custom_vjp
    def cube(x: Any) -> Any:
        return x**3

    cube.defvjp(lambda x: (x**3, x), lambda x, ct: (3 * x * x * ct,))
    found = tr.sparsity(lambda a: tr.map(cube, a))(SQUARE).dense()
    assert np.array_equal(found, np.tile(np.eye(5), (4, 4)) > 0)


# Limits -----------------------------------------------------------------------------------------------


def test_dense_patterns_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "MEMBERS", 200)
    with pytest.raises(SparsityError, match="expected a sparse derivative"):
        tr.sparsity(lambda x: tnp.cumsum(x) * 1.5)(np.ones(30, np.float32))


def test_a_global_mean_is_one_set() -> None:
    """Every element depends on all: one set, and not one for each element."""
    n = 3000
    found = tr.sparsity(lambda x: tnp.sum((x - tnp.mean(x)) ** 2))(np.ones(n, np.float32))
    assert found.shape == (1, n) and found.nnz == n


def test_dense_results_are_an_error() -> None:
    """One set, but as many rows: what would be 10^10 elements is never made."""
    with pytest.raises(SparsityError, match="more than 134,217,728 elements over 100,000 inputs"):
        tr.sparsity(lambda x: x - tnp.mean(x))(np.ones(100_000, np.float32))
