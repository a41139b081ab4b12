"""Programs that JAX may differentiate from outside, with the custom rules they contain kept.

Passes inline custom derivative calls, so `jax.grad` of the emitted program would differentiate the
bodies instead of using the rules. A program with such calls is therefore wrapped in a custom rule of
JAX, which emits our own derivative of the function as it was before the passes.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

import ir
from ir import transforms
from ir.errors import DifferentiationError
from ir.ops.while_loop import while_loop
from lowering.differentiable import every_eqn, jax_differentiates, without_barriers
from lowering.emit import emit
from lowering.kernels import emitting_for_good, has_small_loops

Optimize = Callable[[ir.Function], ir.Function]


class _Importing(threading.local):
    """Whether JAX traces a function for us in this thread, so that what is emitted becomes IR again.

    Whoever sets it sees to it that JAX does not use what it traces then at other times.
    """

    active: bool = False


importing = _Importing()

# Programs of ours by the jaxprs that they were emitted as. What JAX makes of such a jaxpr (a batch, a derivative) is
# another object, so that what is found here means what it meant.
_EMITTED: weakref.WeakKeyDictionary[Any, ir.Function] = weakref.WeakKeyDictionary()


def emitted_as(jaxpr: Any, program: ir.Function) -> None:
    """Remember which program a closed jaxpr is, for its import: it tells the user's lines, which a jaxpr does not."""
    _EMITTED[jaxpr] = program


def program_of(jaxpr: Any) -> ir.Function | None:
    """The program that was emitted as this very closed jaxpr."""
    return _EMITTED.get(jaxpr)


def _custom_rules(function: ir.Function) -> set[str]:
    """Which kinds of custom derivative calls occur, nested functions included."""
    found: set[str] = set()
    for eqn in every_eqn(function):
        if eqn.op.name in ("custom_jvp_call", "custom_vjp_call", "custom_vjp_tangent"):
            found.add(eqn.op.name)
        if eqn.op is while_loop and importing.active:
            continue  # a loop of JAX comes back as one of ours, which a rule of JAX around it does not
        if not jax_differentiates(eqn.op, eqn.attrs):
            found.add("custom_jvp_call")  # likewise
    return found


def emit_differentiable(
    function: ir.Function, optimize: Optimize, operands: Sequence[Any]
) -> tuple[Any, ...]:
    """Emit `optimize(function)`, honouring its custom rules under JAX's own transforms."""
    rules = _custom_rules(function)
    if not rules:
        optimized = optimize(function)
        # Passes may write loops that JAX cannot differentiate, for programs that it can.
        rules = _custom_rules(optimized)
        if not rules and not importing.active and has_small_loops(optimized):
            rules = {"custom_jvp_call"}  # their lowering cannot be differentiated
        if not rules:
            return emit(optimized, operands)
        optimize = _remembered(function, optimized, optimize)
    if rules == {"custom_jvp_call"}:
        return _with_jvp(function, optimize)(*operands)  # type: ignore[no-any-return]
    return _with_vjp(function, optimize)(*operands)  # type: ignore[no-any-return]


def _remembered(function: ir.Function, optimized: ir.Function, optimize: Optimize) -> Optimize:
    """As `optimize`, with the result for one function."""
    return lambda other: optimized if other is function else optimize(other)


