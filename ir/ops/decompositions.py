"""Decompositions by orthogonal or unitary matrices: qr, svd, eigh, eig, schur.

Batched over leading axes. Results, their order and their derivatives are those of `jax.lax.linalg`;
derivatives take eigenvalues and singular values to be distinct, and are not finite where they are not.
"""

from __future__ import annotations

from typing import Any

from ir.core import Value
from ir.errors import DifferentiationError
from ir.numerics import linalg as numerics
from ir.numerics import similarity
from ir.ops.convert import convert
from ir.ops.elementwise import abs as magnitude
from ir.ops.elementwise import add, complex, div, eq, imag, mul, neg, real, sub
from ir.ops.families import op
from ir.ops.linalg import cubic, lu, over_leading_axis, require_lapack, require_square, triangular_solve
from ir.ops.matrix import (
    adjoint,
    as_columns,
    as_rows,
    conjugated,
    diagonal,
    eye,
    from_diagonal,
    lu_solve,
    matmul,
    solve,
    transposed,
    tril,
)
from ir.ops.shape import concatenate, full_like, iota, pad_axis, slice_axis
from ir.types import TensorType, c64, c128, f32, i32


def _real_part(x: Value) -> Value:
    return real(x) if x.type.dtype.is_complex else x


def _with_dtype_of(x: Value, like: Value) -> Value:
    dtype = like.type.dtype
    return x if x.type.dtype is dtype else convert(x, dtype=dtype)


def _reciprocal(x: Value) -> Value:
    return div(full_like(x, 1), x)  # type: ignore[no-any-return]


def _inverse_differences(w: Value) -> Value:
    """F[i, j] = 1 / (w[j] - w[i]), zero on the diagonal, for w [..., n]; built without 1 / 0 there."""
    n = w.type.shape[-1]
    one = eye((*w.type.shape, n), w.type.dtype)
    return sub(_reciprocal(sub(add(one, as_rows(w, n)), as_columns(w, n))), one)  # type: ignore[no-any-return]


# qr -----------------------------------------------------------------------------------------------------


def _qr_type(x: TensorType, *, full_matrices: bool) -> tuple[TensorType, TensorType]:
    require_lapack("qr", x)
    *batch, m, n = x.shape
    k = m if full_matrices else min(m, n)
    return x.with_shape((*batch, m, k)), x.with_shape((*batch, k, n))


def _thin_qr_jvp(q: Value, r: Value, dx: Value) -> tuple[Value, Value]:
    """(dq, dr) for m >= n: https://j-towns.github.io/papers/qr-derivative.pdf."""
    dx_rinv = triangular_solve(r, dx)
    projected = matmul(adjoint(q), dx_rinv)
    lower = tril(projected, -1)
    rotation = sub(lower, adjoint(lower))
    if projected.type.dtype.is_complex:  # the diagonal of R is real
        off_real = sub(projected, convert(real(projected), dtype=projected.type.dtype))
        rotation = add(rotation, mul(eye(projected.type.shape, projected.type.dtype), off_real))
    dq = add(matmul(q, sub(rotation, projected)), dx_rinv)
    return dq, matmul(sub(projected, rotation), r)


def _qr_jvp(tangents: Any, operands: Any, results: Any, *, full_matrices: bool) -> tuple[Value, Value]:
    (dx,), (x,), (q, r) = tangents, operands, results
    rows, columns = x.type.rank - 2, x.type.rank - 1
    m, n = x.type.shape[-2:]
    if m < n:  # X = [X1 X2] and R = [R1 R2]: X1 = Q R1 is square, and R2 = Q^H X2
        x2 = slice_axis(x, columns, m, n)
        dx1, dx2 = slice_axis(dx, columns, 0, m), slice_axis(dx, columns, m, n)
        dq, dr1 = _thin_qr_jvp(q, slice_axis(r, columns, 0, m), dx1)
        dr2 = add(matmul(adjoint(dq), x2), matmul(adjoint(q), dx2))
        return dq, concatenate(dr1, dr2, axis=columns)
    q1 = slice_axis(q, columns, 0, n)
    dq1, dr1 = _thin_qr_jvp(q1, slice_axis(r, rows, 0, n), dx)
    if not full_matrices or m == n:
        return dq1, dr1
    # The other columns of Q: https://arxiv.org/abs/2409.13374, equations 32 and 33.
    q11, q21 = slice_axis(q1, rows, 0, n), slice_axis(q1, rows, n, m)
    dq11, dq21 = slice_axis(dq1, rows, 0, n), slice_axis(dq1, rows, n, m)
    factors, _, permutation = lu(sub(q11, eye(q11.type.shape, q11.type.dtype)))
    z_adjoint = lu_solve(factors, permutation, adjoint(q21), adjoint=True)
    z = adjoint(z_adjoint)
    turned = add(q1, matmul(slice_axis(q, columns, n, m), z))
    dq2 = sub(matmul(dq1, z_adjoint), matmul(turned, adjoint(sub(dq21, matmul(z, dq11)))))
    return concatenate(dq1, dq2, axis=columns), pad_axis(dr1, rows, 0, m - n)


