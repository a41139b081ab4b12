"""Applying a program: inlined while a trace is being recorded, compiled and run otherwise."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import ir
from ir.op import inline
from ir.passes.pipeline import optimize, simplify_inner
from lowering.execute import run as run_program
from tracer.state import state
from tracer.value import Tensor


def run(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    operands: Sequence[Any],
) -> tuple[Any, ...]:
    """Run `transform(function)` at concrete operands, through the cache of compiled programs."""
    return run_program(key, function, lambda f: transform(simplify_inner(f)), optimize, operands)


def apply(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    operands: Sequence[Any],
    weak: Sequence[bool] = (),
) -> tuple[Any, ...]:
    """Results of `transform(function)`: traced values inside a trace, arrays outside any.

    Args:
      key: names the transform.
      weak: which results are weakly typed.
    """
    trace = state.trace
    if trace is None:
        return run(key, function, transform, operands)
    program = simplify_inner(transform(function))
    lifted = [trace.lift(x).value for x in operands]
    results = inline(program, lifted)
    flags = [*weak, *[False] * (len(results) - len(weak))]
    return tuple([Tensor(trace, v, w) for v, w in zip(results, flags, strict=True)])
