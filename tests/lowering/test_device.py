"""The optimiser is told of the machine that JAX compiles for."""

from __future__ import annotations

import jax
import pytest

import ir.machine
from ir.machine import ACCELERATOR, CPU
from lowering.device import machine


@pytest.mark.parametrize(("platform", "expected"), [("cpu", CPU), ("gpu", ACCELERATOR), ("tpu", ACCELERATOR)])
def test_the_machine_is_that_of_the_default_backend(
    monkeypatch: pytest.MonkeyPatch, platform: str, expected: ir.machine.Machine
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert machine() is expected
    assert ir.machine.current() is expected
