"""Dead-code elimination.

    a = sin(x); b = cos(x); return a     becomes     a = sin(x); return a

Equations with an effect stay. Params stay, so that callers need not change.
"""

from __future__ import annotations

from ir.core import Function
from ir.passes.nested import deep


@deep
def dce(function: Function) -> Function:
    """Remove equations that no result depends on."""
    live = set(function.results)
    kept = []
    for eqn in reversed(function.eqns):
        if eqn.op.effect or not live.isdisjoint(eqn.results):
            kept.append(eqn)
            live.update(eqn.operands)
    if len(kept) == len(function.eqns):
        return function
    return function.replace(eqns=tuple(reversed(kept)))
