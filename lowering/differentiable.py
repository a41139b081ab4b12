"""Which ops JAX cannot differentiate once they are lowered, and what makes it able to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import ir
from ir.core import map_nested
from ir.ops.checkpoint import checkpoint
from ir.ops.linear_call import linear_call
from ir.ops.linear_solve import linear_solve
from ir.ops.replay import replay
from ir.ops.while_loop import while_loop
from ir.ops.while_record import while_record

# Not at all, or in forward mode alone.
_NEVER = (linear_call, replay, while_loop, while_record)


def every_eqn(function: ir.Function) -> Iterator[ir.Eqn]:
    """Equations, those of nested functions included."""
    stack = [function]
    while stack:
        for eqn in stack.pop().eqns:
            yield eqn
            stack.extend(ir.nested_functions(eqn))


def jax_differentiates(op: ir.Op, attrs: Mapping[str, Any]) -> bool:
    """Whether JAX can differentiate the lowering of an equation, in both modes.

    A solve can be one of JAX's where JAX can transpose its `matvec`, and without auxiliary results, which JAX
    0.10 cannot have beside a `transpose_solve`.
    """
    if op is linear_solve:
        alone = len(attrs["solve"].results) == len(attrs["matvec"].results)
        return alone and all(jax_differentiates(e.op, e.attrs) for e in every_eqn(attrs["matvec"]))
    return op not in _NEVER


def without_barriers(function: ir.Function) -> ir.Function:
    """A linear map whose checkpoints recompute without a barrier.

    One barrier spans residuals and tangents, and then JAX takes both for linear.
    """
    eqns = []
    for eqn in function.eqns:
        attrs = map_nested(eqn.attrs, without_barriers)
        if eqn.op is checkpoint:
            attrs = {**attrs, "barrier": False}
        eqns.append(ir.Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source))
    return function.replace(eqns=tuple(eqns))


__all__ = ["every_eqn", "jax_differentiates", "without_barriers"]
