"""Kronecker products: systems with them are systems with their factors.

(A ⊗ B) vec(X) = vec(Y)     where      A X B' = Y       (vec puts rows one after the other)
"""

from __future__ import annotations

from collections.abc import Callable

from ir.core import Eqn, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.elementwise import mul
from ir.ops.linalg import lu
from ir.ops.matrix import conjugated, lu_solve
from ir.ops.shape import broadcast_in_dim, move_axis, reshape, reshape_to, transpose
from ir.passes.selections.systems import System

Definition = Callable[[Value], Eqn | None]


def kronecker(value: Value, definition: Definition) -> tuple[list[Value], bool] | None:
    """The square factors of a Kronecker product, first to last, and whether it is transposed; None for others."""
    turned = False
    while (eqn := definition(value)) is not None:
        if eqn.op is transpose and eqn.attrs["perm"] == (1, 0):
            turned = not turned
        elif eqn.op not in (assume, stop_gradient):
            break
        (value,) = eqn.operands
    factors = _factors(value, definition)
    return (factors, turned) if len(factors) > 1 else None


def _factors(value: Value, definition: Definition) -> list[Value]:
    pair = _pair(value, definition)
    return [value] if pair is None else [f for each in pair for f in _factors(each, definition)]


def _pair(value: Value, definition: Definition) -> tuple[Value, Value] | None:
    """The two square matrices, of more than one row each, of which a value is the Kronecker product."""
    eqn = definition(value)
    inner = definition(eqn.operands[0]) if eqn is not None and eqn.op is reshape else None
    if inner is None or inner.op is not mul or inner.results[0].type.rank != 4:
        return None
    m, p = inner.results[0].type.shape[:2]
    if inner.results[0].type.shape != (m, p, m, p) or value.type.shape != (m * p, m * p) or min(m, p) < 2:
        return None
    repeated: dict[tuple[int, ...], Value] = {}
    for v in inner.operands:
        made = definition(v)
        if made is not None and made.op is broadcast_in_dim:
            repeated[made.attrs["dims"]] = made.operands[0]
    a, b = repeated.get((0, 2)), repeated.get((1, 3))
    if a is None or b is None or a.type.shape != (m, m) or b.type.shape != (p, p):
        return None
    return a, b


def solved(factors: list[Value], b: Value, of: System, *, turned: bool) -> Value:
    """The solution, factor by factor.

    Args:
      turned: the Kronecker product of the factors is transposed in the matrix of the system.
    """
    rows = move_axis(b, of.axis, 0)
    sizes = [f.type.shape[0] for f in factors]
    x = reshape_to(rows, (*sizes, rows.type.size // max(1, rows.type.shape[0])))
    for k, factor in enumerate(factors):
        moved = move_axis(x, k, 0)
        columns = reshape_to(moved, (sizes[k], moved.type.size // sizes[k]))
        x = move_axis(
            reshape_to(_solved(factor, columns, turned=turned != of.turned), moved.type.shape), 0, k
        )
    return move_axis(reshape_to(x, rows.type.shape), 0, of.axis)


def _solved(matrix: Value, b: Value, *, turned: bool) -> Value:
    factors, _, permutation = lu(matrix)
    if turned:
        return conjugated(lu_solve(factors, permutation, conjugated(b), adjoint=True))
    return lu_solve(factors, permutation, b)


__all__ = ["kronecker", "solved"]
