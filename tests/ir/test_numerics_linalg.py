"""Decompositions and solvers satisfy their identities and agree with `jax.lax.linalg`."""

from typing import Any

import jax
import numpy as np
import pytest
from jax import lax

from ir.numerics import linalg
from tests.ir.arrays import Array, assert_close, assert_same, normal

DTYPES = ["float32", "float64", "complex64", "complex128"]
BATCHES: list[tuple[int, ...]] = [(), (2, 0), (3, 1)]
MATRICES = [(0, 0), (4, 4), (5, 3), (3, 5), (3, 0), (0, 3)]

pytestmark = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def enough_bits(dtype: str) -> Any:
    with jax.enable_x64(dtype in ("float64", "complex128")):
        yield


def draw(*shape: int, dtype: str, seed: int = 0) -> Array:
    return normal(np.random.default_rng(seed), shape, dtype)


def adjoint(x: Array) -> Array:
    return x.conj().swapaxes(-1, -2)


def positive_definite(batch: tuple[int, ...], n: int, dtype: str) -> Array:
    a = draw(*batch, n, n, dtype=dtype)
    return a @ adjoint(a) + np.eye(n, dtype=a.dtype)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_cholesky(batch: tuple[int, ...], n: int, dtype: str) -> None:
    a = positive_definite(batch, n, dtype)
    junk = np.tril(a) + np.triu(np.full_like(a, 7), 1)
    factor = linalg.cholesky(junk)
    assert_close(factor @ adjoint(factor), a)
    assert_same(factor, np.tril(factor))
    assert_close(factor, lax.linalg.cholesky(junk, symmetrize_input=False))


def test_cholesky_of_an_indefinite_matrix(dtype: str) -> None:
    a = np.stack([np.eye(3), np.diag([1, -1, 1]), np.diag([1, 1, 0]), np.diag([1, np.nan, 1])]).astype(dtype)
    assert_same(linalg.cholesky(a), lax.linalg.cholesky(a, symmetrize_input=False))


@pytest.mark.parametrize("transpose_a", ["none", "transpose", "conj"])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("left_side", [False, True])
def test_triangular_solve(left_side: bool, lower: bool, transpose_a: str, dtype: str) -> None:
    for batch, n, k, unit in [
        ((), 3, 2, False),
        ((2,), 4, 1, True),
        ((2, 0), 2, 3, False),
        ((2,), 0, 3, True),
    ]:
        a = draw(*batch, n, n, dtype=dtype) + 3 * np.eye(n, dtype=dtype)
        b = draw(*batch, *((n, k) if left_side else (k, n)), dtype=dtype)
        attributes = {"left_side": left_side, "lower": lower, "unit_diagonal": unit}
        x = linalg.triangular_solve(a, b, transpose_a=transpose_a, **attributes)
        expected = lax.linalg.triangular_solve(
            a, b, transpose_a=transpose_a != "none", conjugate_a=transpose_a == "conj", **attributes
        )
        assert_close(x, expected)
        triangle = np.tril(a) if lower else np.triu(a)
        if unit:
            triangle = triangle * (1 - np.eye(n, dtype=dtype)) + np.eye(n, dtype=dtype)
        op = {"none": triangle, "transpose": triangle.swapaxes(-1, -2), "conj": adjoint(triangle)}[
            transpose_a
        ]
        assert_close(op @ x if left_side else x @ op, b, steps=400)


def test_triangular_solve_reads_one_triangle(dtype: str) -> None:
    a = np.array([[np.nan, np.inf], [3, np.nan]], dtype)
    attributes: dict[str, Any] = {"left_side": True, "lower": True, "unit_diagonal": True}
    assert_close(
        linalg.triangular_solve(a, np.ones((2, 1), dtype), **attributes), np.array([[1], [-2]], dtype)
    )
    with pytest.raises(ValueError, match="transpose_a"):
        linalg.triangular_solve(a, a, left_side=True, lower=True, transpose_a="hermitian")


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", MATRICES)
def test_lu(batch: tuple[int, ...], shape: tuple[int, int], dtype: str) -> None:
    a = draw(*batch, *shape, dtype=dtype)
    factors, pivots, permutation = linalg.lu(a)
    expected = lax.linalg.lu(a)
    assert_close(factors, expected[0])
    assert_same(pivots, expected[1])
    assert_same(permutation, expected[2])
    k = min(shape)
    left = np.tril(factors[..., :, :k], -1) + np.eye(shape[0], k, dtype=dtype)
    assert_close(left @ np.triu(factors[..., :k, :]), np.take_along_axis(a, permutation[..., None], axis=-2))


