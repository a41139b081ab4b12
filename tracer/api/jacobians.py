"""Full Jacobians and Hessians, and the product of a Hessian with a vector."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax

from ir.errors import ArgumentTypeError
from tracer.api.arguments import (
    call,
    flatten,
    leaf_type,
    positions,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import requested
from tracer.api.control import leaf_path
from tracer.api.derivatives import grad, jvp, linearize, trace_call, vjp
from tracer.api.elements import require_arguments, require_kinds
from tracer.api.vmap import vmap
from tracer.execution import apply
from tracer.numpy.creation import eye, zeros
from tracer.numpy.manipulation import reshape
from tracer.state import state


def _one_program(composite: Callable[..., Any], has_aux: bool = False) -> Callable[..., Any]:
    """Outside a trace, record the whole of `composite` and run it as one compiled program.

    With `has_aux` it returns `(result, aux)`, whose `aux` may hold any objects.
    """

    @functools.wraps(composite)
    def call(*args: Any, **kwargs: Any) -> Any:
        if state.trace is not None:
            return composite(*args, **kwargs)
        flat = flatten(args, kwargs, composite, [True] * len(tree_leaves((args, kwargs))))
        traced = trace_call(composite, flat, [False] * len(flat.leaves), None, has_aux)
        outs = apply(
            ("whole",), traced.function, lambda fn: fn, (*traced.captures, *flat.leaves), traced.out_weak
        )
        return traced.unflatten(outs)

    return call


def _chosen(
    f: Callable[..., Any], args: tuple[Any, ...], argnums: int | Sequence[int], kwargs: Any, what: str
) -> tuple[Callable[..., Any], tuple[Any, ...], bool]:
    """`f` as a function of the chosen arguments only, those arguments, and whether it is one."""
    chosen, single = positions(argnums, len(args), what)

    def of_chosen(*given: Any) -> Any:
        full = list(args)
        for n, x in zip(chosen, given, strict=True):
            full[n] = x
        return call(f, full, kwargs)

    return of_chosen, tuple([args[n] for n in chosen]), single


def _basis(tree: Any) -> Any:
    """The standard basis of a pytree of arrays: each leaf gets a leading axis over all directions."""
    leaves, structure = tree_flatten(tree)
    sizes = [math.prod(leaf_type(x)[0].shape) for x in leaves]
    total = sum(sizes)
    out, start = [], 0
    for x, size in zip(leaves, sizes, strict=True):
        type_ = leaf_type(x)[0]
        block = eye(total, size, -start, dtype=type_.dtype.np)
        out.append(reshape(block, (total, *type_.shape)))
        start += size
    return tree_unflatten(structure, out)


def _split_leading(x: Any, shapes: Sequence[tuple[int, ...]], axis: int) -> list[Any]:
    """`x` cut along `axis` into blocks of the given shapes, the axis unfolded."""
    out, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        block = x[(slice(None),) * axis + (slice(start, stop),)]
        out.append(reshape(block, (*x.shape[:axis], *shape, *x.shape[axis + 1 :])))
        start = stop
    return out


def _with_zeros(cotangents: Any, args: Any) -> Any:
    """Cotangents with zeros of the arguments' types in the place of float0."""

    def dense(cotangent: Any, x: Any) -> Any:
        type_ = leaf_type(x)[0]
        return cotangent if type_.dtype.is_inexact else zeros(type_.shape, type_.dtype.np)

    return jax.tree_util.tree_map(dense, cotangents, args)


