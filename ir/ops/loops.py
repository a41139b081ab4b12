"""`scan`: a loop of known length with a carry, stacked inputs and stacked outputs.

    carry_out, ys = scan(consts, carry, xs) {function = (consts, carry, x) -> (carry, y)}

Operands are the loop-invariant constants, the initial carry and the stacked inputs, in that order;
results the final carry and the stacked outputs. Reverse mode runs the tangent body backwards over
residuals that the forward loop stacked (Griewank and Walther 2008, chapter 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Function, Value
from ir.errors import IRTypeError, ShapeError
from ir.op import Builder, building, current_builder
from ir.ops.carries import at, carry_fixpoint, chosen, instantiated, needed_carries, pushed, some
from ir.ops.families import REQUIRED, check, materialize, op
from ir.ops.shape import transpose
from ir.types import TensorType


def _results(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


def _unstacked(t: TensorType, length: int) -> TensorType:
    if t.rank == 0 or t.shape[0] != length:
        raise ShapeError(f"scan: expected stacked inputs of length {length}, got {t}")
    return t.with_shape(t.shape[1:])


def _scan_type(
    *types: TensorType,
    function: Function,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> tuple[TensorType, ...]:
    check(
        length >= 0 and unroll >= 1, f"scan: expected length >= 0 and unroll >= 1, got {length} and {unroll}"
    )
    split = num_consts + num_carry
    ins = (*types[:split], *[_unstacked(t, length) for t in types[split:]])
    if ins != function.in_types:
        raise IRTypeError(f"scan: expected the body to take {ins}, it takes {function.in_types}")
    carry = types[num_consts:split]
    if function.out_types[:num_carry] != carry:
        raise IRTypeError(
            f"scan: expected the body to return the carry {carry}, got {function.out_types[:num_carry]}"
        )
    return (*carry, *[t.with_shape((length, *t.shape)) for t in function.out_types[num_carry:]])


def _scan_eval(
    *arrays: Any, function: Function, num_consts: int, num_carry: int, length: int, reverse: bool, unroll: int
) -> tuple[Any, ...]:
    from ir.evaluate import evaluate

    consts, carry = arrays[:num_consts], arrays[num_consts : num_consts + num_carry]
    xs = arrays[num_consts + num_carry :]
    stacked: list[Any] = [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        out = evaluate(function, *consts, *carry, *[x[i] for x in xs])
        carry, stacked[i] = out[:num_carry], out[num_carry:]
    ys = []
    for k, t in enumerate(function.out_types[num_carry:]):
        empty = np.zeros((0, *t.shape), t.dtype.np)
        ys.append(np.stack([s[k] for s in stacked]) if length else empty)
    return (*carry, *ys)


def _scan_flops(operands: Any, results: Any, *, function: Function, length: int, **_: Any) -> int:
    from ir.cost import flops

    return length * flops(function)


# Differentiation --------------------------------------------------------------------------------------


def _grown(mask: Sequence[bool], num_consts: int, num_carry: int, step: Any) -> tuple[list[bool], Any]:
    """As `carry_fixpoint`, of the carries among constants, carries and stacked inputs."""
    split = num_consts + num_carry
    xs = list(mask[split:])
    grown, made = carry_fixpoint(mask[:split], num_consts, lambda some: step([*some, *xs]))
    return [*grown, *xs], made


def _differentiate(
    operands: Any,
    tangents: Any,
    *,
    function: Function,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> Any:
    from ir.ops.scan_split import split_scan
    from ir.transforms.linearize import LinearBuilder, linearize

    present = [t is not None for t in tangents]
    loop = {"length": length, "reverse": reverse, "unroll": unroll}
    if not isinstance(current_builder(), LinearBuilder):
        return _joint_scan(function, operands, tangents, present, num_consts, num_carry, loop)

    def step(mask: list[bool]) -> Any:
        made = linearize(function, mask)
        return made, [t is not None for t in made.tangent_results[:num_carry]]

    mask, body = _grown(present, num_consts, num_carry, step)
    given = instantiated(operands, tangents, mask)
    # Every affected carry needs a tangent result, zeros where the body gives none.
    builder = Builder()
    with building(builder):
        moving = mask[num_consts : num_consts + num_carry]
        tangent_outs = [
            *instantiated(body.results[:num_carry], body.tangent_results[:num_carry], moving),
            *body.tangent_results[num_carry:],
        ]
    results, douts = split_scan(
        function, body, builder, operands, given, mask, tangent_outs, num_consts, num_carry, loop
    )
    rest = iter(douts)
    return results, tuple([None if t is None else next(rest) for t in tangent_outs])


def _joint_scan(
    function: Function,
    operands: Any,
    tangents: Any,
    present: list[bool],
    num_consts: int,
    num_carry: int,
    loop: dict[str, Any],
) -> Any:
    """One loop over primals and tangents together, for forward mode."""

    def step(mask: list[bool]) -> Any:
        made = pushed(function, mask, apart=False)
        return made, [t is not None for t in made.dresults[:num_carry]]

    mask, made = _grown(present, num_consts, num_carry, step)
    given = instantiated(operands, tangents, mask)
    split = num_consts + num_carry
    moving = [*mask[num_consts:split], *[t is not None for t in made.dresults[num_carry:]]]
    groups = ((0, num_consts), (num_consts, split), (split, len(operands)))
    joint = made.function(groups, moving)
    # Both kinds of carries come before both kinds of stacked results.
    count = len(function.results)
    num_moving = sum(moving[:num_carry])
    outs = joint.results
    order = (
        *outs[:num_carry],
        *outs[count : count + num_moving],
        *outs[num_carry:count],
        *outs[count + num_moving :],
    )
    ins = [v for lo, hi in groups for v in (*operands[lo:hi], *some(given[lo:hi]))]
    scanned = _results(
        scan(
            *ins,
            function=joint.replace(results=order),
            num_consts=num_consts + sum(mask[:num_consts]),
            num_carry=num_carry + num_moving,
            **loop,
        )
    )
    carry, ys = scanned[: num_carry + num_moving], scanned[num_carry + num_moving :]
    douts = iter((*carry[num_carry:], *ys[count - num_carry :]))
    results = (*carry[:num_carry], *ys[: count - num_carry])
    return results, tuple([next(douts) if m else None for m in moving])


def _transpose(cts: Any, operands: Any, **attrs: Any) -> Any:
    from ir.ops.scan_adjoint import adjoint

    return adjoint(cts, operands, **attrs)


def _swap_leading(x: Value) -> Value:
    return transpose(x, perm=(1, 0, *range(2, x.type.rank)))  # type: ignore[no-any-return]


def _batch(
    operands: Any,
    batched: Any,
    size: int,
    *,
    function: Function,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> Any:
    from ir.transforms.batch import batch

    split = num_consts + num_carry

    def step(mask: list[bool]) -> Any:
        made, flags = batch(function, mask, size)
        return (made, flags), list(flags[:num_carry])

    mask, (body, flags) = _grown(batched, num_consts, num_carry, step)
    builder = Builder()
    with building(builder):
        carry_out = [
            materialize(r, f, size) if m else r
            for r, f, m in zip(
                body.results[:num_carry], flags[:num_carry], mask[num_consts:split], strict=True
            )
        ]
    body = Function(
        body.params, (*body.eqns, *builder.eqns), (*carry_out, *body.results[num_carry:]), body.name
    )
    ins = [
        *operands[:num_consts],
        *[
            materialize(v, b, size) if m else v
            for v, b, m in zip(
                operands[num_consts:split], batched[num_consts:split], mask[num_consts:split], strict=True
            )
        ],
        *[_swap_leading(x) if b else x for x, b in zip(operands[split:], batched[split:], strict=True)],
    ]
    attrs = {"length": length, "reverse": reverse, "unroll": unroll}
    outs = _results(scan(*ins, function=body, num_consts=num_consts, num_carry=num_carry, **attrs))
    ys = [_swap_leading(y) if f else y for y, f in zip(outs[num_carry:], flags[num_carry:], strict=True)]
    return (*outs[:num_carry], *ys), (*mask[num_consts:split], *flags[num_carry:])


def _prune(used: list[bool], *, function: Function, num_consts: int, num_carry: int, **loop: Any) -> Any:
    body, read, needed = needed_carries(function, num_consts, num_carry, used)
    if all(read) and all(needed):
        return None
    attrs = {
        **loop,
        "function": body.replace(params=chosen(body.params, read)),
        "num_consts": sum(read[:num_consts]),
        "num_carry": sum(needed[:num_carry]),
    }
    return scan, at(read), attrs, at(needed)


scan = op(
    "scan",
    attrs={
        "function": REQUIRED,
        "num_consts": REQUIRED,
        "num_carry": REQUIRED,
        "length": REQUIRED,
        "reverse": False,
        "unroll": 1,
    },
    type=_scan_type,
    eval=_scan_eval,
    jvp=None,
    differentiate=_differentiate,
    transpose=_transpose,
    batch=_batch,
    flops=_scan_flops,
    prune=_prune,
)