def test_lu_of_singular_matrices(dtype: str) -> None:
    a = np.array([[[0, 1], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]], [[0, 2], [-1, 3]]], dtype)
    for one, other in zip(linalg.lu(a), lax.linalg.lu(a), strict=True):
        assert_same(one, other)


def test_lu_pivots_to_permutation(dtype: str) -> None:
    del dtype
    pivots = np.array([[1, 1, 4], [0, 3, 2]], np.int32)
    expected = lax.linalg.lu_pivots_to_permutation(pivots, 5)
    assert_same(linalg.lu_pivots_to_permutation(pivots, 5), expected)
    assert_same(linalg.lu_pivots_to_permutation(pivots[:0], 5), expected[:0])
    assert_same(linalg.lu_pivots_to_permutation(pivots[:, :0], 2), np.array([[0, 1], [0, 1]], np.int32))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("m", "n", "k"), [(0, 0, 0), (3, 0, 0), (4, 3, 3), (4, 3, 2), (3, 3, 0), (1, 1, 1)])
def test_householder_product(batch: tuple[int, ...], m: int, n: int, k: int, dtype: str) -> None:
    a, taus = draw(*batch, m, n, dtype=dtype), draw(*batch, k, dtype=dtype, seed=1)
    actual = linalg.householder_product(a, taus)
    assert_close(actual, lax.linalg.householder_product(a, taus))
    for index in np.ndindex(batch):
        product = np.eye(m, dtype=dtype)
        for i in range(k):
            v = np.concatenate([np.zeros(i), [1], a[index][i + 1 :, i]])
            product = product @ (np.eye(m) - taus[index][i] * np.outer(v, v.conj()))
        assert_close(actual[index], product[:, :n].astype(dtype))


