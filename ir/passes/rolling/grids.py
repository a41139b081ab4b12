"""Reading at the points of a grid, by slices.

    table = [[0, 1], [0, 2], [0, 0], [1, 1], [1, 2], [1, 0]]      of i, (j + 1) % 3
    y = gather(x, table)             becomes       y = reshape(concatenate(x[0:2, 1:3], x[0:2, 0:1]))

Loops in loops read an array at positions that each depend on one of them. The transpose of a gather is a scatter, which
is slow and stays by itself; that of a slice is padding, part of what uses it. The values are the same, bit for bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ir.core import Eqn, Function, Value
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    permute,
    reshape_to,
    rev,
    slice_axis,
)
from ir.passes.dce import dce
from ir.passes.nested import deep
from ir.passes.replacing import Write, replaced
from ir.passes.rolling.tables import Numbers, starts_of, tables_of
from ir.passes.sinking import sink_tables

# An axis that would be put together from more slices than these, or from such as are shorter in the mean, is gathered.
_PIECES = 4
_LENGTH = 3


@dataclass(frozen=True, slots=True)
class Digit:
    """Numbers that depend on one digit of their position: `table[position // run % len(table)]`."""

    run: int
    table: Numbers


@dataclass(frozen=True, slots=True)
class Piece:
    """`start, start + step, ...`, so many of them."""

    start: int
    step: int
    count: int


def digit(numbers: Numbers) -> Digit:
    """The shortest table that the numbers go through, and how often each of its entries comes in turn."""
    count = len(numbers)
    run = int(np.gcd.reduce(np.flatnonzero(np.diff(numbers)) + 1, initial=count))
    short = numbers[::run]
    periods = np.arange(1, len(short))
    for period in periods[len(short) % periods == 0].tolist():
        if np.array_equal(short[period:], short[:-period]):
            return Digit(run, short[:period])
    return Digit(run, short)


def pieces(numbers: Numbers, most: int) -> list[Piece] | None:
    """The numbers as counts with steps, one after the other; None if that takes more than `most`."""
    if most < 1:
        return None
    steps = np.diff(numbers)
    turns = np.flatnonzero(np.diff(steps)) + 1
    if not len(turns):
        return [Piece(int(numbers[0]), int(steps[0]) if len(steps) else 1, len(numbers))]
    if len(turns) > 2 * (most - 1):  # (each further piece comes with a step to it and its own)
        return None
    edges = [0, *turns.tolist(), len(steps)]
    longest = max(range(len(edges) - 1), key=lambda k: edges[k + 1] - edges[k])
    first, last = edges[longest], edges[longest + 1] + 1
    out = [Piece(int(numbers[first]), int(steps[first]), last - first)]
    for rest, before in ((numbers[:first], True), (numbers[last:], False)):
        if len(rest):
            found = pieces(rest, most - len(out))
            if found is None:
                return None
            out = found + out if before else out + found
    return out


@dataclass(frozen=True, slots=True)
class Grid:
    """A gather whose positions are a product of those along each axis.

    Attributes:
      count: how many windows there are.
      axes: for each axis of the array its digit; a table of one entry where it is the same for all.
      along: for each axis, what is taken along it: the windows of all entries of its table, as counts.
    """

    eqn: Eqn
    count: int
    axes: tuple[Digit, ...]
    along: tuple[tuple[Piece, ...], ...]

    def write(self, x: Value) -> Value:
        """What the gather gives for `x`."""
        attrs, out = self.eqn.attrs, self.eqn.results[0].type
        for axis, counts in enumerate(self.along):
            x = taken(x, axis, counts)
        # Each axis as (entry of its table, element of the window); then the entries first, slow ones before others.
        rank, sizes = len(self.axes), attrs["slice_sizes"]
        lengths = [len(each.table) for each in self.axes]
        split = [n for pair in zip(lengths, sizes, strict=True) for n in pair]
        order = sorted(range(rank), key=lambda axis: -self.axes[axis].run)
        perm = [2 * axis for axis in order] + [2 * axis + 1 for axis in range(rank)]
        # (Axes of size 1 are left out, which would make a transpose of what is none.)
        there = [d for d in range(2 * rank) if split[d] != 1]
        x = reshape_to(x, tuple([split[d] for d in there]))
        x = permute(x, tuple([there.index(d) for d in perm if split[d] != 1]))
        x = self._repeated(x, [axis for axis in order if lengths[axis] > 1], sizes)
        batch = [d for d in range(out.rank) if d not in attrs["offset_dims"]]
        windows = [out.shape[d] for d in attrs["offset_dims"]]
        x = reshape_to(x, (*[out.shape[d] for d in batch], *windows))
        return permute(x, tuple(np.argsort([*batch, *attrs["offset_dims"]]).tolist()))

    def _repeated(self, x: Value, moving: list[int], sizes: tuple[int, ...]) -> Value:
        """With an axis for what none of the digits counts, before each and after them."""
        shape: list[int] = []
        dims: list[int] = []
        above = self.count
        for axis in moving:
            run, length = self.axes[axis].run, len(self.axes[axis].table)
            shape += [above // (run * length), length]
            dims.append(len(shape) - 1)
            above = run
        shape.append(above)
        dims += range(len(shape), len(shape) + len(sizes))
        shape += sizes
        x = reshape_to(x, tuple([shape[d] for d in dims]))
        if math.prod(shape) == x.type.size:
            return reshape_to(x, tuple(shape))
        return broadcast_in_dim(x, shape=tuple(shape), dims=tuple(dims))  # type: ignore[no-any-return]


def taken(x: Value, axis: int, counts: Sequence[Piece]) -> Value:
    """What the counts say along an axis."""
    parts = []
    for each in counts:
        last = each.start + (each.count - 1) * each.step
        low, high, step = min(each.start, last), max(each.start, last), abs(each.step)
        if step:
            part = slice_axis(x, axis, low, high + 1, step)
        else:
            part = slice_axis(x, axis, low, low + 1)
            shape = tuple([each.count if d == axis else n for d, n in enumerate(part.type.shape)])
            part = broadcast_in_dim(part, shape=shape, dims=tuple(range(len(shape))))
        parts.append(rev(part, axes=(axis,)) if each.step < 0 else part)
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=axis)


def digits(rows: Numbers) -> tuple[Digit, ...] | None:
    """For each column its digit, if they are digits of one number."""
    found = tuple([digit(column) for column in rows.T])
    moving = sorted([each for each in found if len(each.table) > 1], key=lambda each: each.run)
    for fast, slow in itertools.pairwise(moving):
        if slow.run % (fast.run * len(fast.table)):
            return None
    return found


def grid(eqn: Eqn, starts: Numbers) -> Grid | None:
    """The gather as a grid, if its windows are one and if few slices make it up."""
    rows = starts.reshape(-1, starts.shape[-1])
    axes = digits(rows)
    if axes is None:
        return None
    along = []
    for each, size in zip(axes, eqn.attrs["slice_sizes"], strict=True):
        numbers = (each.table[:, None] + np.arange(size)).reshape(-1)
        counts = pieces(numbers, max(1, min(_PIECES, len(numbers) // _LENGTH)))
        if counts is None:
            return None
        along.append(tuple(counts))
    return Grid(eqn, len(rows), axes, tuple(along))


def sliced(function: Function) -> Function:
    """Write gathers at the points of grids as slices, also in loops that take the points from outside."""
    sunk = sink_tables(function)
    new = slice_grids(sunk)
    return function if new is sunk else dce(new)


@deep
def slice_grids(function: Function) -> Function:
    """Write gathers at the points of grids as slices."""
    tables = tables_of(function)
    if not tables:
        return function
    writes: dict[Value, Write] = {}
    for eqn in function.eqns:
        starts = starts_of(eqn, tables)
        found = None if starts is None else grid(eqn, starts)
        if found is not None:
            writes[eqn.results[0]] = _write(found)
    return replaced(function, writes) if writes else function


def _write(found: Grid) -> Write:
    x = found.eqn.operands[0]
    return lambda env: found.write(env.get(x, x))


__all__ = ["Digit", "Grid", "Piece", "digit", "digits", "grid", "pieces", "slice_grids", "sliced", "taken"]
