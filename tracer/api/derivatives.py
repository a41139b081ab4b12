"""Derivatives: grad, value_and_grad, vjp, jvp, linearize, Jacobians, Hessian, hvp.

Each traces the function once, transforms that IR and applies the result: inlined inside a trace,
compiled and cached by structure outside.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import jax
import numpy as np

import ir
from ir import transforms
from ir.errors import ArgumentTypeError, DifferentiationError
from ir.passes.dce import dce
from ir.types import TensorType
from tracer.api.arguments import (
    Flat,
    argument_mask,
    call,
    flatten,
    function_name,
    leaf_type,
    positions,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import requested
from tracer.api.elements import require_arguments, require_scalar_kind
from tracer.concrete import Inputs
from tracer.execution import Derivative, apply, split
from tracer.numpy.dispatch import convert, lift
from tracer.trace import Traced, trace_flat
from tracer.value import Tensor


def trace_call(
    fn: Callable[..., Any],
    flat: Flat,
    moved: Sequence[bool],
    select: Callable[[Any], Any] | None = None,
    has_aux: bool = False,
) -> Traced:
    """Record `fn` at flat arguments.

    Args:
      fn: the function.
      flat: its arguments.
      moved: which of them are being differentiated.
      select: makes what to return from the result of `fn`.
      has_aux: what is returned is `(result, aux)`, whose `aux` may hold any objects.
    """

    def body(*leaves: Tensor) -> Any:
        out = call(fn, *flat.unflatten(leaves))
        return out if select is None else select(out)

    return trace_flat(
        body,
        flat.types,
        flat.weak,
        name=function_name(fn),
        names=flat.names,
        inputs=Inputs(flat.leaves, moved),
        has_aux=has_aux,
    )


def float0_zeros(shape: tuple[int, ...]) -> Any:
    """The tangent or cotangent of integers, bools and keys."""
    return np.zeros(shape, jax.dtypes.float0)


def value_and_grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    allow_int: bool = False,
    *,
    holomorphic: bool = False,
    autograph: bool = False,
) -> Callable[..., Any]:
    """A function that returns `(f(...), gradient)`.

    Args:
      f: returns a float scalar, or `(scalar, aux)` with `has_aux`.
      argnums: positional arguments to differentiate; a tuple gives a tuple of gradients.
      has_aux: `f` returns `(scalar, aux)`; the new function returns `((scalar, aux), gradient)`.
      allow_int: integer arguments get gradients of dtype float0 instead of an error.
      holomorphic: `f` is a holomorphic function of complex arguments with a complex result, and the gradient
        its complex derivative.
      autograph: convert plain Python control flow in `f`; see `tracer.autograph`.

    Raises:
      ArgumentTypeError: an argument has no tangents, or the result is not a float scalar.

    Examples:
      >>> value, slope = tr.value_and_grad(lambda x: tnp.sum(x**2))(np.float32([1, 2]))
      >>> print(value, slope)
      5.0 [2. 4.]
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        chosen, single = positions(argnums, len(args), "grad")
        count = len(tree_leaves((args, kwargs)))
        mask = argument_mask(args, chosen, count)
        flat = flatten(args, kwargs, f, [not m for m in mask])
        wanted = [m for i, m in enumerate(mask) if i not in flat.fixed]
        asked = [(t, n) for t, n, w in zip(flat.types, flat.names, wanted, strict=True) if w]
        require_arguments(
            [t for t, _ in asked],
            [n for _, n in asked],
            "grad",
            holomorphic=holomorphic,
            allow_int=allow_int,
        )
        moved = [w and t.dtype.is_inexact for w, t in zip(wanted, flat.types, strict=True)]
        traced = trace_call(f, flat, moved, lambda out: _scalar_first(out, has_aux, f, holomorphic), True)
        nonzero = (*[False] * len(traced.captures), *moved)
        outs = apply(
            ("value_and_grad", nonzero),
            traced.function,
            lambda fn: transforms.value_and_grad(fn, nonzero),
            (*traced.captures, *flat.leaves),
            (*traced.out_weak, *_weak_cotangents(flat, moved, traced.function.out_types[:1])),
            Derivative(nonzero, 1),
        )
        count = len(traced.function.results)
        out = traced.unflatten(outs[:count])
        value = (out[0], out[1]) if has_aux else out[0]
        computed = iter(outs[count:])
        grads = {}
        for n in sorted(chosen):  # computed in the order of the arguments
            leaves, tree = tree_flatten(args[n])
            grads[n] = tree_unflatten(tree, _spread([leaf_type(x)[0] for x in leaves], computed))
        return value, (grads[chosen[0]] if single else tuple([grads[n] for n in chosen]))

    return value_and_gradient


