"""The cases of high orders: tracer and JAX against references that do not nest derivatives."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from benchmarks.peers import jax as jax_peer
from benchmarks.peers import tracer as tracer_peer
from benchmarks.suites import highorder_references as references
from benchmarks.suites.case import Case, worst_error
from benchmarks.suites.highorder import CASES
from tests.tracer.helpers import x64

PEERS = {"jax": jax_peer.peer(), "tracer": tracer_peer.peer()}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_peers_agree_with_the_reference(case: Case, peer: str) -> None:
    assert case.reference is not None
    want = jax.tree_util.tree_leaves(case.reference(*case.inputs(**case.sizes["tiny"])))
    with x64():
        got = PEERS[peer].arrays(PEERS[peer].prepare(case, "tiny")())
    assert worst_error(got, want) < case.tolerance


def test_series_are_those_of_known_functions() -> None:
    x = np.array([0.3, -0.7])
    s, c, t = np.sin(x), np.cos(x), np.tanh(x)
    np.testing.assert_allclose(
        references.sine(references.variable(x, 4)), [s, c, -s / 2, -c / 6, s / 24], rtol=1e-13
    )
    slope = 1 - t**2
    want = [t, slope, -t * slope, slope * (t**2 - 1 / 3)]
    np.testing.assert_allclose(references.tanh(references.variable(x, 3)), want, rtol=1e-12)
