"""What the loops have in common: which carries are affected, and bodies with their tangents beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.contents import has_effects
from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.families import materialize
from ir.ops.shape import zeros


def results_of(out: Any) -> tuple[Any, ...]:
    """Results of a call of an op, also where there is one only."""
    return out if isinstance(out, tuple) else (out,)


def some(values: Any) -> list[Any]:
    """Those that are there."""
    return [v for v in values if v is not None]


def carry_fixpoint(present: Sequence[bool], num_consts: int, step: Any) -> tuple[list[bool], Any]:
    """Grow the set of affected carries until `step(mask) -> (made, affected carries)` adds none."""
    mask = list(present)
    while True:
        made, out = step(mask)
        grown = [a or b for a, b in zip(mask[num_consts:], out, strict=True)]
        if grown == mask[num_consts:]:
            return mask, made
        mask[num_consts:] = grown


def instantiated(values: Any, given: Any, mask: Sequence[bool]) -> list[Any]:
    """Tangents where the mask says, zeros where there is none."""
    return [
        (zeros(v.type) if t is None else t) if m else None
        for v, t, m in zip(values, given, mask, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A function with its tangents, `None` where zero."""

    params: tuple[Value, ...]
    dparams: tuple[Value | None, ...]
    eqns: tuple[Eqn, ...]
    results: tuple[Value, ...]
    dresults: tuple[Value | None, ...]
    name: str

    def function(
        self, groups: Sequence[tuple[int, int]], moving: Sequence[bool], *, primals: bool = True
    ) -> Function:
        """(for each group: params, their tangents) -> (results, tangents of those that are moving)."""
        builder = Builder()
        with building(builder):
            douts = some(instantiated(self.results, self.dresults, moving))
        params = [v for lo, hi in groups for v in (*self.params[lo:hi], *some(self.dparams[lo:hi]))]
        outs = (*self.results, *douts) if primals else tuple(douts)
        return Function(tuple(params), (*self.eqns, *builder.eqns), outs, f"jvp_{self.name}")


def pushed(function: Function, mask: Sequence[bool], *, apart: bool) -> Pushed:
    """The function with tangents.

    Args:
      apart: the equations of the tangents are linear, so that they can be transposed; otherwise
        primals and tangents may be computed together.
    """
    from ir.transforms.jvp import jvp
    from ir.transforms.linearize import linearize

    if apart:
        split = linearize(function, mask)
        eqns = (*split.eqns, *split.linear_eqns)
        return Pushed(
            split.params, split.tangent_params, eqns, split.results, split.tangent_results, function.name
        )
    made, present = jvp(function, mask, instantiate=False)
    count = len(function.results)
    dparams, douts = iter(made.params[len(mask) :]), iter(made.results[count:])
    return Pushed(
        made.params[: len(mask)],
        tuple([next(dparams) if m else None for m in mask]),
        made.eqns,
        made.results[:count],
        tuple([next(douts) if p else None for p in present]),
        function.name,
    )


def live_part(function: Function, *, effects: bool = False) -> Function:
    """What the results need, and with `effects` what has some.

    Without, nothing is kept for its effect: that is for what runs once more.
    """
    live = set(function.results)
    kept = []
    for eqn in reversed(function.eqns):
        if not live.isdisjoint(eqn.results) or (effects and has_effects(eqn)):
            kept.append(eqn)
            live.update(eqn.operands)
    if len(kept) == len(function.eqns):
        return function
    return function.replace(eqns=tuple(reversed(kept)))


def used(function: Function) -> list[bool]:
    """Which params the equations or the results use."""
    live = set(function.results)
    for eqn in function.eqns:
        live.update(eqn.operands)
    return [p in live for p in function.params]


def needed_carries(
    function: Function, num_consts: int, num_carry: int, wanted: Sequence[bool]
) -> tuple[Function, list[bool], list[bool]]:
    """What of a loop's body is needed: (the body with those results, params used, results needed).

    Args:
      wanted: results in use after the loop, the carries first.
    """
    needed = list(wanted)
    while True:
        body = live_part(function.replace(results=chosen(function.results, needed)), effects=True)
        read = used(body)
        grown = [have or (k < num_carry and read[num_consts + k]) for k, have in enumerate(needed)]
        if grown == needed:
            # A needed carry stays a param, whether or not it is read.
            kept = [
                r or (0 <= i - num_consts < num_carry and needed[i - num_consts]) for i, r in enumerate(read)
            ]
            return body, kept, needed
        needed = grown


def chosen(values: Sequence[Any], mask: Sequence[bool]) -> tuple[Any, ...]:
    """Those where the mask says."""
    return tuple([v for v, m in zip(values, mask, strict=True) if m])


def at(mask: Sequence[bool], offset: int = 0) -> list[int]:
    """Positions where the mask says."""
    return [offset + i for i, m in enumerate(mask) if m]


def materialized(function: Function, flags: Sequence[bool], mask: Sequence[bool], size: int) -> Function:
    """Batched results where the mask says, broadcast to the batch of `size` where they are not by `flags`."""
    builder = Builder()
    with building(builder):
        outs = [
            materialize(r, f, size) if wanted else r
            for r, f, wanted in zip(function.results, flags, mask, strict=True)
        ]
    return function.replace(eqns=(*function.eqns, *builder.eqns), results=tuple(outs))
