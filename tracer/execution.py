"""Applying a program: inlined while a trace is being recorded, compiled and run otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ir
from ir.op import inline
from ir.passes.pipeline import optimize, simplify_inner
from ir.passes.rolling import roll
from lowering.execute import Cache, run
from tracer.state import state
from tracer.value import Tensor

Split = tuple[ir.Function, ir.Function, int]

# Both halves of split programs, so that the second call of an un-jitted `vjp` transforms nothing.
_SPLITS: Cache[Split] = Cache(256)


def rolled(function: ir.Function) -> ir.Function:
    """The program with its loops found again, as the compilation that traces it wants."""
    return (state.roll or roll)(function)


def apply(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    operands: Sequence[Any],
    weak: Sequence[bool],
) -> tuple[Any, ...]:
    """Results of `transform(function)`: traced values inside a trace, arrays outside any.

    Args:
      key: names the transform.
      function: what was traced.
      transform: a program to a program; its results are what is returned.
      operands: one for each param of the transformed program.
      weak: which results are weakly typed; those beyond its end are not.
    """
    trace = state.trace
    if trace is None:
        operands = [x.outside() if type(x) is Tensor else x for x in operands]
        return run(key, function, lambda f: transform(simplify_inner(rolled(f))), optimize, operands, weak)
    program = simplify_inner(transform(rolled(function)))
    lifted = [trace.lift(x).value for x in operands]
    results = inline(program, lifted)
    flags = [*weak, *[False] * (len(results) - len(weak))]
    return tuple([Tensor(trace, v, w) for v, w in zip(results, flags, strict=True)])


def split(key: tuple[Hashable, ...], function: ir.Function, make: Callable[[ir.Function], Split]) -> Split:
    """`make(function)`, simplified first; kept by structure. `key` names what `make` does."""
    return _SPLITS.get((key, state.roll, function), lambda: make(simplify_inner(rolled(function))))


__all__ = ["apply", "split"]
