"""Import of creation and rearrangement."""

from __future__ import annotations

import math
from typing import Any

from ir.core import Value
from ir.ops import shape as sh
from ir.types import u32
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.types import dtype_of


def ints(dims: Any) -> tuple[int, ...]:
    """Plain ints, of which JAX may keep some as NumPy's."""
    return tuple([int(n) for n in dims])


def _unsharded(eqn: Any) -> None:
    if eqn.params.get("sharding") is not None:
        raise Unmapped


@imports("iota")
def _iota(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _unsharded(eqn)
    p = eqn.params
    return sh.iota(shape=ints(p["shape"]), dtype=dtype_of(p["dtype"]), axis=int(p["dimension"]))


@imports("iota_2x32_shape")
def _iota_2x32(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """The position of each element in row-major order, as the high and the low word of 64 bits."""
    shape = ints(eqn.params["shape"])
    if math.prod(shape) >= 2**32:
        raise Unmapped
    high = sh.full(shape, 0, u32)
    low = sh.reshape_to(sh.iota(shape=(math.prod(shape),), dtype=u32, axis=0), shape)
    return high, low


@imports("broadcast_in_dim")
def _broadcast(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _unsharded(eqn)
    shape, dims = ints(eqn.params["shape"]), ints(eqn.params["broadcast_dimensions"])
    if len(operands) > 1:
        raise Unmapped
    (x,) = operands
    return x if x.type.shape == shape else sh.broadcast_in_dim(x, shape=shape, dims=dims)


@imports("reshape")
def _reshape(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _unsharded(eqn)
    x = operands[0]
    if (dims := eqn.params.get("dimensions")) is not None:
        x = sh.transpose(x, perm=ints(dims))
    return sh.reshape_to(x, ints(eqn.params["new_sizes"]))


@imports("squeeze", "expand_dims")
def _squeeze(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return sh.reshape_to(operands[0], eqn.outvars[0].aval.shape)


@imports("transpose")
def _transpose(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return sh.transpose(operands[0], perm=ints(eqn.params["permutation"]))


@imports("rev")
def _rev(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return sh.rev(operands[0], axes=ints(eqn.params["dimensions"]))


@imports("concatenate")
def _concatenate(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return sh.concatenate(*operands, axis=int(eqn.params["dimension"]))


@imports("pad")
def _pad(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    return sh.pad(*operands, config=tuple([ints(c) for c in eqn.params["padding_config"]]))


@imports("slice")
def _slice(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    (x,) = operands
    p = eqn.params
    strides = p["strides"] if p["strides"] is not None else (1,) * x.type.rank
    return sh.slice(
        x, starts=ints(p["start_indices"]), limits=ints(p["limit_indices"]), strides=ints(strides)
    )


@imports("split")
def _split(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    at, out = 0, []
    for size in ints(eqn.params["sizes"]):
        out.append(sh.slice_axis(operands[0], int(eqn.params["axis"]), at, at + size))
        at += size
    return tuple(out)


@imports("unstack")
def _unstack(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Slices along an axis, without it; a primitive since jax 0.12."""
    (x,) = operands
    axis = int(eqn.params["axis"])
    return tuple([sh.squeeze(sh.slice_axis(x, axis, i, i + 1), (axis,)) for i in range(x.type.shape[axis])])


@imports("stack")
def _stack(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    """Arrays side by side along a new axis; a primitive since jax 0.12."""
    axis = int(eqn.params["axis"])
    shape = operands[0].type.shape
    unit = (*shape[:axis], 1, *shape[axis:])
    parts = [sh.reshape_to(x, unit) for x in operands]
    return sh.concatenate(*parts, axis=axis) if len(parts) > 1 else parts[0]
