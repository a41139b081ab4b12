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
    carried = params[num_consts:split]
    lin = [p for p, is_linear in zip(params, linear, strict=True) if is_linear]
    seeds = [Value(r.type) for r in function.results]
    sorted_ = LinearBuilder(lin)
    for eqn in function.eqns:
        sorted_.append(eqn)
    outputs = [r if r in sorted_.linear else None for r in function.results]
    # A carry has a cotangent if one comes from outside, or from one that has. What has none stays without:
    # zeros that take part would turn into nan where they meet an infinite derivative.
    has_ct = [ct is not None for ct in cts]
    while True:
        builder = Builder()
        with building(builder):
            seeded = [s if h else None for s, h in zip(seeds, has_ct, strict=True)]
            pulled = pull(sorted_.linear_eqns, lin, outputs, seeded)
        of = {p: ct for p, ct in zip(lin, pulled, strict=True) if ct is not None}
        more = [h or p in of for h, p in zip(has_ct[:num_carry], carried, strict=True)]
        if more == has_ct[:num_carry]:
            break
        has_ct[:num_carry] = more
    kept = [k for k in range(num_carry) if has_ct[k]]
    sums = [p for p in params[:num_consts] if p in of]
    of_x = [p for p in params[split:] if p in of]
    with building(builder):
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
        new_carry = [_or_zeros(of.get(carried[k]), carried[k]) for k in kept]
    back = Function(
        (*consts, *totals, *[seeds[k] for k in kept], *read, *y_seeds),
        (*sorted_.eqns, *builder.eqns),
        (*new_totals, *new_carry, *[of[p] for p in of_x], *stacks),
        f"transpose_{function.name}",
    )
    const_values = [x for x in operands[:num_consts] if not isinstance(x, Linear)]
    read_values = [x for x in operands[split:] if not isinstance(x, Linear)]
    y_cts = [ct for ct in cts[num_carry:] if ct is not None]
    outs = results_of(
        scan(
            *const_values,
            *[zeros(p.type) for p in now],
            *[_or_zeros(cts[k], carried[k]) for k in kept],
            *read_values,
            *y_cts,
            function=back,
            num_consts=len(const_values),
            num_carry=len(now) + len(kept),
            length=length,
            reverse=not reverse,
            unroll=unroll,
        )
    )
    count = len(now) + len(kept) + len(of_x)
    found = dict(zip((*now, *[carried[k] for k in kept], *of_x), outs[:count], strict=True))
    stack_of = dict(zip([*read, *y_seeds], [*read_values, *y_cts], strict=True))
    stack_of.update(zip(stacks, outs[count:], strict=True))
    found.update({p: later[of[p]].take(stack_of) for p in sums if of[p] in later})
    wanted = [*linear[:num_consts], *starts, *linear[split:]]
    return tuple([found.get(p) if w else None for p, w in zip(params, wanted, strict=True)])


def _or_zeros(ct: Value | None, like: Value) -> Value:
    return zeros(like.type) if ct is None else ct
