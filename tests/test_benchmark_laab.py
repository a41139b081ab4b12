"""The suite `laab`: tracer and JAX at the smallest size against NumPy in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import benchmarks.peers.jax as jax_peer
import benchmarks.peers.tracer as tracer_peer
from benchmarks.suites.case import Case, worst_error
from benchmarks.suites.laab import BY_HAND, CASES, TESTS
from benchmarks.suites.laab.core import NUMPY, Test

PEERS = {"jax": jax_peer.peer(), "tracer": tracer_peer.peer()}


def _leaves(results: Any) -> list[Any]:
    return list(results) if isinstance(results, tuple) else [results]


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_peers_compute_the_reference(case: Case, peer: str) -> None:
    assert case.reference is not None
    got = PEERS[peer].arrays(PEERS[peer].prepare(case, "tiny")())
    want = _leaves(case.reference(*case.inputs(**case.sizes["tiny"])))
    assert worst_error(got, want) < case.tolerance


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.name)
def test_by_hand_is_the_expression(test: Test) -> None:
    inputs = test.inputs(18)
    want = _leaves(test.by_hand(NUMPY, *inputs))
    for form, program in test.forms.items():
        if form != "scan":  # (NumPy has none)
            assert worst_error(_leaves(program(NUMPY, *inputs)), want) < 1e-12, form


def test_each_form_has_its_counterpart() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {*BY_HAND, *BY_HAND.values()} == set(names)
    assert all(np.asarray(case.inputs(16)[0]).dtype == np.float64 for case in CASES)
