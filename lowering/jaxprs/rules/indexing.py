"""Import of gathers, scatters and slices at traced positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax

from ir.core import Dense, Value
from ir.ops import indexing as ix
from ir.ops import scatter as sc
from ir.ops.convert import convert
from lowering.jaxprs.importer import Importer, Unmapped, imports
from lowering.jaxprs.rules.shape import ints

_MODES = {
    lax.GatherScatterMode.CLIP: "clip",
    lax.GatherScatterMode.FILL_OR_DROP: "fill",
    lax.GatherScatterMode.PROMISE_IN_BOUNDS: "promise_in_bounds",
}


def _mode(eqn: Any) -> str:
    found = _MODES.get(lax.GatherScatterMode.from_any(eqn.params["mode"]))
    if found is None:
        raise Unmapped
    return found


@imports("gather")
def _gather(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    p, dims = eqn.params, eqn.params["dimension_numbers"]
    mode = _mode(eqn)
    x = operands[0]
    fill = p["fill_value"]
    if mode != "fill" or fill is None:
        fill_value = None
    elif x.type.dtype.kind == "key":
        if fill != np.iinfo(np.uint32).max:
            raise Unmapped
        fill_value = None  # all bits set is what keys are filled with
    else:
        fill_value = Dense(np.asarray(fill).astype(x.type.dtype.np), x.type.dtype)
    return ix.gather(
        *operands,
        offset_dims=ints(dims.offset_dims),
        collapsed_slice_dims=ints(dims.collapsed_slice_dims),
        start_index_map=ints(dims.start_index_map),
        operand_batching_dims=ints(dims.operand_batching_dims),
        start_indices_batching_dims=ints(dims.start_indices_batching_dims),
        slice_sizes=ints(p["slice_sizes"]),
        mode=mode,
        fill_value=fill_value,
        indices_are_sorted=bool(p["indices_are_sorted"]),
        unique_indices=bool(p["unique_indices"]),
    )


@imports("dynamic_slice")
def _dynamic_slice(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    x, *starts = operands
    if len(starts) != x.type.rank:
        raise Unmapped
    return ix.dynamic_slice(x, *_of_one_type(starts), sizes=ints(eqn.params["slice_sizes"]))


@imports("dynamic_update_slice")
def _dynamic_update_slice(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
    x, update, *starts = operands
    return ix.dynamic_update_slice(x, update, *_of_one_type(starts))


def _of_one_type(starts: list[Value]) -> list[Value]:
    """Positions of one element type, the widest of theirs."""
    dtypes = {v.type.dtype for v in starts}
    if len(dtypes) <= 1:
        return starts
    widest = max(dtypes, key=lambda d: (d.bits, d.kind == "int"))
    if any(d.kind != widest.kind and d.bits >= widest.bits for d in dtypes):
        raise Unmapped
    return [v if v.type.dtype is widest else convert(v, dtype=widest) for v in starts]


def _scatter(op: Any) -> Any:
    def rule(importer: Importer, eqn: Any, operands: list[Value]) -> Any:
        p, dims = eqn.params, eqn.params["dimension_numbers"]
        mode = _mode(eqn)
        if op is sc.scatter and mode == "promise_in_bounds" and not p["unique_indices"]:
            # A broken promise is dropped, forward and (as JAX does, by finding out which update wins)
            # backward; the scatter costs the same.
            mode = "fill"
        return op(
            *operands,
            update_window_dims=ints(dims.update_window_dims),
            inserted_window_dims=ints(dims.inserted_window_dims),
            scatter_dims_to_operand_dims=ints(dims.scatter_dims_to_operand_dims),
            operand_batching_dims=ints(dims.operand_batching_dims),
            scatter_indices_batching_dims=ints(dims.scatter_indices_batching_dims),
            mode=mode,
            indices_are_sorted=bool(p["indices_are_sorted"]),
            unique_indices=bool(p["unique_indices"]),
        )

    return rule


for _names, _op in (
    (("scatter",), sc.scatter),
    (("scatter-add", "scatter_add"), sc.scatter_add),
    (("scatter-sub", "scatter_sub"), sc.scatter_sub),
    (("scatter-mul", "scatter_mul"), sc.scatter_mul),
    (("scatter-min", "scatter_min"), sc.scatter_min),
    (("scatter-max", "scatter_max"), sc.scatter_max),
):
    imports(*_names)(_scatter(_op))
