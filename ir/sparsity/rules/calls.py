"""Calls, custom rules, and what is kept whole: solvers that are given, replays of loops, foreign operations."""

from __future__ import annotations

import numpy as np

from ir.core import Eqn
from ir.op import Linear, build
from ir.ops.shape import zeros
from ir.sparsity.propagate import Found, Known, Propagation, conservative, depends
from ir.sparsity.sets import Pool


@depends("call", "fused", "checkpoint", "custom_jvp_call", "custom_vjp_call", "linear_call")
def _call(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    return walk.run(eqn.attrs["function"], ids, known)[0]


@depends("custom_vjp_tangent")
def _by_transpose(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """Of a rule for reverse mode alone: a result depends on the tangents whose cotangents depend on its own."""
    transpose = eqn.op.transpose
    assert transpose is not None
    count = len(eqn.operands) - sum(eqn.attrs["wanted"])
    types = [v.type for v in eqn.operands]
    outs = [v.type for v in eqn.results]

    def backward(*values):  # type: ignore[no-untyped-def]
        operands = [*values[:count], *[Linear(t) for t in types[count:]]]
        grads = transpose(values[count:], operands, **eqn.attrs)[count:]
        return [zeros(t) if g is None else g for g, t in zip(grads, types[count:], strict=True)]

    program = build([*types[:count], *outs], backward, "backward", source=eqn.source)
    sizes = [t.size for t in outs]
    inner = Propagation(Pool(sum(sizes)))
    starts = np.cumsum([0, *sizes])
    seeds = [inner.pool.singletons(int(s), t.shape) for s, t in zip(starts, outs, strict=False)]
    none = [None] * len(outs)
    found, _ = inner.run(program, [*[None] * count, *seeds], [*known[:count], *none])
    groups, sets = [], []
    for back, forward in zip(found, ids[count:], strict=True):
        if back is None or forward is None:
            continue
        lengths, members = inner.pool.members(back.reshape(-1))
        groups.append(members)
        sets.append(np.repeat(forward.reshape(-1), lengths))
    if not groups:
        return none
    every = walk.pool.unite(np.concatenate(groups), np.concatenate(sets), sum(sizes))
    return [every[s : s + n].reshape(t.shape) for s, n, t in zip(starts, sizes, outs, strict=False)]


conservative(
    "all_gather", "all_to_all", "collective_permute", "foreign", "foreign_effect", "linear_solve", "replay",
    "while_record",
)  # fmt: skip
