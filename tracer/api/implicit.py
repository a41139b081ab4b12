"""Solutions of equations, differentiated by what defines them and not by how they were found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

import tracer.numpy as tnp
from ir import transforms
from ir.core import Value
from ir.errors import ArgumentError, ArgumentTypeError
from ir.op import inline
from ir.ops.linear_solve import linear_solve, without_auxiliary
from ir.ops.root import RootRule, root
from ir.passes.pipeline import optimize
from lowering.boundary import emit_differentiable
from tracer.api.arguments import function_name, leaf_type, tree_flatten, tree_unflatten
from tracer.api.conform import conformed, require_inexact
from tracer.api.control import leaf_path, share_captures
from tracer.api.loops import while_loop
from tracer.numpy.dispatch import lift
from tracer.state import state
from tracer.trace import Trace, Traced, trace_flat
from tracer.value import Tensor

Function = Callable[..., Any]


def custom_linear_solve(
    matvec: Function,
    b: Any,
    solve: Function,
    transpose_solve: Function | None = None,
    symmetric: bool = False,
    has_aux: bool = False,
) -> Any:
    """The x with `matvec(x) == b` that `solve` finds; as `jax.lax.custom_linear_solve`.

    Derivatives solve the same system again, and in reverse mode the transposed one; nothing is
    differentiated through the solver (Christianson 1994).

    Args:
      matvec: x -> A x, linear; may close over traced values, by which the result has derivatives.
      b: pytree of floating point or complex arrays, which x resembles.
      solve: `(matvec, b) -> x`.
      transpose_solve: `(vecmat, b) -> x` with `vecmat(x) == b`, where vecmat is the transpose of matvec;
        needed for reverse mode.
      symmetric: A equals its transpose, so that `solve` serves for both.
      has_aux: solvers return `(x, aux)`; aux has no derivative.

    Returns:
      x, or `(x, aux)`.

    Raises:
      ArgumentTypeError: operands that are not floating point, or a function that returns other types
        than those of `b`; names the leaf.
      DifferentiationError: reverse mode without `transpose_solve`.
    """
    if state.trace is None:
        return _as_one_program(
            lambda b: custom_linear_solve(matvec, b, solve, transpose_solve, symmetric, has_aux), b
        )
    like = _Like("custom_linear_solve", b)
    forward = like.traced(matvec, matvec)
    solvers = {"solve": like.traced(lambda x: solve(matvec, x), solve, has_aux=has_aux)}
    if transpose_solve is None and symmetric:
        solvers |= {"vecmat": forward, "transpose_solve": solvers["solve"]}
    elif transpose_solve is not None:
        back = forward if symmetric else _transposed(forward, like.count)
        vecmat = like.applied(back)
        turned = like.traced(lambda x: transpose_solve(vecmat, x), transpose_solve, has_aux=has_aux)
        solvers |= {"vecmat": back, "transpose_solve": turned}
    functions, captures = share_captures([forward, *solvers.values()])
    attrs = dict(zip(["matvec", *solvers], functions, strict=True))
    if "transpose_solve" in attrs:
        attrs["transpose_solve"] = without_auxiliary(attrs["transpose_solve"], like.count)
    operands = (*[like.trace.lift(x).value for x in captures], *like.values)
    outs = like.trace.emit(linear_solve, operands, linear_solve.normalize(attrs))
    return like.result(outs, solvers["solve"], has_aux)


def custom_root(
    f: Function, initial_guess: Any, solve: Function, tangent_solve: Function, has_aux: bool = False
) -> Any:
    """The x with `f(x) == 0` that `solve` finds; as `jax.lax.custom_root`.

    The derivative by what `f` closes over is that of the implicit function theorem; nothing is
    differentiated through the solver, and the guess has no derivative.

    Args:
      f: x -> residual of the same structure, shapes and dtypes.
      initial_guess: pytree of floating point or complex arrays, where `solve` begins.
      solve: `(f, initial_guess) -> x`.
      tangent_solve: `(g, y) -> v` with `g(v) == y`, where g is the linear map df/dx at the root. In
        reverse mode it is transposed: use operations that can be, or `custom_linear_solve`. For scalars:
        `lambda g, y: y / g(1.0)`.
      has_aux: `solve` returns `(x, aux)`; aux has no derivative.

    Returns:
      x, or `(x, aux)`.

    Raises:
      ArgumentTypeError: operands that are not floating point, or a function that returns other types
        than those of the guess; names the leaf.
    """
    if state.trace is None:
        return _as_one_program(lambda x: custom_root(f, x, solve, tangent_solve, has_aux), initial_guess)
    like = _Like("custom_root", initial_guess)
    residual = like.traced(f, f)
    solved = like.traced(lambda x: solve(f, x), solve, has_aux=has_aux)
    tangents = _tangents_of_root(like, residual, tangent_solve)
    (of_x, of_guess, of_tangent), captures = share_captures([residual, solved, tangents])
    constants = [like.trace.lift(x).value for x in captures]
    outs = root(constants, like.values, RootRule(of_x, of_guess, of_tangent))
    return like.result(outs, solved, has_aux)


def _tangents_of_root(like: _Like, residual: Traced, tangent_solve: Function) -> Traced:
    """(x, y) -> v with (df/dx) v = y."""
    count = len(residual.captures)
    moves = [*[False] * count, *[True] * like.count]
    forward, tangent_map, _ = transforms.split_linearize(residual.function, moves)

    def solved(*leaves: Any) -> Any:
        at, y = leaves[: like.count], leaves[like.count :]
        residuals = _inlined(forward, (*residual.captures, *at))[like.count :]

        def g(v: Any) -> Any:
            return like.tree_of(_inlined(tangent_map, (*residuals, *like.leaves_of(v, "v"))))

        return tangent_solve(g, like.tree_of(y))

    name = function_name(tangent_solve)
    found = trace_flat(solved, like.types * 2, [False] * (2 * like.count), name=name, inputs=None)
    return like.checked(found)


def fixed_point(f: Function, x0: Any, *, tol: float | None = None, max_steps: int | None = None) -> Any:
    """The x with `f(x) == x` that iteration from `x0` converges to.

    The derivative by what `f` closes over is that of the implicit function theorem: the linear system
    (I - df/dx) v = y is solved by the same iteration, in reverse mode with the transpose (Christianson 1994).
    It converges as fast as the iteration itself does at the end.

    Args:
      f: x -> the next x, of the same structure, shapes and dtypes; a contraction near the result.
      x0: pytree of floating point or complex arrays. It has no derivative.
      tol: steps end when no entry changes by more than `tol` times one plus its magnitude; by default
        eight roundings of its dtype.
      max_steps: steps end after so many in any case; unbounded by default.

    Raises:
      ArgumentTypeError: operands that are not floating point, or `f` returns other types; names the leaf.
      ArgumentError: `max_steps` is no positive int.

    Examples:
      >>> settle = lambda w: tr.fixed_point(lambda z: tnp.tanh(w * z + 1.0), 0.0)
      >>> print(f"{settle(0.5):.4f} {tr.grad(settle)(0.5):.4f}")
      0.8952 0.1974
    """
    if max_steps is not None and (type(max_steps) is not int or max_steps < 1):
        raise ArgumentError(f"fixed_point: expected max_steps to be a positive int, got {max_steps!r}")

    def iterate(step: Function, x: Any) -> Any:
        def goes_on(s: Any) -> Any:
            old, new, k = s
            moved = [
                _moved(a, b, tol) for a, b in zip(tree_flatten(old)[0], tree_flatten(new)[0], strict=True)
            ]
            on = tnp.any(tnp.stack(moved))
            return on if max_steps is None else on & (k < max_steps)

        return while_loop(goes_on, lambda s: (s[1], step(s[1]), s[2] + 1), (x, step(x), 1))[1]

    def linear_iterate(g: Function, y: Any) -> Any:
        # g(v) = (df/dx) v - v, so that g(v) = y where v = (df/dx) v - y.
        return iterate(lambda v: _map(lambda gv, v, y: gv + v - y, g(v), v, y), _map(lambda y: -y, y))

    def residual(x: Any) -> Any:
        return _map(lambda new, old: new - old, f(x), x)

    def tangent_solve(g: Function, y: Any) -> Any:
        return custom_linear_solve(g, y, linear_iterate, linear_iterate)

    return custom_root(residual, x0, lambda _, x: iterate(f, x), tangent_solve)


def _moved(old: Any, new: Any, tol: float | None) -> Any:
    """Whether an array still changes; an entry that is no number ends the iteration."""
    limit = 8 * float(jnp.finfo(new.dtype).eps) if tol is None else tol  # type: ignore[no-untyped-call]
    return tnp.any(tnp.abs(new - old) > limit * (1 + tnp.abs(new)))


def _map(f: Function, *trees: Any) -> Any:
    tree = tree_flatten(trees[0])[1]
    columns = zip(*[tree_flatten(t)[0] for t in trees], strict=True)
    return tree_unflatten(tree, [f(*column) for column in columns])


def _as_one_program(f: Function, x: Any) -> Any:
    from tracer.api.jacobians import _one_program

    return _one_program(f)(x)


def _transposed(forward: Traced, count: int) -> Traced:
    constants = len(forward.captures)
    linear = [*[False] * constants, *[True] * count]
    return dataclasses.replace(forward, function=transforms.transpose_map(forward.function, linear))


def _inlined(function: Any, values: Sequence[Any]) -> list[Any]:
    """The results of a function in the current trace, which may be one of JAX."""
    trace = state.trace
    if trace is None:
        return list(emit_differentiable(function, optimize, [jnp.asarray(x) for x in values]))
    outs = inline(function, [trace.lift(x).value for x in values])
    return [Tensor(trace, v, False) for v in outs]


class _Like:
    """The structure and types that the unknown, the residual and the right-hand side have in common."""

    def __init__(self, name: str, x: Any) -> None:
        assert state.trace is not None
        self.name = name
        self.trace: Trace = state.trace
        leaves, self.tree = tree_flatten(x)
        tensors = [lift(leaf) for leaf in leaves]
        self.values: list[Value] = [t.value for t in tensors]
        self.types = [v.type for v in self.values]
        self.count = len(tensors)
        require_inexact(name, self.types, self.tree)

    def tree_of(self, leaves: Sequence[Any]) -> Any:
        return tree_unflatten(self.tree, leaves)

    def leaves_of(self, x: Any, what: str) -> list[Any]:
        """Leaves of a pytree of this structure and these types; Python numbers take them."""
        leaves, tree = tree_flatten(x)
        if tree != self.tree:
            raise ArgumentTypeError(f"{self.name}: expected {what} of structure {self.tree}, got {tree}")
        out = []
        for k, (leaf, want) in enumerate(zip(leaves, self.types, strict=True)):
            have, weak = leaf_type(leaf)
            if have is not want and not (weak and have.shape == want.shape):
                raise ArgumentTypeError(
                    f"{self.name}: expected {what} to have {want} as leaf{leaf_path(self.tree, k)}, got {have}"
                )
            out.append(leaf if have is want else tnp.asarray(leaf, dtype=want.dtype.np))
        return out

    def traced(self, run: Function, named: Function, *, has_aux: bool = False) -> Traced:
        """`run`, of a pytree like this, traced to flat results like this, then those of aux."""
        found = trace_flat(
            lambda *leaves: run(self.tree_of(leaves)),
            self.types,
            [False] * self.count,
            name=function_name(named),
            inputs=None,
        )
        return self.checked(found, has_aux=has_aux)

    def checked(self, found: Traced, *, has_aux: bool = False) -> Traced:
        """A traced function whose result must be like this, or a pair of such a result and aux."""
        tree, types, aux = self.tree, list(self.types), None
        if has_aux:
            pair = found.out_tree.children()
            if len(pair) != 2 or found.out_tree != jax.tree_util.treedef_tuple(pair):
                raise ArgumentTypeError(
                    f"{self.name}: expected {found.function.name} to return (x, aux), got {found.out_tree}"
                )
            aux = pair[1]
            tree = jax.tree_util.treedef_tuple((tree, aux))
            types += found.function.out_types[pair[0].num_leaves :]
        function = conformed(self.name, found, tree, types)
        return dataclasses.replace(found, function=function, out_tree=aux if has_aux else tree)

    def applied(self, traced: Traced) -> Function:
        """A traced function as one of pytrees like this."""
        return lambda x: self.tree_of(
            _inlined(traced.function, (*traced.captures, *self.leaves_of(x, "the operand")))
        )

    def result(self, outs: Sequence[Value], solved: Traced, has_aux: bool) -> Any:
        weak = [False] * self.count + list(solved.out_weak[self.count :])
        tensors = [Tensor(self.trace, v, w) for v, w in zip(outs, weak, strict=True)]
        x = self.tree_of(tensors[: self.count])
        return (x, tree_unflatten(solved.out_tree, tensors[self.count :])) if has_aux else x


__all__ = ["custom_linear_solve", "custom_root", "fixed_point"]
