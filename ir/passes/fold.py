"""Constant folding, bounded.

    a = constant 2; b = constant 3; c = mul(a, b)     becomes     c = constant 6

Constants that are one number repeated stay so: folding an elementwise op over them evaluates one
element. Other results are folded only up to `MAX_BYTES`, so no large constant is ever made.
"""

from __future__ import annotations

import numpy as np

from ir.core import Dense, Eqn, Function, Value
from ir.ops.shape import broadcast_in_dim, constant, reshape, transpose

# Largest result, in bytes, that folding materializes; an element-wise comparison of indices of a
# small matrix fits, a mask of an attention matrix does not.
MAX_BYTES = 1024
_KEEP_NUMBER = frozenset({broadcast_in_dim, reshape, transpose})
_NEVER = frozenset({"optimization_barrier", "checkpoint", "stop_gradient", "sharding_constraint"})


def fold(function: Function) -> Function:
    """Evaluate equations all of whose operands are constants."""
    known: dict[Value, Eqn] = {}
    eqns = []
    changed = False
    for eqn in function.eqns:
        if eqn.op is constant:
            known[eqn.results[0]] = eqn
        elif eqn.operands and len(eqn.results) == 1 and all(v in known for v in eqn.operands):
            folded = _folded(eqn, [known[v].attrs["value"] for v in eqn.operands])
            if folded is not None:
                shape = eqn.results[0].type.shape
                eqn = Eqn(constant, (), {"value": folded, "shape": shape}, eqn.results, eqn.source)
                known[eqn.results[0]] = eqn
                changed = True
        eqns.append(eqn)
    return function.replace(eqns=tuple(eqns)) if changed else function


def _folded(eqn: Eqn, values: list[Dense]) -> Dense | None:
    op, out = eqn.op, eqn.results[0].type
    if op.eval is None or op.effect or op.name in _NEVER or out.dtype.kind == "key":
        return None
    numbers = all(v.shape == () for v in values)
    if op in _KEEP_NUMBER and numbers:
        return values[0]
    # A nested function may run long; only plain ops are evaluated here.
    if op.inline is not None or any(isinstance(a, Function) for a in eqn.attrs.values()):
        return None
    with np.errstate(all="ignore"):
        if op.elementwise and numbers:
            return Dense(np.asarray(op.eval(*[v.array for v in values], **eqn.attrs)), out.dtype)
        if out.nbytes > MAX_BYTES or any(v.type.nbytes > MAX_BYTES for v in eqn.operands):
            return None
        arrays = [
            np.broadcast_to(v.array, o.type.shape) for v, o in zip(values, eqn.operands, strict=True)
        ]
        return Dense(np.array(op.eval(*arrays, **eqn.attrs), out.dtype.np), out.dtype)
