"""`while_record`: a `while_loop` that counts its trips and keeps checkpoints of its carries.

It is what reverse mode makes of a loop: `kept` carries after every stride-th trip, in a fixed number of
slots. When they are full, every second one is dropped and the stride doubles, so that memory is bounded
and nobody need know how many trips there will be (online checkpointing: Stumm and Walther 2010; Wang,
Moin and Iaccarino 2009).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Function, Value
from ir.evaluate import key_words
from ir.op import build, current_builder
from ir.ops.carries import at, chosen, instantiated, results_of, some
from ir.ops.families import REQUIRED, check, op
from ir.ops.lanes import stacked_batch_last
from ir.ops.while_loop import (
    batched_loop,
    joint,
    pruned_loop,
    pushed_body,
    run,
    while_flops,
    while_loop,
    while_type,
    without_lanes,
)
from ir.types import TensorType, i32

Slots = tuple[int, int, int]
COUNT = TensorType((), i32)


def recorded(
    operands: Any, tangents: Any, attrs: dict[str, Any], kept: Slots | tuple[int, ...] = (), slots: Any = None
) -> Any:
    """A loop that records its carries, and a linear one that replays them.

    Args:
      kept, slots: of the record, if there is one already.

    Returns:
      (carries, their tangents, [trips, stride, checkpoints of `kept`]); the last only where `slots` is
      given.
    """
    from ir.ops.replaying import Replay, plan

    body = attrs["body"]
    num_cond, num_body = attrs["num_cond_consts"], attrs["num_body_consts"]
    split = num_cond + num_body
    num_carry = len(operands) - split

    mask, made = pushed_body(body, num_body, tangents[num_cond:], apart=True)
    moving = mask[num_body:]
    loop = {k: attrs[k] for k in ("cond", "body", "num_cond_consts", "num_body_consts")}
    if not any(moving):
        if slots is None:
            outs = results_of(while_loop(*operands, **loop, checkpoints=attrs["checkpoints"]))
        else:
            outs = results_of(while_record(*operands, **loop, kept=kept, slots=slots))
        return outs[:num_carry], (None,) * num_carry, outs[num_carry:]
    given = instantiated(operands[num_cond:], tangents[num_cond:], mask)
    consts, state = made.params[:num_body], made.params[num_body:]
    replay, needed = Replay(
        forward=Function(
            (*consts, *some(made.dparams[:num_body]), *state), made.eqns, made.results, body.name
        ),
        step=made.function(((0, num_body), (num_body, len(mask))), moving, primals=False),
        consts=(*operands[num_cond:split], *some(given[:num_body])),
        state=tuple(operands[split:]),
        fold=tuple(some(given[num_body:])),
    ).simplified()
    sizes = plan(replay.state, attrs.get("checkpoints")) if slots is None else slots
    both = tuple(sorted({*kept, *needed}))
    record = results_of(while_record(*operands, **loop, kept=both, slots=sizes))
    outs, (trips, stride, *saved) = record[:num_carry], record[num_carry:]
    saved_of = dict(zip(both, saved, strict=True))
    pushed = iter(replay.emit(trips, (stride, *[saved_of[k] for k in needed]), sizes))
    return outs, tuple([next(pushed) if m else None for m in moving]), (
        trips, stride, *[saved_of[k] for k in kept],
    )  # fmt: skip


def _record_type(*types: TensorType, kept: tuple[int, ...], slots: Slots, **attrs: Any) -> Any:
    carry = while_type(*types, **attrs)
    check(
        min(slots) >= 1 and slots[0] % 2 == 0,
        f"while_record: expected an even number of slots and two more sizes, got {slots}",
    )
    check(
        all(0 <= k < len(carry) for k in kept),
        f"while_record: expected positions of {len(carry)} carries to keep, got {kept}",
    )
    saved = [carry[k].with_shape((slots[0], *carry[k].shape)) for k in kept]
    return (*carry, TensorType(attrs["lanes"], i32), COUNT, *saved)


def _record_eval(
    *arrays: Any,
    cond: Function,
    body: Function,
    num_cond_consts: int,
    num_body_consts: int,
    kept: tuple[int, ...],
    slots: Slots,
    **_: Any,
) -> Any:
    carry = [key_words(np.asarray(a)) for a in arrays[num_cond_consts + num_body_consts :]]
    size, stride, count = slots[0], slots[2], 0
    saved = [np.stack([carry[k]] * size) for k in kept]

    def each(trip: int, carry: Any) -> None:
        nonlocal saved, stride, count
        if trip != count * stride:
            return
        if count == size:
            saved = [np.concatenate([s[::2], s[size // 2 :]]) for s in saved]
            count, stride = count // 2, 2 * stride
        for s, k in zip(saved, kept, strict=True):
            s[count] = carry[k]
        count += 1

    out, trips = run(arrays, cond, body, num_cond_consts, num_body_consts, each)
    return (*out, trips, np.int32(stride), *saved)


def _record_differentiate(
    operands: Any, tangents: Any, kept: tuple[int, ...], slots: Slots, **attrs: Any
) -> Any:
    """Checkpoints have no tangents: who reads them differentiates by where the loop started."""
    from ir.transforms.jvp import push
    from ir.transforms.linearize import LinearBuilder

    num_carry = len(attrs["body"].results)
    if attrs["lanes"]:
        all_attrs = {**attrs, "kept": kept, "slots": slots}
        plain = record_without_lanes([v.type for v in operands], all_attrs, safe=True)
        return push(plain, operands, tangents)
    if isinstance(current_builder(), LinearBuilder):
        outs, douts, rest = recorded(operands, tangents, attrs, kept, slots)
        return (*outs, *rest), (*douts, *[None] * len(rest))
    outs, douts = joint(while_record, operands, tangents, {**attrs, "kept": kept, "slots": slots})
    return outs, (*douts, *[None] * (len(outs) - num_carry))


def record_without_lanes(types: Sequence[TensorType], attrs: dict[str, Any], *, safe: bool) -> Function:
    """The program of a `while_record` with lanes that has none."""

    def program(*operands: Value) -> Sequence[Value]:
        given, made, at = without_lanes(operands, attrs, safe=safe)
        kept = tuple([at[k] for k in attrs["kept"]])
        outs = results_of(while_record(*given, **made, kept=kept, slots=attrs["slots"]))
        return [*[outs[i] for i in at], outs[1], *outs[len(at) + 3 :]]

    return build(types, program, "while_record")


def _record_batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    outs, moving, has_lanes = batched_loop(while_record, operands, batched, size, attrs)
    if len(moving) == len(outs):  # one example after the other
        return outs, moving
    count = len(moving)
    saved = [
        stacked_batch_last(s) if moving[k] else s
        for s, k in zip(outs[count + 2 :], attrs["kept"], strict=True)
    ]
    flags = (*moving, has_lanes, False, *[moving[k] for k in attrs["kept"]])
    return (*outs[: count + 2], *saved), flags


def _prune(used_results: list[bool], *, kept: tuple[int, ...], slots: Slots, **attrs: Any) -> Any:
    """Checkpoints that nobody reads go; without any use of the record it is a plain loop."""
    count = len(attrs["body"].results)
    saved = used_results[count + 2 :]
    keep = chosen(kept, saved)
    is_record = any(used_results[count:])
    found = pruned_loop(used_results[:count], [k in keep for k in range(count)], attrs)
    if found is None:
        if is_record and all(saved):
            return None
        operands = list(range(attrs["num_cond_consts"] + attrs["num_body_consts"] + count))
        found = operands, attrs, [True] * count
    operands, made, carries = found
    left = at(carries)
    if not is_record:
        return while_loop, operands, made, left
    made = {**made, "kept": tuple([left.index(k) for k in keep]), "slots": slots}
    return while_record, operands, made, [*left, count, count + 1, *at(saved, count + 2)]


# The results of `while_loop`, then the trips (of each lane), the last stride and, for each carry in
# `kept`, its values after 0, stride, 2 stride, ... trips. For `replay` only: what else is in the slots
# has no meaning. `slots` are the number kept here and the two more that a replay works with.
while_record = op(
    "while_record",
    attrs={
        "cond": REQUIRED,
        "body": REQUIRED,
        "num_cond_consts": REQUIRED,
        "num_body_consts": REQUIRED,
        "kept": REQUIRED,
        "slots": REQUIRED,
        "lanes": (),
        "depths": (),
    },
    type=_record_type,
    eval=_record_eval,
    jvp=None,
    differentiate=_record_differentiate,
    transpose=None,
    batch=_record_batch,
    flops=while_flops,
    prune=_prune,
)
