"""Programs that JAX may differentiate from outside, with the custom rules they contain kept.

Passes inline custom derivative calls, so `jax.grad` of the emitted program would differentiate the
bodies instead of using the rules. A program with such calls is therefore wrapped in a custom rule of
JAX, which emits our own derivative of the function as it was before the passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

import ir
from ir import transforms
from ir.core import map_nested
from ir.ops.calls import checkpoint
from ir.ops.linear_solve import linear_solve
from lowering.emit import emit

Optimize = Callable[[ir.Function], ir.Function]


def _custom_rules(function: ir.Function) -> set[str]:
    """Which kinds of custom derivative calls occur, nested functions included."""
    found: set[str] = set()
    stack = [function]
    while stack:
        for eqn in stack.pop().eqns:
            if eqn.op.name in ("custom_jvp_call", "custom_vjp_call", "custom_vjp_tangent"):
                found.add(eqn.op.name)
            if eqn.op is linear_solve and len(eqn.results) > len(eqn.attrs["matvec"].results):
                found.add("custom_jvp_call")  # likewise: the lowering has no derivative
            stack.extend(ir.nested_functions(eqn))
    return found


def emit_differentiable(
    function: ir.Function, optimize: Optimize, operands: Sequence[Any]
) -> tuple[Any, ...]:
    """Emit `optimize(function)`, honouring its custom rules under JAX's own transforms."""
    rules = _custom_rules(function)
    if not rules:
        return emit(optimize(function), operands)
    if rules == {"custom_jvp_call"}:
        return _with_jvp(function, optimize)(*operands)  # type: ignore[no-any-return]
    return _with_vjp(function, optimize)(*operands)  # type: ignore[no-any-return]


def _without_barriers(function: ir.Function) -> ir.Function:
    """A linear map whose checkpoints recompute without a barrier.

    One barrier spans residuals and tangents, and then JAX takes both for linear.
    """
    eqns = []
    for eqn in function.eqns:
        attrs = map_nested(eqn.attrs, _without_barriers)
        if eqn.op is checkpoint:
            attrs = {**attrs, "barrier": False}
        eqns.append(ir.Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source))
    return function.replace(eqns=tuple(eqns))


def _float0(type_: ir.TensorType) -> Any:
    return np.zeros(type_.shape, jax.dtypes.float0)


def _with_jvp(function: ir.Function, optimize: Optimize) -> Any:
    @jax.custom_jvp
    def program(*operands: Any) -> tuple[Any, ...]:
        return emit(optimize(function), operands)

    def rule(primals: Any, tangents: Any) -> Any:
        moves = tuple([type(t) is not SymbolicZero for t in tangents])
        # Primal and linear part apart: JAX keeps an inner custom rule, for the next derivative, only
        # where no tangent enters the call.
        forward, tangent_map, _ = transforms.split_linearize(function, moves)
        given = [t for t, m in zip(tangents, moves, strict=True) if m]
        outs = emit_differentiable(forward, optimize, primals)
        count = len(function.results)
        rest = iter(emit(optimize(_without_barriers(tangent_map)), (*outs[count:], *given)))
        return outs[:count], tuple(
            [next(rest) if t.dtype.is_inexact else _float0(t) for t in function.out_types]
        )

    program.defjvp(rule, symbolic_zeros=True)
    return program


def _with_vjp(function: ir.Function, optimize: Optimize) -> Any:
    seeded = tuple([t.dtype.is_inexact for t in function.out_types])

    @jax.custom_vjp
    def program(*operands: Any) -> tuple[Any, ...]:
        return emit(optimize(function), operands)

    def fwd(*operands: Any) -> Any:
        moves = tuple([x.perturbed for x in operands])
        forward, _, _ = transforms.split_vjp(function, moves, seeded)
        outs = emit_differentiable(forward, optimize, [x.value for x in operands])
        count = len(function.results)
        # What moves has to be known before the program runs: it goes into the structure.
        return outs[:count], (outs[count:], [() if m else None for m in moves])

    def bwd(kept: Any, cts: Any) -> Any:
        residuals, structure = kept
        moves = tuple([m is not None for m in structure])
        _, backward, _ = transforms.split_vjp(function, moves, seeded)
        given = [
            jnp.zeros(ct.shape, ct.dtype) if type(ct) is SymbolicZero else ct
            for ct, s in zip(cts, seeded, strict=True)
            if s
        ]
        outs = iter(emit_differentiable(backward, optimize, (*residuals, *given)))
        return tuple([next(outs) if m else None for m in moves])

    program.defvjp(fwd, bwd, symbolic_zeros=True)
    return program
