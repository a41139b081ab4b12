"""Dead-code elimination.

    a = sin(x); b = cos(x); return a     becomes     a = sin(x); return a

Loops and branches lose what nobody reads: a carry that feeds neither a result in use nor the carries in
use, a result that no branch need compute, operands that are left without a reader. Equations with an
effect stay, and what they need. Params of the function stay, so that callers need not change.
"""

from __future__ import annotations

from ir.contents import has_effects
from ir.core import Eqn, Function
from ir.passes.nested import deep


@deep
def dce(function: Function) -> Function:
    """Remove equations that no result depends on."""
    live = set(function.results)
    kept = []
    changed = False
    for eqn in reversed(function.eqns):
        if not live.isdisjoint(eqn.results) or has_effects(eqn):
            if eqn.op.prune is not None:
                pruned = _pruned(eqn, [r in live for r in eqn.results])
                changed = changed or pruned is not eqn
                eqn = pruned
            kept.append(eqn)
            live.update(eqn.operands)
    if len(kept) == len(function.eqns) and not changed:
        return function
    return function.replace(eqns=tuple(reversed(kept)))


def _pruned(eqn: Eqn, used: list[bool]) -> Eqn:
    """The equation without what is not used; the same object where all is."""
    assert eqn.op.prune is not None
    found = eqn.op.prune(used, **eqn.attrs)
    if found is None:
        return eqn
    op, operands, attrs, results = found
    return Eqn(
        op,
        tuple([eqn.operands[i] for i in operands]),
        op.normalize(attrs),
        tuple([eqn.results[i] for i in results]),
        eqn.source,
    )
