"""`jit`: trace, optimise and emit inside `jax.jit`, whose C++ path then dispatches every call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax

import ir
from ir.errors import ArgumentTypeError
from ir.passes.pipeline import Pass, pipeline
from ir.source import capture
from lowering.boundary import emit_differentiable
from tracer.api.arguments import flatten, function_name, leaf_names, tree_unflatten
from tracer.state import state
from tracer.trace import Traced, trace_flat


def jit(
    f: Callable[..., Any],
    *,
    static_argnums: int | Sequence[int] | None = None,
    static_argnames: str | Sequence[str] | None = None,
    donate_argnums: int | Sequence[int] | None = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
    passes: Sequence[Pass] | None = None,
    opt: int = 1,
    exact: bool = False,
    fast_math: bool = False,
) -> Any:
    """Compile `f` for its argument types.

    Args:
      f: takes and returns pytrees of arrays.
      static_argnums, static_argnames: arguments that are Python values, hashed; a new value compiles
        anew.
      donate_argnums: arguments whose buffers the results may reuse.
      in_shardings, out_shardings: as in `jax.jit`.
      passes: replaces the default pipeline.
      opt: 0 turns optimisation off.
      exact: forbid rewrites that change rounding.
      fast_math: allow rewrites that change NaN, inf or signed-zero behaviour.

    Returns:
      The compiled function, with `lower(...)`, `ir(...)` and `stages(...)`.
    """
    chosen = tuple(passes) if passes is not None else pipeline(opt, exact=exact, fast_math=fast_math)
    nums, names = _static(f, static_argnums, static_argnames)

    @functools.wraps(f)
    def program(*args: Any, **kwargs: Any) -> Any:
        traced, leaves = record(args, kwargs)
        outs = emit_differentiable(
            traced.function, lambda fn: _optimized(fn, chosen), (*traced.captures, *leaves)
        )
        return tree_unflatten(traced.out_tree, outs)

    def record(args: Any, kwargs: Any) -> tuple[Traced, list[Any]]:
        dynamic_args = tuple([None if i in nums else a for i, a in enumerate(args)])
        dynamic_kwargs = {k: v for k, v in kwargs.items() if k not in names}
        flat = flatten(dynamic_args, dynamic_kwargs, f)

        def call(*leaves: Any) -> Any:
            inner_args, inner_kwargs = tree_unflatten(flat.tree, leaves)
            all_args = [args[i] if i in nums else a for i, a in enumerate(inner_args)]
            static = {k: v for k, v in kwargs.items() if k in names}
            return f(*all_args, **inner_kwargs, **static)

        traced = trace_flat(
            call, flat.types, flat.weak, name=function_name(f), names=leaf_names(f, flat.tree)
        )
        return traced, flat.leaves

    options = {"donate_argnums": donate_argnums, "in_shardings": in_shardings, "out_shardings": out_shardings}
    compiled = jax.jit(
        program,
        static_argnums=static_argnums,
        static_argnames=static_argnames,
        **{k: v for k, v in options.items() if v is not None},
    )

    @functools.wraps(f)
    def jitted(*args: Any, **kwargs: Any) -> Any:
        try:
            return compiled(*args, **kwargs)
        except TypeError:
            # JAX refuses traced values; inside a trace the call is recorded there instead.
            if state.trace is None:
                raise
        return f(*args, **kwargs)

    def as_function(*args: Any, **kwargs: Any) -> ir.Function:
        return _optimized(closed(record(args, kwargs)[0]), chosen)

    def stages(*args: Any, **kwargs: Any) -> list[tuple[str, ir.Function]]:
        function = closed(record(args, kwargs)[0])
        out = [("trace", function)]
        for each in chosen:
            function = each(function)
            out.append((getattr(each, "__name__", type(each).__name__), function))
        return out

    jitted.lower = compiled.lower  # type: ignore[attr-defined]
    jitted.eval_shape = compiled.eval_shape  # type: ignore[attr-defined]
    jitted.clear_cache = compiled.clear_cache  # type: ignore[attr-defined]
    jitted.ir = as_function  # type: ignore[attr-defined]
    jitted.stages = stages  # type: ignore[attr-defined]
    return jitted


def closed(traced: Traced) -> ir.Function:
    """The traced function with captured arrays as constants, so that its params are the arguments."""
    import numpy as np

    from ir.ops.shape import constant

    if not traced.captures:
        return traced.function
    count = len(traced.captures)
    builder = ir.Builder(capture(2))
    env = {}
    with ir.building(builder):
        for param, array in zip(traced.function.params[:count], traced.captures, strict=True):
            if isinstance(array, jax.core.Tracer):
                raise ArgumentTypeError(
                    "the function uses a value of an enclosing JAX trace, so it has no closed IR; pass it in"
                )
            dense = ir.Dense(np.asarray(array).astype(param.type.dtype.np), param.type.dtype)
            env[param] = constant(value=dense, shape=param.type.shape)
        eqns = list(builder.eqns)
        for eqn in traced.function.eqns:
            ops = tuple([env.get(v, v) for v in eqn.operands])
            eqns.append(
                eqn if ops == eqn.operands else ir.Eqn(eqn.op, ops, eqn.attrs, eqn.results, eqn.source)
            )
    results = tuple([env.get(v, v) for v in traced.function.results])
    return ir.Function(traced.function.params[count:], tuple(eqns), results, traced.function.name)


def trace(f: Callable[..., Any]) -> Callable[..., ir.Function]:
    """`trace(f)(*args)` is the IR of `f` for arguments of those types, before any pass."""

    @functools.wraps(f)
    def traced_ir(*args: Any, **kwargs: Any) -> ir.Function:
        flat = flatten(args, kwargs, f)

        def call(*leaves: Any) -> Any:
            inner_args, inner_kwargs = tree_unflatten(flat.tree, leaves)
            return f(*inner_args, **inner_kwargs)

        return closed(
            trace_flat(call, flat.types, flat.weak, name=function_name(f), names=leaf_names(f, flat.tree))
        )

    return traced_ir


def _optimized(function: ir.Function, passes: Sequence[Pass]) -> ir.Function:
    for each in passes:
        function = each(function)
    return function


def _static(
    f: Callable[..., Any], nums: int | Sequence[int] | None, names: str | Sequence[str] | None
) -> tuple[frozenset[int], frozenset[str]]:
    """Static positions and names, each completed from the other by the signature, as in `jax.jit`."""
    given_nums = () if nums is None else (nums,) if isinstance(nums, int) else tuple(nums)
    given_names = () if names is None else (names,) if isinstance(names, str) else tuple(names)
    try:
        parameters = [
            p.name
            for p in inspect.signature(f).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        parameters = []
    positive = {n % len(parameters) if n < 0 and parameters else n for n in given_nums}
    found_nums = positive | {parameters.index(n) for n in given_names if n in parameters}
    found_names = set(given_names) | {parameters[n] for n in positive if n < len(parameters)}
    return frozenset(found_nums), frozenset(found_names)
