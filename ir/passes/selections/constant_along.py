"""Values that are the same all along an axis, without that axis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ir.core import Dense, Eqn, Value
from ir.op import current_builder
from ir.ops.shape import broadcast_in_dim, constant, constant_shape, full, iota, reshape_to
from ir.rewriter import constant_number

# Equations that are followed, at most; and elements of a constant that are compared.
_DEPTH, _ELEMENTS = 8, 1 << 16


def without_axis(
    value: Value, axis: int, definition: Callable[[Value], Eqn | None], now: Callable[[Value], Value],
    depth: int = _DEPTH,
) -> Value | None:  # fmt: skip
    """What `value` is at each place of the other axes, if it is the same all along one; None where that is not known.

    Writes equations to the current builder.

    Args:
      definition: the equation that makes a value.
      now: what stands for a value of the program.
    """
    eqn, shape = definition(value), value.type.shape
    rest = (*shape[:axis], *shape[axis + 1 :])
    if shape[axis] == 1:
        return reshape_to(now(value), rest)
    if eqn is None or not depth:
        return None
    number = constant_number(eqn)
    if number is not None:
        return full(rest, number, value.type.dtype)
    if eqn.op is constant:
        return _table(eqn, axis, rest)
    if eqn.op is iota:
        return _counted(eqn, axis, rest)
    if eqn.op is broadcast_in_dim:
        return _repeated(eqn, axis, rest, now)
    if not eqn.op.elementwise or len(eqn.results) != 1:
        return None
    operands = []
    for v in eqn.operands:
        found = without_axis(v, axis, definition, now, depth - 1)
        if found is None:
            return None
        operands.append(found)
    return current_builder().emit(eqn.op, tuple(operands), eqn.attrs)[0]


def _table(eqn: Eqn, axis: int, rest: tuple[int, ...]) -> Value | None:
    held: Dense = eqn.attrs["value"]
    if held.array.size > _ELEMENTS or constant_shape(held) != eqn.results[0].type.shape:
        return None
    first = held.array.take([0], axis) if held.array.size else held.array
    if not held.array.size or not bool((held.array == first).all()):
        return None
    return constant(value=Dense(np.array(first.reshape(rest), order="C"), held.dtype), shape=rest)  # type: ignore[no-any-return]


def _counted(eqn: Eqn, axis: int, rest: tuple[int, ...]) -> Value | None:
    along = eqn.attrs["axis"]
    if along == axis:
        return None
    return iota(shape=rest, dtype=eqn.attrs["dtype"], axis=along - (along > axis))  # type: ignore[no-any-return]


def _repeated(eqn: Eqn, axis: int, rest: tuple[int, ...], now: Callable[[Value], Value]) -> Value | None:
    x, dims = eqn.operands[0], eqn.attrs["dims"]
    if axis in dims and x.type.shape[dims.index(axis)] != 1:
        return None
    x = reshape_to(now(x), tuple([n for n, d in zip(x.type.shape, dims, strict=True) if d != axis]))
    dims = tuple([d - (d > axis) for d in dims if d != axis])
    return broadcast_in_dim(x, shape=rest, dims=dims)  # type: ignore[no-any-return]
