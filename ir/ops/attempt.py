"""A step that may be rejected, whose derivative is zero where it is.

Adaptive methods try a step, keep it if `accepted` holds, and forget what it gave otherwise. A rejected step may
have left the domain of the problem: its derivative, infinite or nan, would turn the zero cotangent of what
is forgotten into nan. So tangents enter only where the step is accepted:

    dout = J select(accepted, din, 0)        and transposed    din_ct = select(accepted, J^T out_ct, 0)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Opaque, Value
from ir.op import build, inline
from ir.ops.calls import Rule, custom_jvp_call
from ir.ops.carries import at, results_of
from ir.ops.elementwise import select
from ir.ops.shape import broadcast_in_dim, zeros
from ir.types import TensorType


class AttemptRule(Rule):
    """The derivative of a step.

    Attributes:
      step: operands -> (accepted, results, which mean nothing unless it holds).
      moves: which operands have tangents.
    """

    def __init__(self, step: Function, moves: tuple[bool, ...] | None = None) -> None:
        super().__init__("attempt", self._traced)
        self.step = step
        inexact = tuple([t.dtype.is_inexact for t in step.in_types])
        self.moves = inexact if moves is None else moves

    def moving(self, moves: tuple[bool, ...]) -> AttemptRule:
        return self if moves == self.moves else AttemptRule(self.step, moves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttemptRule) and self.moves == other.moves and self.step == other.step

    def __hash__(self) -> int:
        return hash((AttemptRule, self.moves, self.step))

    def _traced(self, types: Sequence[TensorType]) -> Function:
        """(operands, tangents of those that may have some) -> (results, their tangents)."""
        from ir.transforms.linearize import split_linearize

        forward, tangent_map, _ = split_linearize(self.step, self.moves)
        inexact = at([t.dtype.is_inexact for t in types])

        def rule(*values: Value) -> Sequence[Value]:
            operands = values[: len(types)]
            given = dict(zip(inexact, values[len(types) :], strict=True))
            outs = attempt(operands, forward)
            moved = [_gated(outs[0], given[k]) for k in at(self.moves)]
            count = len(self.step.results)
            return (*outs[:count], *inline(tangent_map, (*outs[count:], *moved)))

        return build([*types, *[types[k] for k in inexact]], rule, "jvp_attempt")


def _gated(accepted: Value, tangent: Value) -> Value:
    shape = tangent.type.shape
    mask = broadcast_in_dim(accepted, shape=shape, dims=()) if shape else accepted
    return select(mask, tangent, zeros(tangent.type))  # type: ignore[no-any-return]


def attempt(operands: Sequence[Value], step: Function) -> tuple[Any, ...]:
    """The results of a step whose first result says whether it is accepted."""
    return results_of(custom_jvp_call(*operands, function=step, jvp=Opaque("attempt", AttemptRule(step))))
