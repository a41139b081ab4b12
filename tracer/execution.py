"""Applying a program: inlined while a trace is being recorded, compiled and run otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import ir
from ir.errors import TracerError
from ir.journal import step, within
from ir.op import inline
from ir.ops.structural import unequalled
from ir.passes.pipeline import optimize, simplify_inner
from ir.passes.power_tables import tabulate_powers
from ir.passes.products import multiply_rows, share_adjoints
from ir.passes.rolling import roll
from ir.passes.shifts import stop_shifts
from ir.passes.simplify import stabilize
from ir.transforms import guarded
from lowering.execute import Cache, run
from tracer.names import without_names
from tracer.state import state
from tracer.value import Tensor

Split = tuple[ir.Function, ir.Function, int]

# Both halves of split programs, so that the second call of an un-jitted `vjp` transforms nothing.
_SPLITS: Cache[Split] = Cache(256)


@dataclass(frozen=True, slots=True)
class Derivative:
    """What is going to be differentiated of a program.

    Attributes:
      nonzero: by which params.
      counted: how many of its results, the first ones; `None` for all.
    """

    nonzero: tuple[bool, ...]
    counted: int | None = None


def rolled(function: ir.Function, derivative: Derivative | None = None) -> ir.Function:
    """The program with its loops found again, as the compilation that traces it wants.

    What is differentiated is brought into the forms that keep digits and range before, where rounding may change.
    """
    find = state.roll or roll
    if derivative is None:
        return step("roll", lambda f: find(f, None), function)
    # A loop may part a selection from what it selects; iterations stay alike where each has its own guard.
    function = step("guard", lambda f: guarded(f, derivative.nonzero, 1), function)
    function = step("roll", lambda f: find(f, derivative.counted), function)
    if find is not roll:
        return function
    function = step("stabilize", stabilize, function)
    function = step("stop_shifts", stop_shifts, function)
    function = step("multiply_rows", multiply_rows, function)
    return step("tabulate_powers", tabulate_powers, function)


def _transformed(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    derivative: Derivative | None,
) -> ir.Function:
    """What is inlined in a trace."""
    with within(f"{key[0]} of {function.name}"):
        program = step(str(key[0]), transform, rolled(function, derivative))
        program = step("simplify_inner", simplify_inner, program)
        # What will be differentiated again is made smaller before.
        return (
            step("share_adjoints", share_adjoints, program)
            if derivative and state.roll in (None, roll)
            else program
        )


def apply(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    operands: Sequence[Any],
    weak: Sequence[bool],
    derivative: Derivative | None = None,
) -> tuple[Any, ...]:
    """Results of `transform(function)`: traced values inside a trace, arrays outside any.

    Args:
      key: names the transform.
      function: what was traced.
      transform: a program to a program; its results are what is returned.
      operands: one for each param of the transformed program.
      weak: which results are weakly typed; those beyond its end are not.
      derivative: what `transform` differentiates, as `key` says too.
    """
    trace = state.trace
    if trace is None:
        operands = [x.outside() if type(x) is Tensor else x for x in operands]

        def whole(f: ir.Function) -> ir.Function:
            return transform(simplify_inner(rolled(f, derivative)))

        def compute() -> tuple[Any, ...]:
            try:
                return run(key, function, whole, optimize, operands, weak)
            except RuntimeError as error:
                if "RESOURCE_EXHAUSTED" in str(error) and not isinstance(error, TracerError):
                    from tracer.debug.memory import out_of_memory

                    raise out_of_memory(error, optimize(whole(function))) from error
                raise

        if state.watch is None:
            return compute()
        return state.watch.looked_at(compute, lambda: (whole(function), operands), optimize)  # type: ignore[no-any-return]
    program = _transformed(key, function, transform, derivative)
    lifted = [trace.lift(x).value for x in operands]
    without_names(program.eqns)
    results = inline(program, lifted)
    flags = [*weak, *[False] * (len(results) - len(weak))]
    return tuple([Tensor(trace, v, w) for v, w in zip(results, flags, strict=True)])


def split(
    key: tuple[Hashable, ...],
    function: ir.Function,
    make: Callable[[ir.Function], Split],
    derivative: Derivative,
) -> Split:
    """`make(function)`, simplified first; kept by structure. `key` names what `make` does."""

    def prepared() -> ir.Function:
        with within(f"{key[0]} of {function.name}"):
            return step("simplify_inner", simplify_inner, rolled(function, derivative))

    if unequalled(function) or state.watch is not None:  # which is to tell the lines of this very function
        return make(prepared())
    return _SPLITS.get((key, state.roll, function), lambda: make(prepared()))


__all__ = ["Derivative", "apply", "split"]
