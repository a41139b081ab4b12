"""Import of collectives over axes that a `vmap` of ours has named; over other axes they are kept whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.core import Value
from ir.op import Op
from ir.ops.collectives import Axis
from ir.ops.convert import convert
from ir.ops.elementwise import add, mul
from ir.ops.reduce import reduce_max, reduce_min, reduce_sum
from ir.ops.shape import full
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.types import type_of


def _axes(importer: Importer, names: Any) -> list[Axis]:
    """The axes of these names, in their order."""
    found = [importer.axis(name) for name in (names if isinstance(names, (tuple, list)) else (names,))]
    if not found:
        raise Unmapped
    return found


def _whole(eqn: Any) -> None:
    """Groups of lanes have no counterpart."""
    if eqn.params.get("axis_index_groups") is not None:
        raise Unmapped


def _reduction(name: str, over_lanes: Callable[[Axis, Value], Value], op: Op) -> None:
    @imports(name)
    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        _whole(eqn)
        # Where JAX has batched over a name, a number stands for it: an axis of the operand.
        names = [axis for axis in eqn.params["axes"] if type(axis) is not int]
        numbers = tuple([axis for axis in eqn.params["axes"] if type(axis) is int])
        out: Sequence[Value] = [op(x, axes=numbers) if numbers else x for x in operands]
        for axis in reversed(_axes(importer, names)):
            out = [over_lanes(axis, x) for x in out]
        return tuple(out)


_reduction("psum", Axis.sum, reduce_sum)
_reduction("pmax", Axis.max, reduce_max)
_reduction("pmin", Axis.min, reduce_min)


@imports("axis_index")
def _axis_index(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    index: Value | None = None
    for axis in _axes(importer, eqn.params["axis_name"]):
        here = axis.index
        if index is not None:
            here = add(mul(index, full((), axis.lanes, index.type.dtype)), here)
        index = here
    wanted = type_of(eqn.outvars[0].aval)
    assert index is not None
    return index if index.type is wanted else convert(index, dtype=wanted.dtype)


@imports("all_gather")
def _all_gather(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    _whole(eqn)
    p = eqn.params
    axes, position = _axes(importer, p["axis_name"]), int(p["all_gather_dimension"])
    out = axes[-1].gather_along(operands[0], position, tiled=bool(p["tiled"]))
    for axis in axes[-2::-1]:
        out = axis.gather_along(out, position, tiled=True)
    return out


def _one(importer: Importer, eqn: Any) -> Axis:
    _whole(eqn)
    axes = _axes(importer, eqn.params["axis_name"])
    if len(axes) != 1:
        raise Unmapped
    return axes[0]


@imports("all_to_all")
def _all_to_all(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    split, concat = int(p["split_axis"]), int(p["concat_axis"])
    return _one(importer, eqn).exchange_along(operands[0], split, concat, tiled=bool(p["tiled"]))


@imports("reduce_scatter")
def _reduce_scatter(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p = eqn.params
    return _one(importer, eqn).sum_scattered(operands[0], int(p["scatter_dimension"]), tiled=bool(p["tiled"]))


@imports("ppermute")
def _ppermute(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    axis = _one(importer, eqn)
    to = {int(receiver): int(sender) for sender, receiver in eqn.params["perm"]}
    return axis.permute(operands[0], tuple([to.get(k, -1) for k in range(axis.lanes)]))
