"""Dense linear algebra on stacks of matrices, float32, float64, complex64 and complex128.

Leading dimensions are batch dimensions. A matrix with which an algorithm fails (not positive definite,
singular, not finite) gives NaN results and leaves the rest of its batch alone; nothing raises. Signs,
pivots and normalisations are LAPACK's, so that they agree with JAX on CPU wherever they are determined.
"""

import numpy as np
import numpy.typing as npt

from ir.numerics.precision import Array, is_complex


def cholesky(a: npt.ArrayLike) -> Array:
    """Lower triangular L with `L @ L^H = a`; reads the lower triangle only.

    Where `a` is not positive definite, the lower triangle of the result is NaN; a NaN in `a` spreads
    to what depends on it. Column by column, as in Golub and Van Loan, Matrix Computations, algorithm 4.2.1.
    """
    a = np.asarray(a)
    n = a.shape[-1]
    factor = np.zeros_like(a)
    failed = np.zeros(a.shape[:-2], np.bool_)
    with np.errstate(all="ignore"):
        for j in range(n):
            row = factor[..., j, :j]
            column = a[..., j:, j] - np.einsum("...ik,...k->...i", factor[..., j:, :j], row.conj())
            pivot = column[..., 0].real
            failed |= pivot <= 0
            factor[..., j:, j] = column / np.sqrt(pivot)[..., None]
            factor[..., j, j] = np.sqrt(pivot)
    lower = np.tril(np.ones((n, n), np.bool_))
    return np.where(failed[..., None, None] & lower, np.asarray(np.nan, a.dtype), factor)


def triangular_solve(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    left_side: bool,
    lower: bool,
    transpose_a: str = "none",
    unit_diagonal: bool = False,
) -> Array:
    """X with `op(a) @ X = b` (`X @ op(a) = b` unless `left_side`), where `a` is triangular.

    Args:
      a: the triangular matrix, `[..., n, n]`.
      b: the right-hand sides, `[..., n, k]` (`[..., k, n]` unless `left_side`).
      left_side: whether `op(a)` stands to the left of X.
      lower: which triangle of `a` to read; the other is ignored.
      transpose_a: op is nothing ("none"), "transpose", or "conj", the conjugate transpose.
      unit_diagonal: take the diagonal to be ones, without reading it.

    A zero on the diagonal divides by zero: the result is infinite or NaN.

    Raises:
      ValueError: an unknown `transpose_a`.
    """
    if transpose_a not in ("none", "transpose", "conj"):
        raise ValueError(f"expected transpose_a to be 'none', 'transpose' or 'conj', got {transpose_a!r}")
    a, b = np.asarray(a), np.asarray(b)
    if transpose_a != "none":
        a, lower = _transpose(a), not lower
    if transpose_a == "conj":
        a = a.conj()
    if not left_side:
        a, lower, b = _transpose(a), not lower, _transpose(b)
    if not lower:  # reversing the unknowns and the equations turns back into forward substitution
        a, b = a[..., ::-1, ::-1], b[..., ::-1, :]
    x = np.zeros_like(b)
    with np.errstate(all="ignore"):
        for i in range(a.shape[-1]):
            rest = b[..., i, :] - np.einsum("...k,...kj->...j", a[..., i, :i], x[..., :i, :])
            x[..., i, :] = rest if unit_diagonal else rest / a[..., i, i, None]
    x = x if lower else x[..., ::-1, :]
    return np.ascontiguousarray(x if left_side else _transpose(x))


