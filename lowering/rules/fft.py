"""Lowering of `ir.ops.fft`."""

from __future__ import annotations

from typing import Any

from jax import lax
from jax import numpy as jnp

from lowering.emit import lowers


@lowers("fft")
def _fft(x: Any, *, kind: str, lengths: tuple[int, ...]) -> Any:
    if 0 not in (*x.shape, *lengths):
        return lax.fft(x, kind, lengths)
    # XLA has no transform of nothing.
    last = lengths[-1] // 2 + 1 if kind == "rfft" and lengths[-1] else lengths[-1]
    dtype = {"rfft": jnp.result_type(x, jnp.complex64), "irfft": x.real.dtype}.get(kind, x.dtype)
    return jnp.zeros((*x.shape[: x.ndim - len(lengths)], *lengths[:-1], last), dtype)
