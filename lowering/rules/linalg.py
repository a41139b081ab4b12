"""Lowering of `ir.ops.linalg`."""

from __future__ import annotations

from typing import Any

from jax.lax import linalg

from lowering.emit import lowers


@lowers("cholesky")
def _cholesky(x: Any) -> Any:
    return linalg.cholesky(x, symmetrize_input=False)


@lowers("triangular_solve")
def _triangular_solve(a: Any, b: Any, **attrs: bool) -> Any:
    return linalg.triangular_solve(a, b, **attrs)


@lowers("tridiagonal_solve")
def _tridiagonal_solve(dl: Any, d: Any, du: Any, b: Any) -> Any:
    return linalg.tridiagonal_solve(dl, d, du, b)


@lowers("lu")
def _lu(x: Any) -> Any:
    return tuple(linalg.lu(x))


@lowers("lu_pivots_to_permutation")
def _lu_pivots_to_permutation(pivots: Any, *, size: int) -> Any:
    return linalg.lu_pivots_to_permutation(pivots, size)


@lowers("householder_product")
def _householder_product(a: Any, taus: Any) -> Any:
    return linalg.householder_product(a, taus)


@lowers("hessenberg")
def _hessenberg(x: Any) -> Any:
    return tuple(linalg.hessenberg(x))


@lowers("tridiagonal")
def _tridiagonal(x: Any, *, lower: bool) -> Any:
    return tuple(linalg.tridiagonal(x, lower=lower))
