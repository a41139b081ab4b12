"""`while_loop`: a loop whose trips depend on values; `while_record`: the same, keeping checkpoints.

    carry_out = while_loop(cond_consts, body_consts, carry) {cond, body}

Operands are the constants of `cond`, those of `body`, and the initial carry; `cond(cond_consts, carry)`
is a `bool[]`, `body(body_consts, carry)` the next carry. Forward mode carries tangents along. Reverse
mode goes through a loop of unknown length in bounded memory: the primal loop becomes a `while_record`,
which counts its trips and keeps every `stride`-th carry in a fixed number of slots, doubling the stride
when they are full (online checkpointing: Wang, Moin and Iaccarino 2009; Stumm and Walther 2010), and the
linear part a `replay` (ir/ops/replay.py), which recomputes the carries in between.

A loop that is `rare` hardly ever makes a trip, such as one that computes again what came out wrong; costs leave
its body out.

With `lanes`, the sizes of a batch, every carry has these leading axes and `cond` gives one answer for
each lane: the loop runs while any lane is live, and lanes that are done rest (ir/ops/lanes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.contents import exchanges, has_effects, has_open_loops
from ir.core import Function, Value
from ir.errors import BatchingError, IRTypeError
from ir.evaluate import key_words
from ir.op import build, current_builder, inline
from ir.ops.carries import (
    Pushed,
    at,
    carry_fixpoint,
    chosen,
    instantiated,
    materialized,
    needed_carries,
    pushed,
    results_of,
    some,
    used,
)
from ir.ops.convert import convert
from ir.ops.elementwise import add, and_
from ir.ops.families import REQUIRED, materialize, op
from ir.ops.lanes import (
    any_live,
    by_lane,
    check_lanes,
    deeper,
    live_operands,
    select_lanes,
)
from ir.ops.shape import zeros
from ir.types import Shape, TensorType, bool_, i32

Slots = tuple[int, int, int]
COUNT = TensorType((), i32)


def while_type(
    *types: TensorType,
    cond: Function,
    body: Function,
    num_cond_consts: int,
    num_body_consts: int,
    lanes: Shape,
    depths: tuple[int, ...],
    **_: Any,
) -> tuple[TensorType, ...]:
    """The carry's types; shared with `while_record`."""
    split = num_cond_consts + num_body_consts
    carry = types[split:]
    for what, function, consts in (
        ("cond", cond, types[:num_cond_consts]),
        ("body", body, types[num_cond_consts:split]),
    ):
        if function.in_types != (*consts, *carry):
            raise IRTypeError(
                f"while_loop: expected {what} to take {(*consts, *carry)}, it takes {function.in_types}"
            )
    if cond.out_types != (TensorType(lanes, bool_),):
        raise IRTypeError(
            f"while_loop: expected cond to return {TensorType(lanes, bool_)}, it returns {cond.out_types}"
        )
    if body.out_types != carry:
        raise IRTypeError(f"while_loop: expected body to return the carry {carry}, got {body.out_types}")
    check_lanes("while_loop", lanes, depths, types[:split])
    check_lanes("while_loop", lanes, (len(lanes),) * len(carry) if lanes else (), carry)
    return carry


def run(
    arrays: Any, cond: Function, body: Function, num_cond_consts: int, num_body_consts: int, each: Any
) -> Any:
    """The last carry and the trips of each lane; `each(trip, carry)` sees every carry that is left."""
    from ir.evaluate import evaluate

    split = num_cond_consts + num_body_consts
    arrays = [key_words(np.asarray(a)) for a in arrays]
    cond_consts, body_consts, carry = arrays[:num_cond_consts], arrays[num_cond_consts:split], arrays[split:]
    live = evaluate(cond, *cond_consts, *carry)[0]
    trips = np.zeros(live.shape, np.int32)
    trip = 0
    while live.any():
        each(trip, carry)
        new = evaluate(body, *body_consts, *carry)
        carry = [
            np.where(live.reshape(live.shape + (1,) * (n.ndim - live.ndim)), n, c).astype(c.dtype)
            for n, c in zip(new, carry, strict=True)
        ]
        trips = (trips + live).astype(np.int32)
        live = live & evaluate(cond, *cond_consts, *carry)[0]
        trip += 1
    return tuple(carry), trips


