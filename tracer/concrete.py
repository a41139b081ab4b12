"""Answering `bool(x)` and the like for traced values.

Under `jit` nothing is known and the answer is an error that names the user's line. An un-jitted
transform knows its arguments: the equations so far are run, so that Python's own control flow keeps
its meaning, as it does in eager JAX.
"""

from __future__ import annotations

from typing import Any

import ir
from ir.errors import ConcretizationError
from tracer.value import Tensor


def concrete_value(tensor: Tensor, what: str, instead: str) -> Any:
    """The value of `tensor` as an array; ConcretizationError where the trace does not know it."""
    tensor.require_active()
    found = _known(tensor)
    if found is None:
        raise ConcretizationError(
            f"expected a concrete value for {what}, got a traced {tensor.value.type}", note=instead
        )
    return found


def _known(x: Any) -> Any:
    """The concrete array behind `x`, or None."""
    if not isinstance(x, Tensor):
        return x
    trace = x.owner
    if trace.inputs is None:
        return None
    found = trace.known.get(x.value)
    if found is None:
        operands = []
        for outer in (*[c[0] for c in trace.captures.values()], *trace.inputs):
            operands.append(_known(outer))
            if operands[-1] is None:
                return None
        from tracer.execution import run

        params = (*[c[1] for c in trace.captures.values()], *trace.args)
        prefix = ir.Function(params, tuple(trace.eqns), (x.value,), "prefix")
        (found,) = run(("value",), prefix, lambda f: f, operands)
        trace.known[x.value] = found
    return found
