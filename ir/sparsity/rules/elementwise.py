"""Products and selections, where constants say that there is no dependence. All other elementwise ops are unions."""

from __future__ import annotations

import numpy as np

from ir.core import Eqn
from ir.sparsity.propagate import Found, Known, Propagation, depends, filled
from ir.sparsity.sets import EMPTY


@depends("mul")
def _mul(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """What is multiplied by a constant zero does not count."""
    terms = []
    for mine, other in ((0, 1), (1, 0)):
        held, factor = ids[mine], known[other]
        if held is not None and factor is not None:
            zero = np.equal(factor, 0)
            held = np.where(zero, EMPTY, held).astype(np.int32) if zero.any() else held
        terms.append(held)
    return [walk.joined(terms)]


@depends("select")
def _select(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """One case where the predicate is known, both elsewhere."""
    pred = known[0]
    if pred is None:
        return [walk.join(ids[1], ids[2])]
    x, y = filled(ids[1], eqn.operands[1]), filled(ids[2], eqn.operands[2])
    return [np.where(pred, x, y)]
