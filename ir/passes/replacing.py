"""Results of equations written anew: what several passes end with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.passes.dce import dce

# Writes what stands for a result, given what stands for results before it.
Write = Callable[[dict[Value, Value]], Value]
# What stands for the results of an equation, of several as a tuple; None where it stays.
Written = Value | tuple[Value, ...] | None


def replaced(function: Function, writes: Mapping[Value, Write]) -> Function:
    """The function with some results of equations, the only one of each, written anew; without what is dead then."""
    env: dict[Value, Value] = {}

    def write(eqn: Eqn) -> Value | None:
        found = writes.get(eqn.results[0]) if eqn.results else None
        return None if found is None else found(env)

    return rewritten(function, write, env)


def rewritten(function: Function, write: Callable[[Eqn], Written], env: dict[Value, Value]) -> Function:
    """As `replaced`, by a function that says of each equation what stands for its results; the same if of none.

    Args:
      write: writes to the current builder.
      env: is given what stands for results.
    """
    eqns: list[Eqn] = []
    builder = Builder()
    with building(builder):
        for eqn in function.eqns:
            builder.source = eqn.source
            made = write(eqn)
            if made is None:
                eqns.append(renamed(eqn, env))
            else:
                for old, new in zip(eqn.results, made if isinstance(made, tuple) else (made,), strict=True):
                    if old.name and not new.name and builder.eqns and new in builder.eqns[-1].results:
                        new.name = old.name
                    env[old] = new
                eqns += builder.eqns
            builder.eqns.clear()
    if not env:
        return function
    results = tuple([env.get(v, v) for v in function.results])
    return dce(function.replace(eqns=tuple(eqns), results=results))


def renamed(eqn: Eqn, env: Mapping[Value, Value]) -> Eqn:
    """The equation over what stands for its operands; the same object where nothing does."""
    if env.keys().isdisjoint(eqn.operands):
        return eqn
    return Eqn(eqn.op, tuple([env.get(v, v) for v in eqn.operands]), eqn.attrs, eqn.results, eqn.source)
