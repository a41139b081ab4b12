"""Inlining of calls that mean no more than their body, and of names of values.

y = call(x) {function=f}     becomes     the equations of f, applied to x
"""

from __future__ import annotations

from ir.core import Function, Value
from ir.op import Builder, building, inline
from ir.ops.checkpoint import checkpoint_name
from ir.passes.nested import deep


@deep
def inline_calls(function: Function) -> Function:
    """Replace calls, and custom derivative calls whose rules are no longer needed, by their bodies.

    What a checkpoint saves was settled when it was differentiated: the names go too.
    """
    if not any(eqn.op.inline is not None or eqn.op is checkpoint_name for eqn in function.eqns):
        return function
    builder = Builder()
    env: dict[Value, Value] = {}
    with building(builder):
        for eqn in function.eqns:
            operands = tuple([env.get(v, v) for v in eqn.operands])
            if eqn.op.inline is not None:
                # Functions inside come first, so that a body among the attributes holds no call any more.
                body = eqn.op.inline(**eqn.attrs)
                body = inline_calls(body)
                builder.source = eqn.source
                env.update(zip(eqn.results, inline(body, operands), strict=True))
                builder.source = None
            elif eqn.op is checkpoint_name:
                env[eqn.results[0]] = operands[0]
            elif operands == eqn.operands:
                builder.append(eqn)
            else:
                env.update(zip(eqn.results, builder.copy(eqn, operands), strict=True))
    results = tuple([env.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(builder.eqns), results=results)
