"""`cond`: one of several functions, chosen by an index.

    results = cond(index, operands) {branches}

The index is an `i32[]`, moved into range as in `jax.lax.switch`; a predicate chooses between (false, true).
Differentiation treats each branch by itself: the linear part is a `cond` over the linear parts, which
read the residuals of their own branch. With `lanes`, the sizes of a batch, each lane has its index: all
branches run and each lane takes its own results (ir/ops/lanes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.contents import exchanges, has_effects, has_open_loops
from ir.core import Eqn, Function, Value
from ir.errors import IRTypeError
from ir.evaluate import key_words
from ir.op import Builder, Linear, build, building, current_builder, inline
from ir.ops.carries import at, chosen, instantiated, live_part, materialized, pushed, results_of, some, used
from ir.ops.convert import convert
from ir.ops.elementwise import clamp, eq
from ir.ops.families import REQUIRED, check, materialize, op
from ir.ops.lanes import any_live, blank, by_lane, check_lanes, deeper, live_operands, select_lanes
from ir.ops.shape import constant, full
from ir.types import Shape, TensorType, i32


def _type(
    index: TensorType,
    *types: TensorType,
    branches: tuple[Function, ...],
    lanes: Shape,
    depths: tuple[int, ...],
) -> Any:
    check(
        index == TensorType(lanes, i32),
        f"cond: expected an index {TensorType(lanes, i32)}, got {index}",
    )
    check(len(branches) > 0, "cond: expected at least one branch, got none")
    for branch in branches:
        if branch.in_types != types:
            raise IRTypeError(
                f"cond: expected branch {branch.name} to take {types}, it takes {branch.in_types}"
            )
        if branch.out_types != branches[0].out_types:
            raise IRTypeError(
                f"cond: expected branch {branch.name} to return {branches[0].out_types} as "
                f"{branches[0].name} does, it returns {branch.out_types}"
            )
    check_lanes("cond", lanes, depths, types)
    for t in branches[0].out_types:
        check(t.shape[: len(lanes)] == lanes, f"cond: expected results with leading axes {lanes}, got {t}")
    return branches[0].out_types


def _eval(index: Any, *arrays: Any, branches: tuple[Function, ...], **_: Any) -> Any:
    from ir.evaluate import evaluate

    taken = np.clip(index, 0, len(branches) - 1)
    arrays = tuple([key_words(np.asarray(a)) for a in arrays])
    if not taken.ndim:
        return evaluate(branches[int(taken)], *arrays)
    outs: Any = None
    for i, branch in enumerate(branches):
        mask = taken == i
        if mask.any() or not mask.size:
            new = evaluate(branch, *arrays)
            outs = new if outs is None else [
                np.where(mask.reshape(mask.shape + (1,) * (n.ndim - mask.ndim)), n, o)
                for n, o in zip(new, outs, strict=True)
            ]  # fmt: skip
    return tuple(outs)


def _flops(operands: Any, results: Any, *, branches: tuple[Function, ...], lanes: Shape, **_: Any) -> int:
    """Those of the most expensive branch; of all of them for lanes, where all run."""
    from ir.cost import flops

    counts = [flops(branch) for branch in branches]
    return sum(counts) if lanes else max(counts)


# Lanes ------------------------------------------------------------------------------------------------


def without_lanes(
    types: Sequence[TensorType], attrs: dict[str, Any], *, safe: bool, apart: bool = True
) -> Function:
    """The program of a `cond` with lanes: every branch, and of each the lanes that took it.

    A branch that might not end for operands which are not meant for it gets no others: lanes that took
    another branch run on the operands of a lane that took this one, and without one it does not run.

    Args:
      safe: do so for every branch.
      apart: lanes do not know of each other. Where they do, what every lane has counts in every branch.
    """
    branches, lanes, depths = attrs["branches"], attrs["lanes"], attrs["depths"]

    def program(index: Value, *operands: Value) -> Sequence[Value]:
        low, high = full(lanes, 0, i32), full(lanes, len(branches) - 1, i32)
        place = clamp(low, index, high)
        outs: Sequence[Value] | None = None
        for i, branch in enumerate(branches):
            live = eq(place, full(lanes, i, i32))
            given: Sequence[Value] = operands
            new: Sequence[Value]
            open_ = apart and has_open_loops(branch)
            if safe or open_:
                given = live_operands(live, operands, depths)
            if open_:
                skip = build([v.type for v in operands], lambda *_: [blank(t) for t in branches[0].out_types])
                taken = convert(any_live(live), dtype=i32)
                new = results_of(cond(taken, *given, branches=(skip, branch)))
            else:
                new = inline(branch, given)
            outs = new if outs is None else select_lanes(live, new, outs)
        assert outs is not None
        return outs

    return build(types, program, "cond")


# Differentiation --------------------------------------------------------------------------------------


def _differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    from ir.transforms.guard import guarded
    from ir.transforms.jvp import push
    from ir.transforms.linearize import LinearBuilder

    if attrs["lanes"]:
        return push(without_lanes([v.type for v in operands], attrs, safe=True), operands, tangents)
    index, branches = operands[0], attrs["branches"]
    mask = [t is not None for t in tangents[1:]]
    given = [t for t in tangents[1:] if t is not None]
    apart = isinstance(current_builder(), LinearBuilder)
    if apart and any(exchanges(branch) for branch in branches):
        # Others may read what this lane would have kept of the branch that it does not take.
        every = without_lanes([v.type for v in operands], {**attrs, "depths": ()}, safe=False, apart=False)
        return push(guarded(every, [False, *mask]), operands, tangents)
    made = [pushed(branch, mask, apart=apart) for branch in branches]
    moving = [any(each) for each in zip(*[[t is not None for t in m.dresults] for m in made], strict=True)]
    if not any(moving):
        return results_of(cond(*operands, **attrs)), (None,) * len(moving)
    if apart:
        results, outs = _split(index, operands[1:], given, branches, mask, moving)
    else:
        group = ((0, len(mask)),)
        # Params come before their tangents, which is the order of one group.
        joint = tuple([m.function(group, moving) for m in made])
        both = results_of(cond(index, *operands[1:], *given, branches=joint))
        results, outs = both[: len(moving)], both[len(moving) :]
    douts = iter(outs)
    return results, tuple([next(douts) if m else None for m in moving])


def _split(
    index: Value, operands: Any, given: Any, branches: Any, mask: list[bool], moving: list[bool]
) -> Any:
    """A `cond` that returns residuals too, and a linear one that reads them.

    Branches share the slots of residuals of equal types; a branch fills those it does not need with
    blanks. Operands, and constants, are not saved.
    """
    from ir.transforms.linearize import free_values, linearize

    primals, linears = [], []
    slot_types: list[TensorType] = []
    for branch in branches:
        split = linearize(branch, mask)
        dparams = some(split.tangent_params)
        builder = Builder()
        with building(builder):
            outs = some(instantiated(split.results, split.tangent_results, moving))
        eqns = (*split.linear_eqns, *builder.eqns)
        known: dict[Value, Eqn] = {e.results[0]: e for e in split.eqns if e.op is constant}
        free = free_values(eqns, outs, (*dparams, *split.params))
        again = tuple([known[v] for v in free if v in known])
        saved = [v for v in free if v not in known]
        # Every residual takes the first free slot of its type.
        slot: dict[int, Value] = {}
        for v in saved:
            k = next((k for k, t in enumerate(slot_types) if t is v.type and k not in slot), len(slot_types))
            if k == len(slot_types):
                slot_types.append(v.type)
            slot[k] = v
        primals.append((split, slot))
        linears.append((split, slot, dparams, (*again, *eqns), outs))
    forward = []
    for branch, (split, slot) in zip(branches, primals, strict=True):
        builder = Builder()
        with building(builder):
            filled = [slot[k] if k in slot else blank(t) for k, t in enumerate(slot_types)]
        eqns = (*split.eqns, *builder.eqns)
        forward.append(Function(split.params, eqns, (*split.results, *filled), f"fwd_{branch.name}"))
    tangent = []
    for branch, (split, slot, dparams, eqns, outs) in zip(branches, linears, strict=True):
        slots = [slot[k] if k in slot else Value(t) for k, t in enumerate(slot_types)]
        params = (*split.params, *slots, *dparams)
        tangent.append(live_part(Function(params, eqns, tuple(outs), f"lin_{branch.name}")))
    both = results_of(cond(index, *operands, branches=tuple(forward)))
    results, residuals = both[: len(moving)], both[len(moving) :]
    values = (*operands, *residuals)
    reads = [used(f)[: len(values)] for f in tangent]
    needed = [any(each) for each in zip(*reads, strict=True)]
    narrowed = tuple([
        f.replace(params=(*chosen(f.params[: len(values)], needed), *f.params[len(values) :])) for f in tangent
    ])  # fmt: skip
    return results, results_of(cond(index, *chosen(values, needed), *given, branches=narrowed))


def _transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    from ir.transforms.linearize import transpose

    linear = [isinstance(x, Linear) for x in operands]
    if attrs["lanes"]:
        plain = without_lanes([x.type for x in operands], attrs, safe=True)
        back = transpose(plain, linear, [ct is not None for ct in cts])
        outs = iter(inline(back, (*[x for x in operands if not isinstance(x, Linear)], *some(cts))))
        return tuple([next(outs) if is_linear else None for is_linear in linear])
    backs = tuple([transpose(b, linear[1:], [ct is not None for ct in cts]) for b in attrs["branches"]])
    others = [x for x in operands if not isinstance(x, Linear)]
    outs = iter(results_of(cond(*others, *some(cts), branches=backs)))
    return tuple([next(outs) if is_linear else None for is_linear in linear])


# Batching ---------------------------------------------------------------------------------------------


def _batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    from ir.transforms.batch import batch

    branches, lanes = attrs["branches"], attrs["lanes"]
    index, values, flags = operands[0], list(operands[1:]), list(batched[1:])
    if batched[0] or lanes:
        if any(has_effects(branch) for branch in branches):
            return by_lane(cond, operands, batched, size, attrs)
        values, depths = deeper(values, flags, attrs["depths"] or (0,) * len(values), size)
        present = [depth > 0 for depth in depths]
        made = tuple([batch(branch, present, size, all_results=True)[0] for branch in branches])
        index = materialize(index, batched[0], size)
        if any(exchanges(branch) for branch in branches):
            every = {"branches": made, "lanes": (size, *lanes), "depths": depths}
            types = [v.type for v in (index, *values)]
            outs = inline(without_lanes(types, every, safe=False, apart=False), (index, *values))
            return outs, (True,) * len(outs)
        outs = results_of(cond(index, *values, branches=made, lanes=(size, *lanes), depths=depths))
        return outs, (True,) * len(outs)
    each = [batch(branch, flags, size) for branch in branches]
    union = [any(column) for column in zip(*[f for _, f in each], strict=True)]
    made = tuple([materialized(branch, have, union, size) for branch, have in each])
    return results_of(cond(index, *values, branches=made)), tuple(union)


def _prune(used_results: list[bool], *, branches: Any, lanes: Any, depths: Any) -> Any:
    made = [live_part(b.replace(results=chosen(b.results, used_results)), effects=True) for b in branches]
    read = [any(each) for each in zip(*[used(b) for b in made], strict=True)]
    if all(read) and all(used_results):
        return None
    attrs = {
        "branches": tuple([b.replace(params=chosen(b.params, read)) for b in made]),
        "lanes": lanes,
        "depths": chosen(depths, read) if lanes else (),
    }
    return cond, [0, *at(read, 1)], attrs, at(used_results)


cond = op(
    "cond",
    attrs={"branches": REQUIRED, "lanes": (), "depths": ()},
    type=_type,
    eval=_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=_flops,
    prune=_prune,
)
