"""`stop_gradient` and `checkpoint`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from ir.ops import calls
from tracer.api.arguments import call, flatten, function_name, tree_unflatten
from tracer.numpy.dispatch import lift
from tracer.state import state
from tracer.trace import trace_flat
from tracer.value import Tensor


def stop_gradient(x: Any) -> Any:
    """The identity, with derivative zero; applied to every leaf."""

    def stop(leaf: Any) -> Any:
        trace = state.trace
        if trace is None:
            return jax.lax.stop_gradient(leaf)
        t = lift(leaf)
        return trace.emit1(calls.stop_gradient, (t.value,), {}, t.weak)

    return jax.tree_util.tree_map(stop, x)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, whose intermediate values are recomputed in the backward pass instead of kept."""

    @functools.wraps(f)
    def rematerialized(*args: Any, **kwargs: Any) -> Any:
        trace = state.trace
        if trace is None:
            return jax.checkpoint(f)(*args, **kwargs)
        flat = flatten(args, kwargs, f)
        traced = trace_flat(
            lambda *leaves: call(f, *flat.unflatten(leaves)),
            flat.types,
            flat.weak,
            name=function_name(f),
            names=flat.names,
        )
        operands = tuple([trace.lift(x).value for x in (*traced.captures, *flat.leaves)])
        outs = trace.emit(calls.checkpoint, operands, {"function": traced.function, "barrier": False})
        leaves = [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)]
        return tree_unflatten(traced.out_tree, leaves)

    return rematerialized
