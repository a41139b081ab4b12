"""What has no counterpart in the op set, kept whole, with rules that JAX gives.

The object behind a foreign op runs the equation as JAX defines it. Its derivatives, transposes and
batches are obtained by tracing `jax.jvp`, `jax.linear_transpose` and `jax.vmap` of it and importing the
result. Equal equations share one object, so that retracing finds compiled programs and known rules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Var

import ir
from ir.core import Opaque
from ir.errors import BatchingError, DifferentiationError, JaxprError, TracerError
from ir.evaluate import key_words
from ir.op import Op
from ir.ops.foreign import foreign, foreign_effect
from ir.types import TensorType
from lowering.execute import Cache
from lowering.jaxprs.importer import import_closed, with_constants
from lowering.jaxprs.types import struct_of, type_of
from lowering.keys import KEY_IMPLEMENTATIONS

Types = tuple[TensorType, ...]

_KNOWN: Cache[Opaque] = Cache(4096)
# What a jaxpr made here says of the names of its operands.
_NO_NAMES: Any = jax.make_jaxpr(lambda: ())().jaxpr.debug_info


class JaxOperation:
    """An operation of JAX as `ir.ops.foreign.Primitive`.

    Attributes:
      name: what messages call it.
      in_types, out_types: of operands and results.
      weak: which operands are weakly typed.
      effect: whether it must be kept, in order.
      held: what must outlive it, as its identity is part of a key.
    """

    def __init__(
        self, name: str, run: Callable[..., Sequence[Any]], ins: Sequence[Any], outs: Sequence[Any],
        effect: bool, held: Any,
    ) -> None:  # fmt: skip
        self.name = name
        self.run = run
        self.in_types = tuple([type_of(a) for a in ins])
        self.out_types = tuple([type_of(a) for a in outs])
        self.weak = tuple([bool(getattr(a, "weak_type", False)) for a in ins])
        self.effect = effect
        self.held = held
        self._made: dict[Any, Any] = {}

    def structs(self) -> list[Any]:
        """Abstract operands."""
        return [struct_of(t, w) for t, w in zip(self.in_types, self.weak, strict=True)]

    def evaluate(self, *arrays: Any) -> tuple[Any, ...]:
        """Its results at NumPy arrays, keys as their raw words."""
        operands = [_on_device(key_words(x), t) for x, t in zip(arrays, self.in_types, strict=True)]
        wide = any(t.dtype.bits == 64 and t.dtype.kind != "key" for t in (*self.in_types, *self.out_types))
        with jax.enable_x64(True) if wide else contextlib.nullcontext():
            outs = jax.jit(lambda *xs: tuple(self.run(*xs)))(*operands)
        return tuple(
            [
                np.asarray(jax.random.key_data(x) if t.dtype.kind == "key" else x)
                for x, t in zip(outs, self.out_types, strict=True)
            ]
        )

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def jvp(self, nonzero: tuple[bool, ...]) -> tuple[ir.Function, tuple[bool, ...]]:
        """(operands, tangents where `nonzero`) -> (results, tangents), and which results have a tangent."""
        present = tuple([t.dtype.is_inexact for t in self.out_types])

        def pushed(operands: Sequence[Any], tangents: Sequence[Any]) -> Any:
            moving = [x for x, m in zip(operands, nonzero, strict=True) if m]
            outs, douts = jax.jvp(
                lambda *some: tuple(self.run(*merged(operands, nonzero, some))), moving, tangents
            )
            return (*outs, *[d for d, p in zip(douts, present, strict=True) if p])

        def make() -> ir.Function:
            structs = self.structs()
            tangents = [s for s, m in zip(structs, nonzero, strict=True) if m]
            return traced(pushed, (structs, tangents), f"jvp_{self.name}")

        with self._translated(DifferentiationError, "no derivative"):
            return self._once(("jvp", nonzero), make), present

    def transpose(self, linear: tuple[bool, ...], seeded: tuple[bool, ...]) -> ir.Function:
        """(other operands, cotangents where `seeded`) -> cotangents of the `linear` operands."""
        # Results that have no tangents are no part of the linear map.
        moved = [t.dtype.is_inexact for t in self.out_types]
        types = [t for t, m in zip(self.out_types, moved, strict=True) if m]
        given = [s for s, m in zip(seeded, moved, strict=True) if m]

        def pulled(others: Sequence[Any], cts: Sequence[Any]) -> Any:
            structs = [s for s, m in zip(self.structs(), linear, strict=True) if m]
            fixed = tuple([not m for m in linear])

            def whole(*some: Any) -> Any:
                outs = self.run(*merged(_spread(some, linear), fixed, others))
                return tuple([x for x, m in zip(outs, moved, strict=True) if m])

            return jax.linear_transpose(whole, *structs)(zero_cotangents(cts, given, types))

        def make() -> ir.Function:
            structs = self.structs()
            others = [s for s, m in zip(structs, linear, strict=True) if not m]
            cts = [struct_of(t) for t, s in zip(self.out_types, seeded, strict=True) if s]
            return traced(pulled, (others, cts), f"transpose_{self.name}")

        with self._translated(DifferentiationError, "no transpose"):
            return self._once(("transpose", linear, seeded), make)  # type: ignore[no-any-return]

    def batch(self, batched: tuple[bool, ...], size: int) -> ir.Function:
        """The function of operands with a leading axis where `batched`, all results with one."""

        def make() -> ir.Function:
            axes = tuple([0 if b else None for b in batched])
            over = jax.vmap(lambda *xs: tuple(self.run(*xs)), in_axes=axes, out_axes=0, axis_size=size)
            structs = [
                struct_of(t.with_shape((size, *t.shape)) if b else t, w)
                for t, b, w in zip(self.in_types, batched, self.weak, strict=True)
            ]
            return traced(lambda operands: over(*operands), (structs,), f"batch_{self.name}")  # type: ignore[no-untyped-call]

        with self._translated(BatchingError, "no batching rule"):
            return self._once(("batch", batched, size), make)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _translated(self, kind: type[TracerError], lacks: str) -> Any:
        """What JAX raises while it is asked for a rule, as our own error with JAX's as its cause."""
        try:
            yield
        except TracerError:
            raise
        except Exception as error:  # whatever a rule that somebody else wrote may raise
            raise kind(f"{self.name} has {lacks} in JAX: {type(error).__name__}: {error}") from error


