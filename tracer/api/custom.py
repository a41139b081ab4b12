"""Custom derivative rules."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
from jax.custom_derivatives import CustomVJPPrimal

import ir
from ir.core import Opaque, attr_key
from ir.errors import ArgumentError, ArgumentTypeError, CustomRuleError
from ir.ops import calls
from ir.types import TensorType
from lowering.execute import Cache
from tracer.api.arguments import (
    Flat,
    check_signature,
    flatten,
    function_name,
    leaf_type,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import autograph
from tracer.api.rules import (
    Pending,
    Residuals,
    TracedRule,
    as_type,
    float0_zeros,
    handed,
    is_traced,
    shown,
    symbolic_zero,
    trace_closed,
    tracing,
    union,
    with_captures,
    zeros,
)
from tracer.execution import apply
from tracer.numpy.creation import zeros_like
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.types import x64_enabled
from tracer.value import Tensor

# Rules are traced where their functions are called, and those of functions that they call, so far down.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class _Use:
    """One call of a custom function.

    Attributes:
      flat: the arguments.
      nondiff: those that are no arrays, by position.
      primal: the function.
      arg_tree: structure of the arguments.
      key: what rules depend on, if they do not change.
    """

    flat: Flat
    nondiff: dict[int, Any]
    primal: Traced
    arg_tree: Any
    key: Any


class _Custom:
    """What both kinds share: non-differentiable arguments and recording of the primal function."""

    # Whether the rules depend on nothing but their arguments, so that they never change.
    constant = False
    # Attributes of the call that hold the rules.
    kinds: tuple[str, ...] = ()
    # Whether the rules are told which tangents are zero.
    symbolic = False

    def __init__(
        self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = (), nondiff_argnames: Sequence[str] = ()
    ) -> None:
        functools.update_wrapper(cast("Callable[..., Any]", self), f)
        self.f = f
        self.nondiff = (*nondiff_argnums, *self._positions(nondiff_argnames, nondiff_argnums))
        self._rules: Cache[tuple[Opaque, ...]] = Cache(256)

    @property
    def name(self) -> str:
        return function_name(self.f)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _positions(self, names: Sequence[str], taken: Sequence[int]) -> tuple[int, ...]:
        """Positions of the arguments of these names, unless they are taken already."""
        if not names:
            return ()
        parameters = list(inspect.signature(self.f).parameters.values())
        if unknown := set(names) - {p.name for p in parameters}:
            raise ArgumentError(
                f"{self.name}: expected nondiff_argnames to be among {[p.name for p in parameters]}, "
                f"got {sorted(unknown)}"
            )
        found = [i for i, p in enumerate(parameters) if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in names]
        return tuple([i for i in found if i not in taken])

    def _bind(self, args: Any, kwargs: Any) -> tuple[Any, ...]:
        """Positional arguments, keywords and defaults resolved by the signature."""
        try:
            bound = inspect.signature(self.f).bind(*args, **kwargs)
        except ValueError:  # no signature to be had
            return tuple(args)
        except TypeError as error:
            check_signature(self.f, args, kwargs, error)
            raise
        if bound.kwargs:
            raise ArgumentTypeError(
                f"{self.name}: custom rules take positional arguments only, got keyword-only {list(bound.kwargs)}"
            )
        bound.apply_defaults()
        return bound.args  # what takes keywords only keeps its default

    def _split(self, args: tuple[Any, ...]) -> tuple[dict[int, Any], tuple[Any, ...]]:
        if wrong := [n for n in self.nondiff if not -len(args) <= n < len(args)]:
            raise ArgumentError(
                f"{self.name}: expected nondiff_argnums to fit the {len(args)} arguments, got {wrong}"
            )
        nondiff = {n % len(args): args[n] for n in self.nondiff}
        return nondiff, tuple([a for i, a in enumerate(args) if i not in nondiff])

    def _merge(self, nondiff: dict[int, Any], diff: Sequence[Any]) -> list[Any]:
        rest = iter(diff)
        return [nondiff[i] if i in nondiff else next(rest) for i in range(len(nondiff) + len(diff))]

    def _function(self) -> Callable[..., Any]:
        """The primal function, converted from when that was wanted of a transform around.

        Rules that call it are recorded later, when that transform is done.
        """
        if state.autograph:
            self.f = autograph(self.f)
        return self.f

    def _outside(self, args: tuple[Any, ...]) -> Any:
        """The result outside any trace; what JAX traces gets a program that knows the rules."""
        nondiff, diff = self._split(args)
        if not any(isinstance(x, jax.core.Tracer) for x in tree_leaves(diff)):
            return self._function()(*args)
        flat = flatten(diff, {}, self.f)

        def call(*leaves: Any) -> Any:
            inner, _ = flat.unflatten(leaves)
            return self(*self._merge(nondiff, inner))

        traced = trace_flat(call, flat.types, flat.weak, name=self.name)
        operands = (*traced.captures, *flat.leaves)
        outs = apply(("custom",), traced.function, lambda function: function, operands, traced.out_weak)
        return tree_unflatten(traced.out_tree, outs)

    def _used(self, args: tuple[Any, ...]) -> _Use:
        nondiff, diff = self._split(args)
        flat = flatten(diff, {}, self.f)

        def call(*leaves: Any) -> Any:
            inner, _ = flat.unflatten(leaves)
            return self._function()(*self._merge(nondiff, inner))

        traced = trace_closed(call, flat.types, flat.weak, self.name)
        fixed = tuple([(n, attr_key(x)) for n, x in nondiff.items()])
        out_types = traced.function.out_types
        key: Any = flat.tree, flat.types, flat.weak, fixed, traced.out_tree, out_types, x64_enabled()
        try:
            hash(key)
        except TypeError:  # an unhashable non-differentiable argument: no reuse
            key = object()
        return _Use(flat, nondiff, traced, tree_flatten(diff)[1], key)

    def _bound(self, args: tuple[Any, ...], op: ir.Op) -> Any:
        """The result of the call, recorded."""
        trace = state.trace
        if trace is None:
            return self._outside(args)
        use = self._used(args)
        captures, rules = self._rules_of(use)
        function = with_captures(use.primal, captures, f"the body of {self.name}")
        operands = tuple([trace.lift(x).value for x in (*captures, *use.flat.leaves)])
        attrs = {"function": function, **dict(zip(self.kinds, rules, strict=True))}
        outs = trace.emit(op, operands, attrs)
        leaves = [Tensor(trace, v, w) for v, w in zip(outs, use.primal.out_weak, strict=True)]
        return tree_unflatten(use.primal.out_tree, leaves)

    # Rules ----------------------------------------------------------------------------------------

    def _makers(self, use: _Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
        """What traces each rule, in the order of `kinds`, given which leaves have tangents."""
        raise NotImplementedError

    def _rules_of(self, use: _Use) -> tuple[tuple[Any, ...], tuple[Opaque, ...]]:
        """(what function and rules close over, the rules).

        Rules that close over nothing are kept by structure, so that retracing gives equal IR and finds
        compiled programs. What they read may have changed since: they are traced again and compared.
        """
        captures = use.primal.captures
        if self.constant:
            return (), self._rules.get(use.key, lambda: self._made(use, ()))
        pending = tracing.pending.get((id(self), use.key))
        if pending is not None:
            pending.met = True
            return pending.captures, pending.rules
        if not captures and (before := self._unchanged(use.key)) is not None:
            return (), before
        found = None
        if id(self) not in tracing.checked and len(tracing.pending) < _DEPTH:
            found = self._traced(use)
        if found is None:
            found = captures, self._made(use, captures)
        captures, rules = found
        if captures or type(use.key) is object:
            return captures, rules
        return (), self._rules.get(use.key, lambda: rules)

    def _unchanged(self, key: Any) -> tuple[Opaque, ...] | None:
        """The rules that are kept, if they still do the same."""
        before = self._rules.find(key)
        if before is None or id(self) in tracing.checked:
            return before
        outer = tracing.checked
        tracing.checked = outer | {id(self)}
        try:
            if all(rule.obj.unchanged() for rule in before):
                return before
        except CustomRuleError:  # they use a traced value by now
            pass
        finally:
            tracing.checked = outer
        self._rules.drop(key)
        return None

    def _made(self, use: _Use, captures: tuple[Any, ...]) -> tuple[Opaque, ...]:
        """Rules to be traced when they are needed."""
        body = with_captures(use.primal, captures, f"the body of {self.name}")
        what = f"a rule of {self.name}"

        def made(kind: str, make: Callable[[tuple[bool, ...]], Traced]) -> Opaque:
            rule = TracedRule(
                kind,
                body,
                lambda moves: with_captures(make(moves), captures, what),
                len(captures),
                sensitive=self.symbolic,
            )
            return Opaque(self.name, rule)

        return tuple([made(*each) for each in zip(self.kinds, self._makers(use), strict=True)])

    def _traced(self, use: _Use) -> tuple[tuple[Any, ...], tuple[Opaque, ...]] | None:
        """`_rules_of` by tracing the rules now; None where they cannot be traced."""
        captures = union(use.primal.captures)
        at = id(self), use.key
        moves = tuple([t.dtype.is_inexact for t in use.flat.types])
        for final in (False, True):
            rules = self._made(use, captures)
            pending = tracing.pending[at] = Pending(rules, captures)
            try:
                traced = [make(moves) for make in self._makers(use)]
                every = union(captures, *[each.captures for each in traced])
                known = captures if final else every
                functions = [with_captures(each, known, f"a rule of {self.name}") for each in traced]
            except Exception:  # noqa: BLE001 (raised again where the rule is needed)
                return None
            finally:
                del tracing.pending[at]
            if len(known) == len(captures):
                break
            captures = known
            if not pending.met:  # no call inside lacks what is new
                rules = self._made(use, captures)
                break
        for rule, function in zip(rules, functions, strict=True):
            rule.obj.settle(function)
        return captures, rules


class custom_jvp(_Custom):
    """A function with its own forward derivative; reverse mode follows by transposition.

    `@f.defjvp` takes `rule(primals, tangents) -> (result, tangent)`; `f.defjvps(*rules)` one rule
    an argument, `rule_i(tangent, result, *primals)` or None.
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

    def _makers(self, use: _Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
        flat, types = use.flat, use.flat.types
        inexact = [t.dtype.is_inexact for t in types]

        def trace_rule(moves: tuple[bool, ...]) -> Traced:
            def rule(*leaves: Any) -> Any:
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


class custom_vjp(_Custom):
    """A function with its own reverse derivative: `f.defvjp(fwd, bwd)`.

    `fwd(*args) -> (result, residuals)`; `bwd(residuals, cotangent) -> tuple` with one cotangent an
    argument, None for zero.
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

    def _makers(self, use: _Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
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
