"""The comparison itself: no public function is left out, and what is planted is found."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.conformance.catalog import MODULES, functions
from tests.conformance.check import compared, trial
from tests.conformance.draw import Draw
from tests.tracer.cases import Case
from tests.tracer.helpers import array


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_is_drawn(name: str) -> None:
    module = MODULES[name]
    drawn = {n for n in module.recipes if not n.startswith("Tensor.") and hasattr(module.ours, n)}
    present = {n for n in module.elsewhere if hasattr(module.ours, n)}
    assert functions(module.ours) - drawn == present
    assert drawn & present == set()


def test_draws_are_of_every_kind() -> None:
    draw = Draw(np.random.default_rng(0), wide=True)
    shapes = [draw.shape() for _ in range(400)]
    assert {0, 1} <= {n for s in shapes for n in s}
    assert {len(s) for s in shapes} == {0, 1, 2, 3}
    dtypes = {draw.dtype("bifc") for _ in range(600)}
    assert {"bool", "int8", "uint64", "bfloat16", "float16", "float64", "complex64", "complex128"} <= dtypes


@tr.custom_jvp
def _wrong_slope(x: Any) -> Any:
    return tnp.sin(x)


_wrong_slope.defjvp(lambda primals, tangents: (tnp.sin(*primals), tangents[0]))

PLANTED: dict[str, tuple[Any, str]] = {
    "value": (lambda x: tnp.sin(x) * (1 + 1e-3), "tolerance"),
    "type": (lambda x: tnp.sin(x).astype(np.float16), "dtype"),
    "gradient": (_wrong_slope, "tolerance"),
    "error": (lambda x: tnp.reshape(x, (7, 7)), "reshape"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_differs_is_found(name: str) -> None:
    planted, why = PLANTED[name]
    found = trial(Case("sin", lambda np, x: np.sin(x), (array(3, 2),)), jnp)
    assert found is not None
    wrong, refused = compared([found, found], SimpleNamespace(sin=planted), jnp, eager=True)
    assert refused == 0
    assert len(wrong) == (2 if name == "error" else 4)  # with and without jit, where there is a program
    assert all(why in message for message in wrong)
    assert compared([found], tnp, jnp, eager=True) == ([], 0)


def test_weak_types_are_compared() -> None:
    found = trial(
        Case("full", lambda np, x: np.full(x), (array(3),), False),
        SimpleNamespace(full=lambda x: jnp.exp(2.0)),
    )
    assert found is not None
    wrong, _ = compared(
        [found],
        SimpleNamespace(full=lambda x: tnp.exp(jnp.float32(2.0))),
        SimpleNamespace(full=lambda x: jnp.exp(2.0)),
        eager=True,
    )
    assert len(wrong) == 2
    assert all("weak type" in message for message in wrong)


def test_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance", "--cases", "4", "--seed", "0", "--only", "nn", "--jobs", "1"],
        capture_output=True, text=True, check=False, timeout=600, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 mismatches" in done.stdout
    assert "functions of" in done.stdout
