"""Import of calls, of custom derivative rules, and of what is the identity to values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

import ir
from ir.core import Opaque, Value
from ir.ops import calls
from ir.types import TensorType
from lowering.execute import Cache
from lowering.jaxprs.custom import ImportedRule
from lowering.jaxprs.foreign import bound, merged, structs_of, traced, zero_cotangents
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.types import struct_of, type_of

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


def _kept(eqn: Any, body: ir.Function, functions: dict[str, Callable[[], ir.Function]]) -> dict[str, Opaque]:
    """The rules of a custom function as attributes; the same ones where JAX has kept the very call."""
    held = tuple([v for k, v in sorted(eqn.params.items()) if k not in ("symbolic_zeros", "num_consts")])
    key = (body, *map(id, held))

    def make() -> tuple[Any, dict[str, Opaque]]:
        rules = {kind: Opaque(body.name, ImportedRule(kind, body, f)) for kind, f in functions.items()}
        return held, rules  # what the key knows by identity must live as long as the entry

    return _RULES.get(key, make)[1]


def _inexact(types: Sequence[TensorType]) -> tuple[bool, ...]:
    return tuple([t.dtype.is_inexact for t in types])


@imports("custom_jvp_call", "custom_jvp_call_jaxpr")
def _custom_jvp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)

    def pushed(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        moving = [x for x, m in zip(primals, moved, strict=True) if m]
        outs, douts = jax.jvp(lambda *some: tuple(run(*merged(primals, moved, some))), moving, tangents)
        return (*outs, *[d for d, g in zip(douts, given, strict=True) if g])

    def rule() -> ir.Function:
        tangents = [s for s, m in zip(structs, moved, strict=True) if m]
        return traced(pushed, (structs, tangents), f"jvp_{body.name}")

    attrs = {"function": body, **_kept(eqn, body, {"jvp": rule})}
    return importer.builder.emit(calls.custom_jvp_call, tuple(operands), attrs)


@imports("custom_vjp_call", "custom_vjp_call_jaxpr")
def _custom_vjp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)
    found: list[Any] = []  # how the residuals make the pull-back, once the forward rule is traced

    def forward(primals: Sequence[Any]) -> Any:
        moving = [x for x, m in zip(primals, moved, strict=True) if m]
        outs, pull = jax.vjp(lambda *some: tuple(run(*merged(primals, moved, some))), *moving)
        residuals, tree = jax.tree_util.tree_flatten(pull)
        found[:] = [tree, [jax.typeof(x) for x in residuals]]
        return (*outs, *residuals)

    def fwd() -> ir.Function:
        return traced(forward, (structs,), f"fwd_{body.name}")

    def backward(residuals: Sequence[Any], cts: Sequence[Any]) -> Any:
        return jax.tree_util.tree_unflatten(found[0], residuals)(zero_cotangents(cts, given, body.out_types))

    def bwd() -> ir.Function:
        if not found:
            fwd()
        cts = [struct_of(t) for t, g in zip(body.out_types, given, strict=True) if g]
        residuals = [struct_of(type_of(a), a.weak_type) for a in found[1]]
        return traced(backward, (residuals, cts), f"bwd_{body.name}")

    attrs = {"function": body, **_kept(eqn, body, {"fwd": fwd, "bwd": bwd})}
    return importer.builder.emit(calls.custom_vjp_call, tuple(operands), attrs)


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
