"""Solvers of linear systems and Fourier transforms: all along the axes that they mix."""

from __future__ import annotations

import numpy as np

from ir.core import Eqn
from ir.sparsity.propagate import Found, Known, Through, depends
from ir.sparsity.sets import Ids


def _mixed(through: Through, ids: Ids | None, axes: tuple[int, ...], shape: tuple[int, ...]) -> Ids:
    assert ids is not None
    return np.broadcast_to(through.pool.over(ids, axes, keepdims=True), shape)


# Linear in the right-hand side alone.
@depends("triangular_solve")
def _triangular_solve(through: Through, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(through, ids[1], (len(shape) - (2 if eqn.attrs["left_side"] else 1),), shape)]


@depends("tridiagonal_solve")
def _tridiagonal_solve(through: Through, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(through, ids[3], (len(shape) - 2,), shape)]


@depends("fft")
def _fft(through: Through, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(through, ids[0], tuple(range(len(shape) - len(eqn.attrs["lengths"]), len(shape))), shape)]
