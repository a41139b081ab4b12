"""Linear maps given by programs that compute something else beside them, as the JVP of a loop does.

Sorting equations by what depends on a tangent parts a linear map from the rest where each equation belongs to one of
them. Where one holds both, the map is taken to be its own derivative at zero, which comes parted: linearizing a loop
gives a loop for each. That is right for what is linear by its equations, as all derivatives are; a program that looks
at the tangents (`t > 0`) or stops them has another derivative than itself, and stays as it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ir.core import Eqn, Function, Value, holders, inner_first, nested_functions
from ir.op import Builder, Tangents, building
from ir.ops.calls import call, opened, stop_gradient
from ir.ops.carries import used
from ir.ops.loops import scan
from ir.ops.shape import zeros
from ir.passes.dce import dce
from ir.transforms.jvp import push, watching
from ir.transforms.linearize import LinearBuilder


def parted(
    function: Function, operands: Sequence[Value], tangents: Tangents, apart: int
) -> tuple[tuple[Value, ...], Tangents] | None:
    """Push `tangents` through the derivative of a linear map, if it must be taken for the map itself.

    Args:
      function: linear in the params where there are tangents.
      operands: values of the others; None where there is a tangent.
      apart: how many results, the first ones, do not depend on tangents.

    Returns:
      (results where the linear params are zero, tangents of the results), appended to the current builder; None
      where sorting the equations does, or nothing can be done.
    """
    linear = [t is not None for t in tangents]
    if function in _active.functions or not _mixes(function, linear, apart):
        return None
    with _within(function):
        if not _keeps_tangents(function, linear):
            return None
        at = [zeros(v.type) if m else v for v, m in zip(operands, linear, strict=True)]
        return push(function, at, tangents)


class _Active(threading.local):
    """Maps that are being differentiated: the rule of a linear function may call it on the tangent."""

    def __init__(self) -> None:
        self.functions: tuple[Function, ...] = ()


_active = _Active()


@contextmanager
def _within(function: Function) -> Iterator[None]:
    outer = _active.functions
    _active.functions = (*outer, function)
    try:
        yield
    finally:
        _active.functions = outer


def _mixes(function: Function, linear_params: Sequence[bool], apart: int) -> bool:
    """Whether an equation that depends on linear params has a result that does not, but is wanted or carried."""
    if any(eqn.op is call for eqn in function.eqns):
        builder = Builder()
        with building(builder):
            results = opened(function, function.params)
        function = function.replace(eqns=tuple(builder.eqns), results=results)
    linear = {p for p, m in zip(function.params, linear_params, strict=True) if m}
    holding = set(holders(function))
    read = {v for eqn in function.eqns for v in eqn.operands}.union(function.results) if holding else set()
    for at, eqn in enumerate(function.eqns):
        if linear.isdisjoint(eqn.operands):
            continue
        if at in holding:
            for i, result in enumerate(eqn.results):
                carried = eqn.op is scan and result.type.dtype.is_inexact
                if (carried or result in read) and linear.isdisjoint(_needs(eqn, i)):
                    return True
        linear.update(eqn.results)
    return not linear.isdisjoint(function.results[:apart])


def _needs(eqn: Eqn, i: int) -> list[Value]:
    """The operands that one result of an equation needs, as far as dead code elimination can tell."""
    if eqn.op.prune is not None:
        found = eqn.op.prune([k == i for k in range(len(eqn.results))], **eqn.attrs)
        return list(eqn.operands) if found is None else [eqn.operands[k] for k in found[1]]
    inside, *others = nested_functions(eqn)
    same = inside.in_types == tuple([v.type for v in eqn.operands]) and len(inside.results) == len(
        eqn.results
    )
    if others or not same:
        return list(eqn.operands)
    live = used(dce(inside.replace(results=(inside.results[i],))))
    return [v for v, wanted in zip(eqn.operands, live, strict=True) if wanted]


def _keeps_tangents(function: Function, linear: Sequence[bool]) -> bool:
    """Whether no tangent ends in an operation without a derivative, such as a comparison."""
    tangents = tuple([Value(p.type) if m else None for p, m in zip(function.params, linear, strict=True)])
    with building(LinearBuilder([t for t in tangents if t is not None])), watching() as lost:
        push(function, function.params, tangents)
    # Lanes that rest have their tangents stopped by the derivative itself (`ir.ops.lanes`).
    stops = any(e.op is stop_gradient for each in inner_first(function) for e in each.eqns)
    return not any(stops or eqn.op is not stop_gradient for eqn in lost)


__all__ = ["parted"]
