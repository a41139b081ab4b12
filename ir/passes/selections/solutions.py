"""Linear systems with a matrix of which more is known than its elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir.core import Eqn, Function, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.elementwise import add, div
from ir.ops.linalg import lu
from ir.ops.linear_solve import linear_solve
from ir.ops.shape import broadcast_in_dim, full_like
from ir.passes.selections.forms import LEADING, Choice, Reader, Unread
from ir.passes.selections.rows import known
from ir.passes.selections.systems import by_cholesky, divided, substituted, system, turned_back
from ir.passes.selections.triangles import is_lower


class Solver:
    """Writes solutions to the current builder.

    Args:
      whole: the function that has the systems.
      solutions: quotients that are written are put here.
    """

    def __init__(self, whole: Function, reader: Reader, solutions: set[Value]) -> None:
        self.whole, self.reader, self.solutions = whole, reader, solutions

    def solution(self, eqn: Eqn) -> Value | None:
        """Of a system with a matrix of which more is known."""
        found = system(eqn)
        if found is None:
            return None
        given = eqn.operands[found.matrix]
        matrix, b = [self.reader.now(v) for v in (given, eqn.operands[-1])]
        made, reader = self.reader.definition(matrix), self.reader
        if matrix.type.dtype is not b.type.dtype:
            return None
        for along in (0, 1) if made is not None and made.op in LEADING else ():
            try:
                return self._quotient(reader.read(matrix, along), b, found.axis)
            except Unread:
                continue
        lower, said = is_lower(reader, given), self._said(given)
        if "diagonal" in said:
            return divided(matrix, b, found)
        if lower is not None:
            return substituted(matrix, b, found, lower=lower)
        if "orthogonal" in said:
            return turned_back(matrix, b, found)
        if "positive_definite" in said and not self._is_factored(given):
            return by_cholesky(matrix, b, found)
        return None

    def _said(self, matrix: Value) -> tuple[str, ...]:
        """What the caller says of a matrix."""
        eqn = self.reader.definition(matrix)
        return eqn.attrs["properties"] if eqn is not None and eqn.op is assume else ()

    def _is_factored(self, matrix: Value) -> bool:
        """Whether a matrix is factored for something else besides systems."""
        root = self._root(matrix)
        factors = {
            v for e in self.whole.eqns if e.op is lu and self._root(e.operands[0]) is root for v in e.results
        }
        readers = [
            e for e in self.whole.eqns if e.op is not linear_solve and not factors.isdisjoint(e.operands)
        ]
        return bool(readers) or not factors.isdisjoint(self.whole.results)

    def _root(self, value: Value) -> Value:
        while (eqn := self.reader.definition(value)) is not None and eqn.op in (assume, stop_gradient):
            value = eqn.operands[0]
        return value

    def _quotient(self, choices: Sequence[Choice], b: Value, axis: int) -> Value:
        """The solution for a diagonal matrix."""
        numbers = known(choices[0].index, self.reader.latest) if len(choices) == 1 else None
        if numbers is None or not np.array_equal(numbers, np.arange(len(numbers))):
            raise Unread
        weight = choices[0].weight
        if weight is None:
            return add(b, full_like(b, 0))  # type: ignore[no-any-return]
        solution: Value = div(b, broadcast_in_dim(weight, shape=b.type.shape, dims=(axis,)))
        self.solutions.add(solution)
        return solution
