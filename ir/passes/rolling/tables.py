"""Gathers whose indices are constants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ir.core import Eqn, Function, Value
from ir.ops.indexing import gather
from ir.ops.shape import constant

Numbers = npt.NDArray[np.int64]


def tables_of(function: Function) -> dict[Value, Eqn]:
    """The arrays of constants in a function."""
    return {e.results[0]: e for e in function.eqns if e.op is constant and e.results[0].type.rank}


def starts_of(eqn: Eqn, tables: Mapping[Value, Eqn]) -> Numbers | None:
    """Where the windows of a gather start, `[..., axes of the array]`; None if not known, or out of bounds."""
    attrs = eqn.attrs
    made = tables.get(eqn.operands[1]) if eqn.op is gather else None
    if made is None or attrs["operand_batching_dims"] or not eqn.results[0].type.size:
        return None
    indices = np.broadcast_to(made.attrs["value"].array, made.attrs["shape"])
    shape, sizes = eqn.operands[0].type.shape, attrs["slice_sizes"]
    if (indices > max(shape, default=0)).any():  # (of unsigned types, too)
        return None
    starts = np.zeros((*indices.shape[:-1], len(shape)), np.int64)
    starts[..., list(attrs["start_index_map"])] = indices
    if (starts < 0).any() or (starts > np.subtract(shape, sizes)).any():
        return None
    return starts


__all__ = ["Numbers", "starts_of", "tables_of"]
