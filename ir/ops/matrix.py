"""Matrix algebra on the last two axes, as compositions of ops: for derivative rules and rewrites.

Plain functions that append to the current builder; leading axes are batch axes and must be equal.
Products ask for the highest precision, as derivatives of decompositions need it.
"""

from __future__ import annotations

from ir.core import Value
from ir.ops.convert import convert
from ir.ops.elementwise import conj, eq, ge, select, sub
from ir.ops.shape import broadcast_in_dim, expand_dims, full, iota, zeros_like
from ir.types import DType, Shape, i32


def transposed(x: Value) -> Value:
    """`x` with its last two axes exchanged."""
    from ir.ops.shape import transpose

    rank = x.type.rank
    return transpose(x, perm=(*range(rank - 2), rank - 1, rank - 2))  # type: ignore[no-any-return]


def conjugated(x: Value) -> Value:
    """The complex conjugate; `x` where it is real."""
    return conj(x) if x.type.dtype.is_complex else x


def adjoint(x: Value) -> Value:
    """The conjugate transpose of the last two axes."""
    return conjugated(transposed(x))


def matmul(x: Value, y: Value, precision: str | None = "highest") -> Value:
    """`x @ y` for `x` [..., m, k] and `y` [..., k, n] of equal batch axes."""
    from ir.ops.contraction import dot_general

    rank = x.type.rank
    batch = tuple(range(rank - 2))
    return dot_general(  # type: ignore[no-any-return]
        x,
        y,
        lhs_contract=(rank - 1,),
        rhs_contract=(rank - 2,),
        lhs_batch=batch,
        rhs_batch=batch,
        precision=precision,
        preferred_type=None,
    )


# Triangles and diagonals --------------------------------------------------------------------------


def _row_and_column(shape: Shape) -> tuple[Value, Value]:
    rank = len(shape)
    return iota(shape=shape, dtype=i32, axis=rank - 2), iota(shape=shape, dtype=i32, axis=rank - 1)


def lower_mask(shape: Shape, k: int = 0) -> Value:
    """A bool matrix, true where column - row <= k."""
    row, column = _row_and_column(shape[-2:])
    return _over_batch(ge(row, sub(column, full(shape[-2:], k, i32)) if k else column), shape)


def diagonal_mask(shape: Shape) -> Value:
    """A bool matrix, true on the main diagonal."""
    return _over_batch(eq(*_row_and_column(shape[-2:])), shape)


def _over_batch(matrix: Value, shape: Shape) -> Value:
    rank = len(shape)
    return matrix if rank == 2 else broadcast_in_dim(matrix, shape=shape, dims=(rank - 2, rank - 1))


def tril(x: Value, k: int = 0) -> Value:
    """`x` with zeros above its k-th diagonal."""
    return select(lower_mask(x.type.shape, k), x, zeros_like(x))  # type: ignore[no-any-return]


def triu(x: Value, k: int = 0) -> Value:
    """`x` with zeros below its k-th diagonal."""
    return select(lower_mask(x.type.shape, k - 1), zeros_like(x), x)  # type: ignore[no-any-return]


def eye(shape: Shape, dtype: DType) -> Value:
    """Ones on the main diagonal of the last two axes of `shape`, zeros elsewhere."""
    rank = len(shape)
    one = convert(eq(*_row_and_column(shape[-2:])), dtype=dtype)
    return one if rank == 2 else broadcast_in_dim(one, shape=shape, dims=(rank - 2, rank - 1))  # type: ignore[no-any-return]


def diagonal(x: Value) -> Value:
    """The main diagonal of `x` [..., n, n]."""
    from ir.ops.reduce import reduce_sum

    kept = select(diagonal_mask(x.type.shape), x, zeros_like(x))
    return reduce_sum(kept, axes=(x.type.rank - 1,))  # type: ignore[no-any-return]


def as_rows(x: Value, rows: int) -> Value:
    """The vector `x` [..., n] as each of the rows of [..., rows, n]."""
    *batch, n = x.type.shape
    dims = (*range(len(batch)), len(batch) + 1)
    return broadcast_in_dim(x, shape=(*batch, rows, n), dims=dims)  # type: ignore[no-any-return]


def as_columns(x: Value, columns: int) -> Value:
    """The vector `x` [..., n] as each of the columns of [..., n, columns]."""
    return broadcast_in_dim(x, shape=(*x.type.shape, columns), dims=tuple(range(x.type.rank)))  # type: ignore[no-any-return]


def from_diagonal(x: Value) -> Value:
    """The square matrix with diagonal `x` [..., n] and zeros elsewhere."""
    spread = as_rows(x, x.type.shape[-1])
    return select(diagonal_mask(spread.type.shape), spread, zeros_like(spread))  # type: ignore[no-any-return]


# Permutations and linear systems ------------------------------------------------------------------


def permute_rows(x: Value, permutation: Value) -> Value:
    """`x[..., permutation, :]`, for `x` [..., m, n] and a permutation of its rows i32[..., m]."""
    from ir.ops.indexing import gather

    *batch, m, n = x.type.shape
    if m <= 1:
        return x
    lead = tuple(range(len(batch)))
    return gather(  # type: ignore[no-any-return]
        x,
        expand_dims(permutation, (permutation.type.rank,)),
        offset_dims=(len(batch) + 1,),
        collapsed_slice_dims=(len(batch),),
        start_index_map=(len(batch),),
        operand_batching_dims=lead,
        start_indices_batching_dims=lead,
        slice_sizes=(*(min(size, 1) for size in batch), 1, n),
        mode="promise_in_bounds",
        unique_indices=True,
    )


def inverse_permutation(permutation: Value) -> Value:
    """The permutation that undoes i32[..., m]."""
    from ir.ops.reduce import reduce_sum

    m = permutation.type.shape[-1]
    wanted = as_columns(permutation, m)
    row, column = _row_and_column(wanted.type.shape)
    return reduce_sum(select(eq(wanted, column), row, zeros_like(row)), axes=(wanted.type.rank - 2,))  # type: ignore[no-any-return]


def lu_solve(factors: Value, permutation: Value, b: Value, *, adjoint: bool = False) -> Value:
    """X with `A @ X = b`, or `A^H @ X = b`, from the factors and the permutation that `lu` gives of A."""
    from ir.ops.linalg import triangular_solve

    if adjoint:
        back = {"left_side": True, "transpose_a": True, "conjugate_a": factors.type.dtype.is_complex}
        x = triangular_solve(factors, b, lower=False, **back)
        x = triangular_solve(factors, x, lower=True, unit_diagonal=True, **back)
        return permute_rows(x, inverse_permutation(permutation))
    x = permute_rows(b, permutation)
    x = triangular_solve(factors, x, left_side=True, lower=True, unit_diagonal=True)
    return triangular_solve(factors, x, left_side=True, lower=False)  # type: ignore[no-any-return]


def solve(a: Value, b: Value) -> Value:
    """X with `a @ X = b`, for `a` [..., m, m] and `b` [..., m, n]."""
    from ir.ops.linalg import lu

    factors, _, permutation = lu(a)
    return lu_solve(factors, permutation, b)