def _while_eval(
    *arrays: Any, cond: Function, body: Function, num_cond_consts: int, num_body_consts: int, **_: Any
) -> Any:
    return run(arrays, cond, body, num_cond_consts, num_body_consts, lambda trip, carry: None)[0]


def while_flops(
    operands: Any, results: Any, *, cond: Function, body: Function, rare: bool = False, **_: Any
) -> int:
    """Those of one trip: nobody knows how many there are. Of a rare loop, those of its test."""
    from ir.cost import flops

    return flops(cond) + (0 if rare else flops(body))


# Lanes ------------------------------------------------------------------------------------------------


def without_lanes(
    operands: Sequence[Value], attrs: dict[str, Any], *, safe: bool, apart: bool = True
) -> tuple[Any, Any, Any]:
    """The loop that runs while any lane is live, as (operands, attributes, position of each old carry).

    The mask of live lanes and the trips of each come first among its carries.

    Args:
      safe: give resting lanes the operands of a live one.
      apart: lanes do not know of each other. Where they do, what resting lanes have counts.
    """
    cond, body, lanes, depths = attrs["cond"], attrs["body"], attrs["lanes"], attrs["depths"]
    num_cond, num_body = attrs["num_cond_consts"], attrs["num_body_consts"]
    split = num_cond + num_body
    cond_consts, carry = operands[:num_cond], operands[split:]
    full = (len(lanes),) * len(carry)
    safe = safe or (apart and (has_open_loops(body) or has_open_loops(cond)))
    live = inline(cond, (*cond_consts, *carry))[0]
    trips = zeros(TensorType(lanes, i32))
    state = (live, trips, *carry)

    def step(*values: Value) -> Sequence[Value]:
        consts, (live, trips, *old) = values[:split], values[split:]
        ccs, bcs = consts[:num_cond], consts[num_cond:]
        given = live_operands(live, (*bcs, *old), (*depths[num_cond:], *full)) if safe else [*bcs, *old]
        new = select_lanes(live, inline(body, given), old)
        after = [*ccs, *new]
        if safe:
            after = live_operands(live, after, (*depths[:num_cond], *full))
        return and_(live, inline(cond, after)[0]), add(trips, convert(live, dtype=i32)), *new

    types = [v.type for v in state]
    made = {
        "cond": build(types, lambda live, *rest: any_live(live), f"any_{cond.name}"),
        "body": build([*[v.type for v in operands[:split]], *types], step, f"live_{body.name}"),
        "num_cond_consts": 0,
        "num_body_consts": split,
    }
    return (*operands[:split], *state), made, range(2, 2 + len(carry))


def while_without_lanes(types: Sequence[TensorType], attrs: dict[str, Any], *, safe: bool) -> Function:
    """The program of a `while_loop` with lanes that has none."""

    def program(*operands: Value) -> Sequence[Value]:
        given, made, at = without_lanes(operands, attrs, safe=safe)
        outs = results_of(while_loop(*given, **made, checkpoints=attrs["checkpoints"]))
        return [outs[i] for i in at]

    return build(types, program, "while_loop")


# Differentiation --------------------------------------------------------------------------------------


