"""The programs of the benchmark of memory: both sides compute the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.memory import PROGRAMS, compiled, operands


@pytest.mark.parametrize("name", PROGRAMS)
def test_both_sides_are_equal(name: str) -> None:
    args = operands(PROGRAMS[name][1], 96)
    ours, theirs = (fn(*args) for fn in compiled(name))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.max(np.abs(b)))
