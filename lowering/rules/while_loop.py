"""Lowering of `ir.ops.while_loop`."""

from __future__ import annotations

from typing import Any

import jax

from ir.ops.while_loop import while_without_lanes
from lowering.emit import emit, emit_repeated, lowers, types_of, with_weak_types
from lowering.kernels import as_loop


@lowers("while_loop")
def _while_loop(*operands: Any, lanes: Any, **attrs: Any) -> Any:
    if lanes:
        program = while_without_lanes(types_of(operands), {**attrs, "lanes": lanes}, safe=False)
        return emit(program, operands)
    cond, body = attrs["cond"], attrs["body"]
    at = attrs["num_cond_consts"]
    split = at + attrs["num_body_consts"]

    def run(*operands: Any) -> tuple[Any, ...]:
        out = jax.lax.while_loop(
            lambda carry: emit_repeated(cond, (*operands[:at], *carry))[0],
            lambda carry: with_weak_types(emit_repeated(body, (*operands[at:split], *carry)), ()),
            with_weak_types([jax.numpy.asarray(x) for x in operands[split:]], ()),
        )
        return tuple(out)

    return as_loop(run, operands, [cond, body])
