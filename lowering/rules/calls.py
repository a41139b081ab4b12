"""Lowering of `ir.ops.calls`: bodies are inlined."""

from __future__ import annotations

from typing import Any

from jax import lax

import ir
from ir.errors import DifferentiationError
from lowering.emit import emit, lowers


@lowers("call")
@lowers("fused")
def _call(*operands: Any, function: ir.Function) -> Any:
    return emit(function, operands)


@lowers("custom_jvp_call")
def _custom_jvp_call(*operands: Any, function: ir.Function, jvp: ir.Opaque) -> Any:
    return emit(function, operands)


@lowers("custom_vjp_call")
def _custom_vjp_call(*operands: Any, function: ir.Function, fwd: ir.Opaque, bwd: ir.Opaque) -> Any:
    return emit(function, operands)


@lowers("custom_vjp_tangent")
def _custom_vjp_tangent(*operands: Any, bwd: ir.Opaque, **_: Any) -> Any:
    raise DifferentiationError(
        f"{bwd.name} has a custom_vjp rule, which gives reverse-mode derivatives only; "
        "forward mode (jvp, jacfwd, linearize) needs custom_jvp"
    )


@lowers("stop_gradient")
def _stop_gradient(x: Any) -> Any:
    return lax.stop_gradient(x)


@lowers("optimization_barrier")
def _optimization_barrier(*operands: Any) -> Any:
    return tuple(lax.optimization_barrier(operands))  # type: ignore[no-untyped-call]


@lowers("sharding_constraint")
def _sharding_constraint(x: Any, *, sharding: ir.Opaque) -> Any:
    return lax.with_sharding_constraint(x, sharding.obj)  # type: ignore[no-untyped-call]


@lowers("assume")
def _assume(x: Any, *, properties: tuple[str, ...]) -> Any:
    return x
