"""The record of an op: everything the compiler knows about it, in one place.

An `Op` is callable: `mul(x, y)` infers the result type, appends an equation to the current
builder and returns the result value, so rules, rewrites and the tracer all build IR alike.

Rule signatures (`attrs` as keyword arguments throughout):
  type(*types, **attrs) -> TensorType or tuple of them
  eval(*arrays, **attrs) -> array or tuple of arrays           NumPy reference
  jvp(tangents, operands, results, **attrs) -> tangents out     None stands for a zero tangent
  transpose(cotangents, operands, **attrs) -> cotangents        linear operands are `Linear`
  batch(operands, batched, size, **attrs) -> (results, batched) batched operands carry axis 0
  flops(operand_types, result_types, **attrs) -> int
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ir.core import EMPTY_ATTRS, Attrs, Eqn, Function, Value
from ir.errors import IRTypeError, TracerError
from ir.source import Source, capture
from ir.types import TensorType

Types = tuple[TensorType, ...]
Tangents = tuple[Value | None, ...]


class Marker:
    """A named sentinel for a derived rule."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


# Derived JVP rules.
LINEAR: Final = Marker("LINEAR")  # linear in all operands jointly
MULTILINEAR: Final = Marker("MULTILINEAR")  # linear in each operand
ZERO: Final = Marker("ZERO")  # the derivative is zero everywhere it exists


@dataclass(frozen=True, slots=True)
class Linear:
    """Stands for a linear operand in a transpose rule: only its type is known."""

    type: TensorType


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One op of the IR. Declare it through the helpers of `ir.ops`, not directly.

    Attributes:
      name: as printed.
      attrs: attribute names in canonical order, with their defaults (`REQUIRED` for none).
      type_rule, eval, jvp, transpose, batch, flops: see the module's docstring; `None` where the
        op has no such rule, which raises an error that names the op.
      elementwise: whether result i depends on operand elements i only (all shapes equal).
      tame: for elementwise ops with infinite values or derivatives at finite operands: **attrs -> for each
        operand a number where they are finite, or None where any number will do (`ir.transforms.guard`).
      effect: whether the op must be kept although its results are unused.
      inline: for ops that hold a function and mean no more than its body: operands, attrs ->
        the function to inline.
      prune: for ops that hold functions: (which results are used, **attrs) -> (op, positions of the
        operands that are left, attrs, positions of the results that are left), or None where all are.
      unrun: attributes with functions that say what derivatives are, and are not run with the equation.
      differentiate: replaces `jvp` for ops whose results change under differentiation:
        (operands, tangents, **attrs) -> (results, tangents).
    """

    name: str
    attrs: dict[str, Any]
    type_rule: Callable[..., Any]
    eval: Callable[..., Any] | None
    jvp: Any
    transpose: Callable[..., Any] | None
    batch: Callable[..., Any] | None
    flops: Callable[..., int]
    elementwise: bool = False
    tame: Callable[..., tuple[float | None, ...]] | None = None
    effect: bool = False
    inline: Callable[..., Function] | None = None
    differentiate: Callable[..., Any] | None = None
    prune: Callable[..., Any] | None = None
    unrun: frozenset[str] = frozenset()
    cache: dict[Types, Types] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return op_named, (self.name,)

    def __call__(self, *operands: Value, **attrs: Any) -> Any:
        """Append an equation to the current builder; its result, or a tuple if it has several."""
        results = current_builder().emit(self, operands, self.normalize(attrs) if self.attrs else attrs)
        return results[0] if len(results) == 1 else results

    def normalize(self, attrs: Attrs) -> Attrs:
        """Attributes in canonical order with defaults filled in; IRTypeError for a wrong name."""
        out = {}
        for name, default in self.attrs.items():
            value = attrs.get(name, default)
            if value is REQUIRED:
                raise IRTypeError(f"{self.name}: attribute {name!r} is required, got {sorted(attrs)}")
            out[name] = value
        if len(out) != len(attrs) and (unknown := set(attrs) - set(out)):
            raise IRTypeError(f"{self.name}: unknown attributes {sorted(unknown)}, known: {list(self.attrs)}")
        return out

    def infer(self, types: Types, attrs: Attrs) -> Types:
        """Result types for operand types; IRTypeError where they do not fit."""
        if not attrs:
            found = self.cache.get(types)
            if found is None:
                out = self.type_rule(*types)
                found = self.cache[types] = out if type(out) is tuple else (out,)
            return found
        out = self.type_rule(*types, **attrs)
        return out if type(out) is tuple else (out,)


REQUIRED: Final = Marker("REQUIRED")

_TABLE: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add an op to the table; a name is taken once."""
    if op.name in _TABLE:
        raise ValueError(f"op {op.name!r} is declared twice")
    _TABLE[op.name] = op
    return op


