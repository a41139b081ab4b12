"""Triangular and tridiagonal solves, triangular factorisations and reductions by reflectors.

Batched over leading axes; semantics and derivatives are those of `jax.lax.linalg`, without the
symmetrising of inputs that some of its functions do by default. The decompositions by orthogonal
matrices are in `ir.ops.decompositions`. Narrow floats are not taken, as
LAPACK has none (triangular_solve takes them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.core import Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics import linalg as numerics
from ir.numerics import similarity
from ir.numerics.precision import narrow, widen
from ir.op import op_named
from ir.ops.elementwise import add, mul, neg, sub
from ir.ops.families import INEXACT, ZERO, check, materialize, op, require_dtype
from ir.ops.matrix import (
    as_columns,
    conjugated,
    eye,
    matmul,
    permute_rows,
    transposed,
    tril,
    triu,
)
from ir.ops.shape import full_like, move_axis, pad_axis, reshape, slice_axis
from ir.types import TensorType, c64, c128, f32, f64, i32

# What the ops of this family share --------------------------------------------------------------------


def require_lapack(name: str, x: TensorType, rank: int = 2) -> None:
    """IRTypeError or ShapeError unless `x` has a type of LAPACK and at least `rank` axes."""
    if x.dtype not in (f32, f64, c64, c128):
        raise IRTypeError(f"{name}: expected elements of type f32, f64, c64 or c128, got {x}")
    require_rank(name, x, rank)


def require_rank(name: str, x: TensorType, rank: int) -> None:
    """ShapeError unless `x` has at least `rank` axes."""
    if x.rank < rank:
        raise ShapeError(f"{name}: expected an operand of rank {rank} or more, got {x}")


def require_square(name: str, x: TensorType) -> None:
    """ShapeError unless the last two axes have equal size."""
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: expected square matrices, got {x}")


def over_leading_axis(name: str) -> Callable[..., Any]:
    """The batching rule of the op called `name`, whose leading axes are batch axes."""

    def rule(operands: Any, batched: Any, size: int, /, **attrs: Any) -> Any:
        full = [materialize(x, b, size) for x, b in zip(operands, batched, strict=True)]
        out = op_named(name)(*full, **attrs)
        results = out if isinstance(out, tuple) else (out,)
        return results, (True,) * len(results)

    return rule


def cubic(weight: float) -> Callable[..., int]:
    """Flops of an algorithm that takes `weight` times m * n * min(m, n) real operations a matrix."""

    def flops(operands: Sequence[TensorType], results: Sequence[TensorType], **_: Any) -> int:
        x = operands[0]
        each = 4 if x.dtype.is_complex else 1
        return int(weight * each * x.size * min(x.shape[-2:]))

    return flops


# cholesky -----------------------------------------------------------------------------------------------


def _cholesky_type(x: TensorType) -> TensorType:
    require_lapack("cholesky", x)
    require_square("cholesky", x)
    return x


def _cholesky_jvp(tangents: Any, operands: Any, results: Any) -> tuple[Value]:
    """The tangent dL = L phi(L^-1 dA L^-H), phi the lower triangle with half the diagonal.

    I. Murray, arXiv:1602.07527.
    """
    (da,), (factor,) = tangents, results
    x = triangular_solve(factor, da, lower=True, transpose_a=True, conjugate_a=factor.type.dtype.is_complex)
    x = tril(triangular_solve(factor, x, left_side=True, lower=True))
    half = mul(full_like(x, 0.5), eye(x.type.shape, x.type.dtype))
    return (tril(matmul(factor, mul(x, sub(full_like(x, 1), half)))),)


# Lower triangular L with `L @ L^H = x`, from the lower triangle of x; NaN where x is not positive
# definite. The derivative takes x, and its tangent, to be Hermitian.
cholesky = op(
    "cholesky",
    type=_cholesky_type,
    eval=numerics.cholesky,
    jvp=_cholesky_jvp,
    batch=over_leading_axis("cholesky"),
    flops=cubic(1 / 3),
)

# triangular_solve ---------------------------------------------------------------------------------------


def _triangular_solve_type(a: TensorType, b: TensorType, *, left_side: bool, **flags: bool) -> TensorType:
    name = "triangular_solve"
    require_dtype(name, a, INEXACT)
    check(a.dtype is b.dtype, f"{name}: expected operands of equal element type, got {a} and {b}")
    require_rank(name, a, 2)
    require_square(name, a)
    if a.rank != b.rank or a.shape[:-2] != b.shape[:-2]:
        raise ShapeError(f"{name}: expected operands of equal batch axes, got {a} and {b}")
    if a.shape[-1] != b.shape[-2 if left_side else -1]:
        raise ShapeError(
            f"{name}: expected the {'rows' if left_side else 'columns'} of b to be as many as those of a, "
            f"got {a} and {b}"
        )
    return b


def _triangular_solve_eval(
    a: Any, b: Any, *, left_side: bool, lower: bool, transpose_a: bool, conjugate_a: bool, unit_diagonal: bool
) -> Any:
    if conjugate_a and not transpose_a and a.dtype.kind == "c":
        a = np.conj(a)
    how = ("conj" if conjugate_a else "transpose") if transpose_a else "none"
    x = numerics.triangular_solve(
        widen(a), widen(b), left_side=left_side, lower=lower, transpose_a=how, unit_diagonal=unit_diagonal
    )
    return narrow(x, b.dtype)


def _triangular_solve_jvp(tangents: Any, operands: Any, results: Any, **attrs: Any) -> tuple[Value | None]:
    (da, db), (a, _), (x,) = tangents, operands, results
    total = None if db is None else triangular_solve(a, db, **attrs)
    if da is not None:
        k = 1 if attrs["unit_diagonal"] else 0
        da = neg(tril(da, -k) if attrs["lower"] else triu(da, k))
        da = transposed(da) if attrs["transpose_a"] else da
        da = conjugated(da) if attrs["conjugate_a"] else da
        m, n = x.type.shape[-2:]
        if attrs["left_side"]:  # A^-1 (dA X) or (A^-1 dA) X, whichever is cheaper
            if m > n:
                term = triangular_solve(a, matmul(da, x), **attrs)
            else:
                term = matmul(triangular_solve(a, da, **attrs), x)
        elif m < n:
            term = triangular_solve(a, matmul(x, da), **attrs)
        else:
            term = matmul(x, triangular_solve(a, da, **attrs))
        total = term if total is None else add(total, term)
    return (total,)


def _triangular_solve_transpose(cts: Any, operands: Any, *, transpose_a: bool, **attrs: Any) -> Any:
    return None, triangular_solve(operands[0], cts[0], transpose_a=not transpose_a, **attrs)


def solve_jointly(solve: Callable[[Value], Value], b: Value, *, left_side: bool) -> Value:
    """`solve(b)` for each `b` [size, ..., m, n], all as more columns (or rows) of one right-hand side."""
    axis = b.type.rank - (2 if left_side else 3)
    moved = move_axis(b, 0, axis)
    shape = moved.type.shape
    joined = reshape(moved, shape=(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :]))
    return move_axis(reshape(solve(joined), shape=shape), axis, 0)


def _triangular_solve_batch(operands: Any, batched: Any, size: int, *, left_side: bool, **attrs: Any) -> Any:
    a, b = operands
    if batched[0]:
        b = materialize(b, batched[1], size)
        return (triangular_solve(a, b, left_side=left_side, **attrs),), (True,)

    def solve(joined: Value) -> Value:
        return triangular_solve(a, joined, left_side=left_side, **attrs)  # type: ignore[no-any-return]

    return (solve_jointly(solve, b, left_side=left_side),), (True,)


# X with `op(a) @ X = b` (`X @ op(a) = b` unless `left_side`), a triangular; op may transpose and
# conjugate. The other triangle is not read, nor is the diagonal with `unit_diagonal`.
triangular_solve = op(
    "triangular_solve",
    attrs={
        "left_side": False,
        "lower": False,
        "transpose_a": False,
        "conjugate_a": False,
        "unit_diagonal": False,
    },
    type=_triangular_solve_type,
    eval=_triangular_solve_eval,
    jvp=_triangular_solve_jvp,
    transpose=_triangular_solve_transpose,
    batch=_triangular_solve_batch,
    flops=lambda operands, results, **_: (
        (4 if operands[0].dtype.is_complex else 1) * results[0].size * operands[0].shape[-1]
    ),
)

# tridiagonal_solve --------------------------------------------------------------------------------------


def _tridiagonal_solve_type(dl: TensorType, d: TensorType, du: TensorType, b: TensorType) -> TensorType:
    name, shown = "tridiagonal_solve", f"{dl}, {d}, {du} and {b}"
    require_lapack(name, b)
    if not dl is d is du:
        raise ShapeError(f"{name}: expected three diagonals of equal type, got {shown}")
    check(d.dtype is b.dtype, f"{name}: expected operands of equal element type, got {shown}")
    if d.shape != b.shape[:-1]:
        raise ShapeError(f"{name}: expected diagonals of shape {b.shape[:-1]}, got {shown}")
    return b


def _tridiagonal_product(dl: Value | None, d: Value | None, du: Value | None, x: Value) -> Value | None:
    """`A @ x` for the tridiagonal A; a diagonal that is `None` is zero."""
    axis, (m, n) = x.type.rank - 2, x.type.shape[-2:]
    total = None if d is None else mul(as_columns(d, n), x)
    if m > 1 and dl is not None:
        below = mul(as_columns(slice_axis(dl, axis, 1, m), n), slice_axis(x, axis, 0, m - 1))
        below = pad_axis(below, axis, 1, 0)
        total = below if total is None else add(total, below)
    if m > 1 and du is not None:
        above = mul(as_columns(slice_axis(du, axis, 0, m - 1), n), slice_axis(x, axis, 1, m))
        above = pad_axis(above, axis, 0, 1)
        total = above if total is None else add(total, above)
    return total


def _tridiagonal_solve_jvp(tangents: Any, operands: Any, results: Any) -> tuple[Value | None]:
    """The tangent dX = A^-1 (db - dA X)."""
    (ddl, dd, ddu, db), (dl, d, du, _), (x,) = tangents, operands, results
    product = _tridiagonal_product(ddl, dd, ddu, x)
    if product is None:
        rhs = db
    else:
        rhs = neg(product) if db is None else sub(db, product)
    return (None if rhs is None else tridiagonal_solve(dl, d, du, rhs),)


def _tridiagonal_solve_transpose(cts: Any, operands: Any) -> Any:
    dl, d, du, _ = operands
    axis, m = d.type.rank - 1, d.type.shape[-1]
    if m > 1:
        below = pad_axis(slice_axis(du, axis, 0, m - 1), axis, 1, 0)
        above = pad_axis(slice_axis(dl, axis, 1, m), axis, 0, 1)
    else:  # neither is read
        below = above = d
    return None, None, None, tridiagonal_solve(below, d, above, cts[0])


def _tridiagonal_solve_batch(operands: Any, batched: Any, size: int) -> Any:
    if not any(batched[:3]):
        *diagonals, b = operands

        def solve(joined: Value) -> Value:
            return tridiagonal_solve(*diagonals, joined)  # type: ignore[no-any-return]

        return (solve_jointly(solve, b, left_side=True),), (True,)
    return (tridiagonal_solve(*[materialize(x, b, size) for x, b in zip(operands, batched, strict=True)]),), (
        True,
    )


# X with `A @ X = b`, A[i, i-1] = dl[i], A[i, i] = d[i], A[i, i+1] = du[i]; dl[0] and du[-1] are not read.
tridiagonal_solve = op(
    "tridiagonal_solve",
    type=_tridiagonal_solve_type,
    eval=numerics.tridiagonal_solve,
    jvp=_tridiagonal_solve_jvp,
    transpose=_tridiagonal_solve_transpose,
    batch=_tridiagonal_solve_batch,
    flops=lambda operands, results: (4 if operands[0].dtype.is_complex else 1) * 8 * results[0].size,
)

# lu -----------------------------------------------------------------------------------------------------


def _lu_type(x: TensorType) -> tuple[TensorType, TensorType, TensorType]:
    require_lapack("lu", x)
    *batch, m, n = x.shape
    return x, TensorType((*batch, min(m, n)), i32), TensorType((*batch, m), i32)


def _lu_jvp(tangents: Any, operands: Any, results: Any) -> tuple[Value | None, ...]:
    """With F = L^-1 P dA U^-1: dL = L tril(F, -1) and dU = triu(F) U (de Hoog, Anderssen, Lukas 2011)."""
    (da,), (factors, _, permutation) = tangents, results
    rank, (m, n) = da.type.rank, da.type.shape[-2:]
    k, dtype = min(m, n), da.type.dtype
    batch = da.type.shape[:-2]
    # L as m by m and U as n by n, continued by ones on the diagonal where the factor is not square.
    lower = pad_axis(tril(slice_axis(factors, rank - 1, 0, k), -1), rank - 1, 0, m - k)
    lower = add(lower, eye((*batch, m, m), dtype))
    upper = pad_axis(triu(slice_axis(factors, rank - 2, 0, k)), rank - 2, 0, n - k)
    if n > k:
        rest = eye((*batch, n - k, n - k), dtype)
        upper = add(upper, pad_axis(pad_axis(rest, rank - 1, k, 0), rank - 2, k, 0))
    x = permute_rows(da, permutation)
    x = triangular_solve(lower, x, left_side=True, lower=True, unit_diagonal=True)
    x = triangular_solve(upper, x, left_side=False, lower=False)
    return add(matmul(lower, tril(x, -1)), matmul(triu(x), upper)), None, None


# `x[permutation] = L @ U`: U and, below its diagonal, L without the ones on its diagonal; the row with
# which each row was exchanged in turn, i32; the order of the rows that results, i32.
lu = op(
    "lu",
    type=_lu_type,
    eval=numerics.lu,
    jvp=_lu_jvp,
    batch=over_leading_axis("lu"),
    flops=cubic(2 / 3),
)


def _permutation_type(pivots: TensorType, *, size: int) -> TensorType:
    name = "lu_pivots_to_permutation"
    check(pivots.dtype is i32, f"{name}: expected pivots of type i32, got {pivots}")
    require_rank(name, pivots, 1)
    if type(size) is not int or size < pivots.shape[-1]:
        raise ShapeError(f"{name}: expected a size of at least the number of pivots, got {size} for {pivots}")
    return pivots.with_shape((*pivots.shape[:-1], size))


lu_pivots_to_permutation = op(
    "lu_pivots_to_permutation",
    attrs=("size",),
    type=_permutation_type,
    eval=lambda pivots, *, size: numerics.lu_pivots_to_permutation(pivots, size),
    jvp=ZERO,
    batch=over_leading_axis("lu_pivots_to_permutation"),
)

# Reflectors ---------------------------------------------------------------------------------------------


def _householder_type(a: TensorType, taus: TensorType) -> TensorType:
    name = "householder_product"
    require_lapack(name, a)
    check(a.dtype is taus.dtype, f"{name}: expected operands of equal element type, got {a} and {taus}")
    m, n = a.shape[-2:]
    if taus.rank != a.rank - 1 or taus.shape[:-1] != a.shape[:-2]:
        raise ShapeError(f"{name}: expected operands of equal batch axes, got {a} and {taus}")
    if m < n or taus.shape[-1] > n:
        raise ShapeError(
            f"{name}: expected at least as many rows as columns and no more factors than columns, "
            f"got {a} and {taus}"
        )
    return a


# The first columns of the product of the reflectors `I - taus[i] v v^H`, v in column i of `a`.
householder_product = op(
    "householder_product",
    type=_householder_type,
    eval=numerics.householder_product,
    jvp=None,
    batch=over_leading_axis("householder_product"),
    flops=cubic(2),
)


def _hessenberg_type(x: TensorType) -> tuple[TensorType, TensorType]:
    require_lapack("hessenberg", x)
    require_square("hessenberg", x)
    if x.shape[-1] == 0:
        raise ShapeError(f"hessenberg: expected matrices that are not empty, got {x}")
    return x, x.with_shape((*x.shape[:-2], x.shape[-1] - 1))


# Packed Hessenberg form and reflectors, and the scalar factors of the reflectors. CPU only.
hessenberg = op(
    "hessenberg",
    type=_hessenberg_type,
    eval=similarity.hessenberg,
    jvp=None,
    batch=over_leading_axis("hessenberg"),
    flops=cubic(10 / 3),
)


def _tridiagonal_type(x: TensorType, *, lower: bool) -> tuple[TensorType, ...]:
    require_lapack("tridiagonal", x)
    require_square("tridiagonal", x)
    *batch, _, n = x.shape
    if n == 0:
        raise ShapeError(f"tridiagonal: expected matrices that are not empty, got {x}")
    off, real = x.with_shape((*batch, n - 1)), x.dtype.real
    return x, TensorType((*batch, n), real), off.with_dtype(real), off


# Of a Hermitian matrix: the packed tridiagonal form and reflectors, its diagonal and off-diagonal, and
# the scalar factors of the reflectors. Not on TPU.
tridiagonal = op(
    "tridiagonal",
    attrs={"lower": True},
    type=_tridiagonal_type,
    eval=similarity.tridiagonal,
    jvp=None,
    batch=over_leading_axis("tridiagonal"),
    flops=cubic(4 / 3),
)
