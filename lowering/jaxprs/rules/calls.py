"""Import of calls, of custom derivative rules, and of what is the identity to values."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import ir
from ir.core import Opaque, Value
from ir.ops import calls
from ir.ops.checkpoint import checkpoint, checkpoint_name
from ir.ops.linear_call import linear_call, with_params
from ir.ops.structural import StructuralRule
from ir.types import TensorType
from lowering.boundary import program_of
from lowering.execute import Cache
from lowering.jaxprs.foreign import bound, merged, structs_of, traced, zero_cotangents
from lowering.jaxprs.importer import Importer, Unmapped, import_closed, imports
from lowering.jaxprs.types import struct_of, type_of
from lowering.policies import with_policy

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
    ins = _constrained(operands, p["in_shardings"])
    own = program_of(p["jaxpr"])
    if own is not None and own.in_types == tuple([v.type for v in operands]):
        return _called(importer, calls.call, own, (), ins)
    function, captures = importer.nested(p["jaxpr"], p["name"])
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
    p = eqn.params
    function, captures = importer.nested(p["jaxpr"], "checkpoint")
    barrier = bool(p["differentiated"] and p["prevent_cse"])
    saving = with_policy(function, p.get("policy"))
    return _called(importer, checkpoint, saving, captures, operands, barrier=barrier)


@imports("name")
def _checkpoint_name(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return checkpoint_name(operands[0], name=eqn.params["name"])


# Custom derivatives ------------------------------------------------------------------------------------


def _name(eqn: Any) -> str:
    """What the user calls a custom function."""
    call_jaxpr = eqn.params["call_jaxpr"]
    info = getattr(call_jaxpr.jaxpr, "debug_info", None)
    return str(getattr(info, "func_name", "") or "custom")


def _own(eqn: Any) -> Any:
    """The custom function of a module of JAX that an equation calls, as `relu`; None for any other.

    Its rules are always the same, and close over nothing.
    """
    info = getattr(eqn.params["call_jaxpr"].jaxpr, "debug_info", None)
    module = _module_of_jax(getattr(info, "func_filename", None))
    found = getattr(module, str(getattr(info, "func_name", "")), None)
    code = getattr(inspect.unwrap(found), "__code__", None) if isinstance(found, _CUSTOM) else None
    return found if getattr(code, "co_firstlineno", None) == getattr(info, "func_lineno", 0) else None


_CUSTOM = (jax.custom_jvp, jax.custom_vjp)


@functools.cache
def _module_of_jax(file: str | None) -> Any:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "jax" and file and getattr(module, "__file__", None) == file:
            return module
    return None


def _kept(eqn: Any, own: Any, body: ir.Function, functions: dict[str, _Make]) -> dict[str, Opaque]:
    """The rules of a custom function as attributes; the same ones where JAX has kept the very call."""
    held = tuple([v for k, v in sorted(eqn.params.items()) if k not in ("symbolic_zeros", "num_consts")])
    if own is not None:
        held = (own,)
    key = (body, *map(id, held))

    def make() -> tuple[Any, dict[str, Opaque]]:
        rules = {kind: Opaque(body.name, StructuralRule(kind, body, f)) for kind, f in functions.items()}
        return held, rules  # what the key knows by identity must live as long as the entry

    return _RULES.get(key, make)[1]


def _chosen(xs: Sequence[Any], chosen: Sequence[bool]) -> list[Any]:
    return [x for x, c in zip(xs, chosen, strict=True) if c]


def _inexact(types: Sequence[TensorType]) -> tuple[bool, ...]:
    return tuple([t.dtype.is_inexact for t in types])


class _Depth(threading.local):
    """How many rules of custom functions this thread is importing, one inside the other."""

    now: int = 0


_depth = _Depth()
# Rules that close over something are imported with the function, and those of functions that they call, so
# far down: a rule may call its own function.
_DEPTH = 3


class _Closure:
    """What the rules of a custom function close over: tracers of the jaxpr that is being imported.

    When rules are traced later, those have ended. So they become operands, and the rules are traced with
    the function. JAX makes operands of what the function itself closes over, which come next.

    Attributes:
      consts: how many operands JAX has made.
      tracers: those of the rules.
      jaxprs: the rules as traced, until they are imported.
      own: the function of JAX that is called, if it is one.
    """

    def __init__(self, importer: Importer, eqn: Any) -> None:
        self.importer = importer
        self.own = _own(eqn)
        self.consts = int(eqn.params.get("num_consts", 0))
        self.tracers: list[Any] = []
        self.jaxprs: dict[str, Any] = {}
        self._functions: dict[str, ir.Function] = {}

    def look(self, **rules: Callable[[], tuple[Callable[..., Any], Sequence[Any]]]) -> None:
        """Trace the rules to see what they close over.

        Args:
          rules: by kind, what gives a function for JAX and its abstract operands.
        """
        if self.own is not None:
            return
        found: dict[int, Any] = {}
        try:
            for kind, rule in rules.items():
                f, structs = rule()
                self.jaxprs[kind] = closed = jax.make_jaxpr(f)(*structs)
                found.update({id(x): x for x in closed.consts if isinstance(x, jax.core.Tracer)})
        except Exception as error:
            if "__jax_array__" in str(error):  # an object that JAX may take in a function further out
                raise
            self.jaxprs.clear()  # raised again where the rule is needed
            return
        if not found:
            return
        self.tracers = list(found.values())
        if _depth.now < _DEPTH:
            _depth.now += 1
            try:
                for kind in rules:
                    self.function(kind)
            finally:
                _depth.now -= 1

    def function(self, kind: str) -> ir.Function:
        """The rule of all arguments, of the tracers and what the rule takes."""
        if kind not in self._functions:
            self._functions[kind] = import_closed(self.jaxprs.pop(kind), kind, self.tracers)
        return self._functions[kind]

    def attrs(self, body: ir.Function, rules: dict[str, _Make]) -> dict[str, Any]:
        """Attributes of the call of a custom function whose rules close over tracers."""
        params = [Value(type_of(jax.typeof(x)), "captured") for x in self.tracers]
        whole = body.replace(params=(*params, *body.params))
        captures = len(params) + self.consts
        made = {kind: StructuralRule(kind, whole, f, captures=captures) for kind, f in rules.items()}
        return {"function": whole, **{kind: Opaque(body.name, rule) for kind, rule in made.items()}}

    def operands(self, operands: Sequence[Value]) -> tuple[Value, ...]:
        """Those of the call."""
        return (*[self.importer.lift(x) for x in self.tracers], *operands)


@imports("custom_jvp_call", "custom_jvp_call_jaxpr")
def _custom_jvp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)
    closure = _Closure(importer, eqn)

    def pushing(moves: tuple[bool, ...], can: tuple[bool, ...]) -> Any:
        def pushed(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
            moving = _chosen(primals, moves)
            some = [t for t, moves_too in zip(tangents, _chosen(moves, can), strict=True) if moves_too]
            outs, douts = jax.jvp(lambda *xs: tuple(run(*merged(primals, moves, xs))), moving, some)
            return (*outs, *_chosen(douts, given))

        return pushed, (structs, _chosen(structs, can))

    of_arguments = tuple([m and i >= closure.consts for i, m in enumerate(moved)])
    closure.look(jvp=lambda: pushing(of_arguments, of_arguments))
    if closure.tracers:
        attrs = closure.attrs(body, {"jvp": lambda moves: closure.function("jvp")})
        return importer.builder.emit(calls.custom_jvp_call, closure.operands(operands), attrs)

    def rule(moves: tuple[bool, ...]) -> ir.Function:
        if moves == of_arguments and "jvp" in closure.jaxprs:
            return closure.function("jvp")
        pushed, ins = pushing(moves, moved)
        return traced(pushed, ins, f"jvp_{body.name}")

    attrs = {"function": body, **_kept(eqn, closure.own, body, {"jvp": rule})}
    return importer.builder.emit(calls.custom_jvp_call, tuple(operands), attrs)


@imports("custom_vjp_call", "custom_vjp_call_jaxpr")
def _custom_vjp_call(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    body = importer.closed(eqn.params["call_jaxpr"], _name(eqn))
    moved, given = _inexact(body.in_types), _inexact(body.out_types)
    run, structs = bound(eqn), structs_of(eqn)
    closure = _Closure(importer, eqn)
    # How the residuals make the pull-back, once the forward rule is traced.
    found: dict[tuple[bool, ...], tuple[Any, list[Any]]] = {}

    def forward_of(moves: tuple[bool, ...]) -> Any:
        def forward(primals: Sequence[Any]) -> Any:
            moving = _chosen(primals, moves)
            outs, pull = jax.vjp(lambda *xs: tuple(run(*merged(primals, moves, xs))), *moving)
            residuals, tree = jax.tree_util.tree_flatten(pull)
            found[moves] = tree, [jax.typeof(x) for x in residuals]
            return (*outs, *residuals)

        return forward, (structs,)

    def backward_of(moves: tuple[bool, ...], can: tuple[bool, ...]) -> Any:
        if moves not in found:
            forward, ins = forward_of(moves)
            jax.make_jaxpr(forward)(*ins)
        tree, kept = found[moves]

        def backward(residuals: Sequence[Any], cts: Sequence[Any]) -> Any:
            pull = jax.tree_util.tree_unflatten(tree, residuals)
            grads = iter(pull(zero_cotangents(cts, given, body.out_types)))
            operands = zip(body.in_types, moves, strict=True)
            every = [next(grads) if m else jnp.zeros(t.shape, t.dtype.np) for t, m in operands]
            return _chosen(every, can)

        cts = [struct_of(t) for t in _chosen(body.out_types, given)]
        residuals = [struct_of(type_of(a), a.weak_type) for a in kept]
        return backward, (residuals, cts)

    of_arguments = tuple([m and i >= closure.consts for i, m in enumerate(moved)])
    closure.look(fwd=lambda: forward_of(of_arguments), bwd=lambda: backward_of(of_arguments, of_arguments))
    if closure.tracers:

        def back(moves: tuple[bool, ...]) -> ir.Function:
            function = closure.function("bwd")
            count = len(closure.tracers)
            consts = [Value(t) for t in body.in_types[: closure.consts]]
            return function.replace(params=(*function.params[:count], *consts, *function.params[count:]))

        attrs = closure.attrs(body, {"fwd": lambda moves: closure.function("fwd"), "bwd": back})
        return importer.builder.emit(calls.custom_vjp_call, closure.operands(operands), attrs)

    def fwd(moves: tuple[bool, ...]) -> ir.Function:
        if moves == of_arguments and "fwd" in closure.jaxprs:
            return closure.function("fwd")
        forward, ins = forward_of(moves)
        return traced(forward, ins, f"fwd_{body.name}")

    def bwd(moves: tuple[bool, ...]) -> ir.Function:
        if moves == of_arguments and "bwd" in closure.jaxprs:
            return closure.function("bwd")
        backward, ins = backward_of(moves, moved)
        return traced(backward, ins, f"bwd_{body.name}")

    attrs = {"function": body, **_kept(eqn, closure.own, body, {"fwd": fwd, "bwd": bwd})}
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
