"""Derivatives: grad, value_and_grad, vjp, jvp, linearize, Jacobians, Hessian, hvp.

Each traces the function once, transforms that IR and applies the result: inlined inside a trace,
compiled and cached by structure outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

import ir
from ir import transforms
from ir.errors import ArgumentTypeError, DifferentiationError
from ir.passes.pipeline import simplify_inner
from ir.types import TensorType
from tracer.api.arguments import (
    Flat,
    flatten,
    function_name,
    leaf_names,
    leaf_type,
    positions,
    tree_flatten,
    tree_unflatten,
)
from tracer.execution import apply
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.value import Tensor


def trace_call(fn: Callable[..., Any], flat: Flat, select: Callable[[Any], Any] | None = None) -> Traced:
    """Record `fn` at flat arguments; `select` picks from its result what to return."""

    def call(*leaves: Tensor) -> Any:
        args, kwargs = tree_unflatten(flat.tree, leaves)
        out = fn(*args, **kwargs)
        return out if select is None else select(out)

    inputs = flat.leaves if state.trace is None else _inputs(flat.leaves)
    return trace_flat(
        call,
        flat.types,
        flat.weak,
        name=function_name(fn),
        names=leaf_names(fn, flat.tree) if flat.leaves else (),
        inputs=inputs,
    )


def _inputs(leaves: Sequence[Any]) -> Sequence[Any] | None:
    """Outer values of a nested trace, where the outermost trace knows its arguments."""
    trace = state.trace
    return leaves if trace is not None and trace.inputs is not None else None


def _require_differentiable(types: Sequence[TensorType], names: Callable[[], list[str]], what: str) -> None:
    for i, type_ in enumerate(types):
        if not type_.dtype.is_inexact:
            raise ArgumentTypeError(
                f"{what}: expected float or complex arguments to differentiate, "
                f"got {type_.dtype.kind} {type_} for {names()[i]}; integers have no tangents"
                + ("" if what != "grad" else " (allow_int=True gives zeros of dtype float0)")
            )


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns `(f(...), gradient)`.

    Args:
      f: returns a float scalar, or `(scalar, aux)` with `has_aux`.
      argnums: positional arguments to differentiate; a tuple gives a tuple of gradients.
      has_aux: `f` returns `(scalar, aux)`; the new function returns `((scalar, aux), gradient)`.
      allow_int: integer arguments get gradients of dtype float0 instead of an error.

    Raises:
      ArgumentTypeError: an argument has no tangents, or the result is not a float scalar.
    """

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen, single = positions(argnums, len(args), "grad")
        flat = flatten(args, kwargs, f)
        # Leaves of args come first, argument by argument.
        wanted = _leaf_mask(args, chosen, len(flat.leaves))
        asked = [t for t, w in zip(flat.types, wanted, strict=True) if w]
        if not allow_int:
            names = leaf_names(f, flat.tree)
            _require_differentiable(
                asked, lambda: [n for n, w in zip(names, wanted, strict=True) if w], "grad"
            )
        traced = trace_call(f, flat, lambda out: _scalar_first(out, has_aux, f))
        nonzero = (
            *[False] * len(traced.captures),
            *[w and t.dtype.is_inexact for w, t in zip(wanted, flat.types, strict=True)],
        )
        outs = apply(
            ("value_and_grad", nonzero),
            traced.function,
            lambda fn: transforms.value_and_grad(fn, nonzero),
            (*traced.captures, *flat.leaves),
            traced.out_weak,
        )
        count = len(traced.function.results)
        out = tree_unflatten(traced.out_tree, outs[:count])
        value = (out[0], out[1]) if has_aux else out[0]
        computed = iter(outs[count:])
        grads = []
        for n in chosen:
            leaves, tree = tree_flatten(args[n])
            grads.append(
                tree_unflatten(
                    tree,
                    [
                        next(computed)
                        if leaf_type(x)[0].dtype.is_inexact
                        else np.zeros(np.shape(x), jax.dtypes.float0)
                        for x in leaves
                    ],
                )
            )
        return value, (grads[0] if single else tuple(grads))

    return value_and_gradient


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    allow_int: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `f`; arguments as for `value_and_grad`.

    With `has_aux` it returns `(gradient, aux)`.
    """
    both = value_and_grad(f, argnums, has_aux, allow_int)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def _leaf_mask(args: Any, chosen: Sequence[int], count: int) -> tuple[bool, ...]:
    mask: list[bool] = []
    for n, arg in enumerate(args):
        mask.extend([n in chosen] * len(jax.tree_util.tree_leaves(arg)))
    return (*mask, *[False] * (count - len(mask)))


def _scalar_first(out: Any, has_aux: bool, fn: Callable[..., Any]) -> Any:
    """(scalar, aux) from what the user returned, the scalar checked and being the first leaf."""
    if has_aux:
        if not isinstance(out, (tuple, list)) or len(out) != 2:
            raise ArgumentTypeError(
                f"grad: with has_aux=True {function_name(fn)} must return (value, aux), got {type(out).__name__}"
            )
        value, aux = out
    else:
        value, aux = out, ()
    leaves = jax.tree_util.tree_leaves(value)
    if len(leaves) != 1 or leaves[0] is not value:
        raise ArgumentTypeError(
            f"grad: expected {function_name(fn)} to return one scalar, got {type(value).__name__}"
        )
    type_ = leaf_type(value)[0]
    if type_.shape != ():
        raise ArgumentTypeError(
            f"grad: expected a scalar result of {function_name(fn)}, got {type_}; "
            "reduce it with sum or mean, or use jacobian"
        )
    if type_.dtype.kind != "float":
        raise ArgumentTypeError(f"grad: expected a real float result of {function_name(fn)}, got {type_}")
    return value, aux


# Products with the Jacobian -------------------------------------------------------------------------


def _check_like(given: Any, like: Any, what: str) -> list[Any]:
    """Leaves of `given`, of the structure, shapes and dtypes of `like`'s inexact leaves."""
    leaves, tree = tree_flatten(given)
    want_leaves, want_tree = tree_flatten(like)
    if tree != want_tree:
        raise ArgumentTypeError(f"{what}: expected the structure {want_tree}, got {tree}")
    for got, want in zip(leaves, want_leaves, strict=True):
        got_dtype = getattr(got, "dtype", None)
        if got_dtype == jax.dtypes.float0:
            continue
        (g, weak), (w, _) = leaf_type(got), leaf_type(want)
        if g.shape != w.shape or (g.dtype is not w.dtype and not weak):
            raise ArgumentTypeError(f"{what}: expected {w}, got {g}")
    return leaves