def lu(a: npt.ArrayLike) -> tuple[Array, Array, Array]:
    """Factors `a[permutation] = L @ U` with partial pivoting (LAPACK getrf).

    Args:
      a: shape `[..., m, n]`.

    Returns:
      `(lu, pivots, permutation)`: U and, below the diagonal, L without its unit diagonal; for each of the
      first min(m, n) rows the row it was exchanged with, int32; and the resulting order of the m rows, int32.
    """
    a = np.asarray(a)
    *batch, m, n = a.shape
    stack = a.reshape(int(np.prod(batch)), m, n).copy()
    every = np.arange(len(stack))
    pivots = np.zeros((len(stack), min(m, n)), np.int32)
    with np.errstate(all="ignore"):
        for k in range(min(m, n)):
            size = _size(stack[:, k:, k])
            pivot = k + np.argmax(np.where(np.isnan(size), -1, size), axis=1)
            pivots[:, k] = pivot
            stack[:, k], stack[every, pivot] = stack[every, pivot], stack[:, k].copy()
            head = stack[:, k, k, None]
            stack[:, k + 1 :, k] = np.where(head == 0, stack[:, k + 1 :, k], stack[:, k + 1 :, k] / head)
            stack[:, k + 1 :, k + 1 :] -= stack[:, k + 1 :, k, None] * stack[:, k, None, k + 1 :]
    pivots = pivots.reshape(*batch, min(m, n))
    return stack.reshape(a.shape), pivots, lu_pivots_to_permutation(pivots, m)


def lu_pivots_to_permutation(pivots: npt.ArrayLike, size: int) -> Array:
    """The order, int32, of `size` rows once row i is exchanged with row `pivots[..., i]` for i = 0, 1, ..."""
    pivots = np.asarray(pivots)
    *batch, steps = pivots.shape
    flat = pivots.reshape(int(np.prod(batch)), steps)
    order = np.tile(np.arange(size, dtype=np.int32), (len(flat), 1))
    every = np.arange(len(flat))
    for i in range(steps):
        order[:, i], order[every, flat[:, i]] = order[every, flat[:, i]], order[:, i].copy()
    return order.reshape(*batch, size)


def householder_product(a: npt.ArrayLike, taus: npt.ArrayLike) -> Array:
    """The first n columns of `H[0] @ H[1] @ ...`, with `H[i] = I - taus[i] * v @ v^H` (LAPACK orgqr).

    Args:
      a: shape `[..., m, n]`, m >= n; v has zeros above entry i, 1 there, and column i of `a` below.
      taus: shape `[..., k]`, k <= n.
    """
    a, taus = np.asarray(a), np.asarray(taus)
    m, n = a.shape[-2:]
    product = np.broadcast_to(np.eye(m, n, dtype=a.dtype), a.shape).copy()
    with np.errstate(all="ignore"):
        for i in reversed(range(taus.shape[-1])):
            v = np.concatenate([np.ones_like(a[..., :1, i]), a[..., i + 1 :, i]], axis=-1)
            projection = np.einsum("...i,...ij->...j", v.conj(), product[..., i:, :])
            product[..., i:, :] -= taus[..., i, None, None] * v[..., :, None] * projection[..., None, :]
    return product


def qr(a: npt.ArrayLike, full_matrices: bool) -> tuple[Array, Array]:
    """Factors `a = Q @ R`: Q with orthonormal columns, R upper triangular (LAPACK geqrf and orgqr).

    With `full_matrices` Q is `[..., m, m]` and R `[..., m, n]`; else with k = min(m, n) in place of m.
    """
    a = np.asarray(a)
    *batch, m, n = a.shape
    k = m if full_matrices else min(m, n)
    if a.size == 0:
        q = np.broadcast_to(np.eye(m, k, dtype=a.dtype), (*batch, m, k))
        return q.copy(), np.zeros((*batch, k, n), a.dtype)
    with np.errstate(all="ignore"):
        q, r = np.linalg.qr(a, mode="complete" if full_matrices else "reduced")
    return q, r