def grad(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    allow_int: bool = False,
    *,
    holomorphic: bool = False,
    autograph: bool = False,
) -> Callable[..., Any]:
    """A function that returns the gradient of `f`; arguments as for `value_and_grad`.

    With `has_aux` it returns `(gradient, aux)`.

    Examples:
      >>> g = tr.grad(lambda x: x**3)
      >>> print(g(2.0), tr.grad(g)(2.0))
      12.0 12.0
      >>> print(tr.grad(lambda p: p["a"] * p["b"])({"a": 2.0, "b": 3.0})["a"])
      3.0
      >>> print(tr.grad(lambda z: z**2, holomorphic=True)(1 + 2j))
      (2+4j)
    """
    both = value_and_grad(f, argnums, has_aux, allow_int, holomorphic=holomorphic, autograph=autograph)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def _scalar_first(out: Any, has_aux: bool, fn: Callable[..., Any], holomorphic: bool) -> Any:
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
    require_scalar_kind(type_, function_name(fn), holomorphic=holomorphic)
    return value, aux


# Products with the Jacobian -------------------------------------------------------------------------


def _seeds(given: Any, like: Sequence[TensorType], tree: Any, what: str) -> list[Any]:
    """Tangents or cotangents for the inexact ones of `like`, in their types.

    Raises:
      ArgumentTypeError: `given` differs in structure, shape or element type.
    """
    leaves, got_tree = tree_flatten(given)
    if bool(got_tree != tree):
        raise ArgumentTypeError(f"{what}: expected the structure {tree}, got {got_tree}")
    out = []
    for got, want in zip(leaves, like, strict=True):
        if getattr(got, "dtype", None) == jax.dtypes.float0:
            if want.dtype.is_inexact or np.shape(got) != want.shape:
                raise ArgumentTypeError(f"{what}: expected {want}, got float0{list(np.shape(got))}")
            continue
        type_, weak = leaf_type(got)
        if not want.dtype.is_inexact:
            raise ArgumentTypeError(f"{what}: expected float0{list(want.shape)} for {want}, got {type_}")
        if type_.shape != want.shape or (type_.dtype is not want.dtype and not weak):
            raise ArgumentTypeError(f"{what}: expected {want}, got {type_}")
        out.append(_cast(got, want))
    return out


def _cast(x: Any, type_: TensorType) -> Any:
    """A number of another element type, weakly typed, as an operand of exactly `type_`."""
    if leaf_type(x)[0] is type_:
        return x
    if type(x) is Tensor:
        return convert(lift(x), type_.dtype)
    if isinstance(x, jax.Array):
        return x.astype(type_.dtype.np)
    return np.asarray(x, type_.dtype.np)


def _spread(types: Sequence[TensorType], computed: Iterable[Any]) -> list[Any]:
    """What was computed for the inexact ones of `types`, float0 zeros for the others."""
    rest = iter(computed)
    return [next(rest) if t.dtype.is_inexact else float0_zeros(t.shape) for t in types]


def _inexact(types: Sequence[TensorType]) -> tuple[bool, ...]:
    return tuple([t.dtype.is_inexact for t in types])


def _of_inexact(flags: Sequence[bool], types: Sequence[TensorType]) -> tuple[bool, ...]:
    return tuple([f for f, t in zip(flags, types, strict=True) if t.dtype.is_inexact])


