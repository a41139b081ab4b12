"""Lowering of `ir.ops.linear_solve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import ir
from lowering.emit import emit, lowers


@lowers("linear_solve")
def _linear_solve(
    *operands: Any,
    matvec: ir.Function,
    solve: ir.Function,
    vecmat: ir.Function | None,
    transpose_solve: ir.Function | None,
) -> Any:
    """As JAX's own, so that it knows the derivative where it differentiates from outside.

    Not with auxiliary results, which JAX 0.10 cannot have beside a `transpose_solve`: the derivative is then
    given around the whole program (lowering/boundary.py).
    """
    count = len(matvec.results)
    if len(solve.results) > count:
        return emit(solve, operands)
    constants = operands[: len(operands) - count]

    def run(function: ir.Function) -> Callable[[Any], tuple[Any, ...]]:
        return lambda x: emit(function, (*constants, *x))

    def solver(function: ir.Function) -> Callable[[Any, Any], tuple[Any, ...]]:
        return lambda _, b: emit(function, (*constants, *b))

    return jax.lax.custom_linear_solve(
        run(matvec),
        tuple(operands[len(constants) :]),
        solver(solve),
        None if transpose_solve is None else solver(transpose_solve),
    )
