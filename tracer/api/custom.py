"""Custom derivative rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.custom_derivatives import CustomVJPPrimal

from ir.errors import CustomRuleError
from ir.ops import calls
from ir.source import UNKNOWN
from ir.types import TensorType
from tracer.api.arguments import (
    leaf_type,
    tree_flatten,
    tree_unflatten,
)
from tracer.api.custom_call import Custom, Use
from tracer.api.rules import (
    Residuals,
    as_type,
    float0_zeros,
    handed,
    is_traced,
    shown,
    symbolic_zero,
    trace_closed,
    zeros,
)
from tracer.numpy.creation import zeros_like
from tracer.state import state
from tracer.trace import Traced


class custom_jvp(Custom):
    """A function with its own forward derivative; reverse mode follows by transposition.

    `@f.defjvp` takes `rule(primals, tangents) -> (result, tangent)`; `f.defjvps(*rules)` one rule
    an argument, `rule_i(tangent, result, *primals)` or None.

    Examples:
      >>> @tr.custom_jvp
      ... def clipped(x):
      ...     return tnp.clip(x, -1.0, 1.0)
      >>> @clipped.defjvp
      ... def clipped_jvp(primals, tangents):
      ...     return clipped(*primals), tangents[0]  # as if it were not clipped
      >>> print(clipped(3.0), tr.grad(clipped)(3.0))
      1.0 1.0
    """

    kinds = ("jvp",)

    def __init__(
        self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(f, nondiff_argnums, nondiff_argnames)
        self.jvp: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any], symbolic_zeros: bool = False) -> Callable[..., Any]:
        """Set the rule.

        Args:
          jvp: the rule.
          symbolic_zeros: give it a `jax.custom_derivatives.SymbolicZero` for each tangent that is zero
            whatever the values, instead of an array; it may return such, too.
        """
        self.jvp = jvp
        self.symbolic = symbolic_zeros
        self._rules.clear()
        return jvp

    def defjvps(self, *jvps: Callable[..., Any] | None) -> None:
        """Set one rule an argument; None stands for a zero derivative."""

        def jvp(primals: Any, tangents: Any) -> Any:
            if len(jvps) != len(primals):
                raise CustomRuleError(
                    f"{self.name}: expected one rule for each of {len(primals)} arguments, got {len(jvps)}"
                )
            out = self(*primals)
            terms = [
                rule(tangent, out, *primals)
                for rule, tangent in zip(jvps, tangents, strict=True)
                if rule is not None
            ]
            if not terms:
                return out, jax.tree_util.tree_map(zeros_like, out)
            total = terms[0]
            for term in terms[1:]:
                total = jax.tree_util.tree_map(lambda a, b: a + b, total, term)
            return out, total

        self.defjvp(jvp)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.jvp is None:
            raise CustomRuleError(f"{self.name} has no rule: define one with defjvp")
        return self._bound(self._bind(args, kwargs), calls.custom_jvp_call)

    def _makers(self, use: Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
        flat, types = use.flat, use.flat.types
        inexact = [t.dtype.is_inexact for t in types]

        def trace_rule(moves: tuple[bool, ...]) -> Traced:
            def rule(*leaves: Any) -> Any:
                if self.constant and state.trace is not None:
                    state.trace.source = UNKNOWN  # shared by all callers
                primals, _ = flat.unflatten(leaves[: len(types)])
                given = iter(leaves[len(types) :])
                every = [next(given) if i else float0_zeros(t) for i, t in zip(inexact, types, strict=True)]
                if self.symbolic:
                    every = [
                        x if m else symbolic_zero(t) for x, m, t in zip(every, moves, types, strict=True)
                    ]
                tangents, _ = flat.unflatten(every)
                assert self.jvp is not None
                out = self.jvp(*use.nondiff.values(), tuple(primals), tuple(tangents))
                if not isinstance(out, (tuple, list)) or len(out) != 2:
                    raise CustomRuleError(
                        f"the JVP rule of {self.name} is expected to return (result, tangent), got {shown(out)}"
                    )
                return self._checked(out[0], out[1], use.primal)

            all_types = (*types, *[t for t, i in zip(types, inexact, strict=True) if i])
            weak = (*flat.weak, *[w for w, i in zip(flat.weak, inexact, strict=True) if i])
            return trace_closed(rule, all_types, weak, f"jvp_of_{self.name}")

        return (trace_rule,)

    def _checked(self, out: Any, tangent: Any, primal: Traced) -> Any:
        leaves, tree = tree_flatten(out)
        tangents, tangent_tree = tree_flatten(tangent)
        if bool(tree != primal.out_tree) or bool(tangent_tree != tree):
            raise CustomRuleError(
                f"the JVP rule of {self.name}: expected a result and a tangent of structure "
                f"{primal.out_tree}, got {tree} and {tangent_tree}"
            )
        results, douts = [], []
        for x, t, want in zip(leaves, tangents, primal.function.out_types, strict=True):
            results.append(as_type(x, want, f"the JVP rule of {self.name} returned a result"))
            if want.dtype.is_inexact:
                douts.append(as_type(t, want, f"the JVP rule of {self.name} returned a tangent"))
        return [*results, *douts]


class builtin_jvp(custom_jvp):
    """`custom_jvp` whose rule depends on nothing but its arguments."""

    constant = True


class custom_vjp(Custom):
    """A function with its own reverse derivative: `f.defvjp(fwd, bwd)`.

    `fwd(*args) -> (result, residuals)`; `bwd(residuals, cotangent) -> tuple` with one cotangent an
    argument, None for zero.

    Examples:
      >>> @tr.custom_vjp
      ... def scaled(x, factor):
      ...     return x
      >>> scaled.defvjp(lambda x, factor: (x, factor), lambda factor, ct: (ct * factor, None))
      >>> print(tr.grad(scaled)(3.0, 10.0))
      10.0
    """

    kinds = ("fwd", "bwd")

    def __init__(
        self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        super().__init__(f, nondiff_argnums, nondiff_argnames)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None

    def defvjp(
        self,
        fwd: Callable[..., Any],
        bwd: Callable[..., Any],
        symbolic_zeros: bool = False,
        optimize_remat: bool = False,
    ) -> None:
        """Set the two halves of the rule.

        Args:
          fwd, bwd: the halves.
          symbolic_zeros: `fwd` gets a `jax.custom_derivatives.CustomVJPPrimal` for each leaf, with its `value`
            and whether it is `perturbed`, and `bwd` a `SymbolicZero` for each cotangent of an integer result.
          optimize_remat: accepted, as in JAX; the passes remove what `fwd` computes and nobody uses anyway.
        """
        self.fwd, self.bwd = fwd, bwd
        self.symbolic = symbolic_zeros
        self._rules.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise CustomRuleError(f"{self.name} has no rule: define one with defvjp")
        return self._bound(self._bind(args, kwargs), calls.custom_vjp_call)

    def _makers(self, use: Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
        kept: dict[tuple[bool, ...], Residuals] = {}
        flat, primal, types = use.flat, use.primal, use.flat.types

        def trace_fwd(moves: tuple[bool, ...]) -> Traced:
            def forward(*leaves: Any) -> Any:
                given: Sequence[Any] = leaves
                if self.symbolic:
                    given = [CustomVJPPrimal(x, m) for x, m in zip(leaves, moves, strict=True)]
                inner, _ = flat.unflatten(given)
                assert self.fwd is not None
                out = self.fwd(*self._merge(use.nondiff, inner))
                if not isinstance(out, (tuple, list)) or len(out) != 2:
                    raise CustomRuleError(
                        f"the forward rule of {self.name} is expected to return (result, residuals), "
                        f"got {shown(out)}"
                    )
                results, tree = tree_flatten(out[0])
                if bool(tree != primal.out_tree):
                    raise CustomRuleError(
                        f"the forward rule of {self.name}: expected a result of structure "
                        f"{primal.out_tree}, got {tree}"
                    )
                every, residual_tree = tree_flatten(out[1])
                residuals = [handed(r) for r in every if is_traced(r)]
                kept[moves] = Residuals(
                    residual_tree,
                    tuple([leaf_type(r) for r in residuals]),
                    {i: r for i, r in enumerate(every) if not is_traced(r)},
                )
                what = f"the forward rule of {self.name} returned a result"
                wanted = zip(results, primal.function.out_types, strict=True)
                return [*[as_type(r, t, what) for r, t in wanted], *residuals]

            return trace_closed(forward, types, flat.weak, f"fwd_of_{self.name}")

        def trace_bwd(moves: tuple[bool, ...]) -> Traced:
            if moves not in kept:
                trace_fwd(moves)
            saved = kept[moves]
            count = len(saved.types)
            out_types = primal.function.out_types
            seeds = [t for t in out_types if t.dtype.is_inexact]
            nothing = symbolic_zero if self.symbolic else float0_zeros

            def backward(*leaves: Any) -> Any:
                residuals = saved.unflatten(leaves[:count])
                given = iter(leaves[count:])
                cts = tree_unflatten(
                    primal.out_tree,
                    [next(given) if t.dtype.is_inexact else nothing(t) for t in out_types],
                )
                assert self.bwd is not None
                return self._cotangents(self.bwd(*use.nondiff.values(), residuals, cts), use.arg_tree, types)

            all_types = (*[t for t, _ in saved.types], *seeds)
            weak = (*[w for _, w in saved.types], *[False] * len(seeds))
            return trace_closed(backward, all_types, weak, f"bwd_of_{self.name}")

        return trace_fwd, trace_bwd

    def _cotangents(self, out: Any, arg_tree: Any, types: tuple[TensorType, ...]) -> list[Any]:
        """Flat cotangents of the inexact leaves, None spread to zeros, structure checked."""
        what = f"the backward rule of {self.name}"
        args = arg_tree.unflatten(list(range(arg_tree.num_leaves)))
        if not isinstance(out, (tuple, list)) or len(out) != len(args):
            raise CustomRuleError(
                f"{what}: expected a tuple of {len(args)} cotangents, one for each argument, got {shown(out)}"
            )
        flat: list[Any] = [None] * len(types)

        def place(ct: Any, indices: Any) -> None:
            if ct is None:
                return
            if type(indices) is not int:
                raise ValueError(f"an array in the place of {tree_flatten(indices)[1]}")
            flat[indices] = ct

        try:
            jax.tree_util.tree_map(place, tuple(out), tuple(args), is_leaf=lambda x: x is None)
        except ValueError as error:
            raise CustomRuleError(
                f"{what}: expected cotangents of structure {arg_tree}, got {tree_flatten(tuple(out))[1]}"
            ) from error
        return [
            zeros(t) if c is None else as_type(c, t, f"{what} returned a cotangent")
            for c, t in zip(flat, types, strict=True)
            if t.dtype.is_inexact
        ]
