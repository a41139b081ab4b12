"""Vectorisation: a function over one example becomes the function over a leading batch axis.

A value is either unbatched or has the batch as axis 0; there is no third case, so that rules stay
short. Equations with no batched operand are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Eqn, Function, Value
from ir.errors import BatchingError, TracerError
from ir.op import Builder, building, current_builder
from ir.ops.families import materialize


def batch_into(
    function: Function, operands: Sequence[Value], batched: Sequence[bool], size: int
) -> tuple[tuple[Value, ...], tuple[bool, ...]]:
    """Append the batched body of `function` to the current builder; (results, batched)."""
    builder = current_builder()
    outer_source = builder.source
    env = dict(zip(function.params, operands, strict=True))
    is_batched = dict(zip(function.params, batched, strict=True))
    for eqn in function.eqns:
        ins = tuple([env[v] for v in eqn.operands])
        flags = tuple([is_batched[v] for v in eqn.operands])
        builder.source = eqn.source.within(outer_source)
        if not any(flags):
            outs = builder.copy(eqn, ins)
            out_flags: tuple[bool, ...] = (False,) * len(outs)
        else:
            try:
                outs, out_flags = apply_rule(eqn, ins, flags, size)
            except TracerError as error:
                error.source = error.source or eqn.source
                raise
        env.update(zip(eqn.results, outs, strict=True))
        is_batched.update(zip(eqn.results, out_flags, strict=True))
    builder.source = outer_source
    return tuple([env[r] for r in function.results]), tuple([is_batched[r] for r in function.results])


def apply_rule(
    eqn: Eqn, operands: tuple[Value, ...], batched: tuple[bool, ...], size: int
) -> tuple[tuple[Value, ...], tuple[bool, ...]]:
    """Batched results of one equation, by its op's rule."""
    op = eqn.op
    if op.batch is not None:
        results, flags = op.batch(operands, batched, size, **eqn.attrs)
        return tuple(results), tuple(flags)
    if op.elementwise:
        full = [materialize(v, b, size) for v, b in zip(operands, batched, strict=True)]
        out: Any = op(*full, **eqn.attrs)
        results = out if isinstance(out, tuple) else (out,)
        return results, (True,) * len(results)
    raise BatchingError(f"{op.name} has no batching rule", source=eqn.source)


def batch(
    function: Function, batched: Sequence[bool], size: int, *, all_results: bool = False
) -> tuple[Function, tuple[bool, ...]]:
    """The batched program and which of its results are batched.

    Args:
      batched: which params have a leading axis of `size`.
      all_results: broadcast unbatched results, so that every result is batched.
    """
    params = tuple(
        [
            Value(p.type.with_shape((size, *p.type.shape)) if b else p.type, p.name)
            for p, b in zip(function.params, batched, strict=True)
        ]
    )
    builder = Builder()
    with building(builder):
        results, flags = batch_into(function, params, batched, size)
        if all_results:
            results = tuple([materialize(v, b, size) for v, b in zip(results, flags, strict=True)])
            flags = (True,) * len(results)
    return Function(params, tuple(builder.eqns), results, f"batch_{function.name}"), flags
