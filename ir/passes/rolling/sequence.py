"""Where a sequence repeats itself: equations as tokens, periods, and stretches that have them.

Equal tokens stand for equations of one op, with equal attributes and types; the numbers in attributes that a
loop may count, where a slice starts and the exponent of a power (a square is one), do not count. A stretch of
period p is a range in which every token equals the one p places before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ir.contents import has_effects
from ir.core import Eqn, attr_key
from ir.ops.elementwise import integer_pow, square
from ir.ops.shape import slice

Tokens = npt.NDArray[np.int64]

# Sequences of so many tokens are looked for where they were before; longer ones tell long bodies apart.
_WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)
# How many distances of a window are tried, the most frequent first.
_DISTANCES = 4


def tokens(eqns: Sequence[Eqn], apart: Collection[Eqn] = (), *, exact: bool = False) -> Tokens:
    """A number for each equation; one with an effect is like no other.

    Args:
      apart: equations that are not like those that are not among these.
      exact: negative exponents count, as powers with a table of them are rounded otherwise.
    """
    known: dict[object, int] = {}
    out = np.empty(len(eqns), np.int64)
    for i, eqn in enumerate(eqns):
        attrs: object = ()
        if eqn.attrs:
            if eqn.op is slice:
                attrs = eqn.attrs["strides"]
            elif eqn.op is integer_pow:
                y = eqn.attrs["y"]
                attrs = 1 if y >= 0 else y if exact else -1
            elif has_effects(eqn):
                attrs = ("effect", i)
            else:
                attrs = tuple([attr_key(a) for a in eqn.attrs.values()])
        elif eqn.op.effect:
            attrs = ("effect", i)
        types = [v.type for v in eqn.operands]
        if eqn.op is slice:  # of the others, the types of the results follow
            types.append(eqn.results[0].type)
        key: tuple[object, ...] = (eqn.op, attrs, *types)
        if eqn.op is square:
            key = (integer_pow, 1, *types)
        if apart and eqn in apart:
            key = (None, *key)
        out[i] = known.setdefault(key, len(known))
    return out


@dataclass(frozen=True, slots=True)
class Stretch:
    """`length` tokens from `start`, each equal to the one a period before: `repeats` whole periods, and a rest."""

    period: int
    start: int
    length: int

    @property
    def repeats(self) -> int:
        return self.length // self.period

    @property
    def stop(self) -> int:
        return self.start + self.length


def periods(sequence: Tokens) -> list[int]:
    """Distances at which parts of the sequence were seen before, the smallest first."""
    found: set[int] = set()
    hashes = sequence.astype(np.uint64) + np.uint64(1)
    width = 1
    for window in _WINDOWS:
        while width < window:  # (of window 2w: two of window w)
            if len(hashes) <= width:
                return sorted(found)
            left, right = hashes[:-width], hashes[width:]
            hashes = left * np.uint64(0x9E3779B97F4A7C15) + (right ^ (right >> np.uint64(29)))
            width *= 2
        order = np.argsort(hashes, kind="stable")
        same = hashes[order[1:]] == hashes[order[:-1]]
        distances = (order[1:] - order[:-1])[same]
        if not len(distances):
            return sorted(found)
        counts = np.bincount(distances)
        often = np.argsort(-counts * np.arange(len(counts)), kind="stable")[:_DISTANCES]
        found.update(int(d) for d in often if counts[d] > 0)
    return sorted(found)


def stretches(sequence: Tokens, period: int, repeats: int) -> list[Stretch]:
    """The longest ranges with that period that have at least so many repeats."""
    if period * repeats > len(sequence):
        return []
    same = sequence[period:] == sequence[:-period]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    found = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        length = stop - start + period
        if length >= period * repeats:
            found.append(Stretch(period, start, length))
    return found
