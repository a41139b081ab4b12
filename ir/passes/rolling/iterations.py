"""The iterations of a loop, read off a stretch of repeated equations: where each operand comes from.

    origin ::= Inside(node, result)             made in the same iteration
             | Before(node, result, trips)      made so many iterations before; in the first ones, from outside
             | Outside                          from outside the loop: the same value always, or one each time

A stretch need not be one loop: `loops` cuts it where operands change where they come from.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ir.core import Eqn, Value
from ir.ops.elementwise import integer_pow, square
from ir.ops.shape import slice
from ir.passes.rolling.sequence import Stretch, periods

_Positions = npt.NDArray[np.int64]

# An operand made further back than this, counted in iterations, is taken to come from outside.
_FARTHEST = 8
# Where loops get shorter and shorter, the shortest.
_FEWEST_OF_LEVEL = 2
# How many times fewer iterations differ from those a level before than from the last, if there are levels.
_RARER = 4


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
      exponents: of a power that has another one each time, `[iterations]`.
      scattered: the slice starts at no regular places, here or in the same loop elsewhere.
    """

    eqns: tuple[Eqn, ...]
    origins: tuple[Origin, ...]
    starts: npt.NDArray[np.int64] | None = None
    exponents: npt.NDArray[np.int64] | None = None
    scattered: bool = False

    @property
    def eqn(self) -> Eqn:
        return self.eqns[0]

    @property
    def counts(self) -> bool:
        """Whether a number in it depends on the iteration."""
        return self.starts is not None or self.exponents is not None


@dataclass(frozen=True, slots=True)
class Loop:
    """Equations `start ... stop` of a sequence as `trips` iterations of `nodes`.

    Attributes:
      level: one of several of such loops, each with as many iterations less, or more, as the one before.
    """

    start: int
    stop: int
    trips: int
    nodes: tuple[Node, ...]
    level: bool = False

    @property
    def size(self) -> str:
        """How large it is, in words."""
        return f"{self.trips} iterations of {len(self.nodes)} equations"


