"""The importer: walks a jaxpr and appends our equations, one rule a primitive.

A rule is `rule(importer, eqn, operands) -> value or values`, registered under the primitive's name in
`lowering.jaxprs.rules`. It raises `Unmapped` where the parameters are outside our op set; the equation is
then kept whole as a foreign op. What has references or tokens inside is kept whole one level further out.
Invariant: every result has the type that JAX says it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

import ir
from ir.collector import without_collection
from ir.core import Dense, Value
from ir.errors import JaxprError, TracerError
from ir.op import Builder, Op, building
from ir.ops.collectives import Axis
from ir.ops.shape import broadcast_in_dim, constant
from ir.types import Shape, TensorType, i32
from lowering.jaxprs.source import source_of
from lowering.jaxprs.types import type_of

Rule = Callable[["Importer", Any, list[Value]], Any]

# Arrays up to this many bytes become constants of the program, larger ones captures.
CONSTANT_BYTES = 4096

_RULES: dict[str, Rule] = {}
# Primitives that are an elementwise op of ours, operands of one shape or scalars.
ELEMENTWISE: dict[str, Op] = {}
# Parameters that ask for something an elementwise op of ours does not have, unless None.
_REFINEMENTS = ("accuracy", "out_dtype", "out_sharding", "sharding")


class _NoArray(JaxprError):
    """An equation takes or gives something that is no array."""


class Unmapped(Exception):
    """The parameters of this equation have no counterpart among our ops."""


def imports(*names: str) -> Callable[[Rule], Rule]:
    """Register the decorated function as the rule of the primitives of these names."""

    def decorate(rule: Rule) -> Rule:
        for name in names:
            if name in _RULES or name in ELEMENTWISE:
                raise ValueError(f"primitive {name!r} has two rules")
            _RULES[name] = rule
        return rule

    return decorate


def imports_elementwise(name: str, op: Op) -> None:
    """Let the primitive of this name be an elementwise op."""
    if name in _RULES or name in ELEMENTWISE:
        raise ValueError(f"primitive {name!r} has two rules")
    ELEMENTWISE[name] = op


@dataclass(frozen=True, slots=True)
class Imported:
    """A jaxpr as a function.

    Attributes:
      function: params are the captures, then the operands of the jaxpr.
      captures: arrays (or tracers of JAX, or `NamedAxis` for an index) that the jaxpr closes over, for the
        leading params.
      weak: which results are weakly typed.
    """

    function: ir.Function
    captures: tuple[Any, ...]
    weak: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class NamedAxis:
    """An axis that a jaxpr may name.

    Attributes:
      name: in the program.
      lanes: its size.
      index: stands for the number of the lane among captures.
    """

    name: str
    lanes: int
    index: Any


def import_jaxpr(
    closed: ClosedJaxpr,
    name: str = "f",
    names: Sequence[str] = (),
    *,
    embeds: bool = True,
    axes: Mapping[Any, NamedAxis] | None = None,
) -> Imported:
    """A closed jaxpr as a function of the IR.

    Args:
      closed: as `jax.make_jaxpr` returns it.
      name: of the function, for printing.
      names: of its operands, for printing.
      embeds: small NumPy arrays become constants, not captures.
      axes: what the jaxpr calls axes; captures may hold these.

    Raises:
      JaxprError: operands or results are no arrays, or an equation cannot be imported.
    """
    import lowering.jaxprs.rules  # noqa: F401 (registers them)

    with without_collection():
        most = CONSTANT_BYTES if embeds else -1
        return Importer({}, most=most, axes=axes or {}).convert(closed, name, names)


def import_closed(closed: ClosedJaxpr, name: str = "f", given: Sequence[Any] = ()) -> ir.Function:
    """`import_jaxpr` of a jaxpr that may close over arrays, which become constants whatever their size.

    Args:
      closed: the jaxpr.
      name: of the function, for printing.
      given: tracers of JAX that it may close over, for which the function has leading params.
    """
    import lowering.jaxprs.rules  # noqa: F401 (registers them)

    importer = Importer({}, embed=True)
    for x in given:
        importer.captures[id(x)] = (x, Value(type_of(jax.typeof(x)), "captured"))
    return importer.convert(_live(closed), name).function


class Importer:
    """Converts one jaxpr; those inside it are converted once each.

    Attributes:
      builder: what our equations are appended to.
      captures: outer array by id, with the param that stands for it.
      embed: turn outer arrays of whatever size into constants instead.
      most: bytes of NumPy arrays that become constants.
      axes: named axes around the jaxpr.
      variables: those of the jaxpr; rules of custom functions may close over the tracers that they were.
    """

    def __init__(
        self,
        known: dict[Any, tuple[Any, Imported]],
        *,
        embed: bool = False,
        most: int = CONSTANT_BYTES,
        axes: Mapping[Any, NamedAxis] = MappingProxyType({}),
    ) -> None:
        self.known = known
        self.axes = axes
        self.embed = embed
        self.most = most
        self.builder = Builder(ir.source.UNKNOWN)
        self.captures: dict[int, tuple[Any, Value]] = {}
        self.variables: dict[Any, Value] = {}
        self._constants: dict[Any, Value] = {}

    # Functions ------------------------------------------------------------------------------------

    def convert(self, closed: ClosedJaxpr, name: str, names: Sequence[str] = ()) -> Imported:
        """The function of a whole jaxpr; a foreign op where something inside is no array."""
        jaxpr = closed.jaxpr
        params = tuple(
            [Value(type_of(v.aval), names[i] if i < len(names) else "") for i, v in enumerate(jaxpr.invars)]
        )
        weak = tuple([bool(getattr(v.aval, "weak_type", False)) for v in jaxpr.outvars])
        with building(self.builder):
            try:
                env = dict(zip(jaxpr.invars, params, strict=True))
                for var, const in zip(jaxpr.constvars, closed.consts, strict=True):
                    env[var] = self.lift(const)
                self.append(jaxpr, env)
                results = tuple([self.value(env, v) for v in jaxpr.outvars])
            except _NoArray:
                # References or tokens live between the equations: they only make sense together.
                del self.builder.eqns[:]
                self._constants.clear()
                results = self.whole(closed, name, params)
        held = tuple(self.captures.values())
        function = ir.Function(
            (*[v for _, v in held], *params), tuple(self.builder.eqns), results, _identifier(name)
        )
        return Imported(function, tuple([x for x, _ in held]), weak)

    def nested(self, closed: Any, name: str, *, embed: bool = False) -> tuple[ir.Function, tuple[Any, ...]]:
        """(function, captures) of a jaxpr inside an equation; the same objects for the same jaxpr."""
        whole = with_constants(closed)
        if whole is None:
            raise Unmapped
        key = (id(closed), embed or self.embed)
        found = self.known.get(key)
        if found is None:
            inner = Importer(self.known, embed=embed or self.embed, most=self.most, axes=self.axes)
            found = self.known[key] = (closed, inner.convert(whole, name))
        return found[1].function, found[1].captures

    def closed(self, closed: Any, name: str) -> ir.Function:
        """The function of a jaxpr inside an equation, what it closes over as constants."""
        return self.nested(closed, name, embed=True)[0]

    # Values ---------------------------------------------------------------------------------------

    def lift(self, x: Any) -> Value:
        """An outer array, or the index of a named axis, as a value of this function."""
        if isinstance(x, NamedAxis):
            return self._captured(x, TensorType((), i32))
        type_ = type_of(jax.typeof(x))
        if isinstance(x, jax.core.Tracer):
            found = self.variables.get(getattr(x, "val", None))
            if found is not None:
                return found
            if self.embed and id(x) not in self.captures:
                raise JaxprError(
                    f"expected a function that closes over arrays alone, got a tracer of {type_}"
                )
        elif self.embed or (not isinstance(x, jax.Array) and (type_.nbytes <= self.most or not type_.shape)):
            array = jax.random.key_data(x) if type_.dtype.kind == "key" else x
            dense = Dense(np.asarray(array).astype(type_.dtype.np), type_.dtype)
            return constant(value=dense, shape=type_.shape)  # type: ignore[no-any-return]
        return self._captured(x, type_)

    def _captured(self, x: Any, type_: TensorType) -> Value:
        held = self.captures.get(id(x))
        if held is None:
            held = self.captures[id(x)] = (x, Value(type_, "captured"))
        return held[1]

    def axis(self, name: Any) -> Axis:
        """The named axis around the jaxpr; Unmapped where it is none of ours."""
        found = self.axes.get(name)
        if found is None or self.embed:
            raise Unmapped
        return Axis(found.name, found.lanes, self.lift(found))

    def literal(self, literal: Any, shape: Shape) -> Value:
        """A literal, as a value of `shape` where it is a scalar."""
        x = literal.val
        type_ = type_of(literal.aval)
        if type_.shape:
            shape = type_.shape
        kind = type(x)
        # Zeros of both signs are equal, as are True and 1.
        key = (kind, x, type_.dtype, shape) if kind in (int, float, bool) and x else None
        found = None if key is None else self._constants.get(key)
        if found is None:
            dense = Dense(np.asarray(x).astype(type_.dtype.np), type_.dtype)
            found = constant(value=dense, shape=shape)
            if key is not None:
                self._constants[key] = found
        return found

    def value(self, env: dict[Any, Value], atom: Any) -> Value:
        """The value of a variable or literal."""
        return self.literal(atom, ()) if type(atom) is Literal else env[atom]

    def broadcast(self, x: Value, shape: Shape) -> Value:
        """`x` as an array of `shape`: a scalar, or one with axes of size 1, is repeated."""
        if x.type.shape == shape:
            return x
        dims = tuple(range(len(shape))) if x.type.shape else ()
        return broadcast_in_dim(x, shape=shape, dims=dims)  # type: ignore[no-any-return]

    # Equations ------------------------------------------------------------------------------------

    def append(self, jaxpr: Jaxpr, env: dict[Any, Value]) -> None:
        """Append every equation of a jaxpr; `env` holds its variables, and gets those it defines."""
        builder, eqns = self.builder, self.builder.eqns
        self.variables = env
        for eqn in jaxpr.eqns:
            builder.source = source_of(eqn.source_info.traceback)
            op = ELEMENTWISE.get(eqn.primitive.name)
            shape: Shape = () if op is None else eqn.outvars[0].aval.shape  # type: ignore[attr-defined]
            operands = [self.literal(v, shape) if type(v) is Literal else env[v] for v in eqn.invars]
            before = len(eqns)
            try:
                if op is None:
                    results = self.mapped(eqn, operands)
                else:
                    results = self.elementwise(op, eqn.params, operands, shape)
                for var, result in zip(eqn.outvars, results, strict=True):
                    _check(eqn, var.aval, result.type)
            except (Unmapped, TracerError):
                # Our ops take fewer element types or forms than JAX's: the equation is kept as it is.
                del eqns[before:]
                self._forget()
                results = self.foreign(eqn, operands)
            env.update(zip(eqn.outvars, results, strict=True))

    def elementwise(self, op: Op, params: Any, operands: list[Value], shape: Shape) -> tuple[Value, ...]:
        """One elementwise equation."""
        for name in _REFINEMENTS if params else ():
            if params.get(name) is not None:
                raise Unmapped
        ins = tuple([v if v.type.shape == shape else self.broadcast(v, shape) for v in operands])
        return self.builder.emit(op, ins)

    def mapped(self, eqn: Any, operands: list[Value]) -> Sequence[Value]:
        """One equation, by the rule of its primitive."""
        rule = _RULES.get(eqn.primitive.name)
        if rule is None:
            raise Unmapped
        out = rule(self, eqn, operands)
        return (out,) if type(out) is Value else out

    def _forget(self) -> None:
        """Drop the constants that were taken back with the equations behind them."""
        kept = {r for e in self.builder.eqns for r in e.results}
        self._constants = {k: v for k, v in self._constants.items() if v in kept}

    def foreign(self, eqn: Any, operands: Sequence[Value]) -> tuple[Value, ...]:
        """The equation as a foreign op; JaxprError where an operand or result is no array."""
        from lowering.jaxprs.foreign import foreign_equation

        for v in (*eqn.invars, *eqn.outvars):
            try:
                type_of(v.aval)
            except JaxprError as error:
                name = eqn.primitive.name
                raise _NoArray(
                    f"{name} cannot be imported: {error.message}", source=self.builder.source
                ) from error
        the_op, primitive = foreign_equation(eqn, tuple([v.type for v in operands]))
        return self.builder.emit(the_op, tuple(operands), {"primitive": primitive})

    def whole(self, closed: ClosedJaxpr, name: str, params: Sequence[Value]) -> tuple[Value, ...]:
        """A jaxpr as one foreign op."""
        from lowering.jaxprs.foreign import foreign_jaxpr

        consts = [self.lift(x) for x in closed.consts]
        the_op, primitive = foreign_jaxpr(closed, name)
        return self.builder.emit(the_op, (*consts, *params), {"primitive": primitive})


def with_constants(jaxpr: Any) -> ClosedJaxpr | None:
    """A jaxpr with the values of its constants; None where they are not known.

    Since jax 0.12 every jaxpr holds them, before that some have a place for them only.
    """
    if hasattr(jaxpr, "consts"):
        return jaxpr  # type: ignore[no-any-return]
    return None if jaxpr.constvars else ClosedJaxpr(jaxpr, ())


def _live(closed: ClosedJaxpr) -> ClosedJaxpr:
    """A jaxpr without the equations that neither a result nor an effect depends on."""
    live = {v for v in closed.jaxpr.outvars if type(v) is not Literal}
    kept = []
    for eqn in reversed(closed.jaxpr.eqns):
        if eqn.effects or not live.isdisjoint(eqn.outvars):
            kept.append(eqn)
            live.update([v for v in eqn.invars if type(v) is not Literal])
    if len(kept) == len(closed.jaxpr.eqns):
        return closed
    return ClosedJaxpr(closed.jaxpr.replace(eqns=kept[::-1]), closed.consts)


def _check(eqn: Any, aval: Any, type_: TensorType) -> None:
    """JaxprError unless a result has the type that JAX says it has."""
    dtype = type_.dtype
    if dtype.np is aval.dtype and type_.shape == aval.shape:
        return
    if type_ is not type_of(aval):
        raise JaxprError(f"{eqn.primitive.name} was imported with a result {type_}, JAX says {aval}")


def _identifier(name: str) -> str:
    """A name that prints: Python's <lambda> and the like become fn."""
    return name if name.isidentifier() else "fn"


__all__ = [
    "Imported", "Importer", "NamedAxis", "Unmapped", "import_closed", "import_jaxpr", "imports", "imports_elementwise",
]  # fmt: skip
