"""Linear systems: which of its constants is the matrix of one."""

from __future__ import annotations

from dataclasses import dataclass

from ir.core import Eqn, Function, Value, inner_first
from ir.ops.contraction import dot_general
from ir.ops.linalg import triangular_solve
from ir.ops.reduce import reduce_sum
from ir.ops.shape import transpose


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
        elif product is not None and operands[0] is product.results[0] and eqn.op is transpose:
            order = tuple([order[p] for p in eqn.attrs["perm"]])
            env[eqn.results[0]] = product.results[0]
        elif eqn.op is reduce_sum and not eqn.attrs["axes"]:
            env[eqn.results[0]] = operands[0]
        else:
            return None
    (out,) = function.results
    if product is None or env.get(out, out) is not product.results[0]:
        return None
    return _matrix(function, product, order)


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
    if [axes[k] for k in order] != list(range(x.type.rank)):
        return None
    (summed,) = attrs[names[1 - side]]
    return System(function.params.index(matrix), axis, summed == 0)
