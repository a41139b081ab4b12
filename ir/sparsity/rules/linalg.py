"""Solvers of linear systems and Fourier transforms: all along the axes that they mix."""

from __future__ import annotations

import numpy as np

from ir.core import Eqn
from ir.sparsity.propagate import Found, Known, Propagation, depends
from ir.sparsity.sets import Ids


def _mixed(walk: Propagation, ids: Ids | None, axes: tuple[int, ...], shape: tuple[int, ...]) -> Ids:
    assert ids is not None
    return np.broadcast_to(walk.pool.over(ids, axes, keepdims=True), shape)


# Linear in the right-hand side alone.
@depends("triangular_solve")
def _triangular_solve(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(walk, ids[1], (len(shape) - (2 if eqn.attrs["left_side"] else 1),), shape)]


@depends("tridiagonal_solve")
def _tridiagonal_solve(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(walk, ids[3], (len(shape) - 2,), shape)]


@depends("fft")
def _fft(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    shape = eqn.results[0].type.shape
    return [_mixed(walk, ids[0], tuple(range(len(shape) - len(eqn.attrs["lengths"]), len(shape))), shape)]
