"""Custom derivative rules, `stop_gradient` and `checkpoint`."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

import ir
from ir.core import Opaque, attr_key
from ir.errors import ArgumentError, ArgumentTypeError, CustomRuleError
from ir.ops import calls
from ir.types import TensorType
from lowering.execute import Cache
from tracer.api.arguments import (
    Flat,
    call,
    check_signature,
    flatten,
    function_name,
    leaf_type,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import autograph
from tracer.api.jit import closed, jit
from tracer.numpy.creation import zeros_like
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.types import x64_enabled
from tracer.value import Tensor


def _trace_closed(
    fn: Callable[..., Any], types: Sequence[TensorType], weak: Sequence[bool], name: str
) -> Traced:
    """Record a function that may use arrays from outside, and what JAX computes from them, but no traces."""
    with jax.ensure_compile_time_eval():
        return trace_flat(fn, types, weak, name=name)


def _no_captures(traced: Traced, name: str, what: str) -> ir.Function:
    """The closed function; CustomRuleError where it uses a value of an enclosing trace."""
    for x in traced.captures:
        if isinstance(x, (Tensor, jax.core.Tracer)):
            raise CustomRuleError(
                f"{what} of {name} uses a traced value from outside ({x!r:.60}); pass it as an argument"
            )
    return closed(traced)


class _Checking(threading.local):
    """The custom functions whose rules this thread is comparing with what they were."""

    active: frozenset[int] = frozenset()


_checking = _Checking()


class _Custom:
    """What both kinds share: non-differentiable arguments and recording of the primal function."""

    # Whether the rules depend on nothing but their arguments, so that they never change.
    constant = False

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        functools.update_wrapper(cast("Callable[..., Any]", self), f)
        self.f = f
        self.nondiff = tuple(nondiff_argnums)
        self._rules: Cache[tuple[Opaque, ...]] = Cache(256)

    @property
    def name(self) -> str:
        return function_name(self.f)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    def _bind(self, args: Any, kwargs: Any) -> tuple[Any, ...]:
        """Positional arguments, keywords and defaults resolved by the signature."""
        try:
            bound = inspect.signature(self.f).bind(*args, **kwargs)
        except ValueError:  # no signature to be had
            return tuple(args)
        except TypeError as error:
            check_signature(self.f, args, kwargs, error)
            raise
        bound.apply_defaults()
        if bound.kwargs:
            raise ArgumentTypeError(
                f"{self.name}: custom rules take positional arguments only, got keyword-only {list(bound.kwargs)}"
            )
        return bound.args

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
        return jit(lambda *given: self(*self._merge(nondiff, given)))(*diff)

    def _key(self, flat: Flat, nondiff: dict[int, Any], traced: Traced) -> tuple[Any, ...]:
        fixed = tuple([(n, attr_key(x)) for n, x in nondiff.items()])
        out_types = traced.function.out_types
        return flat.tree, flat.types, flat.weak, fixed, traced.out_tree, out_types, x64_enabled()

    def _rule(self, key: Any, make: Callable[[], tuple[Opaque, ...]]) -> tuple[Opaque, ...]:
        """Rules are kept by structure, so that retracing gives equal IR and finds compiled programs.

        What a rule closes over may have changed since it was traced: it is traced again and compared.
        """
        try:
            hash(key)
        except TypeError:  # an unhashable non-differentiable argument: no reuse
            return make()
        if id(self) in _checking.active or self.constant:
            return self._rules.get(key, make)
        before = self._rules.find(key)
        if before is not None:
            outer = _checking.active
            _checking.active = outer | {id(self)}
            try:
                same = all(rule.obj.unchanged() for rule in before)
            finally:
                _checking.active = outer
            if not same:
                self._rules.drop(key)
        return self._rules.get(key, make)

    def _record(self, args: tuple[Any, ...]) -> tuple[Any, Any, dict[int, Any], Traced]:
        nondiff, diff = self._split(args)
        flat = flatten(diff, {}, self.f)

        def call(*leaves: Any) -> Any:
            inner, _ = flat.unflatten(leaves)
            return self._function()(*self._merge(nondiff, inner))

        traced = _trace_closed(call, flat.types, flat.weak, self.name)
        return flat, diff, nondiff, traced


class custom_jvp(_Custom):
    """A function with its own forward derivative; reverse mode follows by transposition.

    `@f.defjvp` takes `rule(primals, tangents) -> (result, tangent)`; `f.defjvps(*rules)` one rule
    an argument, `rule_i(tangent, result, *primals)` or None.
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self.jvp: Callable[..., Any] | None = None

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the rule."""
        self.jvp = jvp
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
        args = self._bind(args, kwargs)
        trace = state.trace
        if trace is None:
            return self._outside(args)
        flat, _, nondiff, traced = self._record(args)
        function = _no_captures(traced, self.name, "the body")
        (rule,) = self._rule(
            self._key(flat, nondiff, traced),
            lambda: (Opaque(self.name, calls.Rule(self.name, self._trace_rule(flat, nondiff, traced))),),
        )
        operands = tuple([trace.lift(x).value for x in flat.leaves])
        outs = trace.emit(calls.custom_jvp_call, operands, {"function": function, "jvp": rule})
        leaves = [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)]
        return tree_unflatten(traced.out_tree, leaves)

    def _trace_rule(
        self, flat: Flat, nondiff: dict[int, Any], primal: Traced
    ) -> Callable[[tuple[TensorType, ...]], ir.Function]:
        def trace_rule(types: tuple[TensorType, ...]) -> ir.Function:
            inexact = [t.dtype.is_inexact for t in types]

            def rule(*leaves: Any) -> Any:
                primals, _ = flat.unflatten(leaves[: len(types)])
                given = iter(leaves[len(types) :])
                tangents, _ = flat.unflatten(
                    [
                        next(given) if i else np.zeros(t.shape, jax.dtypes.float0)
                        for i, t in zip(inexact, types, strict=True)
                    ],
                )
                assert self.jvp is not None
                out = self.jvp(*nondiff.values(), tuple(primals), tuple(tangents))
                if not isinstance(out, (tuple, list)) or len(out) != 2:
                    raise CustomRuleError(
                        f"the JVP rule of {self.name} is expected to return (result, tangent), got {_shown(out)}"
                    )
                return self._checked(out[0], out[1], primal)

            all_types = (*types, *[t for t, i in zip(types, inexact, strict=True) if i])
            weak = (*flat.weak, *[w for w, i in zip(flat.weak, inexact, strict=True) if i])
            traced = _trace_closed(rule, all_types, weak, f"jvp_of_{self.name}")
            return _no_captures(traced, self.name, "the JVP rule")

        return trace_rule

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
            results.append(_as_type(x, want, f"the JVP rule of {self.name} returned a result"))
            if want.dtype.is_inexact:
                douts.append(_as_type(t, want, f"the JVP rule of {self.name} returned a tangent"))
        return [*results, *douts]


class builtin_jvp(custom_jvp):
    """`custom_jvp` whose rule depends on nothing but its arguments."""

    constant = True


@dataclass(frozen=True, slots=True)
class _Residuals:
    """What a forward rule keeps for the backward rule.

    Attributes:
      tree: structure of all.
      types: (type, weak) of the traced ones.
      fixed: the others by position: Python numbers, shapes, whatever is no array. They stay what they are.
    """

    tree: Any
    types: tuple[tuple[TensorType, bool], ...]
    fixed: Mapping[int, Any]

    def unflatten(self, traced: Sequence[Any]) -> Any:
        """The residuals with these in the place of the traced ones."""
        rest = iter(traced)
        leaves = [self.fixed[i] if i in self.fixed else next(rest) for i in range(self.tree.num_leaves)]
        return tree_unflatten(self.tree, leaves)


def _is_traced(x: Any) -> bool:
    """Whether a residual is a value of the program; what NumPy or Python holds is known when it is traced."""
    return isinstance(x, (Tensor, jax.Array)) or hasattr(x, "__jax_array__")


class custom_vjp(_Custom):
    """A function with its own reverse derivative: `f.defvjp(fwd, bwd)`.

    `fwd(*args) -> (result, residuals)`; `bwd(residuals, cotangent) -> tuple` with one cotangent an
    argument, None for zero.
    """

    def __init__(self, f: Callable[..., Any], nondiff_argnums: Sequence[int] = ()) -> None:
        super().__init__(f, nondiff_argnums)
        self.fwd: Callable[..., Any] | None = None
        self.bwd: Callable[..., Any] | None = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the two halves of the rule."""
        self.fwd, self.bwd = fwd, bwd
        self._rules.clear()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.fwd is None or self.bwd is None:
            raise CustomRuleError(f"{self.name} has no rule: define one with defvjp")
        args = self._bind(args, kwargs)
        trace = state.trace
        if trace is None:
            return self._outside(args)
        flat, diff, nondiff, traced = self._record(args)
        function = _no_captures(traced, self.name, "the body")
        fwd, bwd = self._rule(
            self._key(flat, nondiff, traced),
            lambda: self._make_rules(flat, nondiff, traced, tree_flatten(diff)[1]),
        )
        operands = tuple([trace.lift(x).value for x in flat.leaves])
        attrs = {"function": function, "fwd": fwd, "bwd": bwd}
        outs = trace.emit(calls.custom_vjp_call, operands, attrs)
        leaves = [Tensor(trace, v, w) for v, w in zip(outs, traced.out_weak, strict=True)]
        return tree_unflatten(traced.out_tree, leaves)

    def _make_rules(
        self, flat: Any, nondiff: dict[int, Any], primal: Traced, arg_tree: Any
    ) -> tuple[Opaque, Opaque]:
        kept: dict[Any, _Residuals] = {}

        def trace_fwd(types: tuple[TensorType, ...]) -> Any:
            def forward(*leaves: Any) -> Any:
                inner, _ = flat.unflatten(leaves)
                assert self.fwd is not None
                out = self.fwd(*self._merge(nondiff, inner))
                if not isinstance(out, (tuple, list)) or len(out) != 2:
                    raise CustomRuleError(
                        f"the forward rule of {self.name} is expected to return (result, residuals), "
                        f"got {_shown(out)}"
                    )
                results, tree = tree_flatten(out[0])
                if bool(tree != primal.out_tree):
                    raise CustomRuleError(
                        f"the forward rule of {self.name}: expected a result of structure "
                        f"{primal.out_tree}, got {tree}"
                    )
                every, residual_tree = tree_flatten(out[1])
                residuals = [_handed(r) for r in every if _is_traced(r)]
                kept[types] = _Residuals(
                    residual_tree,
                    tuple([leaf_type(r) for r in residuals]),
                    {i: r for i, r in enumerate(every) if not _is_traced(r)},
                )
                what = f"the forward rule of {self.name} returned a result"
                wanted = zip(results, primal.function.out_types, strict=True)
                return [*[_as_type(r, t, what) for r, t in wanted], *residuals]

            traced = _trace_closed(forward, types, flat.weak, f"fwd_of_{self.name}")
            return _no_captures(traced, self.name, "the forward rule")

        fwd_rule = calls.Rule(self.name, trace_fwd)

        def trace_bwd(types: tuple[TensorType, ...]) -> Any:
            fwd_rule.function(types)
            saved = kept[types]
            count = len(saved.types)
            out_types = primal.function.out_types
            seeds = [t for t in out_types if t.dtype.is_inexact]

            def backward(*leaves: Any) -> Any:
                residuals = saved.unflatten(leaves[:count])
                given = iter(leaves[count:])
                cts = tree_unflatten(
                    primal.out_tree,
                    [
                        next(given) if t.dtype.is_inexact else np.zeros(t.shape, jax.dtypes.float0)
                        for t in out_types
                    ],
                )
                assert self.bwd is not None
                return self._cotangents(self.bwd(*nondiff.values(), residuals, cts), arg_tree, types)

            all_types = (*[t for t, _ in saved.types], *seeds)
            weak = (*[w for _, w in saved.types], *[False] * len(seeds))
            traced = _trace_closed(backward, all_types, weak, f"bwd_of_{self.name}")
            return _no_captures(traced, self.name, "the backward rule")

        return Opaque(self.name, fwd_rule), Opaque(self.name, calls.Rule(self.name, trace_bwd))

    def _cotangents(self, out: Any, arg_tree: Any, types: tuple[TensorType, ...]) -> list[Any]:
        """Flat cotangents of the inexact leaves, None spread to zeros, structure checked."""
        what = f"the backward rule of {self.name}"
        args = arg_tree.unflatten(list(range(arg_tree.num_leaves)))
        if not isinstance(out, (tuple, list)) or len(out) != len(args):
            raise CustomRuleError(
                f"{what}: expected a tuple of {len(args)} cotangents, one for each argument, got {_shown(out)}"
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
            _zeros(t) if c is None else _as_type(c, t, f"{what} returned a cotangent")
            for c, t in zip(flat, types, strict=True)
            if t.dtype.is_inexact
        ]


