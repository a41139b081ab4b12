"""Which columns each iteration of a loop needs, and iterations that need about as many of them.

needed   ##......      in two groups, the first of which takes   ####
         ####....      4 columns and the second 8                ####
         ######..                                                ########
         ########                                                ########
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ir.core import Array

# Cuts between groups are looked for at so many places.
_PLACES = 64


@dataclass(frozen=True)
class Spans:
    """The columns that each iteration needs, from `starts` on and before `stops`.

    Attributes:
      size: columns in all.
    """

    starts: Array
    stops: Array
    size: int


@dataclass(frozen=True)
class Group:
    """Iterations from `first` on and before `last`, each of which takes `width` columns, from `starts` on."""

    first: int
    last: int
    width: int
    starts: tuple[int, ...]

    @property
    def count(self) -> int:
        return self.last - self.first


def spans(excluded: Array, column: int, granule: int, size: int) -> Spans:
    """The columns that are needed where a mask excludes granules of the others.

    An iteration all of whose columns are excluded in any row needs all of them: what becomes of such a row is for the
    program to say.

    Args:
      excluded: for iterations, axes of the mask, and granules in the place of `column`.
    """
    at = column + 1
    rows = np.moveaxis(excluded, at, -1).reshape(len(excluded), -1, excluded.shape[at])
    empty = np.any(np.all(rows, axis=2), axis=1)
    needed = ~np.all(rows, axis=1)
    granules = needed.shape[1]
    starts = np.argmax(needed, axis=1) * granule
    stops = np.minimum((granules - np.argmax(needed[:, ::-1], axis=1)) * granule, size)
    return Spans(np.where(empty, 0, starts), np.where(empty, size, stops), size)


def groups(spans: Spans, most: int, least: float) -> list[Group]:
    """Iterations in at most so many groups that take few columns in all.

    Args:
      least: the share of all columns of all iterations that another group has to save.
    """
    count = len(spans.starts)
    cuts = np.unique(np.linspace(0, count, min(count, _PLACES) + 1).astype(int))
    widths = spans.stops - spans.starts
    places = len(cuts) - 1
    # What iterations between two cuts take.
    costs = np.full((places + 1, places + 1), np.inf)
    for i in range(places):
        width = 0
        for j in range(i + 1, places + 1):
            width = max(width, int(widths[cuts[j - 1] : cuts[j]].max()))
            costs[i, j] = width * (cuts[j] - cuts[i])
    best = costs[0].copy()
    ways = [[(0, j)] for j in range(places + 1)]
    chosen, lowest = ways[-1], best[-1]
    for k in range(1, most):
        # One group more, the last of which begins at i.
        best[0] = np.inf
        sums = best[:, None] + costs
        split = np.argmin(sums, axis=0)
        best = sums[split, np.arange(places + 1)]
        ways = [[*ways[split[j]], (int(split[j]), j)] for j in range(places + 1)]
        total = best[-1] + k * least * count * spans.size
        if total < lowest:
            chosen, lowest = ways[-1], total
    return [_group(spans, int(cuts[i]), int(cuts[j])) for i, j in chosen]


def _group(spans: Spans, first: int, last: int) -> Group:
    starts, stops = spans.starts[first:last], spans.stops[first:last]
    width = int((stops - starts).max())
    within = np.minimum(starts, spans.size - width)
    return Group(first, last, width, tuple([int(s) for s in within]))


__all__ = ["Group", "Spans", "groups", "spans"]
