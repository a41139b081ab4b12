"""Programs that say of every value whether it holds such a number, and programs that say whether any did.

y = log(x); return y     becomes     y = log(x); return [any(isnan(x)), any(isnan(y))]
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from ir.core import Eqn, Function, Value, nested_functions
from ir.op import Builder, building, current_builder, inline
from ir.ops.carries import live_part, results_of
from ir.ops.checkpoint import checkpoint
from ir.ops.cond import cond
from ir.ops.cond import without_lanes as cond_without_lanes
from ir.ops.elementwise import or_
from ir.ops.loops import scan
from ir.ops.replay import replay
from ir.ops.replay import without_lanes as replay_without_lanes
from ir.ops.shape import concatenate, full, reshape
from ir.ops.while_loop import while_loop, while_without_lanes
from ir.ops.while_record import record_without_lanes, while_record
from ir.origins.kinds import Kind, any_holds, holds
from ir.passes.inlining import inline_calls
from ir.types import TensorType, bool_

FLAG = TensorType((), bool_)


def opened(function: Function) -> Function:
    """The same program without calls, and without checkpoints and lanes at its top level."""
    function = inline_calls(function)
    if not any(eqn.op is checkpoint or eqn.attrs.get("lanes") for eqn in function.eqns if eqn.attrs):
        return function
    builder = Builder()
    env: dict[Value, Value] = {}
    with building(builder):
        for eqn in function.eqns:
            operands = tuple([env.get(v, v) for v in eqn.operands])
            builder.source = eqn.source
            if eqn.attrs.get("lanes"):
                outs = inline(_without_lanes(eqn), operands)
            elif eqn.op is checkpoint:
                outs = inline(eqn.attrs["function"], operands)
            else:
                outs = builder.copy(eqn, operands)
            env.update(zip(eqn.results, outs, strict=True))
        builder.source = None
    results = tuple([env.get(v, v) for v in function.results])
    return opened(function.replace(eqns=tuple(builder.eqns), results=results))


def _without_lanes(eqn: Eqn) -> Function:
    """The program of an equation with lanes; what comes of it alone has its source."""
    made = _LANES[eqn.op.name]([v.type for v in eqn.operands], dict(eqn.attrs), safe=False)
    own = {id(e.source) for f in nested_functions(eqn) for e in f.eqns}
    eqns = [
        e if id(e.source) in own else Eqn(e.op, e.operands, e.attrs, e.results, eqn.source) for e in made.eqns
    ]
    return made.replace(eqns=tuple(eqns))


_LANES: dict[str, Callable[..., Function]] = {
    cond.name: cond_without_lanes,
    while_loop.name: while_without_lanes,
    while_record.name: record_without_lanes,
    replay.name: replay_without_lanes,
}


def says(eqn: Eqn) -> int:
    """Of an equation that `counted` wrote: 1 + the position of the result that says what happened inside, or 0."""
    if eqn.op is scan:
        at = eqn.attrs["num_carry"]
    elif eqn.op is while_record:
        at = len(eqn.attrs["body"].results)
    elif eqn.op in (while_loop, replay, cond):
        at = len(eqn.results)
    else:
        return 0
    return int(at) if at and eqn.results[at - 1].type is FLAG else 0


def looked_at(function: Function) -> list[Value]:
    """The values of which `flagged` says something, in order: floats, complex numbers, and what `counted` adds."""
    added = {e.results[k - 1] for e in function.eqns if (k := says(e))}
    every = [*function.params, *[r for eqn in function.eqns for r in eqn.results]]
    return [v for v in every if v.type.dtype.is_inexact or v in added]


def flagged(function: Function, kind: Kind) -> Function:
    """Params -> a bool for each of `looked_at(function)`. What has an effect and no use is left out."""
    values = looked_at(function)
    builder = Builder()
    with building(builder):
        flags = [reshape(v if v.type is FLAG else holds(v, kind), shape=(1,)) for v in values]
        out = concatenate(*flags, axis=0) if flags else full((0,), False, bool_)
    return live_part(function.replace(eqns=(*function.eqns, *builder.eqns), results=(out,)))


def counted(function: Function, kind: Kind) -> Function:
    """The function with one more result: whether any equation in it, inside loops too, gave such a number."""
    function = opened(function)
    builder = Builder()
    env: dict[Value, Value] = {}
    flags: list[Value] = []
    with building(builder):
        for eqn in function.eqns:
            operands = [env.get(v, v) for v in eqn.operands]
            builder.source = eqn.source
            outs, flag = _counted_eqn(eqn, operands, kind)
            env.update(zip(eqn.results, outs, strict=True))
            flags += [] if flag is None else [flag]
        builder.source = None
        found = functools.reduce(or_, flags) if flags else full((), False, bool_)
    results = (*[env.get(v, v) for v in function.results], found)
    return function.replace(eqns=tuple(builder.eqns), results=results)


def _counted_eqn(eqn: Eqn, operands: list[Value], kind: Kind) -> tuple[Sequence[Value], Value | None]:
    """(results, whether there was such a number, if there may have been)."""
    attrs = dict(eqn.attrs)
    at = len(eqn.results)
    if eqn.op is scan:
        n, at = attrs["num_consts"], attrs["num_carry"]
        operands.insert(n + at, full((), False, bool_))
        attrs |= {"function": _carried(attrs["function"], n + at, at, kind), "num_carry": at + 1}
    elif eqn.op in (while_loop, while_record):
        operands.append(full((), False, bool_))
        body, test = attrs["body"], attrs["cond"]
        at = len(body.results)
        attrs |= {
            "body": _carried(body, len(body.params), at, kind),
            "cond": test.replace(params=(*test.params, Value(FLAG))),
        }
    elif eqn.op is replay:  # (what it runs again was looked at where it ran before)
        operands.append(full((), False, bool_))
        step = attrs["step"]
        attrs["step"] = _carried(step, len(step.params), at, kind)
    elif eqn.op is cond:
        attrs["branches"] = tuple([counted(branch, kind) for branch in attrs["branches"]])
    else:
        made = current_builder().copy(eqn, tuple(operands))
        return made, any_holds(made, kind) if any(r.type.dtype.is_inexact for r in made) else None
    outs = list(results_of(eqn.op(*operands, **attrs)))
    flag = outs.pop(at)
    return outs, flag


def _carried(body: Function, param: int, result: int, kind: Kind) -> Function:
    """A body with a flag among its carries."""
    made = counted(body, kind)
    before = Value(FLAG)
    builder = Builder()
    with building(builder):
        after = or_(before, made.results[-1])
    params, results = list(made.params), list(made.results[:-1])
    params.insert(param, before)
    results.insert(result, after)
    return Function(tuple(params), (*made.eqns, *builder.eqns), tuple(results), made.name)


__all__ = ["FLAG", "counted", "flagged", "looked_at", "opened", "says"]
