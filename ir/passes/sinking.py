"""Constants, and counts, that loops and branches take are written inside them, where rewrites see them.

c = constant 2; y = scan(c, x) {body(c, x)}     becomes     y = scan(x) {body(x): c = constant 2; ...}
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from ir.core import Attrs, Eqn, Function, Value, map_nested
from ir.ops.cond import cond
from ir.ops.loops import scan
from ir.ops.shape import constant, iota
from ir.ops.while_loop import while_loop
from ir.passes.nested import deep
from ir.passes.replacing import renamed

# Larger ones, in bytes, stay where they are: each function that has one is compiled with it.
MAX_BYTES: Final = 1 << 14
# Larger tables are not written into loops.
_TABLE: Final = 1 << 16


def sink_constants(function: Function) -> Function:
    """Write constants and counts into the loops and branches that take them; the operands go with `dce`.

    What a loop changes from trip to trip stays, and so does what a checkpoint takes.
    """
    return _sunk(
        function,
        lambda eqn: eqn.op is iota or (eqn.op is constant and eqn.attrs["value"].array.nbytes <= MAX_BYTES),
    )


def sink_tables(function: Function) -> Function:
    """Write tables of integers into the loops and branches that take them, where what they index is seen."""
    return _sunk(
        function,
        lambda eqn: (
            eqn.op is constant
            and eqn.results[0].type.rank > 0
            and eqn.attrs["value"].dtype.is_integer
            and eqn.attrs["value"].array.nbytes <= _TABLE
        ),
    )


def _sunk(function: Function, sinks: Callable[[Eqn], bool]) -> Function:
    one_level = deep(functools.partial(_one_level, sinks=sinks))
    while (sunk := one_level(function)) is not function:
        function = sunk
    return function


def _one_level(function: Function, *, sinks: Callable[[Eqn], bool]) -> Function:
    known: dict[Value, Eqn] = {}
    eqns: list[Eqn] | None = None
    for i, eqn in enumerate(function.eqns):
        if sinks(eqn):
            known[eqn.results[0]] = eqn
        elif eqn.op in (scan, while_loop, cond) and not known.keys().isdisjoint(eqn.operands):
            attrs = _with_constants(eqn, known)
            if attrs is not eqn.attrs:
                eqns = list(function.eqns) if eqns is None else eqns
                eqns[i] = Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source)
    return function if eqns is None else function.replace(eqns=tuple(eqns))


def _with_constants(eqn: Eqn, known: dict[Value, Eqn]) -> Attrs:
    attrs, found = eqn.attrs, [known.get(v) for v in eqn.operands]
    if eqn.op is scan:
        return map_nested(attrs, lambda body: _specialised(body, found[: attrs["num_consts"]]))
    if eqn.op is cond:
        return map_nested(attrs, lambda branch: _specialised(branch, found[1:]))
    tests, both = attrs["num_cond_consts"], attrs["num_cond_consts"] + attrs["num_body_consts"]
    return map_nested(
        attrs, lambda each: _specialised(each, found[:tests] if each is attrs["cond"] else found[tests:both])
    )


def _specialised(function: Function, fixed: list[Eqn | None]) -> Function:
    """The function with these constants and counts for its first params; itself where it uses none of them."""
    used = {v for eqn in function.eqns for v in eqn.operands}.union(function.results)
    env: dict[Value, Value] = {}
    eqns: list[Eqn] = []
    for param, eqn in zip(function.params, fixed, strict=False):
        if eqn is not None and param in used:
            env[param] = Value(param.type, param.name)
            eqns.append(Eqn(eqn.op, (), eqn.attrs, (env[param],), eqn.source))
    if not env:
        return function
    eqns += [renamed(eqn, env) for eqn in function.eqns]
    return function.replace(eqns=tuple(eqns), results=tuple([env.get(v, v) for v in function.results]))


__all__ = ["sink_constants", "sink_tables"]
