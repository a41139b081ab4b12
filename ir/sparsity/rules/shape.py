"""What moves elements and computes nothing moves their sets: the op itself is evaluated on the numbers of the sets."""

from __future__ import annotations

from ir.core import Eqn
from ir.sparsity.propagate import Found, Known, Propagation, depends, filled


# The numbers of the empty set, 0, are what `pad` is given where its padding value does not depend on inputs.
@depends("broadcast_in_dim", "reshape", "transpose", "rev", "slice", "concatenate", "pad")
def _moved(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    assert eqn.op.eval is not None
    arrays = [filled(i, v) for i, v in zip(ids, eqn.operands, strict=True)]
    return [eqn.op.eval(*arrays, **eqn.attrs)]


@depends("optimization_barrier", "sharding_constraint", "checkpoint_name", "assume")
def _same(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    return ids
