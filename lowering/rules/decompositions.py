"""Lowering of `ir.ops.decompositions`."""

from __future__ import annotations

import inspect
from typing import Any

from jax.lax import linalg

from lowering.emit import lowers

# Not every supported version of JAX guards the derivatives of eigenvectors by a flag.
_EIG_HAS_FLAG = "enable_eigvec_derivs" in inspect.signature(linalg.eig).parameters


@lowers("qr")
def _qr(x: Any, *, full_matrices: bool) -> Any:
    return tuple(linalg.qr(x, full_matrices=full_matrices))


@lowers("svd")
def _svd(x: Any, *, full_matrices: bool, compute_uv: bool) -> Any:
    out = linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(out) if compute_uv else out


@lowers("eigh")
def _eigh(x: Any, *, lower: bool) -> Any:
    return tuple(linalg.eigh(x, lower=lower, symmetrize_input=False))


@lowers("eig")
def _eig(x: Any, *, left: bool, right: bool, eigenvector_derivatives: bool) -> Any:
    flags: dict[str, Any] = {"enable_eigvec_derivs": eigenvector_derivatives} if _EIG_HAS_FLAG else {}
    out = linalg.eig(x, compute_left_eigenvectors=left, compute_right_eigenvectors=right, **flags)
    return tuple(out)


@lowers("schur")
def _schur(x: Any, *, vectors: bool) -> Any:
    return tuple(linalg.schur(x, compute_schur_vectors=vectors))
