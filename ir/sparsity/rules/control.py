"""Branches and loops: unions over branches; loops trip by trip, all trips at once, or until nothing is added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ir.core import Array, Eqn, Function, inner_first
from ir.ops.calls import custom_vjp_tangent
from ir.ops.foreign import foreign, foreign_effect
from ir.sparsity.propagate import Found, Known, Propagation, depends, filled
from ir.sparsity.sets import Ids
from ir.transforms.batch import batch

# Work up to which a loop is followed trip by trip: one for each equation of a trip, and one for so many elements.
_WORK: Final = 100_000
_ELEMENTS: Final = 4096
# Trips after which, if sets still grow, everything that moves counts as depending on everything.
_ROUNDS: Final = 32


@depends("cond")
def _cond(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    branches = eqn.attrs["branches"]
    if known[0] is not None and not eqn.attrs["lanes"]:
        branches = [branches[int(np.clip(known[0], 0, len(branches) - 1))]]
    found = [walk.run(branch, ids[1:], known[1:])[0] for branch in branches]
    return [walk.joined(each) for each in zip(*found, strict=True)]


@depends("while_loop")
def _while_loop(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    num_cond = eqn.attrs["num_cond_consts"]
    split = num_cond + eqn.attrs["num_body_consts"]
    body, consts = eqn.attrs["body"], ids[num_cond:split]
    values = [*known[num_cond:split], *[None] * (len(ids) - split)]

    def trip(carry: Found) -> Found:
        return walk.run(body, [*consts, *carry], values)[0]

    return _settled(walk, trip, ids[split:], consts, [v.type.shape for v in eqn.results])


def _settled(
    walk: Propagation, trip: Any, carry: Found, others: Found, shapes: Sequence[tuple[int, ...]]
) -> list[Ids | None]:
    """The carry of a loop after any number of trips."""
    held = list(carry)
    for _ in range(_ROUNDS):
        new = [walk.join(a, b) for a, b in zip(held, trip(held), strict=True)]
        if all(_equal(a, b) for a, b in zip(held, new, strict=True)):
            return held
        held = new
    every = np.int32(walk.every([*held, *others]))
    moving = [i is not None for i in held]
    while True:
        held = [np.broadcast_to(every, shape) if m else None for m, shape in zip(moving, shapes, strict=True)]
        grown = [m or i is not None for m, i in zip(moving, trip(held), strict=True)]
        if grown == moving:
            return held
        moving = grown


def _equal(a: Ids | None, b: Ids | None) -> bool:
    if a is None or b is None:
        return a is b
    return a is b or np.array_equal(a, b)


@depends("scan")
def _scan(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    attrs = eqn.attrs
    length: int = attrs["length"]
    if length * _work(attrs["function"]) <= _WORK:
        return _trip_by_trip(walk, eqn, ids, known)
    split = attrs["num_consts"] + attrs["num_carry"]
    moving = _moving(attrs["function"], ids, attrs["num_consts"], attrs["num_carry"])
    if not any(moving) and _has_batch(attrs["function"]):
        return _at_once(walk, eqn, ids, known)
    consts, values = ids[: attrs["num_consts"]], known[: attrs["num_consts"]]
    xs = [None if x is None else walk.pool.over(x, (0,)) for x in ids[split:]]
    unknown = [None] * (len(ids) - attrs["num_consts"])

    def trip(carry: Found) -> list[Ids | None]:
        return walk.run(attrs["function"], [*consts, *carry, *xs], [*values, *unknown])[0]

    count = attrs["num_carry"]
    carry = _settled(
        walk,
        lambda carry: trip(carry)[:count],
        ids[attrs["num_consts"] : split],
        [*consts, *xs],
        [v.type.shape for v in eqn.results[:count]],
    )
    ys = trip(carry)[count:]
    stacked = [None if y is None else np.broadcast_to(y, (length, *y.shape)) for y in ys]
    return [*carry, *stacked]


def _work(function: Function) -> int:
    eqns = [eqn for inner in inner_first(function) for eqn in inner.eqns]
    return sum([1 + sum([v.type.size for v in eqn.results]) // _ELEMENTS for eqn in eqns])


def _trip_by_trip(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    attrs = eqn.attrs
    body, length, count = attrs["function"], attrs["length"], attrs["num_carry"]
    split = attrs["num_consts"] + count
    consts, values = ids[: attrs["num_consts"]], known[: attrs["num_consts"]]
    carry: list[Ids | None] = list(ids[attrs["num_consts"] : split])
    held: list[Array | None] = list(known[attrs["num_consts"] : split])
    stacks: list[list[Ids]] = [[] for _ in body.results[count:]]
    for trip in reversed(range(length)) if attrs["reverse"] else range(length):
        xs = [None if x is None else x[trip] for x in ids[split:]]
        numbers = [None if x is None else x[trip] for x in known[split:]]
        outs, found = walk.run(body, [*consts, *carry, *xs], [*values, *held, *numbers])
        carry, held = outs[:count], found[:count]
        for stack, y, value in zip(stacks, outs[count:], body.results[count:], strict=True):
            stack.append(filled(y, value))
    ys: list[Ids | None] = [None if not s else np.stack(s[::-1] if attrs["reverse"] else s) for s in stacks]
    return [*carry, *ys]


def _moving(function: Function, ids: Found, num_consts: int, num_carry: int) -> list[bool]:
    """Which carries may come to depend on inputs."""
    moving = [i is not None for i in ids]
    while True:
        live = {p for p, m in zip(function.params, moving, strict=True) if m}
        for eqn in function.eqns:
            if not live.isdisjoint(eqn.operands):
                live.update(eqn.results)
        grown = list(moving)
        for k in range(num_carry):
            grown[num_consts + k] |= function.results[k] in live
        if grown == moving:
            return moving[num_consts : num_consts + num_carry]
        moving = grown


def _has_batch(function: Function) -> bool:
    """Whether all of a body can be batched: not so what has a reverse mode alone, or is another system's."""
    without = (custom_vjp_tangent, foreign, foreign_effect)
    return all(eqn.op not in without for inner in inner_first(function) for eqn in inner.eqns)


def _at_once(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """A loop that carries nothing that depends on inputs: all trips as one batch."""
    attrs = eqn.attrs
    length, count = attrs["length"], attrs["num_carry"]
    split = attrs["num_consts"] + count
    flags = [i >= attrs["num_consts"] for i in range(len(ids))]
    program, _ = batch(attrs["function"], flags, length, all_results=True)
    none: list[None] = [None] * count
    given = [*ids[: attrs["num_consts"]], *none, *ids[split:]]
    values = [*known[: attrs["num_consts"]], *none, *known[split:]]
    outs, _ = walk.run(program, given, values)
    return [*none, *outs[count:]]
