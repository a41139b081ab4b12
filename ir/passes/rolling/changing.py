"""Loops over arrays whose size changes by the same number from one iteration to the next.

    v = a * v[1:] + b * v[:-1]                    trees of prices, divided differences: arrays that shrink
    s = b[i] - L[i, :i] @ stack(x)                substitution, sums over the past: arrays and lists that grow

Equations are compared whatever the sizes of their arrays. Lists that grow are written as chains before, each the one
before with more behind it: `c = concatenate(a, b); d = concatenate(c, x)` for `d = concatenate(a, b, x)`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ir.contents import has_effects
from ir.core import Eqn, Function, Value, attr_key
from ir.ops.shape import broadcast_in_dim, concatenate, iota, reshape, slice
from ir.passes.replacing import renamed
from ir.passes.rolling.iterations import aligned
from ir.passes.rolling.sequence import Stretch, Tokens, periods, stretches

# Fewer iterations are no loop of this kind.
_FEWEST = 8
# Larger arrays, in elements, are left: what is added to them takes longer than a call of an operation.
_LARGEST = 1 << 13
# So many times as many elements may be computed as before.
_WASTE = 3
# So many parts may be added to a list in an iteration.
_ADDED = 4

_Sizes = npt.NDArray[np.int64]


@dataclass(slots=True)
class Changing:
    """Iterations of a stretch in which sizes change by the same number each time.

    Attributes:
      axes: for each equation of an iteration, the axis of its result that does, if one does.
      moving: for each operand of each equation the axis along which its size changes, if it does.
      size: that all get.
    """

    period: int
    start: int
    trips: int
    axes: list[int | None]
    moving: list[list[int | None]]
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.trips * self.period


def changing(eqns: Sequence[Eqn]) -> Iterable[Changing]:
    """The loops of this kind in a sequence of equations without constants."""
    if len({v.type for eqn in eqns for v in eqn.results}) < _FEWEST:
        return  # what changes has another type each time
    where = {v: (i, k) for i, eqn in enumerate(eqns) for k, v in enumerate(eqn.results)}
    sequence = _tokens(eqns)
    for period in periods(sequence):
        for stretch in stretches(sequence, period, _FEWEST):
            found = _changing(eqns, aligned(eqns, where, stretch, _FEWEST))
            if found is not None:
                yield found


def chained(function: Function) -> Function:
    """The function with lists that grow as chains, and the parts of lists written once; itself if there are none."""
    env: dict[Value, Value] = {}
    reshaped: dict[tuple[Value, object], Value] = {}
    lists: dict[tuple[int, tuple[Value, ...]], Value] = {}
    eqns: list[Eqn] = []
    found = False
    for eqn in function.eqns:
        eqn = renamed(eqn, env)
        if eqn.op is reshape:
            first = reshaped.setdefault((eqn.operands[0], eqn.attrs["shape"]), eqn.results[0])
            if first is not eqn.results[0]:
                env[eqn.results[0]] = first
                continue
        elif eqn.op is concatenate:
            parts, axis = eqn.operands, eqn.attrs["axis"]
            new = _extended(parts, axis, lists)
            lists.setdefault((axis, parts), eqn.results[0])
            if new is not None:
                found = True
                eqn = Eqn(eqn.op, new, eqn.attrs, eqn.results, eqn.source)
        eqns.append(eqn)
    if not found:
        return function
    results = tuple([env.get(v, v) for v in function.results])
    return function.replace(eqns=_elements_first(function, eqns), results=results)


def _elements_first(function: Function, eqns: Sequence[Eqn]) -> tuple[Eqn, ...]:
    """The equations with elements that are made to lists of one right behind what makes them.

    The first elements of a list are there before its loop, and the others are added in turn.
    """
    lists: dict[Value, list[Eqn]] = {}
    rest = []
    for eqn in eqns:
        if eqn.op is reshape and _is_list_of_one(eqn):
            lists.setdefault(eqn.operands[0], []).append(eqn)
        else:
            rest.append(eqn)
    out = _with_lists(function.params, lists)
    for eqn in rest:
        out.append(eqn)
        out += _with_lists(eqn.results, lists)
    return tuple(out)


def _with_lists(values: Sequence[Value], lists: dict[Value, list[Eqn]]) -> list[Eqn]:
    """What makes lists of the values, lists of these, and so on."""
    out = [eqn for v in values for eqn in lists.get(v, ())]
    for eqn in out:  # (which gets longer)
        out += lists.get(eqn.results[0], ())
    return out


def _is_list_of_one(eqn: Eqn) -> bool:
    """Whether a reshape adds one axis."""
    old, new = eqn.operands[0].type.shape, eqn.attrs["shape"]
    return len(new) == len(old) + 1 and [n for n in new if n != 1] == [n for n in old if n != 1]


def _extended(
    parts: tuple[Value, ...], axis: int, lists: dict[tuple[int, tuple[Value, ...]], Value]
) -> tuple[Value, ...] | None:
    """The parts as a list that is there already with more behind it, or before it."""
    for more in range(1, min(_ADDED, len(parts) - 2) + 1):
        if (held := lists.get((axis, parts[:-more]))) is not None:
            return (held, *parts[-more:])
        if (held := lists.get((axis, parts[more:]))) is not None:
            return (*parts[:more], held)
    return None


def _tokens(eqns: Sequence[Eqn]) -> Tokens:
    """A number for each equation, whatever the sizes of its arrays."""
    known: dict[object, int] = {}
    out = np.empty(len(eqns), np.int64)
    for i, eqn in enumerate(eqns):
        attrs: object
        if eqn.op is slice:
            attrs = eqn.attrs["strides"]
        elif eqn.op is broadcast_in_dim:
            attrs = eqn.attrs["dims"]
        elif eqn.op is iota:
            attrs = (eqn.attrs["dtype"], eqn.attrs["axis"])
        elif eqn.op is reshape:
            attrs = ()
        elif eqn.op.effect or (eqn.attrs and has_effects(eqn)):
            attrs = ("effect", i)
        else:
            attrs = tuple([attr_key(a) for a in eqn.attrs.values()])
        types = [(v.type.dtype, v.type.rank) for v in (*eqn.operands, *eqn.results)]
        out[i] = known.setdefault((eqn.op, attrs, tuple(types)), len(known))
    return out


def _changing(eqns: Sequence[Eqn], stretch: Stretch) -> Changing | None:
    """The longest such range of a stretch."""
    period, repeats = stretch.period, stretch.repeats
    body = eqns[stretch.start : stretch.start + period]
    if any(len(eqn.results) != 1 for eqn in body):
        return None
    sizes = np.asarray(
        [
            [n for eqn in eqns[at : at + period] for n in eqn.results[0].type.shape]
            for at in range(stretch.start, stretch.start + repeats * period, period)
        ],
        np.int64,
    )
    first, trips = _steady(sizes)
    if trips < _FEWEST:
        return None
    axes: list[int | None] = []
    step = sizes[first + 1] - sizes[first]
    # Where nothing is left, nothing is there that could be the first.
    if not np.all(sizes[first + trips - 1, step != 0]):
        trips -= 1
    if not np.all(sizes[first, step != 0]):
        first, trips = first + 1, trips - 1
    column = 0
    for eqn in body:
        rank = eqn.results[0].type.rank
        found_axes = np.flatnonzero(step[column : column + rank])
        column += rank
        if len(found_axes) > 1:
            return None
        axes.append(int(found_axes[0]) if len(found_axes) else None)
    start = stretch.start + first * period
    at = start if np.all(step <= 0) else start + (trips - 1) * period
    one, two = eqns[start : start + period], eqns[start + period : start + 2 * period]
    moving = [
        [_difference(a, b) for a, b in zip(x.operands, y.operands, strict=False)]
        for x, y in zip(one, two, strict=True)
    ]
    largest = eqns[at : at + period]
    sizes_there = [e.results[0].type.shape[a] for e, a in zip(largest, axes, strict=True) if a is not None]
    # Slices may be of what is larger.
    sizes_there += [
        v.type.shape[a]
        for eqn, changes in zip(largest, moving, strict=True)
        for v, a in zip(eqn.operands, changes, strict=False)
        if a is not None and eqn.op is not slice
    ]
    found = Changing(period, start, trips, axes, moving, max(sizes_there))
    return found if _is_cheap(found, eqns) else None


def _difference(a: Value, b: Value) -> int | None:
    """The axis along which the sizes of two values differ, if they do."""
    axes = [k for k, (m, n) in enumerate(zip(a.type.shape, b.type.shape, strict=False)) if m != n]
    return axes[0] if len(axes) == 1 and a.type.rank == b.type.rank else None


def _steady(sizes: _Sizes) -> tuple[int, int]:
    """(first, count) of the most rows from one to the next of which some sizes change, all by the same number."""
    steps = np.diff(sizes, axis=0)
    best = (0, 0)
    at = 0
    while at < len(steps):
        stop = at + 1
        while stop < len(steps) and np.array_equal(steps[stop], steps[at]):
            stop += 1
        moving = steps[at][steps[at] != 0]
        if len(moving) and np.all(moving == moving[0]) and stop - at + 1 > best[1]:
            best = (at, stop - at + 1)
        at = stop
    return best


def _is_cheap(found: Changing, eqns: Sequence[Eqn]) -> bool:
    before = after = 0
    for at in range(found.start, found.stop):
        axis = found.axes[(at - found.start) % found.period]
        if axis is not None:
            shape = eqns[at].results[0].type.shape
            whole = math.prod(shape[:axis]) * found.size * math.prod(shape[axis + 1 :])
            if whole > _LARGEST:
                return False
            before, after = before + math.prod(shape), after + whole
    return after <= _WASTE * before


__all__ = ["Changing", "chained", "changing"]
