"""Colourings, by their definitions and by what they are for: reading a matrix off its compressed form."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ir.errors import ArgumentError, SparsityError
from ir.sparsity import ORDERS, Pattern, color_columns, color_symmetric

MATRICES = hnp.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.booleans())


def of(matrix: Any) -> Pattern:
    return Pattern.of(matrix.shape, *np.nonzero(matrix))


def compressed(matrix: Any, colors: Any, count: int) -> Any:
    """The sums of the columns of each colour."""
    return matrix @ np.eye(max(count, 1))[colors]


def read(matrix: Any, coloring: Any, pattern: Pattern) -> Any:
    out = np.zeros(matrix.shape)
    found = compressed(matrix, coloring.colors, coloring.count)
    out[pattern.rows, pattern.indices] = found[coloring.rows, coloring.columns]
    return out


def is_distance_2(matrix: Any, colors: Any) -> bool:
    """No row has two columns of one colour."""
    return all(len(set(colors[row].tolist())) == row.sum() for row in matrix)


def is_star(matrix: Any, colors: Any) -> bool:
    """Neighbours differ, and every path of four vertices has three colours."""
    near = [set(np.flatnonzero(row).tolist()) - {i} for i, row in enumerate(matrix)]
    if any(colors[i] == colors[j] for i, some in enumerate(near) for j in some):
        return False
    for b, c in itertools.permutations(range(len(matrix)), 2):
        if c in near[b]:
            for a, d in itertools.product(near[b] - {c}, near[c] - {b}):
                if a != d and len({colors[k] for k in (a, b, c, d)}) < 3:
                    return False
    return True


@pytest.mark.parametrize("order", [None, *ORDERS])
@given(matrix=MATRICES, seed=st.integers(0, 100))
def test_columns(order: str | None, matrix: Any, seed: int) -> None:
    pattern = of(matrix)
    coloring = color_columns(pattern, order)
    assert is_distance_2(matrix, coloring.colors)
    assert matrix.sum(axis=1).max() <= coloring.count <= matrix.shape[1]
    values = matrix * np.random.default_rng(seed).normal(size=matrix.shape)
    assert np.array_equal(read(values, coloring, pattern), values)


@pytest.mark.parametrize("order", [None, *ORDERS])
@given(matrix=MATRICES, seed=st.integers(0, 100))
def test_star(order: str | None, matrix: Any, seed: int) -> None:
    size = min(matrix.shape)
    square = matrix[:size, :size]
    pattern = of(square).symmetric()
    both = square | square.T
    assert np.array_equal(pattern.dense(), both)
    coloring = color_symmetric(pattern, order)
    assert is_star(both, coloring.colors)
    values = both * np.random.default_rng(seed).normal(size=both.shape)
    values = values + values.T
    assert np.array_equal(read(values, coloring, pattern), values)


def band(size: int, width: int) -> Any:
    i = np.arange(size)
    return abs(i[:, None] - i) <= width


def grid(size: int) -> Pattern:
    """The five-point stencil on a square."""
    i = np.arange(size * size).reshape(size, size)
    ends = [(i, i), (i[1:], i[:-1]), (i[:-1], i[1:]), (i[:, 1:], i[:, :-1]), (i[:, :-1], i[:, 1:])]
    rows, columns = (np.concatenate([end[k].reshape(-1) for end in ends]) for k in (0, 1))
    return Pattern.of((size * size, size * size), rows, columns)


@pytest.mark.parametrize("width", [0, 1, 3])
def test_bands(width: int) -> None:
    pattern = of(band(40, width))
    assert color_columns(pattern).count == 2 * width + 1
    assert color_symmetric(pattern).count <= 2 * width + 1


def test_arrow() -> None:
    arrow = np.eye(30, dtype=np.bool_)
    arrow[0] = arrow[:, 0] = True
    assert color_columns(of(arrow)).count == 30
    assert color_symmetric(of(arrow)).count == 2


def test_grid() -> None:
    assert color_columns(grid(20)).count == 5
    assert color_symmetric(grid(20)).count <= 5


def test_is_quick() -> None:
    """Linear in the elements: 40,000 columns in far less than what all pairs of columns would take."""
    start = time.perf_counter()
    pattern = grid(200)
    color_columns(pattern)
    color_symmetric(pattern)
    assert time.perf_counter() - start < 20


def test_unknown_order() -> None:
    with pytest.raises(ArgumentError, match="expected an order of natural"):
        color_columns(of(band(3, 1)), "best")


def test_patterns() -> None:
    pattern = Pattern.of((2, 3), np.array([1, 0, 1, 1]), np.array([2, 1, 0, 2]))
    assert pattern.nnz == 3
    assert pattern.dense().tolist() == [[False, True, False], [True, False, True]]
    assert np.array_equal(pattern.transposed.dense(), pattern.dense().T)
    assert repr(pattern) == "Pattern(2 x 3, 3 elements)"
    with pytest.raises(SparsityError, match="expected columns of a pattern of shape"):
        Pattern.of((2, 3), np.array([0]), np.array([3]))
