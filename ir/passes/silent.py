"""Programs that run once more, without the effects that they had the first time.

    debug_print(x); y = sin(x); return y     becomes     y = sin(x); return y

What recomputes values (a checkpoint, a loop in reverse) and what looks into a program shall neither print nor check
again. An equation with an effect stays where its results are used. Imports the
core of `ir` only.
"""

from __future__ import annotations

from ir.contents import has_effects
from ir.core import Function
from ir.op import Op
from ir.passes.nested import deep


def silent(function: Function, op: Op | None = None) -> Function:
    """The function without the effects that nobody needs, inside loops and branches too.

    Args:
      op: only those of equations of this op.
    """
    if not has_effects(function):
        return function

    def without(each: Function) -> Function:
        used = set(each.results)
        kept = []
        for eqn in reversed(each.eqns):
            if (eqn.op is op if op else eqn.op.effect) and used.isdisjoint(eqn.results):
                continue
            kept.append(eqn)
            used.update(eqn.operands)
        return each if len(kept) == len(each.eqns) else each.replace(eqns=tuple(reversed(kept)))

    return deep(without)(function)


__all__ = ["silent"]
