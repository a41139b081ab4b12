"""A replay in the making: from what differentiation gives to what need be computed.

States and constants that the fold does not need are left out, and what never changes is no state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ir.core import Function, Value, inner_first
from ir.errors import DifferentiationError
from ir.ops.carries import chosen, live_part, results_of, used

Slots = tuple[int, int, int]

# States kept unless the user says how many: as many as fit these bytes, within these bounds. The upper
# one reaches a million trips with one recomputation, the lower one sixteen thousand.
_BYTES = 4 << 20
_FEWEST, _MOST = 288, 2304


def plan(state: Sequence[Value], checkpoints: int | None) -> Slots:
    """How many states to keep on each level, `checkpoints` in total."""
    if checkpoints is None:
        size = sum(v.type.nbytes for v in state)
        checkpoints = min(_MOST, _BYTES // size if size else _MOST)
        checkpoints = checkpoints if checkpoints > _FEWEST else _FEWEST
    middle = checkpoints // 9 or 1
    outer = (checkpoints - middle) // 4 * 2 or 2
    inner = checkpoints - middle - outer
    return outer, middle, inner if inner > 1 else 1


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay in the making."""

    forward: Function
    step: Function
    consts: tuple[Value, ...]
    state: tuple[Value, ...]
    fold: tuple[Value, ...]

    def simplified(self, *, again: bool = True) -> tuple[Replay, tuple[int, ...]]:
        """(the replay with no more state than the fold needs, positions of the states that are left).

        States that never change become constants; constants that nothing uses go.

        Args:
          again: what the step computes was computed before, but for the transposes of linear calls in it.

        Raises:
          DifferentiationError: a check that would be lost.
        """
        from ir.passes.silent import silent

        # What runs again prints and checks nothing.
        step = silent(self.step, transposes=False) if again else self.step
        for function, of_rules in ((self.step, True), (step, False)):
            for each in inner_first(function):
                for eqn in each.eqns:
                    if eqn.op.name == "check" and (eqn.source.derivative or not of_rules):
                        raise DifferentiationError(
                            "a check in a derivative rule is lost in a loop of unknown length that runs backwards: "
                            "check outside the loop, or use scan",
                            source=eqn.source,
                        )
        made = replace(self, forward=silent(self.forward, transposes=False), step=step)
        left = tuple(range(len(self.state)))
        while True:
            made, kept = made._without_dead()
            left = tuple([left[k] for k in kept])
            made, kept = made._without_invariants()
            if len(kept) == len(left):
                return made._without_unused(), left
            left = tuple([left[k] for k in kept])

    def _without_dead(self) -> tuple[Replay, list[int]]:
        n, m = len(self.consts), len(self.consts) + len(self.state)
        step = live_part(self.step)
        needed = used(step)[n:m]
        while True:
            forward = live_part(self.forward.replace(results=chosen(self.forward.results, needed)))
            grown = [a or b for a, b in zip(needed, used(forward)[n:], strict=True)]
            if grown == needed:
                break
            needed = grown
        kept = [k for k, wanted in enumerate(needed) if wanted]
        return Replay(
            forward.replace(params=(*forward.params[:n], *chosen(forward.params[n:], needed))),
            step.replace(params=(*step.params[:n], *chosen(step.params[n:m], needed), *step.params[m:])),
            self.consts,
            chosen(self.state, needed),
            self.fold,
        ), kept

    def _without_invariants(self) -> tuple[Replay, list[int]]:
        n, m = len(self.consts), len(self.consts) + len(self.state)
        fixed = [r is p for r, p in zip(self.forward.results, self.forward.params[n:], strict=True)]
        varying = [not f for f in fixed]
        made = Replay(
            self.forward.replace(
                params=(*self.forward.params[:n], *chosen(self.forward.params[n:], fixed),
                        *chosen(self.forward.params[n:], varying)),
                results=chosen(self.forward.results, varying),
            ),
            self.step.replace(
                params=(*self.step.params[:n], *chosen(self.step.params[n:m], fixed),
                        *chosen(self.step.params[n:m], varying), *self.step.params[m:])
            ),
            (*self.consts, *chosen(self.state, fixed)),
            chosen(self.state, varying),
            self.fold,
        )  # fmt: skip
        return made, [k for k, v in enumerate(varying) if v]

    def _without_unused(self) -> Replay:
        n = len(self.consts)
        needed = [a or b for a, b in zip(used(self.forward)[:n], used(self.step)[:n], strict=True)]
        return replace(
            self,
            forward=self.forward.replace(
                params=(*chosen(self.forward.params[:n], needed), *self.forward.params[n:])
            ),
            step=self.step.replace(params=(*chosen(self.step.params[:n], needed), *self.step.params[n:])),
            consts=chosen(self.consts, needed),
        )

    def emit(
        self, trips: Value, checkpoints: Sequence[Value], slots: Slots, *, reverse: bool = False
    ) -> tuple[Value, ...]:
        """The last fold. `checkpoints`: the stride and a stack for each state, or nothing."""
        if not self.fold:
            return ()
        from ir.ops.replay import replay

        recorded = bool(checkpoints) and bool(self.state)
        return results_of(
            replay(
                trips,
                *(checkpoints if recorded else ()),
                *self.consts,
                *self.state,
                *self.fold,
                forward=self.forward,
                step=self.step,
                num_consts=len(self.consts),
                num_state=len(self.state),
                slots=slots,
                recorded=recorded,
                reverse=reverse,
            )
        )
