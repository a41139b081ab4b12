"""Sums: the union of what is added up."""

from __future__ import annotations

import numpy as np

from ir.core import Eqn
from ir.sparsity.propagate import Found, Known, Propagation, depends


@depends("reduce_sum")
def _reduce_sum(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    assert ids[0] is not None
    axes = eqn.attrs["axes"]
    return [walk.pool.over(ids[0], axes) if axes else ids[0]]


@depends("cumsum")
def _cumsum(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """All prefixes in a logarithmic number of steps (Hillis and Steele 1986)."""
    held, axis = ids[0], eqn.attrs["axis"]
    assert held is not None
    rows = np.moveaxis(held, axis, 0)
    rows = rows[::-1] if eqn.attrs["reverse"] else rows
    step = 1
    while step < rows.shape[0]:
        rows = np.concatenate([rows[:step], walk.pool.join(rows[step:], rows[:-step])])
        step *= 2
    rows = rows[::-1] if eqn.attrs["reverse"] else rows
    return [np.moveaxis(rows, 0, axis)]
