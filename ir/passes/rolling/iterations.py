"""The iterations of a loop, read off a stretch of repeated equations: where each operand comes from.

    origin ::= Inside(node, result)             made in the same iteration
             | Before(node, result, trips)      made so many iterations before; in the first ones, from outside
             | Outside                          from outside the loop: the same value always, or one each time

A stretch need not be one loop: `loops` cuts it where operands change where they come from.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ir.core import Eqn, Value
from ir.ops.shape import slice
from ir.passes.rolling.sequence import Stretch

# An operand made further back than this, counted in iterations, is taken to come from outside.
_FARTHEST = 8


@dataclass(frozen=True, slots=True)
class Inside:
    """Made in the same iteration."""

    node: int
    result: int


@dataclass(frozen=True, slots=True)
class Before:
    """Made some iterations earlier.

    Attributes:
      first: the operand in the first `trips` iterations.
    """

    node: int
    result: int
    trips: int
    first: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """From outside, always the same."""

    value: Value


@dataclass(frozen=True, slots=True)
class Each:
    """From outside, one for each iteration."""

    values: tuple[Value, ...]


Origin = Inside | Before | Fixed | Each


@dataclass(frozen=True, slots=True)
class Node:
    """One equation of the body.

    Attributes:
      eqns: it, in every iteration.
      starts: of a slice that starts elsewhere each time, `[iterations, rank]`.
    """

    eqns: tuple[Eqn, ...]
    origins: tuple[Origin, ...]
    starts: npt.NDArray[np.int64] | None

    @property
    def eqn(self) -> Eqn:
        return self.eqns[0]


@dataclass(frozen=True, slots=True)
class Loop:
    """Equations `start ... stop` of a sequence as `trips` iterations of `nodes`."""

    start: int
    stop: int
    trips: int
    nodes: tuple[Node, ...]

    @property
    def size(self) -> str:
        """How large it is, in words."""
        return f"{self.trips} iterations of {len(self.nodes)} equations"


def loops(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch, least: int
) -> tuple[list[Loop], int]:
    """The loops of at least so many iterations in a stretch, and after how many iterations slices count anew.

    Args:
      where: (position in `eqns`, which result) of every value that they make.
    """
    stretch = _aligned(eqns, where, stretch, least)
    codes = _codes(eqns, where, stretch)
    found = []
    anew = 0
    for first, last in _alike(codes, stretch.period, least):
        turn = _turn(eqns, stretch, first, last)
        anew = anew or turn
        step = turn if turn >= least else last - first
        for lo in range(first, last, step):
            if (loop := _loop(eqns, where, stretch, codes, lo, lo + step)) is not None:
                found.append(loop)
    return found, anew


# An operand as a number: 0 from outside, else 1 + result + _RESULTS * (node + period * trips before).
_RESULTS = 64


def _aligned(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch, least: int
) -> Stretch:
    """The stretch, begun where the fewest values pass from one iteration to the next."""
    period, middle = stretch.period, stretch.start + stretch.repeats // 2 * stretch.period
    last = [0] * period  # how far ahead each value of an iteration is used
    for at in range(middle, min(stretch.stop, middle + 3 * period)):
        for v in eqns[at].operands:
            made, _ = where.get(v, (-1, 0))
            if middle <= made < middle + period:
                last[made - middle] = max(last[made - middle], at - made)
    crossing = [0] * period  # values that are alive where an iteration begins with that equation
    for made, ahead in enumerate(last):
        for begin in range(made + 1, made + 1 + min(ahead, period)):
            crossing[begin % period] += 1
    spare = stretch.length - least * period
    best = min(range(min(period, spare + 1)), key=lambda begin: (crossing[begin], begin))
    return Stretch(period, stretch.start + best, stretch.length - best)


def _codes(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch
) -> npt.NDArray[np.int64]:
    """Where operands come from, `[iterations, operands]`."""
    start, period = stretch.start, stretch.period
    out: list[list[int]] = []
    before: list[Value | None] = []
    for trip in range(stretch.repeats):
        row: list[int] = []
        begin = start + trip * period
        operands = [v for eqn in eqns[begin : begin + period] for v in eqn.operands]
        for v, earlier in zip(operands, before or [None] * len(operands), strict=True):
            at, result = where.get(v, (-1, 0))
            # What the iteration before took already comes from outside, if this is a loop.
            if at < start or result >= _RESULTS or v is earlier:
                row.append(0)
                continue
            back = trip - (at - start) // period
            node = (at - start) % period
            row.append(1 + result + _RESULTS * (node + period * back) if back <= _FARTHEST else 0)
        out.append(row)
        before = [*operands]
    return np.asarray(out, np.int64).reshape(stretch.repeats, -1)


def _trips_back(codes: npt.NDArray[np.int64], period: int) -> npt.NDArray[np.int64]:
    return np.asarray(np.maximum(codes - 1, 0) // (_RESULTS * period))


def _alike(codes: npt.NDArray[np.int64], period: int, least: int) -> list[tuple[int, int]]:
    """Ranges of iterations whose operands come from the same places, as far as they may: (first, last + 1).

    They have at least so many iterations.

    In the first iterations of a loop, what later ones take from earlier ones comes from outside.
    """
    count = len(codes)
    same = np.all(codes[1:] == codes[:-1], axis=1)
    edges = [0, *(np.flatnonzero(~same) + 1).tolist(), count]
    out: list[tuple[int, int]] = []
    free = 0  # the first iteration that no range has taken yet
    for lo, hi in itertools.pairwise(edges):
        if lo < free:
            continue
        code = codes[lo]
        back = _trips_back(code, period)
        begin = lo
        for start in range(max(free, lo - int(back.max(initial=0))), lo):
            # What is taken from before the start is a beginning, whatever it is.
            rows = codes[start:lo]
            age = np.arange(lo - start)[:, None]
            if np.all((rows == code) | ((age < back) & (back > 0) & _older(rows, age, period))):
                begin = start
                break
        if hi - begin >= least:
            out.append((begin, hi))
            free = hi
    return out


def _older(rows: npt.NDArray[np.int64], age: npt.NDArray[np.int64], period: int) -> npt.NDArray[np.bool_]:
    """Which operands were made before the first of these iterations."""
    return np.asarray((rows == 0) | (_trips_back(rows, period) > age))


def _turn(eqns: Sequence[Eqn], stretch: Stretch, first: int, last: int) -> int:
    """After how many iterations slices begin to count anew; 0 if they do not, or not regularly."""
    breaks: set[int] = set()
    begin = stretch.start + first * stretch.period
    for node in range(stretch.period):
        if eqns[begin + node].op is not slice:
            continue
        at = _starts(eqns, stretch, node, first, last)
        if len(at) > 2:
            turns = np.flatnonzero(np.any(at[2:] - at[1:-1] != at[1:-1] - at[:-2], axis=1))
            # A jump from k to k+1 is an irregular step before it and after it.
            breaks.update(int(t) + 2 for i, t in enumerate(turns) if i == 0 or turns[i - 1] != t - 1)
    lengths = np.diff([0, *sorted(breaks), last - first])
    return int(lengths[0]) if breaks and np.all(lengths == lengths[0]) else 0


def _starts(eqns: Sequence[Eqn], stretch: Stretch, node: int, first: int, last: int) -> npt.NDArray[np.int64]:
    begin, period = stretch.start + node, stretch.period
    return np.asarray(
        [eqns[begin + trip * period].attrs["starts"] for trip in range(first, last)], np.int64
    ).reshape(last - first, -1)


def _loop(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch,
    codes: npt.NDArray[np.int64], first: int, last: int,
) -> Loop | None:  # fmt: skip
    """The loop, unless an iteration takes something from one that is too far back."""
    period = stretch.period
    begin = stretch.start + first * period
    trips = last - first
    wanted = codes[last - 1].tolist()
    nodes = []
    slot = 0
    for j in range(period):
        each = tuple([eqns[begin + trip * period + j] for trip in range(trips)])
        origins: list[Origin] = []
        for k in range(len(each[0].operands)):
            code = wanted[slot]
            slot += 1
            back, rest = divmod(max(code - 1, 0), _RESULTS * period)
            node, result = divmod(rest, _RESULTS)
            if code and back == 0:
                origins.append(Inside(node, result))
            elif code and back < trips:
                origins.append(Before(node, result, back, tuple([e.operands[k] for e in each[:back]])))
            else:
                values = [e.operands[k] for e in each]
                one = all(v is values[0] for v in values)
                if any(where.get(v, (-1, 0))[0] >= begin for v in (values[:1] if one else values)):
                    return None
                origins.append(Fixed(values[0]) if one else Each(tuple(values)))
        starts = None
        if each[0].op is slice:
            at = _starts(eqns, stretch, j, first, last)
            if np.any(at != at[0]):
                starts = at
        nodes.append(Node(each, tuple(origins), starts))
    return Loop(begin, begin + trips * period, trips, tuple(nodes))
