"""Answering `bool(x)` and the like for traced values.

Under `jit` nothing is known and the answer is an error that names the user's line. An un-jitted
transform knows its arguments: the equations behind the value are run, once each, so that Python's own
control flow keeps its meaning, as it does in eager JAX. What would cut a derivative (`float(x)` of a
value that depends on what is being differentiated) is an error there too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import numpy as np

import ir
from ir.core import Eqn, Value
from ir.errors import ConcretizationError
from ir.op import ZERO
from ir.ops.shape import constant
from ir.sparsity.exactness import Exactness, exactness
from ir.sparsity.propagate import can_be_known
from lowering.emit import emit
from tracer.trace import Trace
from tracer.value import Tensor

UNKNOWN: Final = object()


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the arguments of a trace stand for.

    Attributes:
      values: arrays, numbers or values of the enclosing trace; `UNKNOWN` where there is none.
      moved: which of them are being differentiated.
    """

    values: Sequence[Any]
    moved: Sequence[bool]


def concrete_value(tensor: Tensor, what: str, instead: str, *, cuts: bool) -> Any:
    """The value of `tensor` as an array.

    Args:
      tensor: a traced value.
      what, instead: for the message: what needs the value, and what to write instead.
      cuts: whether the answer could carry a derivative, which would be lost.

    Raises:
      ConcretizationError: the trace does not know the value, or a derivative would be lost.
    """
    tensor.require_active()
    if cuts and moves(tensor):
        raise ConcretizationError(
            f"expected a value that is not being differentiated for {what}, got a traced {tensor.value.type}: "
            "its derivative would be lost",
            note=f"{instead}, or use tracer.stop_gradient where that is meant",
        )
    found = _known(tensor)
    if found is UNKNOWN:
        raise ConcretizationError(
            f"expected a concrete value for {what}, got a traced {tensor.value.type}", note=instead
        )
    if isinstance(found, jax.core.Tracer):
        try:
            bool((found == found).all())  # noqa: PLR0124 (false for NaN)
        except jax.errors.ConcretizationTypeError as error:
            raise ConcretizationError(
                f"expected a concrete value for {what}, got a {tensor.value.type} traced by JAX", note=instead
            ) from error
    return found


def _needed(trace: Trace, value: Value) -> tuple[list[Eqn], list[Value]]:
    """Equations behind `value` that were not run yet, in order, and the params and known values they use."""
    live = {value} - trace.known.keys()
    eqns = []
    leaves: dict[Value, None] = {} if live else {value: None}
    for eqn in reversed(trace.eqns):
        if live.isdisjoint(eqn.results):
            continue
        eqns.append(eqn)
        live.difference_update(eqn.results)
        for v in eqn.operands:
            if v in trace.known:
                leaves[v] = None
            else:
                live.add(v)
    leaves.update(dict.fromkeys(live))  # what no equation defines is a param
    return eqns[::-1], list(leaves)


def _known(x: Any) -> Any:
    """The concrete array behind `x`, or UNKNOWN."""
    if not isinstance(x, Tensor):
        return x
    trace = x.owner
    if trace.inputs is None:
        return UNKNOWN
    eqns, leaves = _needed(trace, x.value)
    unknown = [v for v in leaves if v not in trace.known]
    if unknown:
        outer = _outer(trace)
        for v in unknown:
            found = _known(outer[v])
            if found is UNKNOWN:
                return UNKNOWN
            trace.known[v] = found
    if eqns:
        # Each equation on its own, as eager JAX does: a loop runs what is new, and compiles nothing new.
        made = [r for eqn in eqns if eqn.op is not constant for r in eqn.results]
        results = (*made, x.value)
        part = ir.Function(tuple(leaves), tuple(eqns), results, "known")
        trace.known.update(zip(results, emit(part, [trace.known[v] for v in leaves]), strict=True))
    return trace.known[x.value]


