"""Common-subexpression elimination.

    a = sin(x); b = sin(x); c = a * b     becomes     a = sin(x); c = a * a

Equations with an effect are never merged. Neither are those of `optimization_barrier`, which is opaque
by design: what is computed behind a barrier has other operands than what it repeats, and stays. A
`checkpoint` that recomputes (`barrier=True`) differs in its attributes from one that does not.
"""

from __future__ import annotations

from typing import Any, Final

from ir.contents import has_effects
from ir.core import Eqn, Function, Value, attr_key
from ir.ops.calls import optimization_barrier
from ir.ops.elementwise import add, and_, eq, mul, ne, or_, xor_
from ir.passes.nested import deep
from ir.source import merge

# (A maximum of 0.0 and -0.0 may depend on the order.)
_COMMUTATIVE: Final = frozenset({add, mul, and_, or_, xor_, eq, ne})


@deep
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
        if eqn.op is optimization_barrier or has_effects(eqn):
            eqns.append(eqn)
            continue
        if eqn.op in _COMMUTATIVE and id(operands[0]) > id(operands[1]):
            operands = (operands[1], operands[0])
        key = (eqn.op, operands, tuple([_key(a) for a in eqn.attrs.values()]) if eqn.attrs else ())
        at = seen.setdefault(key, len(eqns))
        if at == len(eqns):
            eqns.append(eqn)
            continue
        kept = eqns[at]
        replaced.update(zip(eqn.results, kept.results, strict=True))
        source = merge(kept.source, eqn.source)
        if source is not kept.source:
            eqns[at] = Eqn(kept.op, kept.operands, kept.attrs, kept.results, source)
    if not replaced:
        return function
    results = tuple([replaced.get(v, v) for v in function.results])
    return function.replace(eqns=tuple(eqns), results=results)


def _key(attr: Any) -> Any:
    """`attr_key`, with a short cut for what most attributes are."""
    if type(attr) is tuple:
        for item in attr:
            if type(item) is not int:
                return attr_key(attr)
        return attr
    return attr if type(attr) is int else attr_key(attr)
