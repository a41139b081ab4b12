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

from ir.contents import has_effects
from ir.core import Eqn, Function, Value
from ir.errors import IRTypeError, ShapeError
from ir.op import Builder, Linear, building, current_builder
from ir.ops.carries import at, carry_fixpoint, chosen, instantiated, needed_carries, pushed, some
from ir.ops.elementwise import add
from ir.ops.families import REQUIRED, check, materialize, op
from ir.ops.shape import transpose, zeros
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
    results, douts = _split_scan(
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


def _split_scan(
    function: Function,
    body: Any,
    extra: Builder,
    operands: Any,
    given: Any,
    mask: list[bool],
    tangent_outs: list[Any],
    num_consts: int,
    num_carry: int,
    loop: dict[str, Any],
) -> Any:
    """A primal loop that stacks residuals, and a linear loop that reads them."""
    from ir.ops.replay import without_checkpoints
    from ir.transforms.linearize import free_values

    split = num_consts + num_carry
    # Checkpoints of a loop inside would be stacked for every step: it starts again instead.
    linear_eqns = [*extra.eqns, *without_checkpoints(body.linear_eqns)]
    tangent_params = [t for t in body.tangent_params if t is not None]
    outs = [t for t in tangent_outs if t is not None]
    residuals = free_values(linear_eqns, outs, tangent_params)
    # What depends on loop-invariant operands alone is computed once, outside the loops.
    hoisted, primal_eqns = _hoist(body.eqns, body.params[:num_consts])
    builder = current_builder()
    outer = dict(zip(body.params[:num_consts], operands[:num_consts], strict=True))
    for eqn in hoisted:
        outs_of = builder.copy(eqn, tuple([outer[v] for v in eqn.operands]))
        outer.update(zip(eqn.results, outs_of, strict=True))
    invariant = [r for r in residuals if r in outer]
    # An input of the loop is stacked already; only what the body computes needs saving.
    inputs = dict(zip(body.params[split:], operands[split:], strict=True))
    reread = [r for r in residuals if r in inputs]
    stacked = [r for r in residuals if r not in outer and r not in inputs]
    # The primal loop takes the hoisted values it uses as further constants.
    used = free_values(primal_eqns, [*body.results, *stacked], body.params)
    params = (*body.params[:num_consts], *used, *body.params[num_consts:])
    primal = Function(params, tuple(primal_eqns), (*body.results, *stacked), function.name)
    ins = (*operands[:num_consts], *[outer[v] for v in used], *operands[num_consts:])
    all_outs = _results(
        scan(*ins, function=primal, num_consts=num_consts + len(used), num_carry=num_carry, **loop)
    )
    results = all_outs[: len(body.results)]
    saved = all_outs[len(body.results) :]
    groups = [
        [t for t in body.tangent_params[lo:hi] if t is not None]
        for lo, hi in ((0, num_consts), (num_consts, split), (split, len(operands)))
    ]
    values = [
        [t for t in given[lo:hi] if t is not None]
        for lo, hi in ((0, num_consts), (num_consts, split), (split, len(operands)))
    ]
    tangent_body = Function(
        (*invariant, *groups[0], *groups[1], *reread, *stacked, *groups[2]),
        tuple(linear_eqns),
        tuple(outs),
        "lin_body",
    )
    douts = (
        _results(
            scan(
                *[outer[v] for v in invariant],
                *values[0],
                *values[1],
                *[inputs[r] for r in reread],
                *saved,
                *values[2],
                function=tangent_body,
                num_consts=len(invariant) + len(groups[0]),
                num_carry=len(groups[1]),
                **loop,
            )
        )
        if outs
        else ()
    )
    return results, douts


def _hoist(eqns: Sequence[Eqn], invariant: Sequence[Value]) -> tuple[list[Eqn], list[Eqn]]:
    """(equations that depend on `invariant` alone, the rest)."""
    known = set(invariant)
    outside: list[Eqn] = []
    inside: list[Eqn] = []
    for eqn in eqns:
        if not has_effects(eqn) and known.issuperset(eqn.operands):
            outside.append(eqn)
            known.update(eqn.results)
        else:
            inside.append(eqn)
    return outside, inside


def _transpose(
    cts: Any,
    operands: Any,
    *,
    function: Function,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> Any:
    """The loop backwards: carries cotangents of the carry, adds up those of the constants."""
    from ir.transforms.linearize import LinearBuilder, pull

    split = num_consts + num_carry
    linear = [isinstance(x, Linear) for x in operands]
    # Linear loops come from `_split_scan`, whose carries are all tangents; one that starts at a
    # constant starts at zero, so it is linear in the loop and its own cotangent is not wanted.
    starts = linear[num_consts:split]
    linear[num_consts:split] = [True] * num_carry
    params = function.params
    lin = [p for p, is_linear in zip(params, linear, strict=True) if is_linear]
    seeds = [Value(r.type) for r in function.results]
    has_ct = [True] * num_carry + [ct is not None for ct in cts[num_carry:]]
    sorted_ = LinearBuilder(lin)
    for eqn in function.eqns:
        sorted_.append(eqn)
    outputs = [r if r in sorted_.linear else None for r in function.results]
    builder = Builder()
    sums = [p for p, is_linear in zip(params[:num_consts], linear[:num_consts], strict=True) if is_linear]
    totals = [Value(p.type) for p in sums]
    with building(builder):
        pulled = pull(
            sorted_.linear_eqns, lin, outputs, [s if h else None for s, h in zip(seeds, has_ct, strict=True)]
        )
        of = {p: zeros(p.type) if ct is None else ct for p, ct in zip(lin, pulled, strict=True)}
        new_totals = [add(t, of[p]) for t, p in zip(totals, sums, strict=True)]
        new_carry = [of[p] for p in params[num_consts:split]]
        x_outs = [of[p] for p, is_linear in zip(params[split:], linear[split:], strict=True) if is_linear]
    consts = [
        p for p, is_linear in zip(params[:num_consts], linear[:num_consts], strict=True) if not is_linear
    ]
    read = [p for p, is_linear in zip(params[split:], linear[split:], strict=True) if not is_linear]
    y_seeds = [s for s, h in zip(seeds[num_carry:], has_ct[num_carry:], strict=True) if h]
    back = Function(
        (*consts, *totals, *seeds[:num_carry], *read, *y_seeds),
        (*sorted_.eqns, *builder.eqns),
        (*new_totals, *new_carry, *x_outs),
        f"transpose_{function.name}",
    )
    const_values = [x for x in operands[:num_consts] if not isinstance(x, Linear)]
    read_values = [x for x in operands[split:] if not isinstance(x, Linear)]
    start = [zeros(p.type) for p in sums]
    carry_cts = [
        zeros(p.type) if ct is None else ct
        for p, ct in zip(params[num_consts:split], cts[:num_carry], strict=True)
    ]
    y_cts = [ct for ct in cts[num_carry:] if ct is not None]
    outs = _results(
        scan(
            *const_values,
            *start,
            *carry_cts,
            *read_values,
            *y_cts,
            function=back,
            num_consts=len(const_values),
            num_carry=len(sums) + num_carry,
            length=length,
            reverse=not reverse,
            unroll=unroll,
        )
    )
    of_const, of_carry = iter(outs[: len(sums)]), outs[len(sums) : len(sums) + num_carry]
    of_xs = iter(outs[len(sums) + num_carry :])
    return (
        *[next(of_const) if is_linear else None for is_linear in linear[:num_consts]],
        *[ct if wanted else None for ct, wanted in zip(of_carry, starts, strict=True)],
        *[next(of_xs) if is_linear else None for is_linear in linear[split:]],
    )


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