def jacfwd(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Jacobian by forward mode, one pass an input element.

    For a result of shape `m` and an argument of shape `n` it has shape `(*m, *n)`; for pytrees, the
    result's structure holds the argument's. With `has_aux`, `f` returns `(result, aux)` and
    `(jacobian, aux)` is returned. With `holomorphic`, `f` is a holomorphic function of complex arguments, and the
    complex Jacobian is returned; otherwise arguments are real. With `autograph`, plain Python control flow in `f`
    is converted; see `tracer.autograph`.
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def jacobian_(*args: Any, **kwargs: Any) -> Any:
        of_chosen, chosen, single = _chosen(f, args, argnums, kwargs, "jacfwd")
        require_kinds(chosen, ("float",), "jacfwd", holomorphic=holomorphic)
        out, push, *aux = linearize(of_chosen, *chosen, has_aux=has_aux)
        require_kinds(out, ("float", "complex"), "jacfwd: the result", holomorphic=holomorphic)
        columns = vmap(push, out_axes=-1)(*_basis(chosen))
        shapes = [leaf_type(x)[0].shape for x in tree_flatten(chosen)[0]]
        structure = tree_flatten(chosen)[1]
        leaves, out_tree = tree_flatten(columns)

        def unfold(column: Any) -> Any:
            blocks = tree_unflatten(structure, _split_leading(column, shapes, len(column.shape) - 1))
            return blocks[0] if single else blocks

        jacobian = tree_unflatten(out_tree, [unfold(x) for x in leaves])
        return (jacobian, aux[0]) if has_aux else jacobian

    return _one_program(jacobian_, has_aux)


def jacrev(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Jacobian by reverse mode, one pass an output element; arguments and layout as for `jacfwd`.

    Results are real unless `holomorphic`; of complex arguments, columns are gradients as those of `tracer.grad`. With
    `allow_int`, integer arguments get zeros of their own type, as in JAX, instead of an error.
    """
    f = requested(f, autograph)

    @functools.wraps(f)
    def jacobian_(*args: Any, **kwargs: Any) -> Any:
        of_chosen, chosen, single = _chosen(f, args, argnums, kwargs, "jacrev")
        types = [leaf_type(x)[0] for x in tree_leaves(chosen)]
        names = [f"leaf{leaf_path(tree_flatten(chosen)[1], k)} of the arguments" for k in range(len(types))]
        require_arguments(types, names, "jacrev", holomorphic=holomorphic, allow_int=allow_int)
        out, pull, *aux = vjp(of_chosen, *chosen, has_aux=has_aux)
        require_kinds(out, ("float",), "jacrev: the result", holomorphic=holomorphic)
        rows = vmap(lambda cotangent: _with_zeros(pull(cotangent), chosen))(_basis(out))
        leaves, out_tree = tree_flatten(out)
        shapes = [leaf_type(x)[0].shape for x in leaves]
        row_leaves, row_tree = tree_flatten(rows)
        parts = [_split_leading(x, shapes, 0) for x in row_leaves]

        def of_output(i: int) -> Any:
            blocks = tree_unflatten(row_tree, [p[i] for p in parts])
            return blocks[0] if single else blocks

        jacobian = tree_unflatten(out_tree, [of_output(i) for i in range(len(leaves))])
        return (jacobian, aux[0]) if has_aux else jacobian

    return _one_program(jacobian_, has_aux)


def jacobian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
    *,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Jacobian; by reverse mode, as `jax.jacobian`.

    Examples:
      >>> print(tr.jacobian(lambda x: x**2)(np.float32([1, 2])))
      [[2. 0.]
       [0. 4.]]
    """
    return jacrev(f, argnums, has_aux, holomorphic, allow_int, autograph=autograph)


def hessian(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    *,
    autograph: bool = False,
) -> Callable[..., Any]:
    """The Hessian, forward over reverse: shape `(*m, *n, *n)`.

    Examples:
      >>> print(tr.hessian(lambda x: x[0] ** 2 * x[1])(np.float32([1, 2])))
      [[4. 2.]
       [2. 0.]]
    """
    return jacfwd(
        jacrev(f, argnums, has_aux, holomorphic, autograph=autograph), argnums, has_aux, holomorphic
    )


def hvp(
    f: Callable[..., Any], primals: Sequence[Any], vectors: Sequence[Any], *, autograph: bool = False
) -> Any:
    """The Hessian of a scalar function times vectors, without forming it (forward over reverse).

    Returns:
      One array or pytree for one primal, a tuple for several.

    Examples:
      >>> print(tr.hvp(lambda x: tnp.sum(x**3), (np.float32([1, 2]),), (np.float32([1, 0]),)))
      [6. 0.]
    """
    if not isinstance(primals, (tuple, list)) or not isinstance(vectors, (tuple, list)):
        raise ArgumentTypeError("hvp: expected primals and vectors to be tuples or lists")
    f = requested(f, autograph)
    argnums: Any = 0 if len(primals) == 1 else tuple(range(len(primals)))

    def product(primals: Any, vectors: Any) -> Any:
        return jvp(grad(f, argnums), tuple(primals), tuple(vectors))[1]

    return _one_program(product)(tuple(primals), tuple(vectors))


__all__ = ["hessian", "hvp", "jacfwd", "jacobian", "jacrev"]