def _for_good(function: ir.Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """The body of a custom rule, which JAX does not differentiate."""
    if importing.active:
        return emit(function, operands)
    with emitting_for_good():
        return emit(function, operands)


def _float0(type_: ir.TensorType) -> Any:
    return np.zeros(type_.shape, jax.dtypes.float0)


def _with_jvp(function: ir.Function, optimize: Optimize) -> Any:
    @jax.custom_jvp
    def program(*operands: Any) -> tuple[Any, ...]:
        return _for_good(optimize(function), operands)

    def rule(primals: Any, tangents: Any) -> Any:
        moves = tuple([type(t) is not SymbolicZero for t in tangents])
        # Primal and linear part apart: JAX keeps an inner custom rule, for the next derivative, only
        # where no tangent enters the call.
        forward, tangent_map, _ = transforms.split_linearize(function, moves)
        given = [t for t, m in zip(tangents, moves, strict=True) if m]
        outs = emit_differentiable(forward, optimize, primals)
        count = len(function.results)
        back = _transposed_for_jax(tangent_map, len(outs) - count)
        if back is not None:
            rest = iter(_transposable(tangent_map, back, optimize, outs[count:], given))
        else:
            rest = iter(emit(optimize(without_barriers(tangent_map)), (*outs[count:], *given)))
        return outs[:count], tuple(
            [next(rest) if t.dtype.is_inexact else _float0(t) for t in function.out_types]
        )

    program.defjvp(rule, symbolic_zeros=True)
    return program


def _transposed_for_jax(tangent_map: ir.Function, num_residuals: int) -> ir.Function | None:
    """The transpose of a linear map, if it has one and JAX cannot find it by itself."""
    if all(jax_differentiates(eqn.op, eqn.attrs) for eqn in every_eqn(tangent_map)):
        return None
    linear = [k >= num_residuals for k in range(len(tangent_map.params))]
    try:
        return transforms.transpose(tangent_map, linear, [True] * len(tangent_map.results))
    except DifferentiationError:
        return None  # forward mode needs none; JAX says so where it is asked for reverse mode


def _transposable(
    tangent_map: ir.Function, back: ir.Function, optimize: Optimize,
    residuals: Sequence[Any], tangents: Sequence[Any],
) -> tuple[Any, ...]:  # fmt: skip
    """A linear map L with its transpose `back`, for JAX, which cannot transpose this one by itself.

    JAX has one construct that holds a linear map, its transpose, their derivatives and their batches: the
    linear solve. With M = [[1, 0], [-L, 1]] the system [[0, M], [M^T, 0]] (p, q) = b is symmetric, so that
    JAX derives no transpose, and b = ((x, 0), 0) gives q = (x, L x). The part p, which reverse mode
    reads instead, is dead code here.
    """

    def plus(a: Sequence[Any], function: ir.Function, x: Sequence[Any]) -> tuple[Any, ...]:
        moved = emit_differentiable(function, optimize, (*residuals, *x))
        return tuple([u + v for u, v in zip(a, moved, strict=True)])

    def matvec(v: Any) -> Any:
        (px, py), (qx, qy) = v
        minus_x, minus_y = [tuple([-u for u in part]) for part in (qx, py)]
        out = (qx, plus(qy, tangent_map, minus_x)), (plus(px, back, minus_y), py)
        return jax.tree_util.tree_map(lambda u: u + _nothing(residuals, u.dtype, u.shape), out)

    def solve(_: Any, b: Any) -> Any:
        (ax, ay), (bx, by) = b
        return (plus(bx, back, by), by), (ax, plus(ay, tangent_map, ax))

    x = tuple(tangents)
    y = tuple([_nothing(x, t.dtype.np, t.shape) for t in tangent_map.out_types])
    zeros = tuple([_nothing(x, v.dtype, v.shape) for v in x])
    _, (_, out) = jax.lax.custom_linear_solve(matvec, ((x, y), (zeros, y)), solve, solve, symmetric=True)
    return out  # type: ignore[no-any-return]


def _nothing(xs: Sequence[Any], dtype: Any, shape: Any) -> Any:
    """Zeros that are linear in `xs`: sums of no elements.

    JAX transposes a solve where all of its right-hand side is linear in the tangents, or none is.
    """
    part = jnp.zeros((), dtype).real.dtype
    total: Any = 0
    for x in xs:
        if jnp.issubdtype(x.dtype, jnp.inexact):
            total = total + jnp.sum(jnp.ravel(jnp.real(x))[:0]).astype(part)
    return jnp.broadcast_to(jnp.asarray(total).astype(dtype), shape)


def _with_vjp(function: ir.Function, optimize: Optimize) -> Any:
    seeded = tuple([t.dtype.is_inexact for t in function.out_types])

    @jax.custom_vjp
    def program(*operands: Any) -> tuple[Any, ...]:
        return _for_good(optimize(function), operands)

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
