"""Linear systems: which of its constants is the matrix of one."""

from __future__ import annotations

from ir.core import Eqn, Function, Value
from ir.ops.contraction import dot_general
from ir.ops.reduce import reduce_sum
from ir.ops.shape import transpose


def multiplied(function: Function) -> tuple[int, int] | None:
    """Which param is the square matrix, where a function multiplies its last param by a matrix, along which axis of it.

    Only the matrix may be transposed: None where the result has its axes in another order than the param.
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


def _matrix(function: Function, product: Eqn, order: tuple[int, ...]) -> tuple[int, int] | None:
    """As `multiplied`, of a product whose axes are the result's in this order."""
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
    return function.params.index(matrix), axis
