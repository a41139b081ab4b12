"""Policies of JAX, which say what a checkpoint keeps, for our equations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.ad_checkpoint import checkpoint_name as name_of_jax

import ir
from ir.core import nested_functions
from ir.ops.checkpoint import checkpoint_name, save
from lowering.emit import emit
from lowering.jaxprs.types import struct_of

# As `jax.checkpoint_policies`: (primitive, types of its operands, its parameters) -> whether to keep the results.
Policy = Callable[..., Any]


def with_policy(function: ir.Function, policy: Policy | None) -> ir.Function:
    """`function`, the values that `policy` keeps marked to be saved.

    An equation is asked about by the primitives of JAX that it is lowered to. What is inside its loops and
    branches is not kept.
    """
    if policy is None:
        return function

    def wanted(eqn: ir.Eqn) -> bool:
        if next(nested_functions(eqn), None) is not None or not any(
            r.type.dtype.is_inexact for r in eqn.results
        ):
            return False
        return any(_keeps(policy(*primitive, **params)) for primitive, params in _primitives(eqn))

    return save(function, wanted)


def _primitives(eqn: ir.Eqn) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """((primitive, types of its operands), parameters) of each equation of JAX that `eqn` becomes."""
    if eqn.op is checkpoint_name:
        lowered: Callable[..., Any] = functools.partial(name_of_jax, name=eqn.attrs["name"])
    else:
        params = tuple([ir.Value(v.type) for v in eqn.operands])
        results = tuple([ir.Value(r.type) for r in eqn.results])
        alone = ir.Function(
            params, (ir.Eqn(eqn.op, params, eqn.attrs, results, eqn.source),), results, "alone"
        )
        lowered = lambda *xs: emit(alone, xs)  # noqa: E731
    jaxpr = jax.make_jaxpr(lowered)(*[struct_of(v.type) for v in eqn.operands])
    return [((e.primitive, *[v.aval for v in e.invars]), e.params) for e in jaxpr.jaxpr.eqns]


def _keeps(answer: Any) -> bool:
    """Policies answer with a bool or with objects, of which one says to recompute. Nothing is offloaded."""
    return answer if isinstance(answer, bool) else "Recompute" not in type(answer).__name__


__all__ = ["Policy", "with_policy"]
