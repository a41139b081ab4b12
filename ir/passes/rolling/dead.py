"""Iterations of which nothing uses a part, such as the last step of a state that nobody asks for.

    for t in range(n):
        loss = loss + cost(x)
        x = step(x)

The last step is dead code. Without it the last iteration is not like the others and stays outside the loop.

So equations that are dead in few iterations are kept until loops are found, and a scan computes them in all. They must
do no harm to derivatives: a cotangent of 0 may meet an infinite slope there, or a number that is inf, which makes NaN.
So where they are dead, ops whose derivatives depend on their operands are given harmless ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from ir.contents import has_effects
from ir.core import Dense, Eqn, Function, Value
from ir.op import ZERO
from ir.ops.arithmetic import add, neg, sub
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.logic import select
from ir.ops.reduce import reduce_sum
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    full_like,
    iota,
    pad,
    reshape,
    rev,
    slice,
    transpose,
)
from ir.passes.rolling.iterations import Before, Loop, Node, part_of
from ir.source import UNKNOWN
from ir.types import bool_

Rows = npt.NDArray[np.bool_]

# Dead equations are kept where so many times as many that are like them are not dead.
_RARE = 8
# Equations outside a loop that cost less than harmless operands in all iterations.
_SHORT = 200
# Their derivatives do not depend on the numbers in their operands.
_LINEAR = frozenset({
    add, broadcast_in_dim, concatenate, constant, convert, iota, neg, pad, reduce_sum, reshape, rev, select, slice,
    sub, transpose,
})  # fmt: skip


def dead_equations(function: Function) -> set[Eqn]:
    """Equations that no result depends on."""
    live = set(function.results)
    dead: set[Eqn] = set()
    for eqn in reversed(function.eqns):
        if live.isdisjoint(eqn.results) and not has_effects(eqn):
            dead.add(eqn)
        else:
            live.update(eqn.operands)
    return dead


def without_most_dead(function: Function) -> Function:
    """`dce`, but for equations that are dead in few of the iterations that they may belong to."""
    dead = dead_equations(function)
    if not dead:
        return function
    alive = Counter(_like(eqn) for eqn in function.eqns if eqn not in dead)
    rare = {like for like, n in Counter(map(_like, dead)).items() if n * _RARE <= alive[like]}
    missing: set[Value] = set()
    kept = []
    for eqn in function.eqns:
        odd = eqn.op is not constant and (eqn.source is UNKNOWN or _like(eqn) not in rare)
        if eqn in dead and (odd or not missing.isdisjoint(eqn.operands)):
            missing.update(eqn.results)
        else:
            kept.append(eqn)
    return function if len(kept) == len(function.eqns) else function.replace(eqns=tuple(kept))


def _like(eqn: Eqn) -> object:
    return (eqn.source.place, eqn.op, tuple([r.type for r in eqn.results]))


# In loops --------------------------------------------------------------------------------------------------


def _rows_of(loop: Loop, dead: Collection[Eqn]) -> list[Rows | None]:
    """For each node, the iterations in which it is dead; None where it never is."""
    out: list[Rows | None] = []
    for node in loop.nodes:
        rows = np.fromiter([eqn in dead for eqn in node.eqns], np.bool_, loop.trips)
        out.append(rows if rows.any() else None)
    return out


def versions(loop: Loop, dead: Collection[Eqn], least: int) -> list[tuple[Loop, list[Rows | None]]]:
    """The most iterations in which nothing is dead, and the loop with what is dead in it if that does no harm.

    The first is the faster one, as harmless operands are chosen in every iteration. It comes last where the rest is
    long, or where nothing has to be chosen.
    """
    rows = _rows_of(loop, dead)
    found = [r for r in rows if r is not None]
    if not found or (len(found) == len(rows) and all(r.all() for r in found)):
        return [(loop, [None] * len(rows))]
    out = [(loop, rows)] if _is_harmless(loop, rows) else []
    edges = np.flatnonzero(np.diff(np.any(found, axis=0), prepend=True, append=True))
    runs = zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
    first, last = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    back = max([o.trips for node in loop.nodes for o in node.origins if isinstance(o, Before)], default=0)
    if last - first >= max(least, back + 1):
        chosen = any(
            n is not None for node, r in zip(loop.nodes, rows, strict=True) for n in harmless(node, r)
        )
        is_short = (loop.trips - last + first) * len(loop.nodes) <= _SHORT
        at = 0 if chosen and is_short else len(out)
        out.insert(at, (part_of(loop, first, last), [None] * len(rows)))
    return out


def _is_harmless(loop: Loop, dead: Sequence[Rows | None]) -> bool:
    """Whether all that is dead can be computed without harm."""
    return all(
        rows is None or node.eqn.op in _LINEAR or node.eqn.op.jvp is ZERO or _is_guarded(node)
        for node, rows in zip(loop.nodes, dead, strict=True)
    )


def _is_guarded(node: Node) -> bool:
    """Whether harmless operands can be given to it."""
    op = node.eqn.op
    return op is dot_general or (op.elementwise and op not in _LINEAR and op.jvp is not ZERO)


def harmless(node: Node, dead: Rows | None) -> list[float | None]:
    """For each operand of a node a number to take where it is dead; None for those without derivatives.

    What the program has there will not do, even where it is used elsewhere: it may be inf or NaN.
    """
    if dead is None or not _is_guarded(node):
        return [None] * len(node.origins)
    numbers = node.eqn.op.tame(**node.eqn.attrs) if node.eqn.op.tame else (None,) * len(node.origins)
    return [
        None if not v.type.dtype.is_inexact else 1.0 if n is None else n
        for v, n in zip(node.eqn.operands, numbers, strict=True)
    ]


def table(rows: Rows) -> Value:
    """In which iterations a node is not dead."""
    return constant(value=Dense(~rows, bool_), shape=rows.shape)  # type: ignore[no-any-return]


def guard(operand: Value, live: Value, number: float) -> Value:
    """The operand where `live`, of its leading axes, holds, and a number elsewhere."""
    where = broadcast_in_dim(live, shape=operand.type.shape, dims=tuple(range(live.type.rank)))
    return select(where, operand, full_like(operand, number))  # type: ignore[no-any-return]


__all__ = [
    "Rows", "dead_equations", "guard", "harmless", "table", "versions", "without_most_dead",
]  # fmt: skip
