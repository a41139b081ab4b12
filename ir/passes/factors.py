"""Factors of one matrix are found once, for all systems with it and with its transpose, and for its determinant.

    f, p, q = lu(A);  x = linear_solve(A, f, q, b)           f, p, q = lu(A);  x = linear_solve(A, f, q, b)
    g, r, s = lu(A'); y = linear_solve(A', g, s, c)  becomes                   y = linear_solve(A, f, q, c)
    h, t, u = lu(A)

The last system has its functions exchanged: A' y = c is what `vecmat` says of A, and `transpose_solve` solves.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ir.core import Eqn, Function, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.linalg import lu
from ir.ops.linear_solve import linear_solve
from ir.ops.shape import transpose
from ir.passes.nested import deep
from ir.passes.replacing import Written, renamed, rewritten
from ir.passes.selections.determinants import Readers
from ir.passes.selections.systems import system
from ir.remarks import remark

_EXCHANGED = {
    "matvec": "vecmat",
    "solve": "transpose_solve",
    "vecmat": "matvec",
    "transpose_solve": "solve",
}


@deep
def share_factors(function: Function) -> Function:
    """Factor each matrix once."""
    if sum(e.op is lu for e in function.eqns) < 2:
        return function
    return _Shared(function).function()


@dataclass(frozen=True)
class _Matrix:
    """What a matrix is of the value that it comes from.

    Attributes:
      turned: transposed.
      stopped: has no derivative.
    """

    root: Value
    turned: bool
    stopped: bool


class _Shared:
    """Which factors are found once.

    Attributes:
      exchanged: systems that are solved by the factors of the transpose of their matrix.
      moved: factors that are left out for those of the transpose.
      shared: matrices, as the value that they come from and whether it is transposed, of several factors.
      written: the factors of those.
    """

    def __init__(self, whole: Function) -> None:
        self.whole = whole
        self.readers = Readers(whole)
        self.made, self.users = self.readers.made, self.readers.users
        self.exchanged: set[Eqn] = set()
        self.moved: set[Eqn] = set()
        factors = [e for e in whole.eqns if e.op is lu]
        for sides in self._groups(factors).values():
            self._exchange(sides)
        counts = Counter([self._target(e) for e in factors])
        self.shared = {target for target, count in counts.items() if count > 1}
        self.written: dict[tuple[Value, bool], tuple[Value, ...]] = {}
        self.env: dict[Value, Value] = {}

    def function(self) -> Function:
        return rewritten(self.whole, self._written, self.env) if self.shared else self.whole

    def _groups(self, factors: list[Eqn]) -> dict[Value, dict[bool, list[Eqn]]]:
        """Those of a value and of its transpose, by the value."""
        groups: dict[Value, dict[bool, list[Eqn]]] = {}
        for eqn in factors:
            of = self._matrix(eqn.operands[0])
            groups.setdefault(of.root, {}).setdefault(of.turned, []).append(eqn)
        return groups

    def _matrix(self, value: Value) -> _Matrix:
        turned = stopped = False
        while (eqn := self.made.get(value)) is not None:
            if eqn.op is transpose and eqn.attrs["perm"] == _last_two(value.type.rank):
                turned = not turned
            elif eqn.op is stop_gradient:
                stopped = True
            elif eqn.op is not assume:
                break
            (value,) = eqn.operands
        return _Matrix(value, turned, stopped)

    def _target(self, factors: Eqn) -> tuple[Value, bool]:
        of = self._matrix(factors.operands[0])
        return of.root, of.turned != (factors in self.moved)

    def _exchange(self, sides: dict[bool, list[Eqn]]) -> None:
        """Of factors of a matrix and of its transpose, those that were asked for first stay, if the others need not."""
        if len(sides) < 2:
            return
        for way in reversed(sides):
            systems = self._systems(sides[way])
            if systems is not None:
                self.moved.update(sides[way])
                self.exchanged.update(systems)
                return

    def _systems(self, factors: list[Eqn]) -> set[Eqn] | None:
        """Systems that read factors; None if something else does, but for determinants, which a transpose has too."""
        found: set[Eqn] = set()
        for made in factors:
            if self.readers.determinant(made) is not None:
                continue
            readers = {eqn for v in made.results for eqn in self.users.get(v, ())}
            if not set(made.results).isdisjoint(self.whole.results):
                return None
            if not all(eqn.op is linear_solve and self._is_plain(eqn, made) for eqn in readers):
                return None
            found |= readers
        return found

    def _is_plain(self, eqn: Eqn, factors: Eqn) -> bool:
        """Whether a system's constants are a matrix and its factors, with functions of the transpose too."""
        if len(eqn.results) > 1 or eqn.attrs["transpose_solve"] is None or (read := system(eqn)) is None:
            return False
        ours, theirs = self._matrix(eqn.operands[read.matrix]), self._matrix(factors.operands[0])
        rest = [v for k, v in enumerate(eqn.operands[:-1]) if k != read.matrix]
        return (ours.root, ours.turned) == (theirs.root, theirs.turned) and set(rest) <= set(factors.results)

    # Writing --------------------------------------------------------------------------------------

    def _written(self, eqn: Eqn) -> Written:
        if eqn.op is lu:
            return self._factors(eqn)
        return self._other_way(eqn) if eqn in self.exchanged else None

    def _factors(self, eqn: Eqn) -> Written:
        target = self._target(eqn)
        if target not in self.shared:
            return None
        if target in self.written:
            remark("share_factors", eqn.source, "factored before")
        else:
            self.written[target] = tuple(lu(self._value(_Matrix(*target, stopped=False))))
        factors, *orders = self.written[target]
        is_stopped = self._matrix(eqn.operands[0]).stopped
        return (stop_gradient(factors) if is_stopped else factors, *orders)

    def _value(self, matrix: _Matrix) -> Value:
        value = self.env.get(matrix.root, matrix.root)
        if matrix.turned:
            value = transpose(value, perm=_last_two(value.type.rank))
        return stop_gradient(value) if matrix.stopped else value

    def _other_way(self, eqn: Eqn) -> Value:
        """A system by the factors of the transpose."""
        read = system(eqn)
        assert read is not None
        operands = list(renamed(eqn, self.env).operands)
        of = self._matrix(eqn.operands[read.matrix])
        operands[read.matrix] = self._value(_Matrix(of.root, not of.turned, of.stopped))
        attrs = {name: eqn.attrs[other] for name, other in _EXCHANGED.items()}
        return linear_solve(*operands, **attrs)  # type: ignore[no-any-return]


def _last_two(rank: int) -> tuple[int, ...]:
    return (*range(rank - 2), rank - 1, rank - 2)


__all__ = ["share_factors"]