def op_named(name: str) -> Op:
    """The op of that name; IRTypeError when there is none."""
    import ir.ops  # noqa: F401 (declares them)

    try:
        return _TABLE[name]
    except KeyError:
        raise IRTypeError(f"unknown op {name!r}") from None


def all_ops() -> dict[str, Op]:
    """The op table, by name."""
    import ir.ops  # noqa: F401 (declares them)

    return dict(_TABLE)


class Builder:
    """Collects equations. `source` is given to each; without one the user's frame is looked up.

    Attributes:
      inherits: whether a builder without a source takes that of the one around it: what a rule builds inside an
        equation, such as the body of a loop, comes from the line of that equation.
    """

    __slots__ = ("eqns", "source")
    inherits = True

    def __init__(self, source: Source | None = None) -> None:
        self.eqns: list[Eqn] = []
        self.source = source

    def emit(self, op: Op, operands: tuple[Value, ...], attrs: Attrs = EMPTY_ATTRS) -> tuple[Value, ...]:
        try:
            types = op.infer(tuple([v.type for v in operands]), attrs)
        except TracerError as error:
            if error.source is None:
                error.source = self.source or capture(2)
            raise
        results = tuple([Value(t) for t in types])
        self.append(Eqn(op, operands, attrs, results, self.source or capture(2)))
        return results

    def append(self, eqn: Eqn) -> None:
        """Add a finished equation."""
        self.eqns.append(eqn)

    def copy(self, eqn: Eqn, operands: tuple[Value, ...], attrs: Attrs | None = None) -> tuple[Value, ...]:
        """Add an equation of the same op and result types over other operands of the same types."""
        results = tuple([Value(v.type, v.name) for v in eqn.results])
        source = eqn.source.within(self.source)
        self.append(Eqn(eqn.op, operands, eqn.attrs if attrs is None else attrs, results, source))
        return results


class _State(threading.local):
    builder: Builder | None = None


_state = _State()


def current_builder() -> Builder:
    """The builder that op calls append to; IRTypeError outside `building`."""
    builder = _state.builder
    if builder is None:
        raise IRTypeError("an op was called outside a builder; wrap the code in `ir.building(builder)`")
    return builder


class building:
    """Context in which op calls append to `builder`."""

    __slots__ = ("builder", "outer", "source")

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.source = builder.source
        self.outer: Builder | None = None

    def __enter__(self) -> Builder:
        self.outer, builder = _state.builder, self.builder
        _state.builder = builder
        self.source = builder.source
        if builder.source is None and self.outer is not None and builder.inherits:
            builder.source = self.outer.source
        return builder

    def __exit__(self, *exc: object) -> None:
        _state.builder = self.outer
        self.builder.source = self.source


def build(
    types: Iterable[TensorType],
    body: Callable[..., Value | Sequence[Value]],
    name: str = "f",
    names: Sequence[str] = (),
    source: Source | None = None,
) -> Function:
    """A function from a Python body that calls ops on its params."""
    types = tuple(types)
    params = tuple(Value(t, names[i] if i < len(names) else "") for i, t in enumerate(types))
    builder = Builder(source)
    with building(builder):
        out = body(*params)
    results = (out,) if isinstance(out, Value) else tuple(out)
    return Function(params, tuple(builder.eqns), results, name)


def inline(function: Function, operands: Sequence[Value]) -> tuple[Value, ...]:
    """Append the body of `function` to the current builder, applied to `operands`."""
    builder = current_builder()
    env = dict(zip(function.params, operands, strict=True))
    for eqn in function.eqns:
        env.update(zip(eqn.results, builder.copy(eqn, tuple([env[v] for v in eqn.operands])), strict=True))
    return tuple([env[v] for v in function.results])
