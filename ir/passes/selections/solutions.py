"""Linear systems with a matrix of which more is known than its elements, solved accordingly.

    x = linear_solve(diag(d), b)     becomes     x = b / d
    x = linear_solve(tril(a), b)     becomes     x = triangular_solve(tril(a), b) {lower=True}
    x = linear_solve(kron(a, c), b)  becomes     systems with a and with c
    x = linear_solve(tril(a) c, b)   becomes     systems with tril(a) and with c
    x = linear_solve([[a, 0], [c, d]], b)     becomes     systems with a and with d
    f, p, q = lu(triu(a))            becomes     f = triu(a), with no rows exchanged, as for its determinant

What is known is read off the program, or said by the caller (`assume`). Systems with solvers of the caller's own stay.
"""

from __future__ import annotations

import numpy as np

from ir.core import Eqn, Function, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.elementwise import add, div
from ir.ops.linalg import lu
from ir.ops.linear_solve import linear_solve
from ir.ops.shape import broadcast_in_dim, full_like, iota
from ir.passes.nested import deep
from ir.passes.replacing import Written, rewritten
from ir.passes.selections import factored, triangular_blocks
from ir.passes.selections.forms import LEADING, Choice, Reader, Unread
from ir.passes.selections.kronecker import kronecker, solved
from ir.passes.selections.rows import known
from ir.passes.selections.systems import (
    System,
    by_cholesky,
    by_lu,
    divided,
    in_columns,
    substituted,
    system,
    turned_back,
)
from ir.passes.selections.triangles import is_lower, unmasked
from ir.passes.selections.triangular_blocks import Blocks, taken_apart
from ir.remarks import remark
from ir.types import i32


@deep
def solve_structured(function: Function) -> Function:
    """Solve systems as what is known of their matrices allows; what the caller says is not kept."""
    if not any(e.op in (linear_solve, lu, assume) for e in function.eqns):
        return function
    return _Solved(function).function()


class _Solved:
    def __init__(self, whole: Function) -> None:
        self.whole = whole
        self.definitions = {v: eqn for eqn in whole.eqns for v in eqn.results}
        self.env: dict[Value, Value] = {}
        self.reader = Reader(self.definitions.get, lambda v: self.env.get(v, v))
        self.costs = factored.Costs(whole)

    def function(self) -> Function:
        return rewritten(self.whole, self._written, self.env)

    def _written(self, eqn: Eqn) -> Written:
        if eqn.op is assume:
            return self.reader.now(eqn.operands[0])
        if eqn.op is lu:
            return self._factors(eqn)
        found = system(eqn) if eqn.op is linear_solve and len(eqn.results) == 1 else None
        made = None if found is None else self._solution(eqn, found)
        if made is not None:
            remark("solve_structured", eqn.source, "solved as the matrix allows, without factors of LU")
        return made

    def _solution(self, eqn: Eqn, found: System) -> Value | None:
        given = eqn.operands[found.matrix]
        matrix, b = self.reader.now(given), self.reader.now(eqn.operands[-1])
        if matrix.type.dtype is not b.type.dtype:
            return None
        try:
            return self._quotient(given, b, found.axis)
        except Unread:
            lower, said = is_lower(self.reader, given), self._said(given)
        if "diagonal" in said:
            return divided(matrix, b, found)
        if lower is not None:
            # (The other triangle is not read, and need not be written.)
            matrix = self.reader.now(unmasked(self.reader, given, lower=lower))
            return substituted(matrix, b, found, lower=lower)
        if "orthogonal" in said:
            return turned_back(matrix, b, found)
        if "positive_definite" in said and not self._is_factored(given):
            return by_cholesky(matrix, b, found)
        product = kronecker(given, self.definitions.get)
        if product is not None:
            factors, turned = product
            return solved([self.reader.now(f) for f in factors], b, found, turned=turned)
        parts = factored.factored(self.reader, given)
        is_known = parts is not None and not any(f.is_inverse and not f.is_diagonal for f in parts)
        if parts is not None and is_known and self.costs.pays(given, parts):
            return factored.solved(self.reader, parts, b, found)
        return self._by_blocks(given, b, found)

    def _by_blocks(self, given: Value, b: Value, found: System) -> Value | None:
        """The solution for a matrix of blocks that are zero on one side of the diagonal."""
        apart = taken_apart(self.reader, given)
        if apart is None or self.costs.is_kept(given):
            return None
        blocks, is_transposed = apart
        turned = is_transposed != found.turned

        def leaf(block: Blocks, columns: Value, turned: bool) -> Value:
            value, matrix = block.block(), block.write(self.reader.now)
            of = System(0, 0, turned)
            if value is not None:
                try:
                    return self._quotient(value, columns, 0)
                except Unread:
                    lower = is_lower(self.reader, value)
                if lower is not None:
                    return substituted(matrix, columns, of, lower=lower)
            return by_lu(matrix, columns, of)

        return in_columns(b, found.axis, lambda c: triangular_blocks.solved(
            blocks, c, self.reader.now, leaf, turned=turned
        ))  # fmt: skip

    def _quotient(self, matrix: Value, b: Value, axis: int) -> Value:
        """The solution for a matrix that is known to be diagonal."""
        choice = self._diagonal(matrix)
        if choice is None:
            raise Unread
        if choice.weight is None:
            return add(b, full_like(b, 0))  # type: ignore[no-any-return]
        return div(b, broadcast_in_dim(choice.weight, shape=b.type.shape, dims=(axis,)))  # type: ignore[no-any-return]

    def _diagonal(self, matrix: Value) -> Choice | None:
        """A matrix that is zero off its diagonal, as a choice of lines; None if it is not known to be one."""
        made = self.definitions.get(matrix)
        for along in (0, 1) if made is not None and made.op in LEADING else ():
            try:
                choices = self.reader.read(matrix, along)
            except Unread:
                continue
            numbers = known(choices[0].index, self.reader.latest) if len(choices) == 1 else None
            if numbers is not None and np.array_equal(numbers, np.arange(len(numbers))):
                return choices[0]
        return None

    def _factors(self, eqn: Eqn) -> Written:
        """Of a matrix with zeros below its diagonal: it has one row to choose from for each pivot."""
        matrix = eqn.operands[0]
        while (made := self.definitions.get(matrix)) is not None and made.op is stop_gradient:
            (matrix,) = made.operands
        if matrix.type.rank != 2 or matrix.type.shape[0] != matrix.type.shape[1]:
            return None
        if is_lower(self.reader, matrix) is not False and not self._is_diagonal(matrix):
            return None
        remark("solve_structured", eqn.source, "factors of a triangular matrix are itself and the identity")
        order: Value = iota(shape=matrix.type.shape[:1], dtype=i32, axis=0)
        return self.reader.now(eqn.operands[0]), order, order

    def _is_diagonal(self, matrix: Value) -> bool:
        return "diagonal" in self._said(matrix) or self._diagonal(self.costs.root(matrix)) is not None

    def _said(self, matrix: Value) -> tuple[str, ...]:
        """What the caller says of a matrix."""
        eqn = self.definitions.get(matrix)
        return eqn.attrs["properties"] if eqn is not None and eqn.op is assume else ()

    def _is_factored(self, matrix: Value) -> bool:
        """Whether a matrix is factored for something else besides systems."""
        factors = {v for e in self.costs.factored.get(self.costs.root(matrix), ()) for v in e.results}
        readers = [
            e for e in self.whole.eqns if e.op is not linear_solve and not factors.isdisjoint(e.operands)
        ]
        return bool(readers) or not factors.isdisjoint(self.whole.results)