def _cast(x: Any, type_: TensorType) -> Any:
    """A weak number as an operand of exactly `type_`."""
    if type(x) is Tensor or leaf_type(x)[0] is type_:
        return x
    return np.asarray(x, type_.dtype.np)


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """(f(*primals), its derivative in the direction `tangents`), both of the structure of the result.

    Raises:
      ArgumentTypeError: tangents differ from primals in structure, shape or dtype.
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise ArgumentTypeError("jvp: expected primals and tangents to be tuples or lists")
    flat = flatten(tuple(primals), {}, f)
    given = _check_like(tuple(tangents), tuple(primals), "jvp")
    traced = trace_call(f, flat)
    moved = [t.dtype.is_inexact for t in flat.types]
    nonzero = (*[False] * len(traced.captures), *moved)
    ins = [_cast(x, t) for x, t, m in zip(given, flat.types, moved, strict=True) if m]
    outs = apply(
        ("jvp", nonzero),
        traced.function,
        lambda fn: _reject_linear_only(transforms.jvp(fn, nonzero)[0]),
        (*traced.captures, *flat.leaves, *ins),
        traced.out_weak,
    )
    count = len(traced.function.results)
    pushed = iter(outs[count:])
    out_tangents = [
        next(pushed) if t.dtype.is_inexact else np.zeros(t.shape, jax.dtypes.float0)
        for t in traced.function.out_types
    ]
    return tree_unflatten(traced.out_tree, outs[:count]), tree_unflatten(traced.out_tree, out_tangents)


def _reject_linear_only(function: ir.Function) -> ir.Function:
    """DifferentiationError where forward mode meets a rule that only has a reverse mode."""
    for eqn in function.eqns:
        if eqn.op.name == "custom_vjp_tangent":
            raise DifferentiationError(
                f"{eqn.attrs['bwd'].name} has a custom_vjp rule, which gives reverse-mode derivatives only; "
                "forward mode (jvp, jacfwd, linearize) needs custom_jvp",
                source=eqn.source,
            )
    return function


def _split(
    traced: Traced,
    leaves: Sequence[Any],
    make: Callable[[ir.Function], tuple[ir.Function, ir.Function, int]],
) -> tuple[tuple[Any, ...], ir.Function, tuple[Any, ...]]:
    """Run the first half of a split program: (results, second half, residuals)."""
    first, second, _ = make(simplify_inner(traced.function))
    outs = apply(("forward",), first, lambda fn: fn, (*traced.captures, *leaves), traced.out_weak)
    count = len(traced.function.results)
    return outs[:count], second, outs[count:]


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(f(*primals), pull) where `pull(cotangent)` gives a tuple of cotangents of the primals.

    With `has_aux`, `f` returns `(result, aux)` and `(result, pull, aux)` is returned.
    """
    flat = flatten(primals, {}, f)
    traced = trace_call(f, flat, lambda out: _pair(out, f) if has_aux else (out, ()))
    moved = tuple([t.dtype.is_inexact for t in flat.types])
    nonzero = (*[False] * len(traced.captures), *moved)
    out_shape = tree_unflatten(traced.out_tree, traced.function.out_types)
    main_types, main_tree = tree_flatten(out_shape[0])
    count = len(main_types)
    seeded = tuple([i < count and t.dtype.is_inexact for i, t in enumerate(traced.function.out_types)])
    outs, backward, residuals = _split(
        traced, flat.leaves, lambda fn: transforms.split_vjp(fn, nonzero, seeded)
    )
    result, aux = tree_unflatten(traced.out_tree, outs)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        leaves, tree = tree_flatten(cotangent)
        if tree != main_tree:
            raise ArgumentTypeError(f"vjp: expected a cotangent of structure {main_tree}, got {tree}")
        seeds = []
        for ct, want in zip(leaves, main_types, strict=True):
            if want.dtype.is_inexact:
                got, weak = leaf_type(ct)
                if got.shape != want.shape or (got.dtype is not want.dtype and not weak):
                    raise ArgumentTypeError(f"vjp: expected a cotangent {want}, got {got}")
                seeds.append(_cast(ct, want))
        cts = iter(apply(("pull",), backward, lambda fn: fn, (*residuals, *seeds)))
        flat_out = [
            next(cts) if t.dtype.is_inexact else np.zeros(t.shape, jax.dtypes.float0) for t in flat.types
        ]
        args, _ = tree_unflatten(flat.tree, flat_out)
        return tuple(args)

    return (result, pull, aux) if has_aux else (result, pull)


