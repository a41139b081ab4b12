"""Rules of custom functions while they are traced: what they close over, keep and return.

A custom function and its rules may use values from outside, traced ones included. Those become leading
operands of its call, so that programs that differ in them only are equal, and hold none of them. To know
them, the rules are traced where the function is called, whether or not they will be needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

import ir
from ir.core import Opaque, Value
from ir.errors import ArgumentTypeError, CustomRuleError
from ir.ops.structural import StructuralRule
from ir.types import TensorType
from tracer.api.arguments import leaf_type, tree_unflatten
from tracer.api.jit import closed
from tracer.leaves import merged
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.value import Tensor

# A rule as a function, by which arguments have tangents.
Make = Callable[[tuple[bool, ...]], ir.Function]


def trace_closed(
    fn: Callable[..., Any], types: Sequence[TensorType], weak: Sequence[bool], name: str
) -> Traced:
    """Record a function that may use values from outside; what JAX computes from arrays is an array."""
    with jax.ensure_compile_time_eval():
        return trace_flat(fn, types, weak, name=name)


def with_captures(traced: Traced, captures: Sequence[Any], what: str) -> ir.Function:
    """The function of exactly these captures and its arguments; other arrays become constants.

    Raises:
      CustomRuleError: it uses another traced value.
    """
    given = [id(x) for x in captures]
    if given == [id(x) for x in traced.captures]:
        return traced.function
    function = traced.function
    params = dict(zip(map(id, traced.captures), function.params, strict=False))
    others = [x for x in traced.captures if id(x) not in given]
    for x in others:
        if isinstance(x, (Tensor, jax.core.Tracer)):
            raise CustomRuleError(
                f"{what} uses a traced value from outside ({x!r:.60}); pass it as an argument"
            )
    leading = [
        params[i] if i in params else Value(leaf_type(x)[0], "captured")
        for i, x in zip(given, captures, strict=True)
    ]
    arguments = function.params[len(traced.captures) :]
    whole = function.replace(params=(*[params[id(x)] for x in others], *leading, *arguments))
    return closed(Traced(whole, tuple(others), traced.out_tree, traced.out_weak))


def union(*groups: Sequence[Any]) -> tuple[Any, ...]:
    """Each object once."""
    return tuple({id(x): x for group in groups for x in group}.values())


class TracedRule(StructuralRule):
    """One rule of a custom function of ours.

    Attributes:
      sensitive: the rule looks at which arguments have tangents.
    """

    def __init__(
        self, kind: str, body: ir.Function, make: Make, captures: int, *, sensitive: bool, alone: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(kind, body, lambda moves: make(moves[captures:]), captures=captures)
        self.sensitive = sensitive
        self.alone = alone

    def moving(self, moves: tuple[bool, ...]) -> StructuralRule:
        return super().moving(moves) if self.sensitive else self

    def settle(self, function: ir.Function) -> None:
        """Take this for the rule where every argument has a tangent.

        With captures, nothing else of the rule is kept: not what it closes over.
        """
        self._known[self.body.in_types] = function
        if self.captures and not self.sensitive:
            self._trace = lambda types: function
            self._make = lambda moves: function

    def unchanged(self) -> bool:
        return super().unchanged() and all(
            each.unchanged() for each in self._moving.values() if each is not self
        )


@dataclass(slots=True)
class Pending:
    """The rules of a custom function that are being traced; its calls inside get these.

    Attributes:
      captures: what is known so far of what function and rules close over.
      met: whether there was such a call.
    """

    rules: tuple[Opaque, ...]
    captures: tuple[Any, ...]
    met: bool = False


class _Tracing(threading.local):
    """What this thread does with custom functions.

    Attributes:
      checked: custom functions whose rules are compared with what they were.
      pending: those whose rules are traced, by identity and use.
    """

    def __init__(self) -> None:
        self.checked: frozenset[int] = frozenset()
        self.pending: dict[Any, Pending] = {}


tracing = _Tracing()


@dataclass(frozen=True, slots=True)
class Residuals:
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
        leaves = merged(self.fixed, traced, self.tree.num_leaves)
        return tree_unflatten(self.tree, leaves)


def is_traced(x: Any) -> bool:
    """Whether a residual is a value of the program; what NumPy or Python holds is known when it is traced."""
    return isinstance(x, (Tensor, jax.Array)) or hasattr(x, "__jax_array__")


def float0_zeros(type_: TensorType) -> Any:
    """The tangent or cotangent of integers, bools and keys."""
    return np.zeros(type_.shape, jax.dtypes.float0)


def symbolic_zero(type_: TensorType) -> Any:
    """A tangent or cotangent of a value of this type that is zero whatever the values."""
    dtype = type_.dtype.np if type_.dtype.is_inexact else jax.dtypes.float0
    struct = jax.ShapeDtypeStruct(type_.shape, dtype)  # type: ignore[no-untyped-call]
    return SymbolicZero(jax.typeof(struct))


def shown(out: Any) -> str:
    """What a rule returned, in words."""
    return f"{len(out)} of them" if isinstance(out, (tuple, list)) else type(out).__name__


def zeros(type_: TensorType) -> Any:
    """Zeros in the innermost trace, ours or JAX's."""
    trace = state.trace
    if trace is None:  # JAX traces the rule
        return jnp.zeros(type_.shape, type_.dtype.np)
    return trace.scalar(0, type_.dtype, type_.shape)


def as_type(x: Any, want: TensorType, what: str) -> Any:
    """`x` as a traced value of exactly `want`; weak numbers convert, anything else must fit.

    Where JAX traces the rule, a tracer of JAX.
    """
    if type(x) is SymbolicZero and x.dtype != jax.dtypes.float0 and x.shape == want.shape:
        return zeros(want)
    if getattr(x, "dtype", None) == jax.dtypes.float0:
        raise CustomRuleError(f"{what} of type float0{list(x.shape)}, expected {want}")
    try:
        got, weak = leaf_type(x)
    except ArgumentTypeError as error:
        raise CustomRuleError(f"{what} that is no array: {error.message}; expected {want}") from error
    if got.shape != want.shape or (got.dtype is not want.dtype and not weak):
        raise CustomRuleError(f"{what} of type {got}, expected {want}")
    if state.trace is None:
        return x if want.dtype.kind == "key" else jnp.asarray(handed(x), want.dtype.np)
    return convert(lift(x), want.dtype)


def handed(x: Any) -> Any:
    """`x` as JAX takes it where JAX traces the rule."""
    return x.outside() if type(x) is Tensor and state.trace is None else x
