"""`stop_gradient`, `checkpoint` and `checkpoint_name`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.ad_checkpoint

import ir.ops.checkpoint as op
from ir.ops import calls
from lowering.policies import with_policy
from tracer.api.arguments import call, flatten, function_name, positions, tree_unflatten
from tracer.leaves import merged
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


def checkpoint_name(x: Any, name: str) -> Any:
    """The identity, which gives the values in `x` a name for the policy of a `checkpoint` around it.

    As `jax.ad_checkpoint.checkpoint_name`.
    """

    def named(leaf: Any) -> Any:
        trace = state.trace
        if trace is None:
            return jax.ad_checkpoint.checkpoint_name(leaf, name)  # type: ignore[no-untyped-call]
        t = lift(leaf)
        return trace.emit1(op.checkpoint_name, (t.value,), {"name": name, "saved": False}, t.weak)

    return jax.tree_util.tree_map(named, x)


def checkpoint(
    f: Callable[..., Any],
    *,
    prevent_cse: bool = True,
    policy: Callable[..., Any] | None = None,
    static_argnums: int | Sequence[int] = (),
) -> Callable[..., Any]:
    """`f`, whose intermediate values are recomputed in the backward pass instead of kept.

    Args:
      f: the function.
      prevent_cse: accepted, as in JAX; what is recomputed always stands behind a barrier.
      policy: which of the values are kept all the same, such as `jax.checkpoint_policies.dots_saveable` or
        `save_only_these_names("a")` with `checkpoint_name`. It is asked about each operation by the primitives
        of JAX that it becomes, but not about those inside loops and branches, which are recomputed whole.
      static_argnums: positions of arguments that `f` gets as they are.

    Raises:
      ArgumentTypeError: `static_argnums` do not fit the arguments.

    Examples:
      >>> f = tr.checkpoint(lambda x: tnp.sin(tnp.sin(x)))
      >>> print(tr.grad(f)(0.0))
      1.0
    """

    @functools.wraps(f)
    def rematerialized(*args: Any, **kwargs: Any) -> Any:
        trace = state.trace
        nums = positions(static_argnums, len(args), "checkpoint, static_argnums")[0]
        if trace is None:
            kept = jax.checkpoint(f, prevent_cse=prevent_cse, policy=policy, static_argnums=nums)
            return kept(*args, **kwargs)
        static = {i: args[i] for i in nums}
        dynamic = tuple([x for i, x in enumerate(args) if i not in static])

        def of_dynamic(*given: Any, **kwargs: Any) -> Any:
            return call(f, merged(static, given, len(args)), kwargs)

        flat = flatten(dynamic, kwargs, f)
        traced = trace_flat(
            lambda *leaves: call(of_dynamic, *flat.unflatten(leaves)),
            flat.types,
            flat.weak,
            name=function_name(f),
            names=flat.names,
        )
        operands = tuple([trace.lift(x).value for x in (*traced.captures, *flat.leaves)])
        function = with_policy(traced.function, policy)
        outs = trace.emit(op.checkpoint, operands, {"function": function, "barrier": False})
        leaves = [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)]
        return tree_unflatten(traced.out_tree, leaves)

    return rematerialized
