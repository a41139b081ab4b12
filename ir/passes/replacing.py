"""Results of equations written anew: what several passes end with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.passes.dce import dce

# Writes what stands for a result, given what stands for results before it.
Write = Callable[[dict[Value, Value]], Value]


def replaced(function: Function, writes: Mapping[Value, Write]) -> Function:
    """The function with some results of equations, the only one of each, written anew; without what is dead then."""
    env: dict[Value, Value] = {}
    eqns: list[Eqn] = []
    for eqn in function.eqns:
        write = writes.get(eqn.results[0]) if eqn.results else None
        if write is None:
            eqns.append(renamed(eqn, env))
            continue
        builder = Builder(eqn.source)
        with building(builder):
            made = write(env)
        old = eqn.results[0]
        if old.name and not made.name and builder.eqns and made in builder.eqns[-1].results:
            made.name = old.name
        env[old] = made
        eqns += builder.eqns
    results = tuple([env.get(v, v) for v in function.results])
    return dce(function.replace(eqns=tuple(eqns), results=results))


def renamed(eqn: Eqn, env: Mapping[Value, Value]) -> Eqn:
    """The equation over what stands for its operands; the same object where nothing does."""
    if env.keys().isdisjoint(eqn.operands):
        return eqn
    return Eqn(eqn.op, tuple([env.get(v, v) for v in eqn.operands]), eqn.attrs, eqn.results, eqn.source)
