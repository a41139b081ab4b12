"""Regions as equations: the clusters of `ir.regions` become calls of functions with names, to be read and costed.

    a = exp(x)                       def softmax_exp_reduce_sum_div(x):
    b = reduce_sum(a)                  a = exp(x)
    c = broadcast_in_dim(b)   and so     b = reduce_sum(a)
    d = div(a, c)                        ...
    y = dot_general(d, w)            d = fused(x) {function=softmax_exp_reduce_sum_div}
                                     y = dot_general(d, w)

Not in the default pipeline: what is lowered is the program in its own order, with the same names. Linear time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from ir.contents import is_number
from ir.core import Eqn, Function, Value
from ir.ops.calls import fused
from ir.passes.nested import deep
from ir.regions import Region, regions
from ir.source import merge


@deep
def group_regions(function: Function) -> Function:
    """Put each region of several equations into a `fused` equation, here and in every function inside.

    A function that is one region stays as it is.
    """
    found = regions(function)
    if len(found) == 1 or not any(_is_cluster(region) for region in found):
        return function
    numbers = {eqn.results[0]: eqn for eqn in function.eqns if is_number(eqn)}
    eqns: list[Eqn] = []
    for region in _in_order(found):
        eqns.extend([_fused(region, numbers)] if _is_cluster(region) else region.eqns)
    outside = dict.fromkeys([*[v for eqn in eqns for v in eqn.operands], *function.results])
    kept = [numbers[v] for v in outside if v in numbers]
    return function.replace(eqns=(*kept, *eqns))


def _is_cluster(region: Region) -> bool:
    return region.fused and len(region.eqns) > 1


def _in_order(found: Sequence[Region]) -> list[Region]:
    """Each region after those that it reads."""
    home = {v: region for region in found for v in region.results}
    done: set[Region] = set()
    out: list[Region] = []
    stack: list[tuple[Region, Iterator[Value]]] = []

    def enter(region: Region) -> None:
        if region not in done:
            done.add(region)
            stack.append((region, iter(region.operands)))

    for region in found:
        enter(region)
        while stack:
            top, rest = stack[-1]
            for v in rest:
                if v in home:
                    enter(home[v])
                    break
            else:
                stack.pop()
                out.append(top)
    return out


def _fused(region: Region, numbers: dict[Value, Eqn]) -> Eqn:
    """The region as one equation. Numbers that it reads are in it."""
    read = dict.fromkeys([v for eqn in region.eqns for v in eqn.operands])
    inside = [numbers[v] for v in read if v in numbers]
    # (Every function defines its own values.)
    env = {v: Value(v.type, v.name) for v in region.operands}
    body: list[Eqn] = []
    for eqn in (*inside, *region.eqns):
        results = tuple([Value(v.type, v.name) for v in eqn.results])
        body.append(Eqn(eqn.op, tuple([env[v] for v in eqn.operands]), eqn.attrs, results, eqn.source))
        env.update(zip(eqn.results, results, strict=True))
    params = tuple([env[v] for v in region.operands])
    function = Function(params, tuple(body), tuple([env[v] for v in region.results]), region.name)
    source = functools.reduce(merge, [eqn.source for eqn in region.eqns], region.source)
    return Eqn(fused, region.operands, {"function": function}, region.results, source)


__all__ = ["group_regions"]
