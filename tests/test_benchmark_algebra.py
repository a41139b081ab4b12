"""The programs of the benchmark of linear algebra: all sides compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.algebra import PROGRAMS, compiled, operands


@pytest.mark.parametrize("name", PROGRAMS)
def test_all_sides_are_equal(name: str) -> None:
    given = operands(40)
    args = [given[operand] for operand in PROGRAMS[name][0]]
    ours, naive, best = (np.asarray(fn(*args)) for fn in compiled(name))
    np.testing.assert_allclose(ours, best, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(ours, naive, rtol=2e-4, atol=2e-4)
