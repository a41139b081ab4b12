"""Common-subexpression elimination.

    a = sin(x); b = sin(x); c = a * b     becomes     a = sin(x); c = a * a

Equations with an effect are never merged; `optimization_barrier` is opaque by design and neither
are its results.
"""

from __future__ import annotations

from typing import Any

from ir.core import Eqn, Function, Value, attr_key
from ir.source import merge


def cse(function: Function) -> Function:
    """Compute equal equations once. The kept equation remembers the sources of both."""
    replaced: dict[Value, Value] = {}
    seen: dict[tuple[Any, ...], int] = {}
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        operands = eqn.operands
        if replaced and not replaced.keys().isdisjoint(operands):
            operands = tuple([replaced.get(v, v) for v in operands])
            eqn = Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)
        if eqn.op.effect or eqn.op.name == "optimization_barrier":
            eqns.append(eqn)
            continue
        key = (eqn.op, operands, tuple([attr_key(a) for a in eqn.attrs.values()]) if eqn.attrs else ())
        at = seen.setdefault(key, len(eqns))
        if at == len(eqns):
            eqns.append(eqn)
        else:
            kept = eqns[at]
            replaced.update(zip(eqn.results, kept.results, strict=True))
            if kept.source is not eqn.source:
                eqns[at] = Eqn(kept.op, kept.operands, kept.attrs, kept.results, merge(kept.source, eqn.source))
    if not replaced:
        return function
    results = tuple([replaced.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(eqns), results=results)
