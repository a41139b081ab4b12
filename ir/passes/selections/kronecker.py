"""Kronecker products: systems with them are systems with their factors.

(A ⊗ B) vec(X) = vec(Y)     where      A X B' = Y       (vec puts rows one after the other)
"""

from __future__ import annotations

from collections.abc import Callable

from ir.core import Eqn, Value
from ir.ops.calls import assume
from ir.ops.elementwise import mul
from ir.ops.shape import broadcast_in_dim, move_axis, reshape, reshape_to, transpose
from ir.passes.selections.systems import System, by_lu

Definition = Callable[[Value], Eqn | None]


def kronecker(value: Value, definition: Definition) -> tuple[list[Value], bool] | None:
    """The square factors of a Kronecker product, first to last, and whether it is transposed; None for others.

    Factors may have axes of size 1 besides (`matrix`).
    """
    turned = False
    while (eqn := definition(value)) is not None:
        if eqn.op is transpose and eqn.attrs["perm"] == (1, 0):
            turned = not turned
        elif eqn.op is not assume:  # (of a product that is stopped, factors would have derivatives)
            break
        (value,) = eqn.operands
    factors = _factors(value, definition)
    return (factors, turned) if len(factors) > 1 else None


def _factors(value: Value, definition: Definition) -> list[Value]:
    pair = _pair(value, definition)
    return [value] if pair is None else [f for each in pair for f in _factors(each, definition)]


def _pair(value: Value, definition: Definition) -> tuple[Value, Value] | None:
    """The two square matrices, of more than one row each, of which a value is the Kronecker product.

    Matrices may have axes of size 1 besides.
    """
    eqn = definition(value)
    inner = definition(eqn.operands[0]) if eqn is not None and eqn.op is reshape else None
    if inner is None or inner.op is not mul or inner.results[0].type.rank != 4:
        return None
    m, p = inner.results[0].type.shape[:2]
    shape = [n for n in value.type.shape if n != 1]
    if inner.results[0].type.shape != (m, p, m, p) or shape != [m * p, m * p] or min(m, p) < 2:
        return None
    repeated: dict[tuple[int, ...], Value] = {}
    for v in inner.operands:
        made = definition(v)
        if made is not None and made.op is broadcast_in_dim:
            (x,), dims = made.operands, made.attrs["dims"]
            repeated[tuple([d for d, n in zip(dims, x.type.shape, strict=True) if n != 1])] = x
    a, b = repeated.get((0, 2)), repeated.get((1, 3))
    return None if a is None or b is None else (a, b)


def matrix(factor: Value) -> Value:
    """A factor without the axes of size 1."""
    n, m = [k for k in factor.type.shape if k != 1]
    return reshape_to(factor, (n, m))


def solved(factors: list[Value], b: Value, of: System, *, turned: bool) -> Value:
    """The solution, factor by factor.

    Args:
      turned: the Kronecker product of the factors is transposed in the matrix of the system.
    """
    rows = move_axis(b, of.axis, 0)
    matrices = [matrix(f) for f in factors]
    sizes = [m.type.shape[0] for m in matrices]
    x = reshape_to(rows, (*sizes, rows.type.size // max(1, rows.type.shape[0])))
    for k, each in enumerate(matrices):
        moved = move_axis(x, k, 0)
        columns = reshape_to(moved, (sizes[k], moved.type.size // sizes[k]))
        x = move_axis(
            reshape_to(by_lu(each, columns, System(0, 0, turned != of.turned)), moved.type.shape), 0, k
        )
    return move_axis(reshape_to(x, rows.type.shape), 0, of.axis)


__all__ = ["kronecker", "matrix", "solved"]
