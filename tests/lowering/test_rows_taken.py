"""Rows taken with a mode that fills: out of bounds, and by indices of types that hold fewer numbers than rows."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from lowering.rules import indexing

INDICES = (np.int8, np.uint8, np.int16, np.int32, np.uint32)
RNG = np.random.default_rng(0)


def taken(x: Any, index: Any, axis: int, fill: float) -> Any:
    """By NumPy: negative indices count from the end."""
    size = x.shape[axis]
    where = index.astype(int)
    where = np.where(where < 0, where + size, where)
    inside = (where >= 0) & (where < size)
    around = (1,) * axis + inside.shape + (1,) * (x.ndim - axis - 1)
    return np.where(inside.reshape(around), np.take(x, np.where(inside, where, 0), axis), x.dtype.type(fill))


@pytest.mark.parametrize("dtype", INDICES)
@pytest.mark.parametrize("size", [1, 5, 127, 128, 129, 255, 256, 300])
@pytest.mark.parametrize("axis", [0, 1])
def test_rows_in_and_out_of_bounds(dtype: Any, size: int, axis: int) -> None:
    x = np.moveaxis(RNG.normal(size=(size, 3)).astype(np.float32), 0, axis)
    low, high = max(np.iinfo(dtype).min, -2 * size), min(np.iinfo(dtype).max, 2 * size)
    index = np.concatenate([RNG.integers(low, high + 1, 12), [low, high]]).astype(dtype)
    for fill in (0.0, np.nan, -np.inf, 2.5):
        for shaped in (index, index.reshape(2, 7), index[:0]):
            got = tr.jit(lambda x, i: tnp.take(x, i, axis, mode="fill", fill_value=fill))(x, shaped)
            np.testing.assert_array_equal(got, taken(x, shaped, axis, fill))


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex64, np.float16])
def test_rows_of_other_types(dtype: Any) -> None:
    x = RNG.integers(0, 2, (4, 3)).astype(dtype)
    got = tr.jit(lambda x: tnp.take(x, np.array([3, 9, 0]), 0, mode="fill", fill_value=0))(x)
    np.testing.assert_array_equal(got, np.stack([x[3], np.zeros(3, dtype), x[0]]))


def test_large_arrays_are_taken_from_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    f: Any = lambda x, i: tnp.take(x, i, 0, mode="fill", fill_value=0.0)
    x, i = np.zeros((100, 4), np.float32), np.zeros(3, np.int32)
    assert "stablehlo.pad" in tr.jit(f).lower(x, i).as_text()
    monkeypatch.setattr(indexing, "_LARGEST", 1599)
    assert "stablehlo.pad" not in tr.jit(lambda x, i: f(x, i)).lower(x, i).as_text()


def test_derivatives_of_rows_taken() -> None:
    x = RNG.normal(size=(4, 3)).astype(np.float32)
    i = np.array([3, 9, 0, 3, -9])
    loss = lambda x: tnp.sum(tnp.take(x, i, 0, mode="fill", fill_value=0.0) ** 2)
    want = 2 * x * np.array([1, 0, 0, 2])[:, None]
    for gradient in (tr.jit(tr.grad(loss)), jax.grad(tr.jit(loss)), jax.jit(jax.grad(tr.jit(loss)))):
        np.testing.assert_allclose(gradient(x), want, rtol=1e-6)
