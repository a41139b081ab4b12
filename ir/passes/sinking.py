"""Constants that loops and branches take become constants inside them, where rewrites see them.

c = constant 2; y = scan(c, x) {body(c, x)}     becomes     y = scan(x) {body(x): c = constant 2; ...}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ir.core import Eqn, Function, Value
from ir.ops.cond import cond
from ir.ops.loops import scan
from ir.ops.shape import constant
from ir.ops.while_loop import while_loop
from ir.passes.nested import deep

# Larger ones, in bytes, stay where they are: each function that has one is compiled with it.
MAX_BYTES: Final = 1 << 14


def sink_constants(function: Function) -> Function:
    """Write constants into the loops and branches that take them; the operands go with `dce`.

    What a loop changes from trip to trip stays, and so does what a checkpoint takes.
    """
    while (sunk := _one_level(function)) is not function:
        function = sunk
    return function


@deep
def _one_level(function: Function) -> Function:
    known: dict[Value, Eqn] = {}
    eqns: list[Eqn] | None = None
    for i, eqn in enumerate(function.eqns):
        if eqn.op is constant:
            if eqn.attrs["value"].array.nbytes <= MAX_BYTES:
                known[eqn.results[0]] = eqn
        elif eqn.op in (scan, while_loop, cond) and not known.keys().isdisjoint(eqn.operands):
            attrs = _with_constants(eqn, known)
            if attrs is not eqn.attrs:
                eqns = list(function.eqns) if eqns is None else eqns
                eqns[i] = Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source)
    return function if eqns is None else function.replace(eqns=tuple(eqns))


def _with_constants(eqn: Eqn, known: dict[Value, Eqn]) -> Mapping[str, Any]:
    attrs = dict(eqn.attrs)
    if eqn.op is scan:
        fixed = [known.get(v) for v in eqn.operands[: attrs["num_consts"]]]
        attrs["function"] = _specialised(attrs["function"], fixed)
    elif eqn.op is while_loop:
        first, second = attrs["num_cond_consts"], attrs["num_body_consts"]
        fixed = [known.get(v) for v in eqn.operands[: first + second]]
        attrs["cond"] = _specialised(attrs["cond"], fixed[:first])
        attrs["body"] = _specialised(attrs["body"], fixed[first:])
    else:
        fixed = [known.get(v) for v in eqn.operands[1:]]
        branches = tuple([_specialised(branch, fixed) for branch in attrs["branches"]])
        if any(new is not old for new, old in zip(branches, attrs["branches"], strict=True)):
            attrs["branches"] = branches
    return attrs if any(attrs[k] is not eqn.attrs[k] for k in attrs) else eqn.attrs


def _specialised(function: Function, fixed: list[Eqn | None]) -> Function:
    """The function with these constants for its first params; itself where it uses none of them."""
    used = {v for eqn in function.eqns for v in eqn.operands}.union(function.results)
    env: dict[Value, Value] = {}
    eqns: list[Eqn] = []
    for param, eqn in zip(function.params, fixed, strict=False):
        if eqn is not None and param in used:
            env[param] = Value(param.type, param.name)
            eqns.append(Eqn(constant, (), eqn.attrs, (env[param],), eqn.source))
    if not env:
        return function
    for eqn in function.eqns:
        if not env.keys().isdisjoint(eqn.operands):
            operands = tuple([env.get(v, v) for v in eqn.operands])
            eqn = Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)
        eqns.append(eqn)
    return function.replace(eqns=tuple(eqns), results=tuple([env.get(v, v) for v in function.results]))


__all__ = ["sink_constants"]
