"""The transpose of a linear scan: the loop backwards.

It carries the cotangents of the carry. Those of constants are summed, after the loop where that costs
less (ir/ops/deferral.py).
"""

from __future__ import annotations

from typing import Any

from ir.core import Function, Value
from ir.op import Builder, Linear, building
from ir.ops.carries import results_of
from ir.ops.deferral import Deferral
from ir.ops.elementwise import add
from ir.ops.loops import scan
from ir.ops.shape import zeros


def adjoint(
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
    # Linear loops come from `split_scan`, whose carries are all tangents; one that starts at a
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
    with building(builder):
        pulled = pull(
            sorted_.linear_eqns, lin, outputs, [s if h else None for s, h in zip(seeds, has_ct, strict=True)]
        )
        of = {p: zeros(p.type) if ct is None else ct for p, ct in zip(lin, pulled, strict=True)}
        read = [p for p, is_linear in zip(params[split:], linear[split:], strict=True) if not is_linear]
        y_seeds = [s for s, h in zip(seeds[num_carry:], has_ct[num_carry:], strict=True) if h]
        consts = [
            p for p, is_linear in zip(params[:num_consts], linear[:num_consts], strict=True) if not is_linear
        ]
        deferral = Deferral([*sorted_.eqns, *builder.eqns], [*read, *y_seeds], consts)
        later = deferral.chosen([of[p] for p in sums])
        now = [p for p in sums if of[p] not in later]
        totals = [Value(p.type) for p in now]
        given = {*read, *y_seeds}
        stacks = [
            v for v in dict.fromkeys(v for made in later.values() for v in made.needs) if v not in given
        ]
        new_totals = [add(t, of[p]) for t, p in zip(totals, now, strict=True)]
        new_carry = [of[p] for p in params[num_consts:split]]
        x_outs = [of[p] for p, is_linear in zip(params[split:], linear[split:], strict=True) if is_linear]
    back = Function(
        (*consts, *totals, *seeds[:num_carry], *read, *y_seeds),
        (*sorted_.eqns, *builder.eqns),
        (*new_totals, *new_carry, *x_outs, *stacks),
        f"transpose_{function.name}",
    )
    const_values = [x for x in operands[:num_consts] if not isinstance(x, Linear)]
    read_values = [x for x in operands[split:] if not isinstance(x, Linear)]
    start = [zeros(p.type) for p in now]
    carry_cts = [
        zeros(p.type) if ct is None else ct
        for p, ct in zip(params[num_consts:split], cts[:num_carry], strict=True)
    ]
    y_cts = [ct for ct in cts[num_carry:] if ct is not None]
    outs = results_of(
        scan(
            *const_values,
            *start,
            *carry_cts,
            *read_values,
            *y_cts,
            function=back,
            num_consts=len(const_values),
            num_carry=len(now) + num_carry,
            length=length,
            reverse=not reverse,
            unroll=unroll,
        )
    )
    count = len(now) + num_carry
    of_carry, of_xs = outs[len(now) : count], iter(outs[count : count + len(x_outs)])
    stack_of = dict(zip([*read, *y_seeds], [*read_values, *y_cts], strict=True))
    stack_of.update(zip(stacks, outs[count + len(x_outs) :], strict=True))
    sum_of = dict(zip(now, outs[: len(now)], strict=True))
    sum_of.update({p: later[of[p]].take(stack_of) for p in sums if of[p] in later})
    return (
        *[
            sum_of[p] if is_linear else None
            for p, is_linear in zip(params, linear[:num_consts], strict=False)
        ],
        *[ct if wanted else None for ct, wanted in zip(of_carry, starts, strict=True)],
        *[next(of_xs) if is_linear else None for is_linear in linear[split:]],
    )