# (Q, R) with `x = Q @ R`: Q has orthonormal columns, min(m, n) or with `full_matrices` m of them.
qr = op(
    "qr",
    attrs={"full_matrices": True},
    type=_qr_type,
    eval=lambda x, *, full_matrices: numerics.qr(x, full_matrices),
    jvp=_qr_jvp,
    batch=over_leading_axis("qr"),
    flops=cubic(8 / 3),
)

# svd ----------------------------------------------------------------------------------------------------


def _svd_type(x: TensorType, *, full_matrices: bool, compute_uv: bool) -> tuple[TensorType, ...]:
    require_lapack("svd", x)
    *batch, m, n = x.shape
    k = min(m, n)
    s = TensorType((*batch, k), x.dtype.real)
    if not compute_uv:
        return (s,)
    u = x.with_shape((*batch, m, m if full_matrices else k))
    return u, s, x.with_shape((*batch, n if full_matrices else k, n))


def _svd_jvp(
    tangents: Any, operands: Any, results: Any, *, full_matrices: bool, compute_uv: bool
) -> tuple[Value, ...]:
    """Giles, "An extended collection of matrix derivative results", section 3.2."""
    (da,), (a,) = tangents, operands
    m, n = a.type.shape[-2:]
    if not compute_uv:
        u, _, vh = svd(a, full_matrices=False, compute_uv=True)
        return (diagonal(_real_part(matmul(matmul(adjoint(u), da), adjoint(vh)))),)
    if full_matrices and m != n:
        raise DifferentiationError(
            f"svd: expected full_matrices=False to differentiate the singular vectors of {a.type}, "
            "whose matrices are not square"
        )
    u, s, vh = results
    uh, v, k = adjoint(u), adjoint(vh), s.type.shape[-1]
    d = matmul(matmul(uh, da), v)
    ds = diagonal(_real_part(d))

    across, down = as_rows(s, k), as_columns(s, k)
    differences = mul(add(across, down), sub(across, down))
    one = eye(differences.type.shape, s.type.dtype)
    f = _with_dtype_of(sub(_reciprocal(add(differences, one)), one), a)
    d_s, s_d = mul(_with_dtype_of(across, a), d), mul(_with_dtype_of(down, a), d)
    du = mul(f, add(d_s, adjoint(d_s)))
    # The phase that a complex matrix leaves open goes to U; a singular value of zero has none.
    zero = convert(eq(s, full_like(s, 0)), dtype=s.type.dtype)
    inverse = from_diagonal(sub(_reciprocal(add(s, zero)), zero))
    skew = mul(full_like(d, 0.5), sub(d, adjoint(d)))
    du = matmul(u, add(du, mul(skew, _with_dtype_of(inverse, a))))
    dv = matmul(v, mul(f, add(s_d, adjoint(s_d))))
    if m > n:
        dav = matmul(da, v)
        outside = sub(dav, matmul(u, matmul(uh, dav)))
        du = add(du, div(outside, _with_dtype_of(as_rows(s, m), a)))
    if n > m:
        dahu = matmul(adjoint(da), u)
        outside = sub(dahu, matmul(v, matmul(vh, dahu)))
        dv = add(dv, div(outside, _with_dtype_of(as_rows(s, n), a)))
    return du, ds, adjoint(dv)


# (U, s, V^H) with `x = U @ diag(s) @ V^H`, s decreasing; or s alone.
svd = op(
    "svd",
    attrs={"full_matrices": True, "compute_uv": True},
    type=_svd_type,
    eval=lambda x, *, full_matrices, compute_uv: numerics.svd(x, full_matrices, compute_uv),
    jvp=_svd_jvp,
    batch=over_leading_axis("svd"),
    flops=cubic(21),
)

# eigh ---------------------------------------------------------------------------------------------------


def _eigh_type(x: TensorType, *, lower: bool) -> tuple[TensorType, TensorType]:
    require_lapack("eigh", x)
    require_square("eigh", x)
    return x, TensorType(x.shape[:-1], x.dtype.real)