def _without_invariants(operands: Any, tangents: Any, attrs: dict[str, Any]) -> Any:
    """Carries that the body returns as they are become constants: (operands, tangents, attrs, kept)."""
    cond, body, lanes = attrs["cond"], attrs["body"], attrs["lanes"]
    num_cond, num_body, depths = attrs["num_cond_consts"], attrs["num_body_consts"], attrs["depths"]
    split = num_cond + num_body
    old = body.params[num_body:]
    fixed = [k for k, (r, p) in enumerate(zip(body.results, old, strict=True)) if r is p]
    kept = [k for k in range(len(old)) if k not in fixed]

    def order(values: Any) -> Any:
        ccs, bcs, carry = values[:num_cond], values[num_cond:split], values[split:]
        moved = [carry[k] for k in fixed]
        return (*ccs, *moved, *bcs, *moved, *[carry[k] for k in kept])

    cond_carry = cond.params[num_cond:]
    full = (len(lanes),) * len(fixed) if lanes else ()
    made = {
        **attrs,
        "cond": cond.replace(
            params=(
                *cond.params[:num_cond], *[cond_carry[k] for k in fixed], *[cond_carry[k] for k in kept],
            )
        ),
        "body": body.replace(
            params=(*body.params[:num_body], *[old[k] for k in fixed], *[old[k] for k in kept]),
            results=tuple([body.results[k] for k in kept]),
        ),
        "num_cond_consts": num_cond + len(fixed),
        "num_body_consts": num_body + len(fixed),
        "depths": (*depths[:num_cond], *full, *depths[num_cond:], *full),
    }  # fmt: skip
    return order(operands), order(tangents), made, kept


def _differentiate(operands: Any, tangents: Any, **attrs: Any) -> Any:
    from ir.ops.while_record import recorded
    from ir.transforms.jvp import push
    from ir.transforms.linearize import LinearBuilder

    split = attrs["num_cond_consts"] + attrs["num_body_consts"]
    carry, dcarry = operands[split:], tangents[split:]
    ins, dins, attrs, kept = _without_invariants(operands, tangents, attrs)
    if attrs["lanes"]:
        plain = while_without_lanes([v.type for v in ins], attrs, safe=True)
        outs, douts = push(plain, ins, dins)
    elif isinstance(current_builder(), LinearBuilder):
        outs, douts, _ = recorded(ins, dins, attrs)
    else:
        outs, douts = joint(while_loop, ins, dins, attrs)
    results, dresults = list(carry), list(dcarry)
    for k, out, dout in zip(kept, outs, douts, strict=True):
        results[k], dresults[k] = out, dout
    return tuple(results), tuple(dresults)


def joint(the_op: Any, operands: Any, tangents: Any, attrs: dict[str, Any]) -> Any:
    """One loop over carries and tangents together, for forward mode: (results, tangents of carries).

    The results are those of `the_op`, which may have more than the carries.
    """
    cond, body = attrs["cond"], attrs["body"]
    num_cond, num_body = attrs["num_cond_consts"], attrs["num_body_consts"]
    split = num_cond + num_body
    num_carry = len(operands) - split
    mask, made = pushed_body(body, num_body, tangents[num_cond:], apart=False)
    moving = mask[num_body:]
    if not any(moving):
        return results_of(the_op(*operands, **attrs)), (None,) * num_carry
    given = instantiated(operands[num_cond:], tangents[num_cond:], mask)
    dconsts, dcarry = some(given[:num_body]), some(given[num_body:])
    joint = {
        **attrs,
        "cond": cond.replace(params=(*cond.params, *[Value(d.type) for d in dcarry])),
        "body": made.function(((0, num_body), (num_body, len(mask))), moving),
        "num_body_consts": num_body + len(dconsts),
    }
    results = results_of(the_op(*operands[:split], *dconsts, *operands[split:], *dcarry, **joint))
    after = num_carry + len(dcarry)
    outs = iter(results[num_carry:after])
    return (*results[:num_carry], *results[after:]), tuple([next(outs) if m else None for m in moving])


def pushed_body(body: Function, num_consts: int, tangents: Any, *, apart: bool) -> tuple[list[bool], Pushed]:
    """(which of constants and carries have tangents, the body with those)."""

    def step(mask: list[bool]) -> Any:
        made = pushed(body, mask, apart=apart)
        return made, [t is not None for t in made.dresults]

    return carry_fixpoint([t is not None for t in tangents], num_consts, step)


# Batching ---------------------------------------------------------------------------------------------


def _batch(operands: Any, batched: Any, size: int, **attrs: Any) -> Any:
    outs, mask, _ = batched_loop(while_loop, operands, batched, size, attrs)
    return outs, mask


