"""IR to JAX: each equation becomes calls of public JAX functions, under whatever JAX trace is active.

A rule is `rule(*operands, **attrs) -> result or tuple`, registered under the op's name in
`lowering.rules`, whose files mirror `ir.ops`. Operands are JAX values; keys are typed key arrays.
May import `ir` and JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

import jax
import numpy as np
from jax import lax

import ir
from ir.errors import LoweringError
from ir.ops.shape import constant
from ir.regions import labels
from lowering.frames import call_at

Rule = Callable[..., Any]

_RULES: dict[str, Rule] = {}

# Binary ops whose JAX function takes a scalar for one operand.
_TAKES_SCALARS = frozenset(
    {"add", "sub", "mul", "div", "max", "min", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor"}
)


def lowers(name: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the lowering rule of the op called `name`."""

    def decorate(rule: Rule) -> Rule:
        if name in _RULES:
            raise ValueError(f"op {name!r} has two lowering rules")
        _RULES[name] = rule
        return rule

    return decorate


def rules() -> dict[str, Rule]:
    """The lowering rules by op name."""
    import lowering.rules  # noqa: F401 (registers them)

    return _RULES


def emit(function: ir.Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """Results of `function` as JAX values, computed from JAX operands.

    XLA's metadata names the region of each operation (`ir.regions`), so that profilers show it.

    Raises:
      LoweringError: an op has no lowering rule; the message names it and the user's line.
    """
    table = rules()
    named = labels(function)
    env: dict[ir.Value, Any] = dict(zip(function.params, operands, strict=True))
    numbers: dict[ir.Value, Any] = {}

    def value(v: ir.Value) -> Any:
        found = env.get(v)
        if found is None:
            found = env[v] = lax.full(v.type.shape, numbers[v], v.type.dtype.np)
        return found

    for eqn in function.eqns:
        op = eqn.op
        if op is constant and eqn.attrs["value"].shape == () and eqn.attrs["shape"]:
            numbers[eqn.results[0]] = eqn.attrs["value"].array
            continue
        rule = table.get(op.name)
        if rule is None:
            raise LoweringError(f"{op.name} has no lowering to XLA", source=eqn.source)
        ins = eqn.operands
        if numbers and op.name in _TAKES_SCALARS and (ins[0] in numbers) != (ins[1] in numbers):
            # JAX keeps a scalar operand as a literal: no broadcast to trace, compile or fuse.
            values = [numbers[v] if v in numbers else env[v] for v in ins]
        else:
            values = [value(v) for v in ins]
        label, call = named.get(eqn), call_at(eqn.source)
        try:
            if label is None:
                out = call(rule, values, eqn.attrs)
            else:
                with jax.named_scope(label):
                    out = call(rule, values, eqn.attrs)
        except LoweringError as error:
            error.source = error.source or eqn.source
            raise
        results = eqn.results
        if len(results) == 1 and type(out) is not tuple:
            env[results[0]] = out
        else:
            env.update(zip(results, out, strict=True))
    return tuple([value(v) for v in function.results])


# (False in rules that JAX traces later, such as those of custom derivatives.)
_REPEATED: ContextVar[bool] = ContextVar("repeated", default=False)


def is_repeated() -> bool:
    """Whether what is being emitted belongs to a loop."""
    return _REPEATED.get()


def emit_repeated(function: ir.Function, operands: Sequence[Any]) -> tuple[Any, ...]:
    """`emit` for an iteration of a loop."""
    token = _REPEATED.set(True)
    try:
        return emit(function, operands)
    finally:
        _REPEATED.reset(token)


def types_of(operands: Sequence[Any]) -> tuple[ir.TensorType, ...]:
    """Types of JAX values."""
    avals = [jax.typeof(x) for x in operands]
    return tuple([ir.TensorType(tuple(a.shape), _dtype(a.dtype)) for a in avals])


def _dtype(dtype: Any) -> ir.DType:
    name = str(dtype)
    return ir.dtype_named(name) if name.startswith("key<") else ir.from_numpy(dtype)


def with_weak_types(results: Sequence[Any], weak: Sequence[bool]) -> tuple[Any, ...]:
    """JAX values with the given weak types; those beyond the end of `weak` are not weakly typed.

    Which operations give weak types is for the tracer to say, not for the operations that a program
    happens to be lowered to: programs are emitted without, and their results get them at the end.
    """
    flags = (*weak, *[False] * (len(results) - len(weak)))
    return tuple([_with_weak_type(x, flag) for x, flag in zip(results, flags, strict=True)])


def _with_weak_type(x: Any, weak: bool) -> Any:
    aval = jax.typeof(x)
    if getattr(aval, "weak_type", weak) == weak:
        return x
    from jax.extend.core.primitives import convert_element_type_p  # imports much of JAX

    return convert_element_type_p.bind(x, new_dtype=np.dtype(aval.dtype), weak_type=weak, sharding=None)
