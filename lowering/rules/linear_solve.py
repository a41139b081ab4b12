"""Lowering of `ir.ops.linear_solve`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

import ir
from ir.ops.linear_solve import linear_solve
from lowering.differentiable import jax_differentiates, without_barriers
from lowering.emit import emit, lowers


@lowers("linear_solve")
def _linear_solve(*operands: Any, **functions: Any) -> Any:
    """As JAX's own where that can be, so that it has its derivatives; otherwise the solver alone.

    The derivative is then given around the whole program (lowering/boundary.py).
    """
    solve, transpose_solve = functions["solve"], functions["transpose_solve"]
    if not jax_differentiates(linear_solve, functions):
        return emit(solve, operands)
    count = len(functions["matvec"].results)
    constants = operands[: len(operands) - count]

    def run(function: ir.Function) -> Callable[[Any], tuple[Any, ...]]:
        return lambda x: emit(function, (*constants, *x))

    def solver(function: ir.Function) -> Callable[[Any, Any], tuple[Any, ...]]:
        return lambda _, b: emit(function, (*constants, *b))

    return jax.lax.custom_linear_solve(
        run(without_barriers(functions["matvec"])),
        tuple(operands[len(constants) :]),
        solver(solve),
        None if transpose_solve is None else solver(transpose_solve),
    )
