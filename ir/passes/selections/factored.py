"""Products of square matrices that are triangular but for one at most: systems with them are systems with each.

F G x = b      is      F y = b,  G x = y         and      det(F G) = det(F) det(G)
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from ir.core import Value
from ir.ops.calls import assume
from ir.ops.contraction import dot_general
from ir.ops.shape import transpose
from ir.passes.selections.forms import Reader
from ir.passes.selections.systems import System, by_lu, in_columns, substituted
from ir.passes.selections.triangles import is_lower


@dataclass(frozen=True)
class Factor:
    """A square matrix of a product.

    Attributes:
      lower: which triangle it has; None for a full one.
      turned: it is transposed in the product.
    """

    matrix: Value
    lower: bool | None
    turned: bool


def factored(reader: Reader, value: Value) -> list[Factor] | None:
    """The factors of a product, first to last; None where not all but one are triangular."""
    turned = False
    while (eqn := reader.definition(value)) is not None:
        if eqn.op is transpose and eqn.attrs["perm"] == (1, 0):
            turned = not turned
        elif eqn.op is not assume:
            break
        (value,) = eqn.operands
    found = _factors(reader, value, turned=turned)
    if len(found) < 2 or sum(f.lower is None for f in found) > 1:
        return None
    return found


def _factors(reader: Reader, value: Value, *, turned: bool) -> list[Factor]:
    eqn = reader.definition(value)
    single = [Factor(value, is_lower(reader, value), turned)]
    if eqn is None or eqn.op is not dot_general or single[0].lower is not None:
        return single
    x, y = eqn.operands
    a, square = eqn.attrs, value.type.shape
    if (
        not x.type.shape == y.type.shape == square
        or len(square) != 2
        or square[0] != square[1]
        or a["lhs_batch"]
    ):
        return single
    if len(a["lhs_contract"]) != 1 or not x.type.dtype is y.type.dtype is value.type.dtype:
        return single
    left = _factors(reader, x, turned=turned != (a["lhs_contract"] == (0,)))
    right = _factors(reader, y, turned=turned != (a["rhs_contract"] == (1,)))
    return [*right, *left] if turned else [*left, *right]


def solved(reader: Reader, factors: list[Factor], b: Value, of: System) -> Value:
    """The solution, by one factor after the other: the first one first, or the last one of a transposed product."""
    for each in reversed(factors) if of.turned else factors:
        matrix, turned = reader.now(each.matrix), of.turned != each.turned
        if each.lower is not None:
            # (A triangle that is transposed is read as the matrix that it is of.)
            b = substituted(matrix, b, replace(of, turned=turned), lower=each.lower)
            continue
        full = replace(of, turned=turned)
        b = in_columns(b, of.axis, functools.partial(_by_lu, matrix, full))
    return b


def _by_lu(matrix: Value, of: System, columns: Value) -> Value:
    return by_lu(matrix, columns, of)


__all__ = ["Factor", "factored", "solved"]
