"""GradBench's evals: tracer and JAX against references found by other means, and these against published values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
from benchmarks.peers import jax as jax_peer
from benchmarks.peers import tracer as tracer_peer
from benchmarks.suites.case import Case, worst_error
from benchmarks.suites.gradbench import CASES, ba, gmm, lstm
from benchmarks.suites.gradbench.adbench import published

EVALS = ("hello", "gmm", "ba", "ht", "lstm", "kmeans", "det", "llsq", "lse", "ode", "particle", "saddle")
BY_NAME = {case.name: case for case in CASES}
PEERS: dict[str, ModuleType] = {"tracer": tracer_peer, "jax": jax_peer}


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def expected(case: Case, size: str) -> list[np.ndarray]:
    assert case.reference is not None
    return jax.tree_util.tree_leaves(case.reference(*case.inputs(**case.sizes[size])))


def result(case: Case, peer: str, size: str) -> list[Any]:
    library = PEERS[peer].peer()
    return library.arrays(library.prepare(case, size)())


def test_there_are_twelve() -> None:
    assert tuple(dict.fromkeys(case.name.split(",")[0] for case in CASES)) == EVALS


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize(
    ("name", "size"),
    [(case.name, size) for case in CASES for size in ("tiny", "small") if size in case.sizes],
)
def test_equals_the_reference(name: str, size: str, peer: str) -> None:
    case = BY_NAME[name]
    if peer in case.declined:
        with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
            result(case, peer, size)
        return
    assert worst_error(result(case, peer, size), expected(case, size)) <= case.tolerance


def close(got: Any, want: Any) -> None:
    """To ADBench's own tolerance."""
    np.testing.assert_allclose(np.asarray(got).reshape(np.shape(want)), want, rtol=1e-8, atol=1e-8)


def flat(leaves: list[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in leaves])


@pytest.mark.parametrize("of", ["reference", *PEERS])
@pytest.mark.parametrize(
    ("name", "size", "eval_name", "what"),
    [
        ("ba", "tiny", "ba", "jacobian.expected_J_values"),
        ("ht, simple", "tiny", "hand", "simple_jacobian.expected_jacobian"),
        ("ht, complicated", "tiny", "hand", "complicated_jacobian.expected_jacobian"),
        ("lstm", "small", "lstm", "jacobian.expected_gradient"),
    ],
)
def test_equals_published_derivatives(name: str, size: str, eval_name: str, what: str, of: str) -> None:
    case = BY_NAME[name]
    got = expected(case, size) if of == "reference" else result(case, of, size)
    close(flat(got), np.ravel(published(eval_name, what)))


def test_equals_the_published_gradient_of_a_mixture() -> None:
    inputs = BY_NAME["gmm"].inputs(**BY_NAME["gmm"].sizes["tiny"])
    want = published("gmm", "jacobian.expected_gradient")
    close(flat(list(gmm.reference(*inputs, sign=gmm.ADBENCH))), want)
    for module, library, objective in (
        (tr, tracer_peer.Library, gmm.objective),
        (jax, jax_peer.Library, gmm.with_jax),
    ):
        gradient = module.grad(partial(objective, library, sign=gmm.ADBENCH), (0, 1, 2))
        close(flat(gradient(*map(jnp.asarray, inputs))), want)


def test_equals_published_objectives() -> None:
    lib = tracer_peer.Library
    inputs = {name: BY_NAME[name].inputs(**BY_NAME[name].sizes["tiny"]) for name in ("gmm", "ba")}
    for library, objective in ((lib, gmm.objective), (jax_peer.Library, gmm.with_jax)):
        value = objective(library, *map(jnp.asarray, inputs["gmm"]), sign=gmm.ADBENCH)
        close(value, published("gmm", "objective.value"))
    cameras, points, weights, features, camera, point = map(jnp.asarray, inputs["ba"])
    errors = tr.vmap(lambda *given: ba.residuals(lib.np, *given))(
        cameras[camera], points[point], weights, features
    )
    close(errors, published("ba", "objective.expected_reproj_err").reshape(-1, 2))
    close(ba.constraint(weights), published("ba", "objective.expected_weight_err"))
    sequence = map(jnp.asarray, lstm.inputs("lstm_l2_c1024"))
    close(tr.jit(lambda *a: lstm.loss(lib, *a))(*sequence), published("lstm", "objective.value"))


@pytest.mark.parametrize("mode", ["ff", "fr", "rf", "rr"])
def test_equals_published_minima(mode: str) -> None:
    close(result(BY_NAME[f"particle, {mode}"], "tracer", "tiny"), [0.2071918746486116])
    got = result(BY_NAME[f"saddle, {mode}"], "tracer", "tiny")[0]
    np.testing.assert_allclose(got, [8.246324826140356e-06] * 4, rtol=1e-8)
