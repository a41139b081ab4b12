"""The call of a custom function: what is recorded of it, and which rules it gets."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import jax

import ir
from ir.core import Opaque, attr_key
from ir.errors import ArgumentError, ArgumentTypeError, CustomRuleError
from lowering.execute import Cache
from tracer.api.arguments import (
    Flat,
    check_signature,
    flatten,
    function_name,
    tree_flatten,
    tree_leaves,
    tree_unflatten,
)
from tracer.api.autograph import autograph
from tracer.api.rules import (
    Pending,
    TracedRule,
    trace_closed,
    tracing,
    union,
    with_captures,
)
from tracer.execution import apply
from tracer.leaves import merged
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.types import x64_enabled
from tracer.value import Tensor

# Rules are traced where their functions are called, and those of functions that they call, so far down.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Use:
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


class Custom:
    """What both kinds share: non-differentiable arguments and recording of the primal function."""

    # Whether the rules depend on nothing but their arguments, so that they never change.
    constant = False
    # Attributes of the call that hold the rules.
    kinds: tuple[str, ...] = ()
    # Whether the rules are of one call, equal to those of no other, and traced only where they are needed.
    alone = False
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
        return merged(nondiff, diff, len(nondiff) + len(diff))

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

    def _used(self, args: tuple[Any, ...]) -> Use:
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
        return Use(flat, nondiff, traced, tree_flatten(diff)[1], key)

    def _bound(self, args: tuple[Any, ...], op: ir.Op) -> Any:
        """The result of the call, recorded."""
        trace = state.trace
        if trace is None:
            return self._outside(args)
        use = self._used(args)
        leaves = use.flat.leaves
        # The rules live as long as the equation, and must hold no values of its trace.
        use = replace(use, flat=replace(use.flat, leaves=[]))
        captures, rules = self._rules_of(use)
        function = with_captures(use.primal, captures, f"the body of {self.name}")
        operands = tuple([trace.lift(x).value for x in (*captures, *leaves)])
        attrs = {"function": function, **dict(zip(self.kinds, rules, strict=True))}
        outs = trace.emit(op, operands, attrs)
        results = [Tensor(trace, v, w) for v, w in zip(outs, use.primal.out_weak, strict=True)]
        return tree_unflatten(use.primal.out_tree, results)

    # Rules ----------------------------------------------------------------------------------------

    def _makers(self, use: Use) -> Sequence[Callable[[tuple[bool, ...]], Traced]]:
        """What traces each rule, in the order of `kinds`, given which leaves have tangents."""
        raise NotImplementedError

    def _rules_of(self, use: Use) -> tuple[tuple[Any, ...], tuple[Opaque, ...]]:
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
        if not self.alone and id(self) not in tracing.checked and len(tracing.pending) < _DEPTH:
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

    def _made(self, use: Use, captures: tuple[Any, ...]) -> tuple[Opaque, ...]:
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
                alone=self.alone,
            )
            return Opaque(self.name, rule)

        return tuple([made(*each) for each in zip(self.kinds, self._makers(use), strict=True)])

    def _traced(self, use: Use) -> tuple[tuple[Any, ...], tuple[Opaque, ...]] | None:
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
