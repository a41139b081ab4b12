"""Lowering of `ir.ops.loops`."""

from __future__ import annotations

from typing import Any

import jax

import ir
from lowering.emit import emit_repeated, lowers
from lowering.kernels import as_loop


@lowers("scan")
def _scan(
    *operands: Any,
    function: ir.Function,
    num_consts: int,
    num_carry: int,
    length: int,
    reverse: bool,
    unroll: int,
) -> Any:
    def run(*operands: Any) -> tuple[Any, ...]:
        consts, init = operands[:num_consts], operands[num_consts : num_consts + num_carry]
        xs = operands[num_consts + num_carry :]

        def body(carry: Any, x: Any) -> Any:
            outs = emit_repeated(function, (*consts, *carry, *x))
            return outs[:num_carry], outs[num_carry:]

        carry, ys = jax.lax.scan(
            body,
            tuple([jax.numpy.asarray(c) for c in init]),
            xs,
            length=length,
            reverse=reverse,
            unroll=unroll,
        )
        return (*carry, *ys)

    return as_loop(run, operands, [function], length)