def svd(a: npt.ArrayLike, full_matrices: bool, compute_uv: bool = True) -> tuple[Array, ...]:
    """Factors `a = U @ diag(s) @ V^H`, the singular values s in decreasing order.

    Returns:
      `(U, s, V^H)` with `compute_uv`, else `(s,)`. With k = min(m, n), s is `[..., k]`, U `[..., m, k]` and
      V^H `[..., k, n]`; with `full_matrices` U is `[..., m, m]` and V^H `[..., n, n]`.
    """
    a = np.asarray(a)
    *batch, m, n = a.shape
    k = min(m, n)
    if a.size == 0:
        s = np.zeros((*batch, k), _real(a))
        if not compute_uv:
            return (s,)
        rows, columns = (m, n) if full_matrices else (k, k)
        u = np.broadcast_to(np.eye(m, rows, dtype=a.dtype), (*batch, m, rows)).copy()
        return u, s, np.broadcast_to(np.eye(columns, n, dtype=a.dtype), (*batch, columns, n)).copy()
    finite: Array = np.isfinite(a).all(axis=(-2, -1))
    safe = np.where(finite[..., None, None], a, np.zeros((), a.dtype))
    if not compute_uv:
        return (_nan_unless(finite, np.linalg.svd(safe, compute_uv=False), 1),)
    u, s, vh = np.linalg.svd(safe, full_matrices=full_matrices)
    return _nan_unless(finite, u, 2), _nan_unless(finite, s, 1), _nan_unless(finite, vh, 2)


def eigh(a: npt.ArrayLike, lower: bool = True) -> tuple[Array, Array]:
    """Eigenvectors, as columns, and ascending real eigenvalues of a Hermitian matrix, in this order.

    Reads only the lower (else the upper) triangle of `a`, and the real part of the diagonal.
    """
    a = np.asarray(a)
    read = np.tril(np.ones(a.shape[-2:], np.bool_))
    used = np.where(read if lower else read.T, a, np.zeros((), a.dtype))
    finite = np.asarray(np.isfinite(used).all(axis=(-2, -1)))
    safe = np.where(finite[..., None, None], a, np.zeros((), a.dtype))
    w, v = np.linalg.eigh(safe, UPLO="L" if lower else "U")
    return _nan_unless(finite, v, 2), _nan_unless(finite, w, 1)


def eig(a: npt.ArrayLike, left: bool = True, right: bool = True) -> tuple[Array, ...]:
    """Complex eigenvalues w and, as asked for, left and right eigenvectors, as columns, of a square matrix.

    `u^H @ a = w * u^H` for a left, `a @ v = w * v` for a right eigenvector; both have norm 1.
    The order of the eigenvalues is LAPACK's.

    Returns:
      `(w, [left,] [right])`.
    """
    a = np.asarray(a)
    dtype = np.result_type(a.dtype, np.complex64)
    finite: Array = np.isfinite(a).all(axis=(-2, -1))
    safe = np.where(finite[..., None, None], a, np.zeros((), a.dtype))
    values, vectors = np.linalg.eig(safe)
    w, v = values.astype(dtype), vectors.astype(dtype)
    results = [_nan_unless(finite, w, 1)]
    if left:
        results.append(_nan_unless(finite, _left_eigenvectors(safe.astype(dtype), w, v), 2))
    if right:
        results.append(_nan_unless(finite, v, 2))
    return tuple(results)


