"""Axes of size 1 are dropped inside a function.

    c: f32[1,4,5] = dot_general(a, b) {lhs_batch=(0,)}    becomes    c: f32[4,5] = dot_general(a', b')

Params and results keep their shapes. Where an op is not known to do without such axes they are put back for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ir.core import Eqn, Function, Value
from ir.op import Builder, Op, building, current_builder
from ir.ops.calls import optimization_barrier
from ir.ops.contraction import dot_general
from ir.ops.indexing import dynamic_slice
from ir.ops.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod, reduce_sum
from ir.ops.shape import (
    broadcast_in_dim,
    constant,
    full,
    iota,
    permute,
    reshape,
    reshape_to,
    slice,
    transpose,
)
from ir.passes.dce import dce

Dims = tuple[int, ...]


def squeeze_inside(function: Function) -> Function:
    """The function with no axis of size 1 inside, but where an op needs it."""
    env: dict[Value, Value] = {}
    builder = Builder()

    def squeezed(v: Value) -> Value:
        found = env.get(v)
        if found is None:
            found = env[v] = reshape_to(v, _long(v))
        return found

    with building(builder):
        for eqn in function.eqns:
            builder.source = eqn.source
            if eqn.op.elementwise or eqn.op is optimization_barrier:
                env.update(
                    zip(eqn.results, _elementwise(eqn, [squeezed(v) for v in eqn.operands]), strict=True)
                )
                continue
            rule = _RULES.get(eqn.op)
            made = None if rule is None else rule(eqn, [squeezed(v) for v in eqn.operands])
            if made is None:
                operands = [reshape_to(squeezed(v), v.type.shape) for v in eqn.operands]
                for old, new in zip(eqn.results, builder.copy(eqn, tuple(operands)), strict=True):
                    env[old] = reshape_to(new, _long(old))
            else:
                env[eqn.results[0]] = made
                made.name = made.name or eqn.results[0].name
        results = tuple([reshape_to(squeezed(v), v.type.shape) for v in function.results])
    return dce(function.replace(eqns=tuple(builder.eqns), results=results))


def _long(value: Value) -> Dims:
    """The shape without axes of size 1."""
    return tuple([n for n in value.type.shape if n != 1])


def _places(value: Value) -> dict[int, int]:
    """For axes that are not of size 1, which one of those it is."""
    kept = [d for d, n in enumerate(value.type.shape) if n != 1]
    return {d: k for k, d in enumerate(kept)}


def _moved(dims: Sequence[int], places: dict[int, int]) -> Dims:
    return tuple([places[d] for d in dims if d in places])


# Each rule is given an equation and its operands without axes of size 1, and gives its result without them.
Rule = Callable[[Eqn, list[Value]], Value | None]


def _emitted(op: Op, operands: Sequence[Value], **attrs: object) -> Value:
    return current_builder().emit(op, tuple(operands), op.normalize(attrs))[0]


def _elementwise(eqn: Eqn, operands: list[Value]) -> tuple[Value, ...]:
    made = current_builder().emit(eqn.op, tuple(operands), eqn.op.normalize(eqn.attrs))
    for new, old in zip(made, eqn.results, strict=True):
        new.name = new.name or old.name
    return made


def _constant(eqn: Eqn, operands: list[Value]) -> Value | None:
    (out,) = eqn.results
    if eqn.attrs["value"].shape != () or out.type.dtype.kind == "key":
        return None
    return _emitted(constant, (), value=eqn.attrs["value"], shape=_long(out))


def _iota(eqn: Eqn, operands: list[Value]) -> Value:
    (out,), axis = eqn.results, eqn.attrs["axis"]
    places = _places(out)
    if axis not in places:
        return full(_long(out), 0, out.type.dtype)
    return _emitted(iota, (), shape=_long(out), dtype=eqn.attrs["dtype"], axis=places[axis])


def _broadcast(eqn: Eqn, operands: list[Value]) -> Value:
    (x,), (out,), (old,) = operands, eqn.results, eqn.operands
    places = _places(out)
    dims = tuple([places[d] for d, n in zip(eqn.attrs["dims"], old.type.shape, strict=True) if n != 1])
    if x.type.shape == _long(out):
        return x
    return _emitted(broadcast_in_dim, (x,), shape=_long(out), dims=dims)


def _reshape(eqn: Eqn, operands: list[Value]) -> Value:
    return reshape_to(operands[0], _long(eqn.results[0]))


def _transpose(eqn: Eqn, operands: list[Value]) -> Value:
    return permute(operands[0], _moved(eqn.attrs["perm"], _places(eqn.operands[0])))


def _reduction(eqn: Eqn, operands: list[Value]) -> Value:
    axes = _moved(eqn.attrs["axes"], _places(eqn.operands[0]))
    return _emitted(eqn.op, operands, axes=axes) if axes else operands[0]


def _dot_general(eqn: Eqn, operands: list[Value]) -> Value:
    attrs = dict(eqn.attrs)
    for side, value in zip(("lhs", "rhs"), eqn.operands, strict=True):
        for kind in ("contract", "batch"):
            attrs[f"{side}_{kind}"] = _moved(attrs[f"{side}_{kind}"], _places(value))
    return _emitted(dot_general, operands, **attrs)


def _slice(eqn: Eqn, operands: list[Value]) -> Value:
    kept = [d for d, n in enumerate(eqn.operands[0].type.shape) if n != 1]
    if 0 in eqn.results[0].type.shape:
        return full(_long(eqn.results[0]), 0, eqn.results[0].type.dtype)
    attrs = {name: tuple([eqn.attrs[name][d] for d in kept]) for name in ("starts", "limits", "strides")}
    return reshape_to(_emitted(slice, operands, **attrs), _long(eqn.results[0]))


def _dynamic_slice(eqn: Eqn, operands: list[Value]) -> Value:
    if 0 in eqn.results[0].type.shape:
        return full(_long(eqn.results[0]), 0, eqn.results[0].type.dtype)
    kept = [d for d, n in enumerate(eqn.operands[0].type.shape) if n != 1]
    sizes = tuple([eqn.attrs["sizes"][d] for d in kept])
    out = _emitted(dynamic_slice, (operands[0], *[operands[1 + d] for d in kept]), sizes=sizes)
    return reshape_to(out, _long(eqn.results[0]))


_RULES: dict[Op, Rule] = {
    broadcast_in_dim: _broadcast,
    constant: _constant,
    dot_general: _dot_general,
    dynamic_slice: _dynamic_slice,
    iota: _iota,
    reduce_and: _reduction,
    reduce_max: _reduction,
    reduce_min: _reduction,
    reduce_or: _reduction,
    reduce_prod: _reduction,
    reduce_sum: _reduction,
    reshape: _reshape,
    slice: _slice,
    transpose: _transpose,
}
