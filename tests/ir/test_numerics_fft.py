"""Fourier transforms agree with `jax.lax.fft`."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from ir.numerics.fft import fft
from tests.ir.arrays import assert_close, normal


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    st.sampled_from([(), (2,), (0,)]),
    st.sampled_from(["fft", "ifft", "rfft", "irfft"]),
    st.booleans(),
)
def test_fft(lengths: tuple[int, ...], batch: tuple[int, ...], kind: str, double: bool) -> None:
    shape = (*batch, *lengths[:-1], lengths[-1] // 2 + 1) if kind == "irfft" else (*batch, *lengths)
    dtype = ("float" if kind == "rfft" else "complex") + str((32 if kind == "rfft" else 64) * (1 + double))
    x = normal(np.random.default_rng(0), shape, dtype)
    with jax.enable_x64(double):
        assert_close(fft(x, kind, lengths), lax.fft(x, kind, lengths), steps=16)


@pytest.mark.parametrize("kind", ["fft", "ifft", "irfft"])
def test_empty_dimensions(kind: str) -> None:
    x = np.zeros((2, 0), np.complex64)
    assert_close(fft(x, kind, (0,)), lax.fft(x, kind, (0,)))


def test_results_by_input() -> None:
    x = np.arange(4.0)
    assert fft(x.astype(np.float32), "fft", (4,)).dtype == np.complex64
    assert fft(x, "rfft", (4,)).dtype == np.complex128
    assert fft(x.astype(np.complex64), "irfft", (6,)).dtype == np.float32
    assert fft(np.zeros((2, 0)), "rfft", (0,)).shape == (2, 0)
    assert_close(fft(x.astype(np.complex64), "fft", ()), x.astype(np.complex64))
    with pytest.raises(ValueError, match="kind"):
        fft(x, "dct", (4,))
