"""Programs that run once more, without the effects that they had the first time.

    debug_print(x); y = sin(x); return y     becomes     y = sin(x); return y

What recomputes values (a checkpoint, a loop in reverse) and what looks into a program shall neither print nor check
again. An equation with an effect stays where its results are used. The transpose that is held beside a linear map has
not run, and may be told to keep its effects. Imports the core of `ir` only.
"""

from __future__ import annotations

from ir.contents import has_effects
from ir.core import Eqn, Function, Value, inner_first
from ir.op import Op
from ir.passes.nested import deep


def silent(function: Function, op: Op | None = None, *, transposes: bool = True) -> Function:
    """The function without the effects that nobody needs, inside loops and branches too.

    Args:
      op: only those of equations of this op.
      transposes: also in the transposes of linear calls.
    """
    if not has_effects(function):
        return function
    held = {} if transposes else _transposes(function)

    def without(each: Function) -> Function:
        used = set(each.results)
        kept = []
        for eqn in reversed(each.eqns):
            if (eqn.op is op if op else eqn.op.effect) and used.isdisjoint(eqn.results):
                continue
            before = held.get(eqn.results[0]) if held and eqn.results else None
            if before is not None and before is not eqn.attrs["transpose"]:
                attrs = {**eqn.attrs, "transpose": before}
                eqn = Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source)
            kept.append(eqn)
            used.update(eqn.operands)
        made = tuple(reversed(kept))
        return each if made == each.eqns else each.replace(eqns=made)

    return deep(without)(function)


def _transposes(function: Function) -> dict[Value, Function]:
    """The transpose of each linear call with effects in it, by the call's first result."""
    return {
        eqn.results[0]: eqn.attrs["transpose"]
        for each in inner_first(function)
        for eqn in each.eqns
        if eqn.op.name == "linear_call" and eqn.results and has_effects(eqn.attrs["transpose"])
    }


__all__ = ["silent"]