@pytest.mark.parametrize("full_matrices", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", MATRICES)
def test_qr(batch: tuple[int, ...], shape: tuple[int, int], full_matrices: bool, dtype: str) -> None:
    a = draw(*batch, *shape, dtype=dtype)
    q, r = linalg.qr(a, full_matrices)
    expected = lax.linalg.qr(a, full_matrices=full_matrices)
    assert_close(q, expected[0])
    assert_close(r, expected[1])
    assert_close(q @ r, a)
    assert_close(
        adjoint(q) @ q, np.broadcast_to(np.eye(q.shape[-1], dtype=dtype), (*batch, *2 * q.shape[-1:]))
    )
    assert_same(r, np.triu(r))


@pytest.mark.parametrize("full_matrices", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("shape", MATRICES)
def test_svd(batch: tuple[int, ...], shape: tuple[int, int], full_matrices: bool, dtype: str) -> None:
    a = draw(*batch, *shape, dtype=dtype)
    u, s, vh = linalg.svd(a, full_matrices)
    expected = lax.linalg.svd(a, full_matrices=full_matrices)
    k = min(shape)
    assert_close(s, expected[1])
    assert [x.shape for x in (u, vh)] == [np.shape(expected[0]), np.shape(expected[2])]
    assert u.dtype == vh.dtype == a.dtype
    assert_close((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], a)
    assert_close(
        adjoint(u) @ u, np.broadcast_to(np.eye(u.shape[-1], dtype=dtype), (*batch, *2 * u.shape[-1:]))
    )
    (alone,) = linalg.svd(a, full_matrices, compute_uv=False)
    assert_close(alone, s)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_eigh(batch: tuple[int, ...], n: int, lower: bool, dtype: str) -> None:
    a = positive_definite(batch, n, dtype) - 2 * np.eye(n, dtype=dtype)
    half = np.tril(a) if lower else np.triu(a)
    v, w = linalg.eigh(half, lower)
    expected = lax.linalg.eigh(half, lower=lower, symmetrize_input=False)
    assert_close(w, expected[1])
    assert np.shape(expected[0]) == v.shape
    assert_close(a @ v, v * w[..., None, :], steps=400)
    assert_close(adjoint(v) @ v, np.broadcast_to(np.eye(n, dtype=dtype), a.shape))


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_eig(batch: tuple[int, ...], n: int, dtype: str) -> None:
    a = draw(*batch, n, n, dtype=dtype)
    check_eig(a)


def test_eig_of_diagonal_repeated_and_defective_matrices(dtype: str) -> None:
    for a in [np.eye(3), np.diag([1, 2, 3]), [[0, 1], [-1, 0]], [[1, 1], [0, 1]], np.zeros((2, 2))]:
        check_eig(np.asarray(a, dtype))


def check_eig(a: Array) -> None:
    w, left, right = linalg.eig(a, True, True)
    expected = lax.linalg.eig(a)[0]
    assert w.dtype == left.dtype == right.dtype == expected.dtype
    key = np.lexsort((w.imag.round(3), w.real.round(3)), axis=-1)
    other = np.asarray(expected)
    other_key = np.lexsort((other.imag.round(3), other.real.round(3)), axis=-1)
    assert_close(np.take_along_axis(w, key, -1), np.take_along_axis(other, other_key, -1), steps=400)
    assert_close(a.astype(w.dtype) @ right, right * w[..., None, :], steps=400)
    assert_close(adjoint(left) @ a.astype(w.dtype), w[..., :, None] * adjoint(left), steps=400)
    for vectors in (left, right):
        assert_close(np.linalg.norm(vectors, axis=-2), np.ones_like(w.real))
    assert [x.shape for x in linalg.eig(a, False, False)] == [w.shape]
    assert_same(linalg.eig(a, False, True)[1], right)
    assert_same(linalg.eig(a, True, False)[1], left)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("m", [0, 1, 2, 3, 6])
def test_tridiagonal_solve(batch: tuple[int, ...], m: int, dtype: str) -> None:
    dl, d, du = (draw(*batch, m, dtype=dtype, seed=seed) for seed in range(3))
    d[..., 1:] /= 10  # so that rows are exchanged
    b = draw(*batch, m, 2, dtype=dtype, seed=3)
    x = linalg.tridiagonal_solve(dl, d, du, b)
    assert_close(x, lax.linalg.tridiagonal_solve(dl, d, du, b), steps=400)
    for index in np.ndindex(batch):
        a = np.diag(d[index])
        a += np.diag(dl[index][1:], -1)[:m, :m] + np.diag(du[index][:-1], 1)[:m, :m]
        assert_close(a @ x[index], b[index], steps=2000)


def test_tridiagonal_solve_of_a_singular_matrix(dtype: str) -> None:
    zero, d, b = np.zeros((2, 2), dtype), np.array([[0, 1], [1, 1]], dtype), np.ones((2, 2, 1), dtype)
    expected = np.stack([np.full((2, 1), np.nan), np.ones((2, 1))]).astype(dtype)
    assert_same(linalg.tridiagonal_solve(zero, d, zero, b).real, expected.real)
    assert_same(lax.linalg.tridiagonal_solve(zero, d, zero, b).real, expected.real)


def test_matrices_that_are_not_finite_give_nan(dtype: str) -> None:
    a = np.stack([np.eye(3), np.full((3, 3), np.nan)]).astype(dtype)
    results = [
        *linalg.svd(a, True),
        *linalg.svd(a, True, compute_uv=False),
        *linalg.eigh(a),
        *linalg.eig(a),
        linalg.cholesky(a)[..., :1],
    ]
    for result in results:
        assert np.isfinite(result[0]).all()
        assert np.isnan(result[1]).all()
