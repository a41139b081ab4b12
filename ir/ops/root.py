"""Roots that a solver finds, differentiated by the implicit function theorem.

Where f(constants, x) = 0 holds at the root, its tangent is

    dx = -(df/dx)^-1 (df/dconstants) dconstants

(Griewank and Walther 2008, section 15; as in `jax.lax.custom_root`). A root is a `custom_jvp_call` whose rule
is made here of three functions, so that equal programs compare equal and derivatives of any order exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Opaque, Value
from ir.op import build, inline
from ir.ops.arithmetic import neg
from ir.ops.calls import Rule, custom_jvp_call
from ir.ops.carries import pushed, results_of
from ir.ops.shape import zeros
from ir.types import TensorType


class RootRule(Rule):
    """The derivative of a root.

    Attributes:
      residual: (constants, x) -> what is zero at the root, of the types of x.
      solve: (constants, guess) -> (x, auxiliary results, which have no derivative).
      tangent_solve: (constants, x, y) -> v with (df/dx) v = y, linear in y.
      count: how many parts x has.
    """

    def __init__(self, residual: Function, solve: Function, tangent_solve: Function) -> None:
        super().__init__("root", self._traced)
        self.residual = residual
        self.solve = solve
        self.tangent_solve = tangent_solve
        self.count = len(residual.results)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RootRule) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash((RootRule, self._parts))

    @property
    def _parts(self) -> tuple[Function, ...]:
        return self.residual, self.solve, self.tangent_solve

    def _traced(self, types: Sequence[TensorType]) -> Function:
        """(constants, guess, their tangents) -> (results, their tangents)."""
        split = len(types) - self.count
        inexact = [t.dtype.is_inexact for t in types]
        # Apart from the primal, so that what depends on tangents is linear in them and can be transposed.
        made = pushed(self.residual, [*inexact[:split], *[False] * self.count], apart=True)
        moved = [d is not None for d in made.dresults]
        tangent = made.function(((0, split), (split, len(types))), moved, primals=False)

        def rule(*values: Value) -> Sequence[Value]:
            operands, given = values[: len(types)], list(values[len(types) :])
            outs = results_of(custom_jvp_call(*operands, function=self.solve, jvp=Opaque("root", self)))
            x = outs[: self.count]
            dconstants = given[: sum(inexact[:split])]
            changes = iter(inline(tangent, (*operands[:split], *dconstants, *x)))
            right = [neg(next(changes)) if m else zeros(v.type) for v, m in zip(x, moved, strict=True)]
            dx = inline(self.tangent_solve, (*operands[:split], *x, *right))
            others = [zeros(v.type) for v in outs[self.count :] if v.type.dtype.is_inexact]
            return (*outs, *dx, *others)

        return build([*types, *[t for t, i in zip(types, inexact, strict=True) if i]], rule, "jvp_root")


def root(constants: Sequence[Value], guess: Sequence[Value], rule: RootRule) -> tuple[Any, ...]:
    """(x, auxiliary results) of `rule.solve`."""
    return results_of(custom_jvp_call(*constants, *guess, function=rule.solve, jvp=Opaque("root", rule)))
