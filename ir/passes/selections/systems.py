"""Linear systems: which of its constants is the matrix of one, and how to solve it where more is known of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ir.core import Eqn, Function, Value, inner_first
from ir.ops.contraction import dot_general
from ir.ops.elementwise import div
from ir.ops.linalg import cholesky, lu, triangular_solve
from ir.ops.matrix import conjugated, diagonal, lu_solve
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, move_axis, reshape, reshape_to, transpose


@dataclass(frozen=True)
class System:
    """What a linear system multiplies its unknowns by.

    Attributes:
      matrix: which of its constants that is.
      axis: of the unknowns, along which they are multiplied.
      turned: the matrix is transposed.
    """

    matrix: int
    axis: int
    turned: bool


def system(eqn: Eqn) -> System | None:
    """The matrix of a `linear_solve`, if it has one and is solved by factors of it; None for others."""
    solve: Function = eqn.attrs["solve"]
    if not any(e.op is triangular_solve for f in inner_first(solve) for e in f.eqns):
        return None  # (the caller's own way, whatever it may give)
    return _multiplied(eqn.attrs["matvec"])


def _multiplied(function: Function) -> System | None:
    """What a function multiplies its last param by.

    None where the result has its axes in another order than the param.
    """
    x = function.params[-1]
    env: dict[Value, Value] = {}
    product: Eqn | None = None
    order: tuple[int, ...] = ()
    for eqn in function.eqns:
        operands = [env.get(v, v) for v in eqn.operands]
        if eqn.op is dot_general and product is None and x in operands:
            product = eqn
            order = tuple(range(eqn.results[0].type.rank))
            env[eqn.results[0]] = eqn.results[0]
        elif product is not None and eqn.op is transpose and operands[0] is product.results[0]:
            order = tuple([order[p] for p in eqn.attrs["perm"]])
            env[eqn.results[0]] = product.results[0]
        elif product is not None and eqn.op is reshape and operands[0] is product.results[0]:
            moved = _unit_axes_moved(eqn)
            if moved is None:
                return None
            order = tuple([order[p] for p in moved])
            env[eqn.results[0]] = product.results[0]
        elif eqn.op is reduce_sum and not eqn.attrs["axes"]:
            env[eqn.results[0]] = operands[0]
        else:
            return None
    (out,) = function.results
    if product is None or env.get(out, out) is not product.results[0]:
        return None
    return _matrix(function, product, order)


def _unit_axes_moved(eqn: Eqn) -> list[int] | None:
    """The permutation of axes that a reshape is; None where it is none. (Axes of size 1 are alike.)"""
    old, new = eqn.operands[0].type.shape, eqn.results[0].type.shape
    if len(old) != len(new) or [n for n in old if n != 1] != [n for n in new if n != 1]:
        return None
    units, others = ([d for d, n in enumerate(old) if (n == 1) is unit] for unit in (True, False))
    return [units.pop(0) if n == 1 else others.pop(0) for n in new]


def _matrix(function: Function, product: Eqn, order: tuple[int, ...]) -> System | None:
    """As `_multiplied`, of a product whose axes are the result's in this order."""
    x, attrs = function.params[-1], product.attrs
    side = 0 if product.operands[0] is x else 1
    matrix = product.operands[1 - side]
    names = ("lhs_contract", "rhs_contract")
    if matrix not in function.params[:-1] or matrix.type.rank != 2 or attrs["lhs_batch"]:
        return None
    if matrix.type.shape[0] != matrix.type.shape[1] or len(attrs["lhs_contract"]) != 1:
        return None
    (axis,) = attrs[names[side]]
    # Where each axis of the product comes from: those of `x`, and the matrix's in place of the one summed over.
    free = [d for d in range(x.type.rank) if d != axis]
    axes = [axis, *free] if side else [*free, axis]
    shape = x.type.shape
    if any(axes[k] != d and not shape[axes[k]] == shape[d] == 1 for d, k in enumerate(order)):
        return None
    (summed,) = attrs[names[1 - side]]
    return System(function.params.index(matrix), axis, summed == 0)


# Solutions ----------------------------------------------------------------------------------------


def divided(matrix: Value, b: Value, of: System) -> Value:
    """For a diagonal matrix."""
    return div(b, broadcast_in_dim(diagonal(matrix), shape=b.type.shape, dims=(of.axis,)))  # type: ignore[no-any-return]


def substituted(matrix: Value, b: Value, of: System, *, lower: bool) -> Value:
    """For a triangular matrix."""

    def solve(columns: Value) -> Value:
        return triangular_solve(matrix, columns, left_side=True, lower=lower, transpose_a=of.turned)  # type: ignore[no-any-return]

    return in_columns(b, of.axis, solve)


def turned_back(matrix: Value, b: Value, of: System) -> Value:
    """For an orthogonal, or unitary, matrix: by its conjugate transpose."""
    by = conjugated(matrix)
    x = dot_general(
        by, b, lhs_contract=(1 if of.turned else 0,), rhs_contract=(of.axis,), precision="highest"
    )
    return move_axis(x, 0, of.axis)


def by_cholesky(matrix: Value, b: Value, of: System) -> Value:
    """For a positive definite matrix L L^H, of which the transpose is the conjugate."""
    is_complex = matrix.type.dtype.is_complex

    def solve(columns: Value) -> Value:
        factor = cholesky(matrix)
        half = triangular_solve(factor, columns, left_side=True, lower=True)
        return triangular_solve(  # type: ignore[no-any-return]
            factor, half, left_side=True, lower=True, transpose_a=True, conjugate_a=is_complex
        )

    if of.turned:
        return conjugated(in_columns(conjugated(b), of.axis, solve))
    return in_columns(b, of.axis, solve)


def by_lu(matrix: Value, columns: Value, of: System) -> Value:
    """For any matrix, and right-hand sides that stand side by side."""
    factors, _, permutation = lu(matrix)
    if of.turned:
        return conjugated(lu_solve(factors, permutation, conjugated(columns), adjoint=True))
    return lu_solve(factors, permutation, columns)


def in_columns(b: Value, axis: int, solve: Callable[[Value], Value]) -> Value:
    """The right-hand sides side by side, solved for, and put back."""
    rows = move_axis(b, axis, 0)
    count = rows.type.shape[0]
    x = solve(reshape_to(rows, (count, rows.type.size // max(1, count))))
    return move_axis(reshape_to(x, rows.type.shape), 0, axis)
