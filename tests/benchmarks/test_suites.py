"""Every case of every suite, at its smallest size, by tracer, JAX and NumPy in their own processes: right results."""

from __future__ import annotations

import pytest

from benchmarks.runner import roster
from benchmarks.runner.record import Settings, Status
from benchmarks.runner.run import begun, chosen, measured
from benchmarks.suites import registry

SUITES = [*registry.names(), "tests.benchmarks.adapters"]


@pytest.mark.parametrize("suite", SUITES)
def test_results_are_right(suite: str) -> None:
    work, without = chosen([suite], "", ["tiny"])
    assert work and not without
    settings = Settings(device="cpu", seconds=0.0, timeout_s=300.0, check=True)
    entries = [roster.entry(name) for name in ("tracer", "jax", "numpy")]
    *_, (run, _) = measured(begun(None, settings, resume=False), work, entries)
    assert len(run.rows) == 3 * len(work)
    bad = [
        (row.case, row.peer, row.reason) for row in run.rows if row.status not in (Status.OK, Status.DECLINED)
    ]
    assert bad == []