def _pair(out: Any, fn: Callable[..., Any]) -> Any:
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise ArgumentTypeError(
            f"with has_aux=True {function_name(fn)} must return (result, aux), got {type(out).__name__}"
        )
    return tuple(out)


def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> Any:
    """(f(*primals), push) where `push(*tangents)` is the derivative at that point, evaluated cheaply.

    With `has_aux`, `f` returns `(result, aux)` and `(result, push, aux)` is returned.
    """
    flat = flatten(primals, {}, f)
    traced = trace_call(f, flat, lambda out: _pair(out, f) if has_aux else (out, ()))
    moved = tuple([t.dtype.is_inexact for t in flat.types])
    nonzero = (*[False] * len(traced.captures), *moved)
    out_shape = tree_unflatten(traced.out_tree, traced.function.out_types)
    main_types, main_tree = tree_flatten(out_shape[0])

    def make(fn: ir.Function) -> tuple[ir.Function, ir.Function, int]:
        forward, tangent_map, count = transforms.split_linearize(fn, nonzero)
        return forward, _reject_linear_only(tangent_map), count

    outs, tangent_map, residuals = _split(traced, flat.leaves, make)
    result, aux = tree_unflatten(traced.out_tree, outs)

    def push(*tangents: Any) -> Any:
        given = _check_like(tuple(tangents), tuple(primals), "linearize")
        ins = [_cast(x, t) for x, t, m in zip(given, flat.types, moved, strict=True) if m]
        pushed = iter(apply(("push",), tangent_map, lambda fn: fn, (*residuals, *ins)))
        return tree_unflatten(
            main_tree,
            [
                next(pushed) if t.dtype.is_inexact else np.zeros(t.shape, jax.dtypes.float0)
                for t in main_types
            ],
        )

    return (result, push, aux) if has_aux else (result, push)


__all__ = ["grad", "jvp", "linearize", "trace_call", "value_and_grad", "vjp"]