def merged(operands: Sequence[Any], chosen: Sequence[bool], some: Sequence[Any]) -> list[Any]:
    """`operands` with the chosen ones replaced in order."""
    rest = iter(some)
    return [next(rest) if c else x for x, c in zip(operands, chosen, strict=True)]


def _spread(some: Sequence[Any], chosen: Sequence[bool]) -> list[Any]:
    rest = iter(some)
    return [next(rest) if c else None for c in chosen]


def _on_device(array: Any, type_: TensorType) -> Any:
    """As JAX takes it: raw words become keys."""
    if type_.dtype.kind != "key":
        return array
    tag = type_.dtype.name.removeprefix("key<").removesuffix(">")
    return jax.random.wrap_key_data(array, impl=KEY_IMPLEMENTATIONS[tag])


def zero_cotangents(
    given: Sequence[Any], seeded: Sequence[bool], types: Sequence[TensorType]
) -> tuple[Any, ...]:
    """A cotangent for each result: the given ones where `seeded`, otherwise zero."""
    rest = iter(given)
    return tuple(
        [
            next(rest)
            if s
            else jnp.zeros(t.shape, t.dtype.np)
            if t.dtype.is_inexact
            else np.zeros(t.shape, jax.dtypes.float0)
            for s, t in zip(seeded, types, strict=True)
        ]
    )


def traced(f: Callable[..., Any], structs: Sequence[Any], name: str) -> ir.Function:
    """The function that JAX traces `f` to, of flat operands."""
    return import_closed(jax.make_jaxpr(f)(*structs), name)


# Equations -------------------------------------------------------------------------------------------


def bound(eqn: Any) -> Callable[..., Sequence[Any]]:
    """The operation of an equation of a jaxpr, as a function of its operands."""
    ins, outs = [[Var(v.aval) for v in variables] for variables in (eqn.invars, eqn.outvars)]
    alone = Jaxpr((), ins, outs, [eqn.replace(invars=ins, outvars=outs)], eqn.effects, debug_info=_NO_NAMES)
    return lambda *operands: jax.core.eval_jaxpr(alone, (), *operands)


def structs_of(eqn: Any) -> list[Any]:
    """Abstract operands of an equation."""
    return [struct_of(type_of(v.aval), bool(v.aval.weak_type)) for v in eqn.invars]


def foreign_equation(eqn: Any, types: Types) -> tuple[Op, Opaque]:
    """The foreign op of an equation and its attribute.

    Raises:
      JaxprError: an operand or result is no array.
    """
    outs = [v.aval for v in eqn.outvars]
    ins = [v.aval for v in eqn.invars]
    effect = bool(eqn.effects)
    name = eqn.primitive.name
    # Weak types are left out of the key: they only matter for what rules are traced with.
    key = (eqn.primitive, types, tuple([type_of(a) for a in outs]), effect, *_frozen(eqn.params))

    made = _KNOWN.get(key, lambda: Opaque(name, JaxOperation(name, bound(eqn), ins, outs, effect, eqn)))
    return (foreign_effect if effect else foreign), made


def foreign_jaxpr(closed: ClosedJaxpr, name: str) -> tuple[Op, Opaque]:
    """The foreign op of a whole jaxpr, whose constants come first among its operands."""
    jaxpr = closed.jaxpr
    variables = (*jaxpr.constvars, *jaxpr.invars)
    effect = bool(jaxpr.effects)

    def run(*operands: Any) -> Sequence[Any]:
        count = len(jaxpr.constvars)
        return jax.core.eval_jaxpr(jaxpr, operands[:count], *operands[count:])

    operation = JaxOperation(
        name, run, [v.aval for v in variables], [v.aval for v in jaxpr.outvars], effect, closed
    )
    made = _KNOWN.get(("jaxpr", id(jaxpr)), lambda: Opaque(name, operation))
    return (foreign_effect if effect else foreign), made


def _frozen(x: Any) -> tuple[Any, ...]:
    """A key for parameters: equal where the equations compute the same; identity where nobody can tell."""
    if isinstance(x, dict):
        return ("dict", *[(k, _frozen(v)) for k, v in sorted(x.items())])
    if isinstance(x, (tuple, list)):
        return (type(x), *[_frozen(v) for v in x])
    if isinstance(x, (Jaxpr, ClosedJaxpr)):
        closed = with_constants(x)
        if (
            closed is None
            or closed.jaxpr.effects
            or any(isinstance(c, jax.core.Tracer) for c in closed.consts)
        ):
            return ("jaxpr", id(x))
        try:
            return ("jaxpr", import_closed(closed))
        except JaxprError:
            return ("jaxpr", id(x))
    if isinstance(x, (np.ndarray, np.generic)):
        return ("array", ir.Dense(x)) if x.dtype.kind in "biufc" else ("object", id(x))
    try:
        hash(x)
    except TypeError:
        return ("object", id(x))
    return (type(x), x)


__all__ = ["JaxOperation", "foreign_equation", "foreign_jaxpr", "traced"]