def _weak_cotangents(flat: Flat, moved: Sequence[bool], results: Sequence[TensorType]) -> tuple[bool, ...]:
    """Which cotangents of the moved arguments are weakly typed: those of arguments that are.

    As in JAX, not those of complex arguments where all results are real: putting real and imaginary
    parts together gives a strong type.
    """
    stays = any(t.dtype.is_complex for t in results)
    return tuple(
        [
            weak and (stays or not type_.dtype.is_complex)
            for weak, type_, m in zip(flat.weak, flat.types, moved, strict=True)
            if m
        ]
    )


def jvp(
    f: Callable[..., Any],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    has_aux: bool = False,
    *,
    autograph: bool = False,
) -> Any:
    """(f(*primals), its derivative in the direction `tangents`), both of the structure of the result.

    With `has_aux`, `f` returns `(result, aux)` and `(result, tangent, aux)` is returned. With `autograph`,
    plain Python control flow in `f` is converted; see `tracer.autograph`.

    Raises:
      ArgumentTypeError: tangents differ from primals in structure, shape or dtype.

    Examples:
      >>> value, tangent = tr.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
      >>> print(value, tangent)
      6.0 3.0
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(tangents, (tuple, list)):
        raise ArgumentTypeError(
            "jvp: expected primals and tangents to be tuples or lists, "
            f"got {type(primals).__name__} and {type(tangents).__name__}"
        )
    f = requested(f, autograph)
    flat = flatten(tuple(primals), {}, f)
    ins = _seeds(tuple(tangents), flat.types, tree_flatten(tuple(primals))[1], "jvp: tangents")
    moved = _inexact(flat.types)
    traced = trace_call(f, flat, moved, lambda out: _pair(out, f) if has_aux else (out, ()), True)
    main_types, main_tree, _ = _main(traced)
    nonzero = (*[False] * len(traced.captures), *moved)
    count = len(traced.function.results)
    outs = apply(
        ("jvp", nonzero, len(main_types)),
        traced.function,
        # A reverse-only rule whose tangent nothing uses does no harm.
        lambda fn: _reject_linear_only(dce(transforms.jvp(fn, nonzero)[0])),
        (*traced.captures, *flat.leaves, *ins),
        (*traced.out_weak, *_of_inexact(traced.out_weak, traced.function.out_types)),
        Derivative(nonzero, len(main_types)),
    )
    out, aux = traced.unflatten(outs[:count])
    pushed = outs[count : count + sum(_inexact(main_types))]
    tangent = tree_unflatten(main_tree, _spread(main_types, pushed))
    return (out, tangent, aux) if has_aux else (out, tangent)


def _main(traced: Traced) -> tuple[Sequence[TensorType], Any, int]:
    """(types, structure, number) of the leaves of the result proper of `(result, aux)`, which come first."""
    tree = traced.out_tree.children()[0]
    return traced.function.out_types[: tree.num_leaves], tree, tree.num_leaves


def _reject_linear_only(function: ir.Function) -> ir.Function:
    """DifferentiationError where forward mode meets a rule that only has a reverse mode."""
    for eqn in function.eqns:
        if eqn.op.name == "custom_vjp_tangent":
            raise DifferentiationError(
                f"{eqn.attrs['bwd'].name} has a custom_vjp rule, which gives reverse-mode derivatives only; "
                "forward mode (jvp, jacfwd, linearize) needs custom_jvp",
                source=eqn.source,
            )
        for nested in ir.nested_functions(eqn):
            _reject_linear_only(nested)
    return function


def _first_half(
    key: tuple[Hashable, ...],
    traced: Traced,
    leaves: Sequence[Any],
    make: Callable[[ir.Function], tuple[ir.Function, ir.Function, int]],
    derivative: Derivative,
) -> tuple[tuple[Any, ...], ir.Function, tuple[Any, ...]]:
    """Run the first half of a split program: (results, second half, residuals)."""
    first, second, _ = split(key, traced.function, make, derivative)
    outs = apply(("forward",), first, lambda fn: fn, (*traced.captures, *leaves), traced.out_weak)
    count = len(traced.function.results)
    return outs[:count], second, outs[count:]


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False, autograph: bool = False) -> Any:
    """(f(*primals), pull) where `pull(cotangent)` gives a tuple of cotangents of the primals.

    With `has_aux`, `f` returns `(result, aux)` and `(result, pull, aux)` is returned. With `autograph`,
    plain Python control flow in `f` is converted; see `tracer.autograph`.

    Raises:
      ArgumentTypeError: by `pull`, where the cotangent differs from the result in structure, shape or
        dtype.

    Examples:
      >>> value, pull = tr.vjp(lambda x, y: x * y, 2.0, 3.0)
      >>> print(value, *pull(1.0))
      6.0 3.0 2.0
    """
    f = requested(f, autograph)
    flat = flatten(primals, {}, f)
    moved = _inexact(flat.types)
    traced = trace_call(f, flat, moved, lambda out: _pair(out, f) if has_aux else (out, ()), True)
    nonzero = (*[False] * len(traced.captures), *moved)
    main_types, main_tree, count = _main(traced)
    seeded = tuple([i < count and t.dtype.is_inexact for i, t in enumerate(traced.function.out_types)])
    outs, backward, residuals = _first_half(
        ("vjp", nonzero, seeded),
        traced,
        flat.leaves,
        lambda fn: transforms.split_vjp(fn, nonzero, seeded),
        Derivative(nonzero, count),
    )
    result, aux = traced.unflatten(outs)
    weak = _weak_cotangents(flat, moved, main_types)

    def pull(cotangent: Any) -> tuple[Any, ...]:
        seeds = _seeds(cotangent, main_types, main_tree, "vjp: the cotangent")
        cts = apply(("pull",), backward, lambda fn: fn, (*residuals, *seeds), weak)
        args, _ = flat.unflatten(_spread(flat.types, cts))
        return tuple(args)

    return (result, pull, aux) if has_aux else (result, pull)


def _pair(out: Any, fn: Callable[..., Any]) -> Any:
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise ArgumentTypeError(
            f"with has_aux=True {function_name(fn)} must return (result, aux), got {type(out).__name__}"
        )
    return tuple(out)


def linearize(f: Callable[..., Any], *primals: Any, has_aux: bool = False, autograph: bool = False) -> Any:
    """(f(*primals), push) where `push(*tangents)` is the derivative at that point, evaluated cheaply.

    With `has_aux`, `f` returns `(result, aux)` and `(result, push, aux)` is returned. With `autograph`,
    plain Python control flow in `f` is converted; see `tracer.autograph`.

    Raises:
      ArgumentTypeError: by `push`, where tangents differ from primals in structure, shape or dtype.

    Examples:
      >>> value, push = tr.linearize(lambda x: x**2, 3.0)
      >>> print(value, push(1.0), push(0.5))
      9.0 6.0 3.0
    """
    f = requested(f, autograph)
    flat = flatten(primals, {}, f)
    moved = _inexact(flat.types)
    traced = trace_call(f, flat, moved, lambda out: _pair(out, f) if has_aux else (out, ()), True)
    nonzero = (*[False] * len(traced.captures), *moved)
    main_types, main_tree, count = _main(traced)
    in_tree = tree_flatten(primals)[1]

    def make(fn: ir.Function) -> tuple[ir.Function, ir.Function, int]:
        forward, tangent_map, residual_count = transforms.split_linearize(fn, nonzero)
        mains = sum(_inexact(main_types))
        tangent_map = _reject_linear_only(tangent_map.replace(results=tangent_map.results[:mains]))
        return forward, tangent_map, residual_count

    outs, tangent_map, residuals = _first_half(
        ("linearize", nonzero, count), traced, flat.leaves, make, Derivative(nonzero, count)
    )
    result, aux = traced.unflatten(outs)
    weak = _of_inexact(traced.out_weak[:count], main_types)

    def push(*tangents: Any) -> Any:
        ins = _seeds(tangents, flat.types, in_tree, "linearize: tangents")
        pushed = apply(("push",), tangent_map, lambda fn: fn, (*residuals, *ins), weak)
        return tree_unflatten(main_tree, _spread(main_types, pushed))

    return (result, push, aux) if has_aux else (result, push)


__all__ = ["float0_zeros", "grad", "jvp", "linearize", "trace_call", "value_and_grad", "vjp"]