def _outer(trace: Trace) -> dict[Value, Any]:
    """What the params of a trace stand for."""
    assert trace.inputs is not None
    found = {param: outer for outer, param, _ in trace.captures.values()}
    found.update(zip(trace.args, trace.inputs.values, strict=True))
    return found


def known_value(tensor: Tensor) -> Any | None:
    """The value of `tensor` where it may be taken for a constant; `None` elsewhere.

    It may where it follows from constants and from arrays outside the trace alone. Integer and bool arrays may, too,
    where the trace knows its arguments, as that of an un-jitted transform does: they are indices and masks.
    """
    found = _constant(tensor)
    type_ = tensor.value.type
    if found is None and type_.rank and type_.dtype.kind in ("bool", "int", "uint") and _is_exact(tensor):
        known = _known(tensor)
        found = None if known is UNKNOWN or isinstance(known, jax.core.Tracer) else np.asarray(known)
    return found


def _is_exact(x: Any) -> bool:
    """Whether nothing that the value follows from rounds, so that it has the same bits however it is computed."""
    if type(x) is not Tensor or x.owner.inputs is None:
        return True
    eqns, leaves = _needed(x.owner, x.value)
    outer = _outer(x.owner)
    return all(exactness(eqn, Exactness.BITS) is Exactness.BITS for eqn in eqns) and all(
        v in outer and _is_exact(outer[v]) for v in leaves
    )


def _constant(x: Any) -> Any | None:
    """The array behind `x`, if constants and arrays outside its trace are all that it depends on."""
    if not isinstance(x, Tensor):
        return None if isinstance(x, jax.core.Tracer) else np.asarray(x)
    constants = x.owner.constants
    constants.read(x.owner.eqns, x.owner.args)
    if x.value in constants.moving:
        return None
    eqns, leaves = _behind(x.value, constants.made)
    captured = {param: outer for outer, param, _ in x.owner.captures.values()}
    params = tuple(leaves)
    if not leaves <= captured.keys() or not all(map(can_be_known, eqns)):
        return None
    if any(exactness(eqn, Exactness.BITS) is not Exactness.BITS for eqn in eqns):
        return None  # XLA may compute it otherwise
    arrays = [_constant(captured[p]) for p in params]
    if any(a is None for a in arrays):
        return None
    typed = [np.asarray(a).astype(p.type.dtype.np) for a, p in zip(arrays, params, strict=True)]
    return ir.evaluate(ir.Function(params, tuple(eqns), (x.value,), "constant"), *typed)[0]


def _behind(value: Value, made: dict[Value, Eqn]) -> tuple[list[Eqn], set[Value]]:
    """The equations that a value follows from, each after what it reads, and the values that none of them makes."""
    eqns: list[Eqn] = []
    leaves: set[Value] = set()
    done: set[Eqn] = set()
    stack: list[tuple[Value, bool]] = [(value, False)]
    while stack:
        v, ready = stack.pop()
        eqn = made.get(v)
        if eqn is None:
            leaves.add(v)
        elif ready:
            eqns.append(eqn)
        elif eqn not in done:
            done.add(eqn)
            stack.append((v, True))
            stack.extend([(operand, False) for operand in eqn.operands])
    return eqns, leaves


def moves(x: Any) -> bool:
    """Whether the value depends on something that is being differentiated."""
    if not isinstance(x, Tensor) or not x.value.type.dtype.is_inexact:
        return False
    trace = x.owner
    live = {x.value}
    for eqn in reversed(trace.eqns):
        if not live.isdisjoint(eqn.results) and eqn.op.jvp is not ZERO:
            live.update([v for v in eqn.operands if v.type.dtype.is_inexact])
    if trace.inputs is not None:
        moved = [p for p, m in zip(trace.args, trace.inputs.moved, strict=True) if m]
        if not live.isdisjoint(moved):
            return True
        outer = _outer(trace)
    else:
        outer = {param: found for found, param, _ in trace.captures.values()}
    return any(moves(outer[v]) for v in live & outer.keys())


__all__ = ["UNKNOWN", "Inputs", "concrete_value", "known_value", "moves"]
