"""IR to JAX: each equation becomes calls of public JAX functions, under whatever JAX trace is active.

A rule is `rule(*operands, **attrs) -> result or tuple`, registered under the op's name in
`lowering.rules`, whose files mirror `ir.ops`. Operands are JAX values; keys are typed key arrays.
May import `ir` and JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ir
from ir.errors import LoweringError

Rule = Callable[..., Any]

_RULES: dict[str, Rule] = {}


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

    Raises:
      LoweringError: an op has no lowering rule; the message names it and the user's line.
    """
    table = rules()
    env: dict[ir.Value, Any] = dict(zip(function.params, operands, strict=True))
    for eqn in function.eqns:
        rule = table.get(eqn.op.name)
        if rule is None:
            raise LoweringError(f"{eqn.op.name} has no lowering to XLA", source=eqn.source)
        out = rule(*[env[v] for v in eqn.operands], **eqn.attrs)
        results = eqn.results
        if len(results) == 1 and type(out) is not tuple:
            env[results[0]] = out
        else:
            env.update(zip(results, out, strict=True))
    return tuple([env[v] for v in function.results])