def _shown(out: Any) -> str:
    return f"{len(out)} of them" if isinstance(out, (tuple, list)) else type(out).__name__


def _zeros(type_: TensorType) -> Any:
    trace = state.trace
    if trace is None:  # JAX traces the rule
        return jnp.zeros(type_.shape, type_.dtype.np)
    return trace.scalar(0, type_.dtype, type_.shape)


def _as_type(x: Any, want: TensorType, what: str) -> Any:
    """`x` as a traced value of exactly `want`; weak numbers convert, anything else must fit.

    Where JAX traces the rule, a tracer of JAX.
    """
    if getattr(x, "dtype", None) == jax.dtypes.float0:
        raise CustomRuleError(f"{what} of type float0{list(x.shape)}, expected {want}")
    try:
        got, weak = leaf_type(x)
    except ArgumentTypeError as error:
        raise CustomRuleError(f"{what} that is no array: {error.message}; expected {want}") from error
    if got.shape != want.shape or (got.dtype is not want.dtype and not weak):
        raise CustomRuleError(f"{what} of type {got}, expected {want}")
    if state.trace is None:
        return x if want.dtype.kind == "key" else jnp.asarray(_handed(x), want.dtype.np)
    return convert(lift(x), want.dtype)


def _handed(x: Any) -> Any:
    """`x` as JAX takes it where JAX traces the rule."""
    return x.outside() if type(x) is Tensor and state.trace is None else x


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
