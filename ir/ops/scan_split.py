"""Linearizing a scan: a primal loop that stacks residuals, and a linear loop that reads them.

What a step can cheaply compute again is not stacked (ir/ops/residuals.py), what is the same in every
step is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.contents import has_effects, has_open_loops
from ir.core import Eqn, Function, Value
from ir.op import Builder, current_builder
from ir.ops.carries import results_of
from ir.ops.loops import scan
from ir.ops.residuals import computed_again
from ir.ops.shape import constant


def split_scan(
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
    hoisted, primal_eqns = _hoist(body.eqns, body.params[:num_consts], loop["length"])
    builder = current_builder()
    outer = dict(zip(body.params[:num_consts], operands[:num_consts], strict=True))
    for eqn in hoisted:
        outs_of = builder.copy(eqn, tuple([outer[v] for v in eqn.operands]))
        outer.update(zip(eqn.results, outs_of, strict=True))
    # Numbers stay in the loops, where rewrites see them.
    numbers = {e.results[0]: e for e in hoisted if e.op is constant and e.attrs["value"].shape == ()}
    # An input of the loop is stacked already; of what the body computes, what is cheap is computed again.
    inputs = dict(zip(body.params[split:], operands[split:], strict=True))
    own = [r for r in residuals if r not in outer and r not in inputs]
    again, _ = computed_again(primal_eqns, own, [*outer, *inputs])
    linear_eqns = [*again, *linear_eqns]
    residuals = free_values(linear_eqns, outs, tangent_params)
    linear_eqns = [*[numbers[r] for r in residuals if r in numbers], *linear_eqns]
    invariant = [r for r in residuals if r in outer and r not in numbers]
    reread = [r for r in residuals if r in inputs]
    stacked = [r for r in residuals if r not in outer and r not in inputs]
    # The primal loop takes the hoisted values it uses as further constants.
    used = free_values(primal_eqns, [*body.results, *stacked], body.params)
    primal_eqns = [*[numbers[v] for v in used if v in numbers], *primal_eqns]
    used = tuple([v for v in used if v not in numbers])
    params = (*body.params[:num_consts], *used, *body.params[num_consts:])
    primal = Function(params, tuple(primal_eqns), (*body.results, *stacked), function.name)
    ins = (*operands[:num_consts], *[outer[v] for v in used], *operands[num_consts:])
    all_outs = results_of(
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
        results_of(
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


def _hoist(eqns: Sequence[Eqn], invariant: Sequence[Value], length: int) -> tuple[list[Eqn], list[Eqn]]:
    """(equations that depend on `invariant` alone, the rest).

    A loop that might not end stays where no step would run it.
    """
    known = set(invariant)
    outside: list[Eqn] = []
    inside: list[Eqn] = []
    for eqn in eqns:
        movable = not has_effects(eqn) and (length > 0 or not has_open_loops(eqn))
        if movable and known.issuperset(eqn.operands):
            outside.append(eqn)
            known.update(eqn.results)
        else:
            inside.append(eqn)
    return outside, inside
