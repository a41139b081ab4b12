"""The programs of the benchmark of sparse derivatives: a row of each, checked against JAX as it is measured."""

from __future__ import annotations

import pytest

from benchmarks.sparse import COLUMNS, PROGRAMS, measured


@pytest.mark.parametrize("name", PROGRAMS)
def test_sparse_is_dense(name: str) -> None:
    row = measured(name, 120, dense=True, target=0.0)
    assert len(row) == len(COLUMNS)
    rows, _, _, products = (int(n.replace(",", "")) for n in row[1:5])
    assert products < rows / 4
