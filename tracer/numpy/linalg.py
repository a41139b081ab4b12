"""Linear algebra of `jax.numpy.linalg`."""

from __future__ import annotations

import jax.numpy as jnp

from tracer.numpy.borrowing import borrowed

cholesky = borrowed(jnp.linalg.cholesky)
cond = borrowed(jnp.linalg.cond)
cross = borrowed(jnp.linalg.cross)
det = borrowed(jnp.linalg.det)
diagonal = borrowed(jnp.linalg.diagonal)
eig = borrowed(jnp.linalg.eig)
eigh = borrowed(jnp.linalg.eigh)
eigvals = borrowed(jnp.linalg.eigvals)
eigvalsh = borrowed(jnp.linalg.eigvalsh)
inv = borrowed(jnp.linalg.inv)
lstsq = borrowed(jnp.linalg.lstsq)
matmul = borrowed(jnp.linalg.matmul)
matrix_norm = borrowed(jnp.linalg.matrix_norm)
matrix_power = borrowed(jnp.linalg.matrix_power)
matrix_rank = borrowed(jnp.linalg.matrix_rank)
matrix_transpose = borrowed(jnp.linalg.matrix_transpose)
multi_dot = borrowed(jnp.linalg.multi_dot)
norm = borrowed(jnp.linalg.norm)
outer = borrowed(jnp.linalg.outer)
pinv = borrowed(jnp.linalg.pinv)
qr = borrowed(jnp.linalg.qr)
slogdet = borrowed(jnp.linalg.slogdet)
solve = borrowed(jnp.linalg.solve)
svd = borrowed(jnp.linalg.svd)
svdvals = borrowed(jnp.linalg.svdvals)
tensordot = borrowed(jnp.linalg.tensordot)
tensorinv = borrowed(jnp.linalg.tensorinv)
tensorsolve = borrowed(jnp.linalg.tensorsolve)
trace = borrowed(jnp.linalg.trace)
vecdot = borrowed(jnp.linalg.vecdot)
vector_norm = borrowed(jnp.linalg.vector_norm)

__all__ = [
    "cholesky", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq",
    "matmul", "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "multi_dot", "norm",
    "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "tensorinv", "tensorsolve",
    "trace", "vecdot", "vector_norm",
]  # fmt: skip
