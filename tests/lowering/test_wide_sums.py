"""Sums along leading axes with many results: the same numbers, whatever XLA is told to do."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from lowering.rules import reduce

RNG = np.random.default_rng(0)
# (shape, axes, whether it is wide in float32)
CASES = [
    ((3, 16_385), (0,), True),
    ((2, 3, 20_000), (0, 1), True),
    ((2, 3, 40, 500), (1, 0), True),
    ((3, 16_384), (0,), False),
    ((16_385, 3), (1,), False),
    ((2, 16_385, 2), (0, 2), False),
    ((0, 20_000), (0,), False),
    ((20_000,), (), False),
    ((20_000,), (0,), False),
]


@pytest.mark.parametrize(("shape", "axes", "wide"), CASES)
@pytest.mark.parametrize("slow", [True, False])
def test_sums_are_those_of_numpy(shape, axes, wide, slow, monkeypatch):
    monkeypatch.setattr(reduce, "_IS_SLOW", slow)
    x = RNG.normal(size=shape).astype(np.float32)
    f = lambda x: tnp.sum(x, axis=axes)
    lowered = jax.jit(tr.jit(f).compiled).lower(x).as_text()
    assert ("dot_general" in lowered) == (wide and slow)
    np.testing.assert_allclose(tr.jit(f)(x), x.sum(axes), rtol=1e-5, atol=1e-5)
    gradient = tr.jit(tr.grad(lambda x: tnp.sum(f(x) ** 2)))(x)
    np.testing.assert_allclose(
        gradient, np.broadcast_to(2 * x.sum(axes, keepdims=True), shape), rtol=1e-4, atol=1e-4
    )


def test_special_values_stay(monkeypatch):
    monkeypatch.setattr(reduce, "_IS_SLOW", True)
    x = np.zeros((4, 20_000), np.float32)
    x[1, :5] = np.nan, np.inf, -np.inf, -0.0, 1e30
    x[2, :5] = 0, np.inf, np.inf, -0.0, 1e30
    got = tr.jit(lambda x: tnp.sum(x, axis=0))(x)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(got, x.sum(0))
    assert not np.signbit(np.asarray(got[3]))
