"""`replay`: runs a loop again for a known number of trips and folds a second carry along its states.

    state[k+1] = forward(consts, state[k])                 k = 0 ... trips-1
    fold[k+1]  = step(consts, state[k], fold[k])           forwards
    fold[k]    = step(consts, state[k], fold[k+1])         in reverse

The result is the last fold. This is what differentiation makes of a `while_loop`: forwards the fold is
a tangent, in reverse a cotangent with the sums of the constants' cotangents. Derivatives and transposes
of replays are replays, to any order, so that a loop's trajectory is never stacked.

In reverse the states are kept on three levels (`slots`): every stride-th one, or those that
`while_record` kept; within such a segment every stride-th one again; within that a block of successive
ones. With s slots on each level, s^2 trips cost one more evaluation of `forward` each, s^3 two, and
beyond that the last level is recomputed block by block (Griewank and Walther 2008, chapter 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.contents import has_effects, has_open_loops
from ir.core import Eqn, Function, Value
from ir.errors import IRTypeError
from ir.evaluate import key_words
from ir.op import build, current_builder, inline
from ir.ops.carries import (
    at,
    carry_fixpoint,
    chosen,
    instantiated,
    materialized,
    needed_carries,
    pushed,
    results_of,
    some,
)
from ir.ops.elementwise import add, lt, max, mul
from ir.ops.families import REQUIRED, check, materialize, op
from ir.ops.lanes import (
    by_lane,
    check_lanes,
    deeper,
    live_operands,
    select_lanes,
    stacked_batch_last,
)
from ir.ops.reduce import reduce_max
from ir.ops.replaying import Replay
from ir.ops.shape import broadcast_in_dim, full, iota
from ir.types import TensorType, i32

COUNT = TensorType((), i32)

# Operands: trips, (stride, a stack for each state), constants, states, folds ---------------------------


def groups(values: Any, attrs: Any) -> tuple[Any, Any, Any, Any, Any]:
    """(trips, checkpoints, constants, states, folds) of the operands, or of what belongs to them."""
    n, s = attrs["num_consts"], attrs["num_state"]
    first = 2 + s if attrs["recorded"] else 1
    m = first + n
    return values[0], values[1:first], values[first:m], values[m : m + s], values[m + s :]


def _type(*types: TensorType, **attrs: Any) -> Any:
    forward, step, lanes = attrs["forward"], attrs["step"], attrs["lanes"]
    trips, checkpoints, consts, state, fold = groups(types, attrs)
    check(trips == TensorType(lanes, i32), f"replay: expected trips {TensorType(lanes, i32)}, got {trips}")
    size = attrs["slots"][0]
    wanted = (COUNT, *[t.with_shape((size, *t.shape)) for t in state]) if attrs["recorded"] else ()
    check(checkpoints == wanted, f"replay: expected checkpoints {wanted}, got {checkpoints}")
    for what, function, ins, outs in (
        ("forward", forward, (*consts, *state), state),
        ("step", step, (*consts, *state, *fold), fold),
    ):
        if function.in_types != ins or function.out_types != outs:
            raise IRTypeError(
                f"replay: expected {what} to take {ins} and give {outs}, it takes {function.in_types} "
                f"and gives {function.out_types}"
            )
    check_lanes("replay", lanes, attrs["depths"], consts)
    for t in (*state, *fold):
        check(t.shape[: len(lanes)] == lanes, f"replay: expected leading axes {lanes}, got {t}")
    return fold


def _eval(*arrays: Any, **attrs: Any) -> Any:
    from ir.evaluate import evaluate

    arrays = tuple([key_words(np.asarray(a)) for a in arrays])
    trips, _, consts, state, fold = groups(arrays, attrs)
    trips = np.asarray(trips)
    total = int(trips.max(initial=0))

    def where(k: int, new: Any, old: Any) -> list[Any]:
        live = k < trips
        return [
            np.where(live.reshape(live.shape + (1,) * (n.ndim - live.ndim)), n, o).astype(o.dtype)
            for n, o in zip(new, old, strict=True)
        ]

    states = [list(state)]
    for k in range(total - 1):
        states.append(where(k, evaluate(attrs["forward"], *consts, *states[-1]), states[-1]))
    for k in reversed(range(total)) if attrs["reverse"] else range(total):
        fold = where(k, evaluate(attrs["step"], *consts, *states[k], *fold), fold)
    return tuple(fold)


def _flops(operands: Any, results: Any, *, forward: Function, step: Function, **_: Any) -> int:
    """Those of one trip: nobody knows how many there are."""
    from ir.cost import flops

    return flops(forward) + flops(step)


# Lanes ------------------------------------------------------------------------------------------------


def without_lanes(types: Sequence[TensorType], attrs: dict[str, Any], *, safe: bool) -> Function:
    """The program of a replay with lanes that has none: it runs as long as the last lane.

    Args:
      safe: give resting lanes the operands of a live one.
    """
    forward, step, lanes, depths = attrs["forward"], attrs["step"], attrs["lanes"], attrs["depths"]
    safe = safe or has_open_loops(forward) or has_open_loops(step)

    def program(*operands: Value) -> Any:
        trips, checkpoints, consts, state, fold = groups(operands, attrs)
        n, s = len(consts), len(state)
        rested = (*depths, *[len(lanes)] * s)

        def unpacked(values: Any) -> Any:
            """(trips, k, mask of live lanes, constants, states, folds, what live lanes have)."""
            trips, consts, (k, *states) = values[0], values[1 : n + 1], values[n + 1 : n + s + 2]
            live = lt(broadcast_in_dim(k, shape=lanes, dims=()), trips)
            given = [*consts, *states]
            return k, live, states, live_operands(live, given, rested) if safe else given

        def run(*values: Value) -> Sequence[Value]:
            k, live, states, given = unpacked(values)
            return add(k, full((), 1, i32)), *select_lanes(live, inline(forward, given), states)

        def turn(*values: Value) -> Sequence[Value]:
            _, live, _, given = unpacked(values)
            old = values[n + s + 2 :]
            return select_lanes(live, inline(step, (*given, *old)), old)

        ins = [v.type for v in (trips, *consts)] + [COUNT, *[v.type for v in state]]
        total = max(reduce_max(trips, axes=tuple(range(len(lanes)))), full((), 0, i32))
        if checkpoints:
            stride, *saved = checkpoints
            counts = mul(
                iota(shape=(attrs["slots"][0],), dtype=i32, axis=0),
                broadcast_in_dim(stride, shape=(attrs["slots"][0],), dims=()),
            )
            checkpoints = (stride, counts, *saved)
        made = Replay(
            build(ins, run, f"live_{forward.name}"),
            build([*ins, *[v.type for v in fold]], turn, f"live_{step.name}"),
            (trips, *consts),
            (full((), 0, i32), *state),
            tuple(fold),
        )
        return made.emit(total, checkpoints, attrs["slots"], reverse=attrs["reverse"])

    return build(types, program, "replay")


# Differentiation --------------------------------------------------------------------------------------


def _differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    """A replay over states and folds with their tangents.

    Checkpoints are another way of saying where the states come from: derivatives are those by the
    first state.
    """
    from ir.transforms.jvp import push
    from ir.transforms.linearize import LinearBuilder

    if attrs["lanes"]:
        return push(without_lanes([v.type for v in operands], attrs, safe=True), operands, tangents)
    apart = isinstance(current_builder(), LinearBuilder)
    trips, checkpoints, consts, state, fold = groups(operands, attrs)
    n, m = len(consts), len(consts) + len(state)
    present = [t is not None for t in tangents[len(operands) - m - len(fold) :]]

    def run(function: Function) -> Any:
        def step(mask: list[bool]) -> Any:
            made = pushed(function, mask, apart=apart)
            return made, [t is not None for t in made.dresults]

        return step

    state_mask, forward = carry_fixpoint(present[:m], n, run(attrs["forward"]))
    mask, step = carry_fixpoint([*state_mask, *present[m:]], m, run(attrs["step"]))
    moving = mask[m:]
    if not any(moving):
        return results_of(replay(*operands, **attrs)), (None,) * len(fold)
    values = (*consts, *state, *fold)
    given = instantiated(values, tangents[len(operands) - len(values) :], mask)
    ranges = ((0, n), (n, m))
    made, kept = Replay(
        forward.function(ranges, mask[n:m]),
        step.function((*ranges, (m, len(mask))), moving),
        (*consts, *some(given[:n])),
        (*state, *some(given[n:m])),
        (*fold, *some(given[m:])),
    ).simplified(again=apart)
    known = checkpoints if all(k < len(state) for k in kept) else ()
    stacks = (known[0], *[known[1 + k] for k in kept]) if known else ()
    outs = made.emit(trips, stacks, attrs["slots"], reverse=attrs["reverse"])
    results = results_of(replay(*operands, **attrs)) if apart else outs[: len(fold)]
    douts = iter(outs[len(fold) :])
    return results, tuple([next(douts) if moves else None for moves in moving])


def _transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    from ir.ops.adjoint import adjoint

    return adjoint(cts, operands, attrs)


# Batching ---------------------------------------------------------------------------------------------


def _batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    from ir.transforms.batch import batch

    trips, checkpoints, consts, state, fold = groups(operands, attrs)
    on_trips, on_checkpoints, on_consts, on_state, on_fold = groups(batched, attrs)
    forward, step, lanes = attrs["forward"], attrs["step"], attrs["lanes"]
    if has_effects(forward) or has_effects(step):
        return by_lane(replay, operands, batched, size, attrs)
    if checkpoints and on_checkpoints[0]:  # recorded one example after the other, by different strides
        checkpoints, on_checkpoints, attrs = (), (), {**attrs, "recorded": False}
    n, m = len(consts), len(consts) + len(state)
    depths: tuple[int, ...] = ()
    if on_trips or lanes:
        trips = materialize(trips, on_trips, size)
        consts, depths = deeper(consts, on_consts, attrs["depths"] or (0,) * n, size)
        mask = [*[d > 0 for d in depths], *[True] * (len(state) + len(fold))]
        run, _ = batch(forward, mask[:m], size, all_results=True)
        turn, _ = batch(step, mask, size, all_results=True)
        lanes = (size, *lanes)
    else:

        def grown(function: Function) -> Any:
            def of(mask: list[bool]) -> Any:
                made, flags = batch(function, mask, size)
                return (made, flags), flags

            return of

        begun = [a or b for a, b in zip(on_state, on_checkpoints[1:] or on_state, strict=True)]
        mask, (run, run_flags) = carry_fixpoint([*on_consts, *begun], n, grown(forward))
        mask, (turn, turn_flags) = carry_fixpoint([*mask, *on_fold], m, grown(step))
        run, turn = (
            materialized(run, run_flags, mask[n:m], size),
            materialized(turn, turn_flags, mask[m:], size),
        )
    values = [
        materialize(x, b, size) if wanted else x
        for x, b, wanted in zip((*state, *fold), (*on_state, *on_fold), mask[n:], strict=True)
    ]
    if checkpoints:
        stride, *saved = checkpoints
        checkpoints = (
            stride,
            *[
                stacked_batch_last(materialize(x, b, size)) if wanted else x
                for x, b, wanted in zip(saved, on_checkpoints[1:], mask[n:m], strict=True)
            ],
        )
    attrs = {**attrs, "forward": run, "step": turn, "lanes": lanes, "depths": depths}
    return results_of(replay(trips, *checkpoints, *consts, *values, **attrs)), tuple(mask[m:])


def _prune(used_results: list[bool], **attrs: Any) -> Any:
    """Folds that are not used go, and with them states and constants."""
    forward, step, n, s = attrs["forward"], attrs["step"], attrs["num_consts"], attrs["num_state"]
    m = n + s
    step, read, folds = needed_carries(step, m, len(used_results), used_results)
    wanted = read[n:m]
    forward, read_forward, states = needed_carries(forward, n, s, wanted)
    consts = [a or b for a, b in zip(read[:n], read_forward[:n], strict=True)]
    if all(consts) and all(states) and all(folds):
        return None
    keep = [*consts, *states, *folds]
    first = 2 + s if attrs["recorded"] else 1
    recorded = attrs["recorded"] and any(states)
    head = [0, 1, *at(states, 2)] if recorded else [0]
    attrs = {
        **attrs,
        "forward": forward.replace(params=chosen(forward.params, keep[:m])),
        "step": step.replace(params=chosen(step.params, keep)),
        "num_consts": sum(consts),
        "num_state": sum(states),
        "recorded": recorded,
        "depths": chosen(attrs["depths"], consts) if attrs["lanes"] else (),
    }
    return replay, [*head, *at(keep, first)], attrs, at(folds)


replay = op(
    "replay",
    attrs={
        "forward": REQUIRED,
        "step": REQUIRED,
        "num_consts": REQUIRED,
        "num_state": REQUIRED,
        "slots": REQUIRED,
        "recorded": False,
        "reverse": False,
        "lanes": (),
        "depths": (),
    },
    type=_type,
    eval=_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=_flops,
    prune=_prune,
)


def without_checkpoints(eqns: Sequence[Eqn]) -> list[Eqn]:
    """The equations with replays that recompute their checkpoints instead of reading a record's."""
    out = []
    for eqn in eqns:
        if eqn.op is replay and eqn.attrs["recorded"]:
            first = 2 + eqn.attrs["num_state"]
            operands = (eqn.operands[0], *eqn.operands[first:])
            eqn = Eqn(replay, operands, {**eqn.attrs, "recorded": False}, eqn.results, eqn.source)
        out.append(eqn)
    return out
