"""Forward mode: push tangents through a function, one rule an op.

`push` is the engine of every derivative: into a plain `Builder` it gives the JVP program, into a
`ir.transforms.linearize.LinearBuilder` the same equations sort themselves into a primal and a
linear part. `None` is a symbolic zero throughout, and integer, bool and key values always have it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ir.core import Eqn, Function, Value
from ir.errors import DifferentiationError, TracerError
from ir.op import LINEAR, MULTILINEAR, ZERO, Builder, Tangents, building, current_builder
from ir.ops.elementwise import add
from ir.ops.shape import zeros
from ir.types import TensorType


class _Watched(threading.local):
    """Equations in which a tangent ended, where somebody wants to know."""

    lost: list[Eqn] | None = None


_watched = _Watched()


@contextmanager
def watching() -> Iterator[list[Eqn]]:
    """Collects the equations without derivative that tangents meet meanwhile, nested functions included."""
    outer, _watched.lost = _watched.lost, []
    try:
        yield _watched.lost
    finally:
        _watched.lost = outer


def push(
    function: Function, operands: Sequence[Value], tangents: Sequence[Value | None]
) -> tuple[tuple[Value, ...], Tangents]:
    """Append primal and tangent equations of `function` to the current builder.

    Args:
      operands: values for the params; the params themselves may be passed, and then equations
        that do not change are shared with `function` instead of copied.
      tangents: a tangent for each, `None` for zero.

    Returns:
      (results, tangents of the results).
    """
    from ir.transforms.guard import guarded

    function = guarded(function, [t is not None for t in tangents])
    builder = current_builder()
    outer_source = builder.source
    env = {p: v for p, v in zip(function.params, operands, strict=True) if p is not v}
    shared = not env
    # By the values of `function`: a custom rule may return its operand with another tangent.
    tangent_of = {p: t for p, t in zip(function.params, tangents, strict=True) if t is not None}
    for eqn in function.eqns:
        ins = tuple([env.get(v, v) for v in eqn.operands]) if env else eqn.operands
        dins = tuple([tangent_of.get(v) for v in eqn.operands]) if tangent_of else ()
        builder.source = eqn.source.within(outer_source)
        if not any(dins) or eqn.op.jvp is ZERO:
            if _watched.lost is not None and any(dins):
                _watched.lost.append(eqn)
            if shared and ins == eqn.operands:
                builder.append(eqn)
            else:
                env.update(zip(eqn.results, builder.copy(eqn, ins), strict=True))
            continue
        try:
            if eqn.op.differentiate is not None:
                outs, douts = eqn.op.differentiate(ins, dins, **eqn.attrs)
                env.update(zip(eqn.results, outs, strict=True))
            else:
                if shared and ins == eqn.operands:
                    builder.append(eqn)
                    outs = eqn.results
                else:
                    outs = builder.copy(eqn, ins)
                    env.update(zip(eqn.results, outs, strict=True))
                builder.source = builder.source.derived()
                douts = apply_rule(eqn, ins, dins, outs)
        except TracerError as error:
            error.source = error.source or eqn.source
            raise
        tangent_of.update({v: t for v, t in zip(eqn.results, douts, strict=True) if t is not None})
    builder.source = outer_source
    results = tuple([env.get(v, v) for v in function.results])
    return results, tuple([tangent_of.get(v) for v in function.results])


def apply_rule(
    eqn: Eqn, operands: tuple[Value, ...], tangents: Tangents, results: tuple[Value, ...]
) -> Tangents:
    """Tangents of the results of one equation, by its op's JVP rule."""
    op, attrs = eqn.op, eqn.attrs
    rule = op.jvp
    if rule is LINEAR:
        full = [zeros(v.type) if t is None else t for v, t in zip(operands, tangents, strict=True)]
        out = op(*full, **attrs)
        return out if isinstance(out, tuple) else (out,)
    if rule is MULTILINEAR:
        total: Value | None = None
        for i, t in enumerate(tangents):
            if t is not None:
                term = op(*operands[:i], t, *operands[i + 1 :], **attrs)
                total = term if total is None else add(total, term)
        return (total,)
    if rule is None:
        raise DifferentiationError(f"{op.name} has no derivative rule", source=eqn.source)
    out = rule(tangents, operands, results, **attrs)
    for value, tangent in zip(results, out, strict=True):
        if tangent is not None and tangent.type is not value.type:
            raise DifferentiationError(
                f"the JVP rule of {op.name} gave a tangent {tangent.type} for a result {value.type}",
                source=eqn.source,
            )
    return tuple(out)


def tangent_params(types: Sequence[TensorType], nonzero: Sequence[bool]) -> Tangents:
    """Fresh tangent values where asked for; DifferentiationError for types that have no tangents."""
    out: list[Value | None] = []
    for type, wanted in zip(types, nonzero, strict=True):
        if wanted and not type.dtype.is_inexact:
            raise DifferentiationError(f"values of type {type} have no tangents: expected float or complex")
        out.append(Value(type) if wanted else None)
    return tuple(out)


def jvp(
    function: Function, nonzero: Sequence[bool], *, instantiate: bool = True, primals_out: bool = True
) -> tuple[Function, tuple[bool, ...]]:
    """The JVP program of a function.

    Args:
      nonzero: which params have a tangent.
      instantiate: give zeros for zero tangents of float and complex results.
      primals_out: return the primal results too.

    Returns:
      (program, present). The program takes the params and a tangent for each chosen one; it returns
      the results and then the tangents of those results where `present`.
    """
    tangents = tangent_params(function.in_types, nonzero)
    builder = Builder()
    with building(builder):
        results, out = push(function, function.params, tangents)
        if instantiate:
            out = tuple(
                [
                    zeros(v.type) if t is None and v.type.dtype.is_inexact else t
                    for v, t in zip(results, out, strict=True)
                ]
            )
    params = (*function.params, *[t for t in tangents if t is not None])
    outs = (*(results if primals_out else ()), *[t for t in out if t is not None])
    made = Function(params, tuple(builder.eqns), outs, f"jvp_{function.name}")
    return made, tuple([t is not None for t in out])
