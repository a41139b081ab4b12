"""The benchmark of the cost model's figures: every figure is measured, and what is measured grows with the work."""

from __future__ import annotations

from benchmarks.machine import figures, model, per_trip


def test_every_figure_of_the_model_is_measured() -> None:
    found = figures(quick=True)
    known = model()
    assert [figure.model for figure in found] == [
        known.flops,
        known.bandwidth,
        *[rate for _, rate in known.caches],
        known.launch,
        known.fresh,
    ]
    assert all(figure.measured > 0 for figure in found)
    assert all(len(figure.row) == 4 for figure in found)


def test_a_trip_is_measured_without_its_call() -> None:
    import jax.numpy as jnp

    # A trip on a number takes nanoseconds, a call of a compiled function microseconds.
    assert per_trip(lambda x: x * 0.5 + 1.0, jnp.float32(1), 0.01) < 1e-6