def batched_loop(the_op: Any, operands: Any, batched: Any, size: int, attrs: dict[str, Any]) -> Any:
    """(results, which carries are batched, whether there are lanes)."""
    from ir.transforms.batch import batch

    cond, body, lanes = attrs["cond"], attrs["body"], attrs["lanes"]
    num_cond, num_body = attrs["num_cond_consts"], attrs["num_body_consts"]
    split = num_cond + num_body
    num_carry = len(operands) - split

    def step(mask: list[bool]) -> Any:
        made, flags = batch(body, mask, size)
        return (made, flags), flags

    mask, (made, flags) = carry_fixpoint(list(batched[num_cond:]), num_body, step)
    moving = mask[num_body:]
    test, (differs,) = batch(cond, [*batched[:num_cond], *moving], size)
    depths: tuple[int, ...] = ()
    consts = list(operands[:split])
    if differs or lanes:  # each example has its own number of trips
        if has_effects(cond) or has_effects(body):
            outs, flags = by_lane(the_op, operands, batched, size, attrs)
            return outs, flags, True
        consts, depths = deeper(consts, batched[:split], attrs["depths"] or (0,) * split, size)
        moving = [True] * num_carry
        present = [depth > 0 for depth in depths]
        test, _ = batch(cond, [*present[:num_cond], *moving], size, all_results=True)
        made, _ = batch(body, [*present[num_cond:], *moving], size, all_results=True)
        lanes = (size, *lanes)
    else:
        made = materialized(made, flags, moving, size)
    carry = [
        materialize(v, b, size) if m else v
        for v, b, m in zip(operands[split:], batched[split:], moving, strict=True)
    ]
    made_attrs = {**attrs, "cond": test, "body": made, "lanes": lanes, "depths": depths}
    if lanes and (exchanges(cond) or exchanges(body)):
        if the_op is not while_loop:
            raise BatchingError(
                "reverse mode goes through no while loop in which examples exchange and whose number of trips differs "
                "among them; let the condition be the same for all, by psum or pmax, or use fori_loop or scan"
            )
        given, plain, places = without_lanes([*consts, *carry], made_attrs, safe=False, apart=False)
        every = results_of(while_loop(*given, **plain, checkpoints=attrs["checkpoints"]))
        return tuple([every[k] for k in places]), tuple(moving), True
    return results_of(the_op(*consts, *carry, **made_attrs)), tuple(moving), bool(lanes)


def pruned_loop(used_carries: list[bool], extra: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """(positions of operands, attributes, which carries are left) or None where all are needed.

    Args:
      extra: carries that are needed besides.
    """
    cond, body, num_cond, num_body = [
        attrs[k] for k in ("cond", "body", "num_cond_consts", "num_body_consts")
    ]
    tested = used(cond)
    wanted = [a or b or c for a, b, c in zip(used_carries, tested[num_cond:], extra, strict=True)]
    body, read, carries = needed_carries(body, num_body, len(wanted), wanted)
    if all(read) and all(carries) and all(tested[:num_cond]):
        return None
    keep = [*tested[:num_cond], *read]
    made = {
        **attrs,
        "cond": cond.replace(
            params=(
                *chosen(cond.params[:num_cond], tested[:num_cond]),
                *chosen(cond.params[num_cond:], carries),
            )
        ),
        "body": body.replace(params=chosen(body.params, read)),
        "num_cond_consts": sum(tested[:num_cond]),
        "num_body_consts": sum(read[:num_body]),
        "depths": chosen(attrs["depths"], keep[: num_cond + num_body]) if attrs["lanes"] else (),
    }
    return at(keep), made, carries


def _prune(used_results: list[bool], **attrs: Any) -> Any:
    found = pruned_loop(used_results, [False] * len(used_results), attrs)
    return found and (while_loop, found[0], found[1], at(found[2]))


while_loop = op(
    "while_loop",
    attrs={
        "cond": REQUIRED,
        "body": REQUIRED,
        "num_cond_consts": REQUIRED,
        "num_body_consts": REQUIRED,
        "checkpoints": None,
        "lanes": (),
        "depths": (),
        "rare": False,
    },
    type=while_type,
    eval=_while_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=None,
    batch=_batch,
    flops=while_flops,
    prune=_prune,
)
