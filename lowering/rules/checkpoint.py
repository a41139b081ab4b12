"""Lowering of `ir.ops.checkpoint`: what recomputes something stands behind a barrier."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

import ir
from lowering.emit import emit, lowers


@lowers("checkpoint")
def _checkpoint(*operands: Any, function: ir.Function, barrier: bool) -> Any:
    if barrier:  # what it recomputes was computed before, and shall not be merged with that
        return emit(function, tuple(lax.optimization_barrier(operands)))  # type: ignore[no-untyped-call]
    # Not differentiated yet: JAX may do so from outside, and then recomputes too.
    return jax.checkpoint(lambda *xs: emit(function, xs))(*operands)


@lowers("checkpoint_name")
def _checkpoint_name(x: Any, *, name: str, saved: bool) -> Any:
    return x