def loops(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch, least: int
) -> tuple[list[Loop], int]:
    """The loops of at least so many iterations in a stretch, and after how many iterations it begins anew.

    Args:
      where: (position in `eqns`, which result) of every value that they make.
    """
    stretch = aligned(eqns, where, stretch, least)
    exact = _codes(eqns, where, stretch)
    # Where a table is filled level by level, a level is a loop of its own that takes from the one before.
    level = _return(exact)
    farthest = min(_FARTHEST, level // 2) if level else _FARTHEST
    codes = np.where(_trips_back(exact, stretch.period) <= farthest, exact, 0)
    found = []
    anew = 0
    short, long = (_alike(codes, stretch.period, n) for n in (_FEWEST_OF_LEVEL, least))
    pieces = _independent(eqns, where, stretch, codes, short, _FEWEST_OF_LEVEL)
    triangle = _triangle(pieces, least)
    if long != short:
        pieces = _independent(eqns, where, stretch, codes, long, least)
    for first, last in triangle:
        if (loop := _loop(eqns, where, stretch, codes, first, last)) is not None:
            found.append(replace(loop, level=True))
    begin, end = (triangle[0][0], triangle[-1][1]) if triangle else (0, 0)
    for first, last in pieces:
        if last - first < least or (first < end and begin < last):
            continue
        turn = _turn(eqns, stretch, first, last)
        anew = anew or turn
        step = turn if turn >= least else last - first
        for lo in range(first, last, step):
            if (loop := _loop(eqns, where, stretch, codes, lo, lo + step)) is not None:
                found.append(loop)
    return _alike_where_slices_are_not(found), anew or level


def _triangle(ranges: Sequence[tuple[int, int]], least: int) -> list[tuple[int, int]]:
    """The longest run of ranges, one behind the other, that get shorter, or longer, by the same number each time.

    None where most are too short to be loops of their own.
    """
    best: list[tuple[int, int]] = []
    run: list[tuple[int, int]] = []
    for each in ranges:
        lengths = [last - first for first, last in (*run[-2:], each)]
        apart = run and run[-1][1] != each[0]
        if apart or (len(run) == 1 and lengths[0] == lengths[1]):
            run = []
        elif len(run) > 1 and lengths[2] - lengths[1] != lengths[1] - lengths[0]:
            run = run[-1:] if lengths[2] != lengths[1] else []
        run.append(each)
        if len(run) > len(best):
            best = run[:]
    return best if sum(last - first >= least for first, last in best) >= least else []


def _alike_where_slices_are_not(found: Sequence[Loop]) -> list[Loop]:
    """Slices that are irregular in some of the loops are taken for irregular in all, so that these stay alike."""
    irregular: dict[int, set[int]] = {}
    for loop in found:
        for j, node in enumerate(loop.nodes):
            if node.starts is not None and np.any(np.diff(node.starts, n=2, axis=0)):
                irregular.setdefault(loop.trips, set()).add(j)
    return [
        replace(
            loop,
            nodes=tuple(
                [
                    replace(node, scattered=node.starts is not None and j in irregular[loop.trips])
                    for j, node in enumerate(loop.nodes)
                ]
            ),
        )
        if loop.trips in irregular
        else loop
        for loop in found
    ]


# An operand as a number: 0 from outside, else 1 + result + _RESULTS * (node + period * trips before).
_RESULTS = 64


def aligned(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch, least: int
) -> Stretch:
    """The stretch, begun where the fewest and smallest values pass from one iteration to the next."""
    period, middle = stretch.period, stretch.start + stretch.repeats // 2 * stretch.period
    last = np.zeros(period, np.int64)  # how far ahead each value of an iteration is used
    sizes = np.zeros(period, np.int64)
    made_at, used_at = [], []
    for at in range(middle, min(stretch.stop, middle + 3 * period)):
        for v in eqns[at].operands:
            made, _ = where.get(v, (-1, 0))
            if middle <= made < middle + period:
                last[made - middle] = max(last[made - middle], at - made)
                sizes[made - middle] = v.type.size
                made_at.append(made - middle)
                used_at.append(at - middle)
    # Of as many values, the fewest uses: a sum then takes what the same iteration has made. But what comes
    # before the first iteration is written once more, beside the loop.
    values = _crossing(np.arange(period), last, period)
    elements = _crossing(np.arange(period), last, period, sizes)
    made_there = np.asarray(made_at, np.int64)
    uses = _crossing(made_there, np.asarray(used_at, np.int64) - made_there, period)
    spare = stretch.length - least * period
    best = min(range(min(period, spare + 1)), key=lambda at: (values[at], elements[at], 2 * uses[at] + at))
    return Stretch(period, stretch.start + best, stretch.length - best)


def _crossing(
    made: _Positions, ahead: _Positions, period: int, weights: _Positions | None = None
) -> _Positions:
    """How many values, or how much weight, is made before each equation of an iteration and used from there on."""
    each = np.ones(len(made), np.int64) if weights is None else weights
    out = np.zeros(2 * period + 1, np.int64)
    np.add.at(out, made + 1, each)
    np.add.at(out, made + 1 + np.minimum(ahead, period), -each)
    out = np.cumsum(out)
    return out[:period] + out[period : 2 * period]


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
            row.append(1 + result + _RESULTS * (node + period * back))
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


def _independent(
    eqns: Sequence[Eqn], where: dict[Value, tuple[int, int]], stretch: Stretch,
    codes: npt.NDArray[np.int64], ranges: Sequence[tuple[int, int]], least: int,
) -> list[tuple[int, int]]:  # fmt: skip
    """The ranges, cut where they take what is made in them, but too far back to be carried: levels of a table."""
    out = []
    for first, last in ranges:
        begin = first
        for trip in range(first, last):
            at = stretch.start + trip * stretch.period
            operands = [v for eqn in eqns[at : at + stretch.period] for v in eqn.operands]
            outer = [v for v, code in zip(operands, codes[trip].tolist(), strict=True) if code == 0]
            latest = max([where.get(v, (-1, 0))[0] for v in outer], default=-1)
            if latest >= stretch.start + begin * stretch.period:
                out.append((begin, trip))
                begin = trip
        out.append((begin, last))
    return [(first, last) for first, last in out if last - first >= least]


def _return(codes: npt.NDArray[np.int64]) -> int:
    """After how many iterations operands come from the same places again; 0 if they always or never do."""
    weights = np.random.default_rng(0).integers(1, 1 << 62, codes.shape[1])
    rows = (codes * weights).sum(axis=1)
    for distance in periods(rows):
        later = rows[distance:]  # the first level takes what is outside
        if distance == 1 or len(later) <= distance:
            continue
        changes = np.count_nonzero(later[1:] != later[:-1])
        if changes and np.count_nonzero(later[distance:] != later[:-distance]) * _RARER <= changes:
            return distance
    return 0


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
        numbers: npt.NDArray[np.int64] | None = None
        if each[0].op is slice:
            numbers = _starts(eqns, stretch, j, first, last)
        elif each[0].op in (integer_pow, square):
            numbers = np.asarray([2 if e.op is square else e.attrs["y"] for e in each], np.int64)
        if numbers is None or np.all(numbers == numbers[0]):
            nodes.append(Node(each, tuple(origins)))
        elif each[0].op is slice:
            nodes.append(Node(each, tuple(origins), starts=numbers))
        else:
            nodes.append(Node(each, tuple(origins), exponents=numbers))
    return Loop(begin, begin + trips * period, trips, tuple(nodes))


def part_of(loop: Loop, first: int, last: int) -> Loop:
    """Iterations `first ... last` of it, more than any operand looks back."""

    def origin(node: Node, k: int) -> Origin:
        found = node.origins[k]
        if isinstance(found, Each):
            return Each(found.values[first:last])
        if isinstance(found, Before):
            return replace(
                found, first=tuple([e.operands[k] for e in node.eqns[first : first + found.trips]])
            )
        return found

    def cut(node: Node) -> Node:
        return Node(
            node.eqns[first:last],
            tuple([origin(node, k) for k in range(len(node.origins))]),
            None if node.starts is None else node.starts[first:last],
            None if node.exponents is None else node.exponents[first:last],
            node.scattered,
        )

    period = len(loop.nodes)
    nodes = tuple([cut(node) for node in loop.nodes])
    return Loop(loop.start + first * period, loop.start + last * period, last - first, nodes, loop.level)
