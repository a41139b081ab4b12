"""Indices that run along a diagonal of an array, and identity matrices, read off equations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ir.core import Dense, Eqn, Value
from ir.ops.shape import constant, iota


def diagonal_axes(eqn: Eqn, definitions: Mapping[Value, Eqn]) -> dict[int, int] | None:
    """The two axes of which a gather takes a diagonal, all others whole, and where it starts on each; or None."""
    a, (x, indices) = eqn.attrs, eqn.operands
    pair = a["start_index_map"]
    if a["operand_batching_dims"] or len(pair) != 2 or a["collapsed_slice_dims"] != tuple(sorted(pair)):
        return None
    if a["slice_sizes"] != tuple([1 if d in pair else size for d, size in enumerate(x.type.shape)]):
        return None
    starts = diagonal_starts(definitions.get(indices))
    if starts is None:
        return None
    count = indices.type.shape[0]
    if any(start < 0 or start + count > x.type.shape[d] for d, start in zip(pair, starts, strict=True)):
        return None
    return dict(zip(pair, starts, strict=True))


def diagonal_starts(eqn: Eqn | None) -> tuple[int, int] | None:
    """The numbers a and b, if an equation makes the indices [[a, b], [a + 1, b + 1], …]."""
    if eqn is None or eqn.results[0].type.rank != 2 or eqn.results[0].type.shape[1] != 2:
        return None
    n = eqn.results[0].type.shape[0]
    if eqn.op is iota:
        return (0, 0) if eqn.attrs["axis"] == 0 else None
    if eqn.op is not constant or n == 0 or eqn.attrs["value"].shape != (n, 2):
        return None
    array = eqn.attrs["value"].array
    a, b = int(array[0, 0]), int(array[0, 1])
    return (a, b) if (array == np.arange(n)[:, None] + [a, b]).all() else None


def is_identity(value: Dense) -> bool:
    """Whether an array is an identity matrix."""
    array = value.array
    return array.ndim == 2 and array.shape[0] == array.shape[1] and bool((array == np.eye(len(array))).all())


__all__ = ["diagonal_axes", "diagonal_starts", "is_identity"]
