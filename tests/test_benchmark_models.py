"""The training steps of the benchmarks: against JAX in float64, differences of the loss, and optax's updates."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest

from benchmarks.peers import jax as jax_peer
from benchmarks.peers import tracer as tracer_peer
from benchmarks.peers.jax_like import converted
from benchmarks.suites.case import Case, worst_error
from benchmarks.suites.models import CASES
from benchmarks.suites.models.training import DECAY, FIRST, SECOND, tree_map
from tests.tracer.helpers import x64

PEERS = {"jax": jax_peer.peer(), "tracer": tracer_peer.peer()}
SINGLE = [case for case in CASES if case.dtype == "float32"]


def name_of(case: Case) -> str:
    return case.name


@functools.cache
def compiled(case: str, peer: str) -> Any:
    """The step of a case: compiled once for each type of inputs."""
    (found,) = (c for c in SINGLE if c.name == case)
    static = found.static(**found.sizes["tiny"]) if found.static else {}
    library = PEERS[peer].library
    return PEERS[peer].derived(found, lambda *inputs: found.program(library, *inputs, **static))


def step(case: Case, peer: str, dtype: str, inputs: tuple[Any, ...]) -> Any:
    """Loss, parameters and state after the step."""
    name = case.name.split(",")[0] + ", float32"
    with x64(dtype == "float64"):
        return jax.tree_util.tree_map(np.asarray, compiled(name, peer)(*converted(inputs, dtype)))


def gradient_of(before: Any, after: Any) -> Any:
    """What the state of the optimiser took in."""
    if "velocity" in before:
        return tree_map(lambda v, w: w - DECAY * v, before["velocity"], after["velocity"])
    return tree_map(lambda m, n: (n - FIRST * m) / (1 - FIRST), before["mean"], after["mean"])


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_tracer_agrees_with_jax_in_float64(case: Case) -> None:
    inputs = case.inputs(**case.sizes["tiny"])
    want = jax.tree_util.tree_leaves(step(case, "jax", "float64", inputs))
    got = jax.tree_util.tree_leaves(step(case, "tracer", "float64", inputs))
    assert worst_error(got, want) < 1e-11
    got = PEERS["tracer"].arrays(PEERS["tracer"].prepare(case, "tiny")())
    assert worst_error(got, want) < case.tolerance


@pytest.mark.parametrize("case", SINGLE, ids=name_of)
def test_gradient_is_the_slope_of_the_loss(case: Case) -> None:
    inputs = params, state, *batch = case.inputs(**case.sizes["tiny"])
    rng = np.random.default_rng(5)
    direction = tree_map(lambda p: rng.standard_normal(p.shape), params)
    _, _, after = step(case, "tracer", "float64", inputs)
    terms = tree_map(lambda g, d: float(np.sum(g * d)), gradient_of(state, after), direction)

    def loss(distance: float) -> float:
        moved = tree_map(lambda p, d: p + distance * d, params, direction)
        return float(step(case, "tracer", "float64", (moved, state, *batch))[0])

    h = 1e-5
    np.testing.assert_allclose(
        sum(jax.tree_util.tree_leaves(terms)), (loss(h) - loss(-h)) / (2 * h), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("case", SINGLE, ids=name_of)
def test_update_is_that_of_optax(case: Case) -> None:
    inputs = params, state, *_ = case.inputs(**case.sizes["tiny"])
    _, moved, after = step(case, "tracer", "float64", inputs)
    gradient = gradient_of(state, after)
    with x64():  # optax computes with JAX
        if "velocity" in state:
            updates, want = optax.trace(DECAY).update(gradient, optax.TraceState(state["velocity"]))
            assert_equal(after["velocity"], want.trace)
        else:
            start = optax.ScaleByAdamState(state["step"], state["mean"], state["square"])
            updates, want = optax.scale_by_adam(FIRST, SECOND).update(gradient, start)
            assert_equal(after["square"], want.nu)
            assert after["step"] == want.count
        updates = tree_map(np.asarray, updates)
        changes = jax.tree_util.tree_leaves(tree_map(lambda p, q: p - q, params, moved))
        rates = [
            np.mean(c) / np.mean(u) for c, u in zip(changes, jax.tree_util.tree_leaves(updates), strict=True)
        ]
    assert rates[0] > 0
    np.testing.assert_allclose(rates, rates[0], rtol=1e-7)
    assert_equal(tree_map(lambda p, u: p - rates[0] * u, params, updates), moved)


def assert_equal(got: Any, want: Any) -> None:
    tree_map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), got, want)
