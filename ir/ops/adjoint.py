"""The transpose of a replay: a replay in the other direction.

Of the states x and p and the folds c and v, p and v are linear, with the linear constants w:

    p[k+1] = F p[k] + G w                   F, G depend on x[k]
    v'     = A v + B p[k] + C w             A depends on x[k]; B and C on c besides

where v' follows v in the replay's direction. With bars for cotangents: vbar runs against that direction
by A^T; pbar runs backwards by F^T and adds B^T vbar; wbar adds up G^T pbar + C^T vbar. A replay forwards
has a transpose with states (x, c) and folds (wbar, pbar, vbar) in reverse. Of a replay in reverse, vbar
runs forwards: it joins the states, and the folds in reverse are (c, wbar, pbar).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Value
from ir.errors import DifferentiationError
from ir.op import Linear, build, inline
from ir.ops.carries import carry_fixpoint, chosen, live_part, some, used
from ir.ops.elementwise import add
from ir.ops.replay import groups, without_lanes
from ir.ops.replaying import Replay
from ir.ops.shape import zeros


def adjoint(cts: Any, operands: Any, attrs: dict[str, Any]) -> Any:
    """Cotangents of the linear operands of a replay; its transpose rule."""
    linear = [isinstance(x, Linear) for x in operands]
    if not attrs["lanes"]:
        outs = iter(_Adjoint(cts, operands, attrs).cotangents())
        return tuple([next(outs) if is_linear else None for is_linear in linear])
    from ir.transforms.linearize import transpose

    plain = without_lanes([x.type for x in operands], attrs, safe=True)
    back = transpose(plain, linear, [ct is not None for ct in cts])
    found = iter(inline(back, (*[x for x in operands if not isinstance(x, Linear)], *some(cts))))
    return tuple([next(found) if is_linear else None for is_linear in linear])


def _affected(function: Function, mask: Sequence[bool]) -> list[bool]:
    """Which results depend on the params of the mask."""
    known = {p for p, m in zip(function.params, mask, strict=True) if m}
    for eqn in function.eqns:
        if not known.isdisjoint(eqn.operands):
            known.update(eqn.results)
    return [r in known for r in function.results]


def _needed(function: Function) -> Function:
    """What the results need, inside branches and loops too."""
    from ir.passes.dce import dce

    function = live_part(function)
    while (pruned := dce(function)) is not function:
        function = pruned
    return function


def _others(values: Any, mask: Sequence[bool]) -> Any:
    return chosen(values, [not m for m in mask])


def _types(*values: Any) -> list[Any]:
    return [x.type for group in values for x in group]


class _Adjoint:
    """The parts of one replay, named as above."""

    def __init__(self, cts: Any, operands: Any, attrs: dict[str, Any]) -> None:
        from ir.transforms.linearize import transpose

        forward, step = attrs["forward"], attrs["step"]
        self.slots, self.reverse = attrs["slots"], attrs["reverse"]
        self.trips, self.checkpoints, consts, state, fold = groups(operands, attrs)
        n, m = len(consts), len(consts) + len(state)
        linear = [isinstance(x, Linear) for x in (*consts, *state, *fold)]
        # A linear state or fold that starts at a constant starts at zero: its own cotangent is not wanted.
        mask, _ = carry_fixpoint(linear[:m], n, lambda mask: (None, _affected(forward, mask)))
        mask, _ = carry_fixpoint([*mask, *linear[m:]], m, lambda mask: (None, _affected(step, mask)))
        w, p, v = mask[:n], mask[n:m], mask[m:]
        self.wanted, self.mask = linear, mask
        self.num_w, self.num_p, self.num_v = sum(w), sum(p), sum(v)
        # (consts, x, pbar) -> (wbar, pbar); (consts, x, c, vbar) -> (wbar, pbar, vbar)
        self.forward_back = transpose(
            forward.replace(results=chosen(forward.results, p)), mask[:m], [True] * self.num_p
        )
        self.step_back = transpose(step.replace(results=chosen(step.results, v)), mask, [True] * self.num_v)
        self.forward = live_part(
            Function(
                _others(forward.params, mask[:m]), forward.eqns, _others(forward.results, p), forward.name
            )
        )
        self.step = live_part(
            Function(_others(step.params, mask), step.eqns, _others(step.results, v), step.name)
        )
        self.consts, self.x, self.c = _others(consts, w), _others(state, p), _others(fold, v)
        self.x_at = [k for k, is_p in enumerate(p) if not is_p]
        self.vbar = tuple(
            [zeros(f.type) if ct is None else ct for f, ct, is_v in zip(fold, cts, v, strict=True) if is_v]
        )
        self.start = tuple([zeros(x.type) for x in (*chosen(consts, w), *chosen(state, p))])

    def cotangents(self) -> list[Any]:
        """Those of the operands that are linear, in order."""
        outs = iter(self.in_reverse() if self.reverse else self.forwards())
        found = [next(outs) if m else None for m in self.mask]
        return [ct for ct, wanted in zip(found, self.wanted, strict=True) if wanted]

    def saved(self, kept: Sequence[int]) -> tuple[Value, ...]:
        """The checkpoints of those states, if all of them have one."""
        if not self.checkpoints or any(k >= len(self.x) for k in kept):
            return ()
        return (self.checkpoints[0], *[self.checkpoints[1 + self.x_at[k]] for k in kept])

    def turn(self, consts: Any, x: Any, c: Any, vbar: Any, sums: Any) -> tuple[Any, Any]:
        """((wbar, pbar), vbar) one step back."""
        w, p = self.num_w, self.num_w + self.num_p
        by_step = inline(self.step_back, (*consts, *x, *c, *vbar))
        if not self.num_p:
            return [add(a, b) for a, b in zip(sums, by_step[:w], strict=True)], by_step[w:]
        by_forward = inline(self.forward_back, (*consts, *x, *sums[w:]))
        wbar = [add(total, add(a, b)) for total, a, b in zip(sums, by_forward[:w], by_step[:w], strict=False)]
        pbar = [add(a, b) for a, b in zip(by_forward[w:], by_step[w:p], strict=True)]
        return [*wbar, *pbar], by_step[p:]

    def forwards(self) -> Sequence[Value]:
        """(wbar, pbar, vbar) of a replay forwards."""
        n, m = len(self.consts), len(self.consts) + len(self.x)
        split = m + len(self.c)
        states = _types(self.consts, self.x, self.c)

        def run(*values: Value) -> Sequence[Value]:
            return *inline(self.forward, values[:m]), *inline(self.step, values)

        def back(*values: Value) -> Sequence[Value]:
            bars = values[split:]
            count = self.num_w + self.num_p
            sums, vbar = self.turn(values[:n], values[n:m], values[m:split], bars[count:], bars[:count])
            return *sums, *vbar

        made, kept = Replay(
            build(states, run, self.forward.name),
            build([*states, *_types(self.start, self.vbar)], back, f"transpose_{self.step.name}"),
            self.consts,
            (*self.x, *self.c),
            (*self.start, *self.vbar),
        ).simplified(again=False)
        return made.emit(self.trips, self.saved(kept), self.slots, reverse=True)

    def in_reverse(self) -> Sequence[Value]:
        """(wbar, pbar, vbar) of a replay in reverse."""
        from ir.passes.silent import silent

        n, m = len(self.consts), len(self.consts) + len(self.x)
        nc, nv = len(self.c), self.num_v
        count = self.num_w + self.num_p
        vbar_back = _needed(self.step_back.replace(results=self.step_back.results[count:]))
        if any(used(vbar_back)[m : m + nc]):
            raise DifferentiationError("replay: expected a step that is linear in its folds")
        vbar_back = vbar_back.replace(params=(*vbar_back.params[:m], *vbar_back.params[m + nc :]))
        sums: Sequence[Value] = self.start
        if count:
            states = _types(self.consts, self.x, self.vbar)

            def run(*values: Value) -> Sequence[Value]:
                return *inline(self.forward, values[:m]), *inline(vbar_back, values)

            def back(*values: Value) -> Sequence[Value]:
                vbar, c, sums = values[m : m + nv], values[m + nv : m + nv + nc], values[m + nv + nc :]
                turned, _ = self.turn(values[:n], values[n:m], c, vbar, sums)
                return *inline(silent(self.step), (*values[:m], *c)), *turned

            made, kept = Replay(
                build(states, run, self.forward.name),
                build([*states, *_types(self.c, self.start)], back, f"transpose_{self.step.name}"),
                self.consts,
                (*self.x, *self.vbar),
                (*self.c, *self.start),
            ).simplified(again=False)
            sums = made.emit(self.trips, self.saved(kept), self.slots, reverse=True)[nc:]
        vbar: Sequence[Value] = self.vbar
        if any(self.wanted[len(self.mask) - nc - nv :]):
            alone = Replay(self.forward, vbar_back, self.consts, self.x, self.vbar)
            made, kept = alone.simplified(again=count > 0)
            vbar = made.emit(self.trips, self.saved(kept), self.slots)
        return [*sums, *vbar]
