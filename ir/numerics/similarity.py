"""Unitary similarity transforms on stacks of matrices: Hessenberg, tridiagonal and Schur form.

Imports NumPy. The layout of the results and the signs of the reflectors are LAPACK's (gehrd, sytrd and
hetrd), so that they agree with JAX on CPU; a Schur form is unique only up to the order and the signs of
its columns. Written to be read, not to be fast.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def hessenberg(a: npt.ArrayLike) -> tuple[Array, Array]:
    """`a = Q @ H @ Q^H` with H zero below its first subdiagonal (LAPACK gehrd).

    Returns:
      `(packed, taus)`: H in the upper triangle and the first subdiagonal of `packed`, below them the
      reflectors whose product is Q, and their n - 1 scalar factors.
    """
    a = np.array(a)
    n = a.shape[-1]
    taus = np.zeros((*a.shape[:-2], max(n - 1, 0)), a.dtype)
    with np.errstate(all="ignore"):
        for i in range(n - 1):
            v, taus[..., i], beta = _reflector(a[..., i + 1 :, i])
            _apply_right(a[..., :, i + 1 :], v, taus[..., i])
            _apply_left(a[..., i + 1 :, i + 1 :], v, taus[..., i])
            a[..., i + 1, i] = beta
            a[..., i + 2 :, i] = v[..., 1:]
    return a, taus


def tridiagonal(a: npt.ArrayLike, lower: bool = True) -> tuple[Array, Array, Array, Array]:
    """`a = Q @ T @ Q^H` with T real and tridiagonal, for Hermitian `a` (LAPACK sytrd, hetrd).

    Reads one triangle of `a` and leaves the other as it is in `packed`.

    Returns:
      `(packed, d, e, taus)`: T and beyond it the reflectors, in the triangle that was read; the diagonal
      of T and its other diagonal, both real; and the n - 1 scalar factors of the reflectors.
    """
    a = np.array(a)
    if not lower:  # turned by half a turn, the upper triangle becomes the lower one
        packed, d, e, taus = tridiagonal(a[..., ::-1, ::-1], lower=True)
        return packed[..., ::-1, ::-1], d[..., ::-1], e[..., ::-1], taus[..., ::-1]
    n = a.shape[-1]
    below = np.tril(np.ones((n, n), np.bool_), -1)
    full = np.where(below, a, 0)
    full = full + full.conj().swapaxes(-1, -2) + _diagonal(a).real[..., None] * np.eye(n, dtype=a.dtype)
    taus = np.zeros((*a.shape[:-2], n - 1), a.dtype)
    packed = full.copy()
    with np.errstate(all="ignore"):
        for i in range(n - 1):
            v, taus[..., i], beta = _reflector(full[..., i + 1 :, i])
            _apply_right(full[..., i + 1 :, i + 1 :], v, taus[..., i])
            _apply_left(full[..., i + 1 :, i + 1 :], v, taus[..., i])
            packed[..., i + 1, i] = beta
            packed[..., i + 2 :, i] = v[..., 1:]
    e = packed[..., np.arange(1, n), np.arange(n - 1)].real
    d = _diagonal(full).real
    packed = np.where(below, packed, np.where(below.T, a, d[..., None] * np.eye(n, dtype=a.dtype)))
    return packed, d, e, taus


def schur(a: npt.ArrayLike) -> tuple[Array, Array]:
    """`a = Q @ T @ Q^H` with Q unitary and T upper triangular (LAPACK gees).

    T is real for real `a`: a complex pair of eigenvalues is a 2 by 2 block with equal diagonal elements.

    Returns:
      `(T, Q)`.
    """
    a = np.asarray(a)
    t, q = np.zeros_like(a), np.zeros_like(a)
    for index in np.ndindex(a.shape[:-2]):
        ok = np.isfinite(a[index]).all()
        t[index], q[index] = _schur_of_one(a[index]) if ok else (a[index] * np.nan,) * 2
    return t, q


def _schur_of_one(a: Array) -> tuple[Array, Array]:
    """Split off one invariant subspace after another (Golub and Van Loan, theorems 7.1.3 and 7.4.1)."""
    n = len(a)
    t, q = a.copy(), np.eye(n, dtype=a.dtype)
    order = np.linalg.eigvals(a)
    start = 0
    while start < n:
        values, vectors = np.linalg.eig(t[start:, start:])
        first = int(np.argmin(np.abs(values - order[start])))
        basis = vectors[:, first, None]
        if not np.iscomplexobj(a) and np.iscomplexobj(values):
            pair = values[first].imag != 0
            basis = np.hstack([basis.real, basis.imag]) if pair else basis.real
        rotation = np.linalg.qr(basis.astype(a.dtype), mode="complete")[0]
        width = basis.shape[1]
        _rotate(t, q, start, rotation)
        t[start + width :, start : start + width] = 0
        if width == 2:
            _rotate(t, q, start, _balancing_rotation(t[start : start + 2, start : start + 2]))
        start += width
    return t, q


def _rotate(t: Array, q: Array, start: int, rotation: Array) -> None:
    """Change the basis of the axes from `start` on."""
    stop = start + len(rotation)
    t[:, start:stop] = t[:, start:stop] @ rotation
    t[start:stop, :] = rotation.conj().T @ t[start:stop, :]
    q[:, start:stop] = q[:, start:stop] @ rotation


def _balancing_rotation(block: Array) -> Array:
    """The rotation after which the diagonal elements of a real 2 by 2 block are equal."""
    (a, b), (c, d) = block
    angle = 0.5 * np.arctan2(d - a, b + c)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin], [sin, cos]], block.dtype)


def _reflector(x: Array) -> tuple[Array, Array, Array]:
    """`(v, tau, beta)` with `(I - tau v v^H)^H x = beta e_1`, v[0] = 1 and beta real (LAPACK larfg)."""
    alpha = x[..., 0]
    rest = np.linalg.norm(x[..., 1:], axis=-1)
    beta = -np.copysign(np.sqrt(alpha.real**2 + alpha.imag**2 + rest**2), alpha.real)
    none = (rest == 0) & (alpha.imag == 0)
    tau = np.where(none, 0, (beta - alpha) / np.where(none, 1, beta))
    scale = np.where(none, 1, alpha - beta)
    v = np.concatenate([np.ones_like(x[..., :1]), x[..., 1:] / scale[..., None]], axis=-1)
    return v, tau, np.where(none, alpha, beta)


def _apply_right(a: Array, v: Array, tau: Array) -> None:
    """In place, a := a @ (I - tau v v^H)."""
    a -= (tau[..., None] * np.einsum("...ij,...j->...i", a, v))[..., None] * v[..., None, :].conj()


def _apply_left(a: Array, v: Array, tau: Array) -> None:
    """In place, a := (I - tau v v^H)^H @ a."""
    row = np.einsum("...i,...ij->...j", v.conj(), a)
    a -= (tau.conj()[..., None] * v)[..., None] * row[..., None, :]


def _diagonal(a: Array) -> Array:
    return np.diagonal(a, axis1=-2, axis2=-1)
