"""Linear algebra: `jax.numpy.linalg`, and what `jax.scipy.linalg` has besides.

Where both have a name it is that of `jax.numpy.linalg`.
"""

from __future__ import annotations

import jax.scipy.linalg as jsl

from tracer.numpy.borrowing import borrowed, public
from tracer.numpy.linalg import (
    cholesky,
    cond,
    cross,
    det,
    diagonal,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    inv,
    lstsq,
    matmul,
    matrix_norm,
    matrix_power,
    matrix_rank,
    matrix_transpose,
    multi_dot,
    norm,
    outer,
    pinv,
    qr,
    slogdet,
    solve,
    svd,
    svdvals,
    tensordot,
    tensorinv,
    tensorsolve,
    trace,
    vecdot,
    vector_norm,
)

block_diag = borrowed(jsl.block_diag)
cho_factor = borrowed(jsl.cho_factor)
cho_solve = borrowed(jsl.cho_solve)
eigh_tridiagonal = borrowed(jsl.eigh_tridiagonal)
expm = borrowed(jsl.expm)
expm_frechet = borrowed(jsl.expm_frechet)
funm = borrowed(jsl.funm, calls=True)
hankel = borrowed(jsl.hankel)
hessenberg = borrowed(jsl.hessenberg)
hilbert = borrowed(jsl.hilbert)
lu = borrowed(jsl.lu)
lu_factor = borrowed(jsl.lu_factor)
lu_solve = borrowed(jsl.lu_solve)
pascal = borrowed(jsl.pascal)
polar = borrowed(jsl.polar)
qr_multiply = borrowed(jsl.qr_multiply)
rsf2csf = borrowed(jsl.rsf2csf)
schur = borrowed(jsl.schur)
solve_sylvester = borrowed(jsl.solve_sylvester)
solve_triangular = borrowed(jsl.solve_triangular)
sqrtm = borrowed(jsl.sqrtm)
toeplitz = borrowed(jsl.toeplitz)

__all__ = [
    "block_diag", "cho_factor", "cho_solve", "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh",
    "eigh_tridiagonal", "eigvals", "eigvalsh", "expm", "expm_frechet", "funm", "hankel", "hessenberg",
    "hilbert", "inv", "lstsq", "lu", "lu_factor", "lu_solve", "matmul", "matrix_norm", "matrix_power",
    "matrix_rank", "matrix_transpose", "multi_dot", "norm", "outer", "pascal", "pinv", "polar", "qr",
    "qr_multiply", "rsf2csf", "schur", "slogdet", "solve", "solve_sylvester", "solve_triangular", "sqrtm",
    "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve", "toeplitz", "trace", "vecdot", "vector_norm",
]  # fmt: skip

# What only some versions of JAX have.
_BY_VERSION = public(
    "circulant companion convolution_matrix dft fiedler fiedler_companion hadamard helmert invhilbert invpascal leslie",
    jsl,
)
globals().update(_BY_VERSION)
__all__ += list(_BY_VERSION)