def tridiagonal_solve(dl: npt.ArrayLike, d: npt.ArrayLike, du: npt.ArrayLike, b: npt.ArrayLike) -> Array:
    """X with `A @ X = b` for tridiagonal A, by elimination with partial pivoting (LAPACK gtsv).

    Args:
      dl: shape `[..., m]`, `A[i, i-1] = dl[i]`; `dl[0]` is not read.
      d: shape `[..., m]`, `A[i, i] = d[i]`.
      du: shape `[..., m]`, `A[i, i+1] = du[i]`; `du[m-1]` is not read.
      b: shape `[..., m, n]`.

    A singular matrix gives NaN.
    """
    dl, d, du, x = np.asarray(dl), np.array(d), np.array(du), np.array(b)
    m = d.shape[-1]
    du2 = np.zeros_like(d)
    failed = np.zeros(d.shape[:-1], np.bool_)
    with np.errstate(all="ignore"):
        for i in range(m - 1):
            below = dl[..., i + 1]
            exchange = _size(below) > _size(d[..., i])
            next_du = du[..., i + 1] if i + 2 < m else np.zeros_like(below)
            # The two rows in columns i, i+1, i+2, the one with the larger head first.
            first = [np.where(exchange, below, d[..., i])]
            first += [np.where(exchange, d[..., i + 1], du[..., i])]
            first += [np.where(exchange, next_du, 0)]
            second = [np.where(exchange, d[..., i], below)]
            second += [np.where(exchange, du[..., i], d[..., i + 1])]
            second += [np.where(exchange, 0, next_du)]
            swap = exchange[..., None]
            rhs = np.where(swap, x[..., i + 1, :], x[..., i, :])
            rhs_below = np.where(swap, x[..., i, :], x[..., i + 1, :])
            factor = second[0] / first[0]
            failed |= first[0] == 0
            d[..., i], du[..., i], du2[..., i] = first
            d[..., i + 1] = second[1] - factor * first[1]
            if i + 2 < m:
                du[..., i + 1] = second[2] - factor * first[2]
            x[..., i, :] = rhs
            x[..., i + 1, :] = rhs_below - factor[..., None] * rhs
        if m:
            failed |= d[..., m - 1] == 0
        for i in reversed(range(m)):
            rest = x[..., i, :]
            if i + 1 < m:
                rest = rest - du[..., i, None] * x[..., i + 1, :]
            if i + 2 < m:
                rest = rest - du2[..., i, None] * x[..., i + 2, :]
            x[..., i, :] = rest / d[..., i, None]
    return _nan_unless(~failed, x, 2)


def _left_eigenvectors(a: Array, w: Array, v: Array) -> Array:
    """Columns u with `u^H @ a = w * u^H`, of norm 1, their largest component real.

    They are the columns of V^-H where the right eigenvectors V are well conditioned; of a (nearly) defective
    matrix, each is the left singular vector of `a - w I` for its smallest singular value.
    """
    n = a.shape[-1]
    if a.size == 0:
        return np.zeros_like(v)
    conditioned = np.linalg.cond(v) < np.finfo(a.dtype).eps ** -0.5
    basis = np.where(conditioned[..., None, None], v, np.eye(n, dtype=a.dtype))
    u = np.linalg.inv(basis).conj().swapaxes(-1, -2)
    if not conditioned.all():
        shifted = a[..., None, :, :] - w[..., :, None, None] * np.eye(n, dtype=a.dtype)
        singular = np.linalg.svd(shifted)[0][..., -1]
        u = np.where(conditioned[..., None, None], u, singular.swapaxes(-1, -2))
    u = u / np.linalg.norm(u, axis=-2, keepdims=True)
    largest = np.take_along_axis(u, np.argmax(np.abs(u), axis=-2, keepdims=True), axis=-2)
    return np.asarray(u * (largest.conj() / np.abs(largest)))


def _transpose(x: Array) -> Array:
    return x.swapaxes(-1, -2)


def _real(x: Array) -> np.dtype[np.floating]:
    return np.zeros((), x.dtype).real.dtype


def _size(x: Array) -> Array:
    """The magnitude by which LAPACK picks pivots."""
    return np.asarray(np.abs(x.real) + np.abs(x.imag) if is_complex(x.dtype) else np.abs(x))


def _nan_unless(ok: Array, x: Array, core_rank: int) -> Array:
    """`x` with NaN in its last `core_rank` dimensions where `ok`, of the batch shape, is false."""
    nan = complex(np.nan, np.nan) if is_complex(x.dtype) else np.nan
    return np.where(ok.reshape(ok.shape + (1,) * core_rank), x, np.asarray(nan, x.dtype))