def _eigh_jvp(tangents: Any, operands: Any, results: Any, *, lower: bool) -> tuple[Value, Value]:
    """Perturbation theory of distinct eigenvalues: Giles, section 3.1."""
    (da,), (v, w) = tangents, results
    projected = matmul(matmul(adjoint(v), da), v)
    f = _inverse_differences(_with_dtype_of(w, v))
    return matmul(v, mul(f, projected)), diagonal(_real_part(projected))


# (eigenvectors as columns, eigenvalues), in this order, the real eigenvalues ascending; from the lower
# (else the upper) triangle of x. The derivative takes x, and its tangent, to be Hermitian.
eigh = op(
    "eigh",
    attrs={"lower": True},
    type=_eigh_type,
    eval=lambda x, *, lower: numerics.eigh(x, lower),
    jvp=_eigh_jvp,
    batch=over_leading_axis("eigh"),
    flops=cubic(9),
)

# eig ----------------------------------------------------------------------------------------------------


def _eig_type(
    x: TensorType, *, left: bool, right: bool, eigenvector_derivatives: bool
) -> tuple[TensorType, ...]:
    require_lapack("eig", x)
    require_square("eig", x)
    vectors = x.with_dtype(c64 if x.dtype in (f32, c64) else c128)
    return (vectors.with_shape(x.shape[:-1]), *[vectors] * (left + right))


def _normalized_eigenvectors_jvp(w: Value, v: Value, da: Value) -> tuple[Value, Value]:
    """(dw, dv) where each v has norm 1 and its largest component is real, as LAPACK scales it."""
    from ir.ops.reduce import argmax, reduce_sum

    projected = matmul(solve(v, da), v)
    moved = matmul(v, mul(_inverse_differences(w), projected))
    rows, n = v.type.rank - 2, v.type.shape[-1]
    largest = argmax(magnitude(v), axis=rows, dtype=i32)
    spread = transposed(as_columns(largest, n))
    mask = convert(eq(iota(shape=v.type.shape, dtype=i32, axis=rows), spread), dtype=v.type.dtype)
    along = real(reduce_sum(mul(conjugated(v), moved), axes=(rows,)))
    turn = imag(reduce_sum(mul(mask, moved), axes=(rows,)))
    pivot = real(reduce_sum(mul(mask, v), axes=(rows,)))
    scale = complex(neg(along), div(neg(turn), pivot))
    return diagonal(projected), add(moved, mul(v, as_rows(scale, n)))


def _eig_jvp(
    tangents: Any, operands: Any, results: Any, *, left: bool, right: bool, eigenvector_derivatives: bool
) -> tuple[Value, ...]:
    (da,), (a,) = tangents, operands
    w = results[0]
    da = _with_dtype_of(da, w)
    if not (left or right):
        from ir.ops.reduce import reduce_sum

        vectors = eig(a, left=False, right=True, eigenvector_derivatives=eigenvector_derivatives)[1]
        terms = mul(solve(vectors, da), transposed(vectors))
        return (reduce_sum(terms, axes=(terms.type.rank - 1,)),)
    if not eigenvector_derivatives:
        raise DifferentiationError(
            "eig: derivatives of eigenvectors are valid only where all eigenvalues are distinct and no "
            "eigenvector has two largest components, which cannot be checked; ask for them with "
            "eigenvector_derivatives=True"
        )
    vectors = results[-1] if right else eig(a, left=True, right=True, eigenvector_derivatives=True)[2]
    dw, dright = _normalized_eigenvectors_jvp(w, vectors, da)
    out = [dw]
    if left:
        out.append(_normalized_eigenvectors_jvp(conjugated(w), results[1], adjoint(da))[1])
    return tuple([*out, dright] if right else out)


# (w, left eigenvectors, right eigenvectors), the vectors as columns and as asked for. Not on TPU.
eig = op(
    "eig",
    attrs={"left": True, "right": True, "eigenvector_derivatives": False},
    type=_eig_type,
    eval=lambda x, *, left, right, eigenvector_derivatives: numerics.eig(x, left, right),
    jvp=_eig_jvp,
    batch=over_leading_axis("eig"),
    flops=cubic(25),
)

# schur --------------------------------------------------------------------------------------------------


def _schur_type(x: TensorType, *, vectors: bool) -> tuple[TensorType, ...]:
    require_lapack("schur", x)
    require_square("schur", x)
    return (x, x) if vectors else (x,)


# (T, Q) with `x = Q @ T @ Q^H`, or T alone: T upper triangular, for real x but for 2 by 2 blocks. CPU only.
schur = op(
    "schur",
    attrs={"vectors": True},
    type=_schur_type,
    eval=lambda x, *, vectors: similarity.schur(x)[: 2 if vectors else 1],
    jvp=None,
    batch=over_leading_axis("schur"),
    flops=cubic(25),
)
