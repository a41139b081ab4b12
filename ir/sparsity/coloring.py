"""Colourings: columns of a sparse matrix that one product with a vector tells apart.

Columns of one colour have no row in common (a distance-2 colouring of the bipartite graph of rows and columns: Curtis,
Powell and Reid 1974). A symmetric matrix needs fewer: in a star colouring, neighbours differ and every path of four
vertices has three colours, so that of each element (i, j) one of the rows i and j has no other element in a column of
the colour of the other (Gebremedhin, Manne and Pothen 2005, "What color is your Jacobian?", SIAM Review 47; Gebremedhin
et al. 2009, "Efficient computation of sparse Hessians using coloring and automatic differentiation"). Both are found
greedily, column by column, in an order that decides how many colours it takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ir.errors import ArgumentError
from ir.sparsity.patterns import Pattern

Colors = npt.NDArray[np.int32]
Order = npt.NDArray[np.int64]

ORDERS: Final = ("natural", "largest_first", "smallest_last")
# Pairs of columns in common rows up to which unasked is done what goes through all of them: the last order, and more
# than one star colouring.
_PAIRS: Final = 1 << 22
_STAR_PAIRS: Final = 1 << 20


@dataclass(frozen=True, eq=False)
class Coloring:
    """A colour for each column, and where each element of the matrix is found in the compressed one.

    The compressed matrix has a column for each colour, the sum of the columns that have it.

    Attributes:
      colors: of the columns, from 0; -1 where a column has no element.
      count: how many colours there are.
      rows, columns: for each element of the pattern, in its order, its place in the compressed matrix.
    """

    colors: Colors
    count: int
    rows: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]


def color_columns(pattern: Pattern, order: str | None = None) -> Coloring:
    """Columns of one colour have no row in common.

    Args:
      pattern: of the matrix.
      order: one of `ORDERS`; by default that which takes the fewest colours.

    Raises:
      ArgumentError: an unknown order.
    """
    colors = _best(pattern, order, _greedy, int(np.diff(pattern.indptr).max(initial=0)))
    return Coloring(colors, _count(colors), pattern.rows, colors[pattern.indices])


def color_symmetric(pattern: Pattern, order: str | None = None) -> Coloring:
    """A star colouring of a symmetric pattern.

    Args:
      pattern: of the matrix, with its transpose; elements on the diagonal make no difference.
      order: one of `ORDERS`; by default that which takes the fewest colours.

    Raises:
      ArgumentError: an unknown order.
    """
    colors = _best(pattern, order, _star, 2)
    count = _count(colors)
    # An element is read in the row where it is the only one of its colour.
    keys = pattern.rows.astype(np.int64) * max(count, 1) + colors[pattern.indices]
    _, where, times = np.unique(keys, return_inverse=True, return_counts=True)
    alone = times[where] == 1
    rows = np.where(alone, pattern.rows, pattern.indices)
    columns = np.where(alone, pattern.indices, pattern.rows)
    return Coloring(colors, count, rows, colors[columns])


def _count(colors: Colors) -> int:
    return int(colors.max(initial=-1)) + 1


def _best(pattern: Pattern, order: str | None, color: Any, least: int) -> Colors:
    """By the given order, or by each until one takes the least number of colours there can be."""
    if order is not None and order not in ORDERS:
        raise ArgumentError(f"expected an order of {', '.join(ORDERS)}, got {order!r}")
    names: tuple[str, ...] = ORDERS if order is None else (order,)
    pairs = int((np.diff(pattern.indptr) ** 2).sum())
    if order is None and pairs > (_PAIRS if color is _greedy else _STAR_PAIRS):
        names = ORDERS[: 2 if color is _greedy else 1]
    best: Colors | None = None
    for name in names:
        found = color(pattern, _ORDERING[name](pattern))
        if best is None or _count(found) < _count(best):
            best = found
        if _count(best) <= least:
            break
    assert best is not None
    return best


# Greedy colouring -------------------------------------------------------------------------------------


def _greedy(pattern: Pattern, order: Order) -> Colors:
    """Each column takes the first colour that no column has with which it shares a row.

    A row keeps the colours of its columns as bits of an integer, so that all is linear in the elements.
    """
    transposed = pattern.transposed
    starts, rows = transposed.indptr.tolist(), transposed.indices.tolist()
    taken = [0] * pattern.shape[0]
    colors = [0] * pattern.shape[1]
    for column in order.tolist():
        mine = rows[starts[column] : starts[column + 1]]
        if not mine:
            colors[column] = -1
            continue
        met = 0
        for row in mine:
            met |= taken[row]
        bit = ~met & (met + 1)
        colors[column] = bit.bit_length() - 1
        for row in mine:
            taken[row] |= bit
    return np.array(colors, np.int32)


def _star(pattern: Pattern, order: Order) -> Colors:
    """Algorithm 4.1 of Gebremedhin, Tarafdar, Manne and Pothen 2007, "New acyclic and star coloring algorithms".

    Edges whose ends have the same two colours make stars; `hub` is the centre of one. A vertex may take neither the
    colour of a neighbour nor one that would make a path of four vertices of two colours.
    """
    away = pattern.rows != pattern.indices
    degrees = np.bincount(pattern.rows[away], minlength=pattern.shape[0])
    starts = np.concatenate([[0], np.cumsum(degrees)]).tolist()
    flat = pattern.indices[away].tolist()
    filled = np.diff(pattern.indptr) > 0
    colors = [-1] * pattern.shape[0]
    star: dict[tuple[int, int], int] = {}
    hub: list[int] = []
    for v in order[filled[order]].tolist():
        near = [w for w in flat[starts[v] : starts[v + 1]] if colors[w] >= 0]
        met = 0
        first: dict[int, int] = {}
        again: set[int] = set()
        for w in near:
            color = colors[w]
            met |= 1 << color
            if color in first:
                again.add(color)
            else:
                first[color] = w
        for w in near:
            twice = colors[w] in again
            for x in flat[starts[w] : starts[w + 1]]:
                if x == v or colors[x] < 0:
                    continue
                # With two neighbours of the colour of w, x - w - v - other would be such a path; with one, x is the
                # end of a path already where it is the centre of the star of the edge to w.
                if twice or hub[star[(w, x) if w < x else (x, w)]] == x:
                    met |= 1 << colors[x]
        color = (~met & (met + 1)).bit_length() - 1
        colors[v] = color
        for w in near:
            edge = (v, w) if v < w else (w, v)
            shared = next((x for x in flat[starts[w] : starts[w + 1]] if x != v and colors[x] == color), None)
            if shared is not None:
                number = star[(w, shared) if w < shared else (shared, w)]
                hub[number] = w
                star[edge] = number
                continue
            other = first[colors[w]]
            if other != w:
                number = star[(v, other) if v < other else (other, v)]
                hub[number] = v
                star[edge] = number
            else:
                star[edge] = len(hub)
                hub.append(-1)
    return np.array(colors, np.int32)


# Orders -----------------------------------------------------------------------------------------------


def _natural(pattern: Pattern) -> Order:
    return np.arange(pattern.shape[1])


def _largest_first(pattern: Pattern) -> Order:
    """By the number of columns that share a row, each counted once for each row (Welsh and Powell 1967)."""
    sizes = np.diff(pattern.indptr)
    weights = np.bincount(pattern.indices, weights=sizes[pattern.rows], minlength=pattern.shape[1])
    return np.argsort(-weights, kind="stable")


def _smallest_last(pattern: Pattern) -> Order:
    """Last the column that shares rows with fewest of those that are left, and so on (Matula and Beck 1983).

    Columns in common rows are counted once for each row.
    """
    transposed = pattern.transposed
    starts, rows = transposed.indptr.tolist(), transposed.indices.tolist()
    row_starts, columns = pattern.indptr.tolist(), pattern.indices.tolist()
    sizes = np.diff(pattern.indptr)
    degrees = np.bincount(pattern.indices, weights=sizes[pattern.rows] - 1, minlength=pattern.shape[1])
    degree = degrees.astype(np.int64).tolist()
    buckets: list[list[int]] = [[] for _ in range(max(degree, default=0) + 1)]
    for column, d in enumerate(degree):
        buckets[d].append(column)
    gone = [False] * len(degree)
    order: list[int] = []
    low = 0
    while len(order) < len(degree):
        while not buckets[low]:
            low += 1
        column = buckets[low].pop()
        if gone[column] or degree[column] != low:
            continue
        gone[column] = True
        order.append(column)
        for row in rows[starts[column] : starts[column + 1]]:
            for other in columns[row_starts[row] : row_starts[row + 1]]:
                if not gone[other]:
                    degree[other] -= 1
                    buckets[degree[other]].append(other)
                    low = min(low, degree[other])
    return np.array(order[::-1], np.int64)


_ORDERING: Final = {
    "natural": _natural,
    "largest_first": _largest_first,
    "smallest_last": _smallest_last,
}


__all__ = ["ORDERS", "Coloring", "color_columns", "color_symmetric"]
