"""Import of calls, of custom derivative rules, and of what is the identity to values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import ir
from ir.core import Opaque, Value
from ir.ops import calls
from ir.ops.linear_call import linear_call, with_params
from ir.ops.structural import StructuralRule
from ir.types import TensorType
from lowering.execute import Cache
from lowering.jaxprs.foreign import bound, merged, structs_of, traced, zero_cotangents
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.types import struct_of, type_of

# A rule as a function, by which operands have tangents.
_Make = Callable[[tuple[bool, ...]], ir.Function]
_RULES: Cache[tuple[Any, dict[str, Opaque]]] = Cache(1024)


def _results(out: Any) -> tuple[Value, ...]:
    return out if isinstance(out, tuple) else (out,)


# Calls -----------------------------------------------------------------------------------------------


def _sharding(given: Any) -> Any:
    """A sharding that was asked for, or None."""
    return given if isinstance(given, jax.sharding.Sharding) else None


def _constrained(values: Sequence[Value], shardings: Sequence[Any]) -> list[Value]:
    return [
        v if _sharding(s) is None else calls.sharding_constraint(v, sharding=Opaque("sharding", s))
        for v, s in zip(values, shardings, strict=True)
    ]


@imports("jit", "pjit")
def _jit(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    function, captures = importer.nested(p["jaxpr"], p["name"])
    ins = _constrained(operands, p["in_shardings"])
    outs = _called(importer, calls.call, function, captures, ins)
    return _constrained(outs, p["out_shardings"])


def _called(
    importer: Importer, op: ir.Op, function: ir.Function, captures: Sequence[Any], operands: Sequence[Value],
    **attrs: Any,
) -> tuple[Value, ...]:  # fmt: skip
    """A call, which may have no results."""
    ins = (*[importer.lift(x) for x in captures], *operands)
    return importer.builder.emit(op, ins, op.normalize({"function": function, **attrs}))


@imports("closed_call", "core_call", "core_closed_call", "call")
def _closed_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    jaxpr = eqn.params.get("call_jaxpr", eqn.params.get("jaxpr"))
    function, captures = importer.nested(jaxpr, eqn.params.get("name", "call"))
    return _called(importer, calls.call, function, captures, operands)


@imports("checkpoint", "remat", "remat2")
def _checkpoint(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """What a policy would have kept is recomputed too: the same values, with less memory."""
    p = eqn.params
    function, captures = importer.nested(p["jaxpr"], "checkpoint")
    barrier = bool(p["differentiated"] and p["prevent_cse"])
    return _called(importer, calls.checkpoint, function, captures, operands, barrier=barrier)


# Custom derivatives ------------------------------------------------------------------------------------


def _name(eqn: Any) -> str:
    """What the user calls a custom function."""
    call_jaxpr = eqn.params["call_jaxpr"]
    info = getattr(call_jaxpr.jaxpr, "debug_info", None)
    return str(getattr(info, "func_name", "") or "custom")


def _kept(eqn: Any, body: ir.Function, functions: dict[str, _Make]) -> dict[str, Opaque]:
    """The rules of a custom function as attributes; the same ones where JAX has kept the very call."""
    held = tuple([v for k, v in sorted(eqn.params.items()) if k not in ("symbolic_zeros", "num_consts")])
    key = (body, *map(id, held))

    def make() -> tuple[Any, dict[str, Opaque]]:
        rules = {kind: Opaque(body.name, StructuralRule(kind, body, f)) for kind, f in functions.items()}
        return held, rules  # what the key knows by identity must live as long as the entry

    return _RULES.get(key, make)[1]


def _chosen(xs: Sequence[Any], chosen: Sequence[bool]) -> list[Any]:
    return [x for x, c in zip(xs, chosen, strict=True) if c]


def _inexact(types: Sequence[TensorType]) -> tuple[bool, ...]:
    return tuple([t.dtype.is_inexact for t in types])


@imports("custom_jvp_call", "custom_jvp_call_jaxpr")
def _custom_jvp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)

    def rule(moves: tuple[bool, ...]) -> ir.Function:
        def pushed(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            moving = _chosen(primals, moves)
            some = [t for t, moves_too in zip(tangents, _chosen(moves, moved), strict=True) if moves_too]
            outs, douts = jax.jvp(lambda *xs: tuple(run(*merged(primals, moves, xs))), moving, some)
            return (*outs, *_chosen(douts, given))

        return traced(pushed, (structs, _chosen(structs, moved)), f"jvp_{body.name}")

    attrs = {"function": body, **_kept(eqn, body, {"jvp": rule})}
    return importer.builder.emit(calls.custom_jvp_call, tuple(operands), attrs)


@imports("custom_vjp_call", "custom_vjp_call_jaxpr")
def _custom_vjp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)
    # How the residuals make the pull-back, once the forward rule is traced.
    found: dict[tuple[bool, ...], tuple[Any, list[Any]]] = {}

    def fwd(moves: tuple[bool, ...]) -> ir.Function:
        def forward(primals: Sequence[Any]) -> Any:
            moving = _chosen(primals, moves)
            outs, pull = jax.vjp(lambda *xs: tuple(run(*merged(primals, moves, xs))), *moving)
            residuals, tree = jax.tree_util.tree_flatten(pull)
            found[moves] = tree, [jax.typeof(x) for x in residuals]
            return (*outs, *residuals)

        return traced(forward, (structs,), f"fwd_{body.name}")

    def bwd(moves: tuple[bool, ...]) -> ir.Function:
        if moves not in found:
            fwd(moves)
        tree, kept = found[moves]

        def backward(residuals: Sequence[Any], cts: Sequence[Any]) -> Any:
            pull = jax.tree_util.tree_unflatten(tree, residuals)
            grads = iter(pull(zero_cotangents(cts, given, body.out_types)))
            operands = zip(body.in_types, moves, strict=True)
            every = [next(grads) if m else jnp.zeros(t.shape, t.dtype.np) for t, m in operands]
            return _chosen(every, moved)

        cts = [struct_of(t) for t in _chosen(body.out_types, given)]
        residuals = [struct_of(type_of(a), a.weak_type) for a in kept]
        return traced(backward, (residuals, cts), f"bwd_{body.name}")

    attrs = {"function": body, **_kept(eqn, body, {"fwd": fwd, "bwd": bwd})}
    return importer.builder.emit(calls.custom_vjp_call, tuple(operands), attrs)


@imports("linear_call")
def _linear_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """The residuals are what either function closes over, then its own."""
    p = eqn.params
    num_consts = p["num_callee_consts"]
    split = num_consts + p["num_res"]
    if not all(_inexact([v.type for v in operands[split:]])):
        raise Unmapped
    try:
        transposed, consts = p["transpose_thunk"]()
    except jax.errors.UnexpectedTracerError:
        raise Unmapped from None
    if any(isinstance(x, jax.core.Tracer) for x in consts):  # of a trace that has ended
        raise Unmapped
    forward, of_forward = importer.nested(p["callee"], "linear_call")
    back, of_back = importer.nested(transposed, "transpose")
    if not all(_inexact(forward.out_types)):
        raise Unmapped
    groups = [
        [*[importer.lift(x) for x in of_forward], *operands[:num_consts]],
        [importer.lift(x) for x in (*of_back, *consts)],
        operands[num_consts:split],
    ]
    types = [[v.type for v in group] for group in groups]
    function = with_params(forward, (0, 2), types)
    transpose = with_params(back, (1, 2), types)
    residuals = [v for group in groups for v in group]
    attrs = {"function": function, "transpose": transpose, "num_residuals": len(residuals)}
    return importer.builder.emit(linear_call, (*residuals, *operands[split:]), attrs)


# Barriers and placements ---------------------------------------------------------------------------------


@imports("optimization_barrier")
def _barrier(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return importer.builder.emit(calls.optimization_barrier, tuple(operands))


@imports("sharding_constraint")
def _sharding_constraint(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if eqn.params.get("unconstrained_dims") or eqn.params.get("layout") is not None:
        raise Unmapped
    return calls.sharding_constraint(operands[0], sharding=Opaque("sharding", eqn.params["sharding"]))


@imports("device_put")
def _device_put(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    if any(device is not None for device in eqn.params["devices"]):
        raise Unmapped
    return tuple(operands)
