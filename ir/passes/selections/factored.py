"""Products of square matrices: systems with them are systems with each, and their determinants products.

F G x = b      is      F y = b,  G x = y         and      det(F G) = det(F) det(G)

Factors are triangular matrices, diagonal ones (as numbers for the rows, for the columns, or for all elements), others,
and, for a determinant, inverses. With more than one that has to be factored the operations decide: they are those of
all systems, of factors, and of the product, if nothing else reads that.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ir.core import Eqn, Function, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.contraction import dot_general
from ir.ops.elementwise import div, mul
from ir.ops.linalg import lu
from ir.ops.linear_solve import linear_solve
from ir.ops.shape import broadcast_in_dim, transpose
from ir.passes.selections.forms import Reader
from ir.passes.selections.systems import System, by_lu, in_columns, substituted, system
from ir.passes.selections.triangles import is_lower
from ir.passes.solves import is_identity
from ir.rewriter import constant_number


@dataclass(frozen=True)
class Factor:
    """A square matrix of a product.

    Attributes:
      matrix: the matrix; of a diagonal one what is on its diagonal, or the number that is.
      lower: which triangle it has; None for a full one.
      turned: it is transposed in the product.
      is_diagonal: it is zero off its diagonal.
      is_inverse: it is the inverse of `matrix`.
    """

    matrix: Value
    lower: bool | None = None
    turned: bool = False
    is_diagonal: bool = False
    is_inverse: bool = False

    @property
    def is_full(self) -> bool:
        """Whether it has to be factored."""
        return self.lower is None and not self.is_diagonal


def factored(reader: Reader, value: Value) -> list[Factor] | None:
    """The factors of a product, first to last; None where there is one."""
    turned = False
    while (eqn := reader.definition(value)) is not None:
        if eqn.op is transpose and eqn.attrs["perm"] == (1, 0):
            turned = not turned
        elif eqn.op is not assume:
            break
        (value,) = eqn.operands
    found = _factors(reader, value, turned=turned)
    return found if len(found) > 1 or found[0].is_inverse else None


def _factors(reader: Reader, value: Value, *, turned: bool) -> list[Factor]:
    """The factors, first to last; the value itself if it is no product. No recursion."""
    found: list[Factor] = []
    stack: list[Factor | tuple[Value, bool]] = [(value, turned)]
    while stack:
        each = stack.pop()
        if isinstance(each, Factor):
            found.append(each)
            continue
        parts = _parts(reader, *each)
        stack += [Factor(each[0], is_lower(reader, each[0]), each[1])] if parts is None else reversed(parts)
    return found


def _parts(reader: Reader, value: Value, turned: bool) -> list[Factor | tuple[Value, bool]] | None:
    """What a matrix is a product of, first to last; of what may be one again, also whether it is transposed."""
    eqn, square = reader.definition(value), value.type.shape
    if eqn is None or len(square) != 2 or square[0] != square[1] or is_lower(reader, value) is not None:
        return None
    if eqn.op is dot_general and _is_product(eqn):
        (left, right), a = eqn.operands, eqn.attrs
        pair = (left, turned != (a["lhs_contract"] == (0,))), (right, turned != (a["rhs_contract"] == (1,)))
        return [*(pair[::-1] if turned else pair)]
    if eqn.op in (mul, div):
        return _multiples(reader, eqn, turned=turned)
    if eqn.op is linear_solve and len(eqn.results) == 1 and is_identity(eqn.operands[-1], reader.definition):
        read = system(eqn)
        if read is not None and eqn.operands[read.matrix].type.dtype is value.type.dtype:
            # (Along its second axis a system solves for the rows of the inverse of the transpose.)
            is_turned = turned != read.turned != (read.axis == 1)
            return [Factor(eqn.operands[read.matrix], turned=is_turned, is_inverse=True)]
    return None


def _is_product(eqn: Eqn) -> bool:
    """Whether a contraction is a product of two square matrices of one type."""
    (x, y), a, out = eqn.operands, eqn.attrs, eqn.results[0].type
    if not x.type.shape == y.type.shape == out.shape or a["lhs_batch"] or len(a["lhs_contract"]) != 1:
        return False
    return x.type.dtype is y.type.dtype is out.dtype


def _multiples(reader: Reader, eqn: Eqn, *, turned: bool) -> list[Factor | tuple[Value, bool]] | None:
    """A matrix whose rows, or columns, or elements are multiplied or divided by numbers."""
    for k, by in enumerate(eqn.operands):
        if eqn.op is div and k == 0:
            continue
        made = reader.definition(by)
        dims = made.attrs["dims"] if made is not None and made.op is broadcast_in_dim else None
        number = constant_number(made)
        if dims is not None and (len(dims) > 1 or made.operands[0].type.size not in (1, by.type.shape[0])):  # type: ignore[union-attr]
            continue
        if dims is None and (number is None or not math.isfinite(abs(number)) or number == 0):
            continue
        diagonal = Factor(by, is_diagonal=True, is_inverse=eqn.op is div)
        rest = eqn.operands[1 - k], turned
        return [diagonal, rest] if (dims == (0,)) != turned else [rest, diagonal]
    return None


# What it takes ------------------------------------------------------------------------------------


class Costs:
    """What systems with matrices of a function take, in parts of n^3 operations.

    Attributes:
      factored: where a matrix, without what is said of it, is factored.
    """

    def __init__(self, whole: Function) -> None:
        self.kept = set(whole.results)
        self.made = {v: e for e in whole.eqns for v in e.results}
        self.users: dict[Value, list[Eqn]] = {}
        self.factored: dict[Value, list[Eqn]] = {}
        self.columns: dict[Value, float] = {}
        for eqn in whole.eqns:
            for v in dict.fromkeys(eqn.operands):
                self.users.setdefault(v, []).append(eqn)
            if eqn.op is lu:
                self.factored.setdefault(self.root(eqn.operands[0]), []).append(eqn)
            elif eqn.op is linear_solve and (read := system(eqn)) is not None:
                matrix, b = self.root(eqn.operands[read.matrix]), eqn.operands[-1].type
                count = b.size / max(1, b.shape[read.axis]) ** 2
                self.columns[matrix] = self.columns.get(matrix, 0) + count

    def root(self, value: Value) -> Value:
        """A matrix without what is said of it."""
        while (eqn := self.made.get(value)) is not None and eqn.op in (assume, stop_gradient):
            (value,) = eqn.operands
        return value

    def is_kept(self, matrix: Value) -> bool:
        """Whether the factors of a matrix are results."""
        return any(not self.kept.isdisjoint(e.results) for e in self.factored.get(self.root(matrix), ()))

    def pays(self, value: Value, factors: Sequence[Factor]) -> bool:
        """Whether factors of a product are no more work than those of the product itself."""
        value = self.root(value)
        full = [f for f in factors if f.is_full]
        if len(full) < 2 and not any(f.is_diagonal or f.is_inverse for f in factors):
            return True
        if self.is_kept(value):
            return False
        columns = self.columns.get(value, 0.0)
        new = {self.root(f.matrix) for f in full} - self.factored.keys()
        triangles = sum(f.lower is not None for f in factors)
        after = 2 / 3 * len(new) + columns * (2 * len(full) + triangles)
        return after < 2 / 3 + 2 * columns + self._forming(value)

    def _forming(self, value: Value) -> float:
        """Of a product that nothing but factors and systems read."""
        if value in self.kept or not all(
            e.op in (lu, linear_solve, stop_gradient, assume, transpose) for e in self.users.get(value, ())
        ):
            return 0.0
        total, stack = 0.0, [value]
        while stack:
            eqn = self.made.get(stack.pop())
            if eqn is not None and eqn.op in (dot_general, mul, div):
                total += 2.0 * (eqn.op is dot_general)
                stack += [v for v in eqn.operands if v not in self.kept and len(self.users[v]) == 1]
        return total


# Solutions ----------------------------------------------------------------------------------------


def solved(reader: Reader, factors: list[Factor], b: Value, of: System) -> Value:
    """The solution, by one factor after the other: the first one first, or the last one of a transposed product."""
    for each in reversed(factors) if of.turned else factors:
        matrix, turned = reader.now(each.matrix), of.turned != each.turned
        if each.is_diagonal:
            op = mul if each.is_inverse else div
            b = op(b, repeated(reader, each, b.type.shape, of.axis))
        elif each.lower is not None:
            # (A triangle that is transposed is read as the matrix that it is of.)
            b = substituted(matrix, b, replace(of, turned=turned), lower=each.lower)
        else:
            b = in_columns(b, of.axis, functools.partial(by_lu, matrix, of=replace(of, turned=turned)))
    return b


def number_of(reader: Reader, factor: Factor) -> Value | None:
    """The one number of a diagonal factor that is a multiple of the identity; None for others."""
    made = reader.definition(factor.matrix)
    assert made is not None
    if made.op is not broadcast_in_dim:
        return factor.matrix
    return None if made.operands[0].type.rank else made.operands[0]


def repeated(reader: Reader, factor: Factor, shape: tuple[int, ...], axis: int) -> Value:
    """The numbers of a diagonal factor along an axis of an array, or that of all."""
    made = reader.definition(factor.matrix)
    assert made is not None
    if made.op is not broadcast_in_dim:
        return made.op(**{**made.attrs, "shape": shape})  # type: ignore[no-any-return]
    (x,) = made.operands
    dims = (axis,) if x.type.rank else ()
    return broadcast_in_dim(reader.now(x), shape=shape, dims=dims)  # type: ignore[no-any-return]


__all__ = ["Costs", "Factor", "factored", "number_of", "repeated", "solved"]
