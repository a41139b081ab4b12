"""Gamma samples from Threefry keys, by the same steps as `jax.random.gamma`.

Imports NumPy and ml_dtypes. Equal to JAX's up to rounding: where rounding decides whether a draw is
rejected, a sample may be another one.
"""

import math
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ir.numerics.error_functions import erf_inv
from ir.numerics.precision import narrow, widen
from ir.numerics.threefry import random_bits, split

Array = npt.NDArray[Any]


def gamma(key_data: Array, a: Array, log_space: bool) -> Array:
    """A sample of Gamma(a, 1), or its logarithm, for each `a`.

    Args:
      key_data: raw keys, of shape keys + (2,), where keys are the first axes of the shape of `a`.
      a: the parameters, floats of any width.
      log_space: take the logarithm, which does not underflow for small `a`.

    G. Marsaglia, W. W. Tsang, "A simple method for generating gamma variables", 2000.
    """
    each = math.prod(a.shape[key_data.ndim - 1 :])
    keys = split(key_data.reshape(-1, 2), each).reshape(-1, 2)
    alpha = a.reshape(-1)
    wide = widen(alpha)
    boosted = wide >= 1
    shape = np.where(boosted, wide, wide + 1)
    d = shape - wide.dtype.type(1 / 3)
    c = wide.dtype.type(1 / 3) / np.sqrt(d)
    key, last = _split(keys, 2)
    volume = np.ones_like(wide)
    open_ = np.arange(len(keys))
    while open_.size:
        key[open_], x_key, u_key = _split(key[open_], 3)
        x, v = _positive(x_key, c[open_], alpha.dtype)
        square, cube = x * x, v * v * v
        u = _unit(u_key, alpha.dtype)
        volume[open_] = cube
        rejected = (u >= 1 - wide.dtype.type(0.0331) * square * square) & (
            np.log(u) >= square * 0.5 + d[open_] * (1 - cube + np.log(cube))
        )
        open_ = open_[rejected]
    u = _unit(last, alpha.dtype)
    if log_space:
        exponent = np.log1p(-u)
        boost = np.where(boosted | (exponent == 0), 0, exponent * (1 / wide))
        out = np.log(d) + np.log(volume) + boost
    else:
        out = d * volume * np.where(boosted, 1, (1 - u) ** (1 / wide))
    return narrow(np.asarray(out), a.dtype).reshape(a.shape)


def _positive(key: Array, c: Array, dtype: Any) -> tuple[Array, Array]:
    """Normal x with 1 + c x > 0, and that sum, one for each key."""
    key = key.copy()
    x, v = np.zeros_like(c), np.full_like(c, -1)
    open_ = np.arange(len(key))
    while open_.size:
        key[open_], draw = _split(key[open_], 2)
        x[open_] = _normal(draw, dtype)
        v[open_] = 1 + x[open_] * c[open_]
        open_ = open_[v[open_] <= 0]
    return x, v


def _split(keys: Array, count: int) -> tuple[Array, ...]:
    return tuple(np.moveaxis(split(keys, count), 1, 0).copy())


def _unit(keys: Array, dtype: Any) -> Array:
    """Uniform in [0, 1) with the bits of the mantissa of `dtype`, widened; exact."""
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    width = 8 if info.nmant < 8 else info.bits
    bits = random_bits(keys, width, ()) >> np.uint64(width - info.nmant)
    wide = widen(np.zeros((), dtype)).dtype
    return np.asarray(bits.astype(wide) * wide.type(2.0**-info.nmant))


def _normal(keys: Array, dtype: Any) -> Array:
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype))
    unit = _unit(keys, dtype)
    low = low.astype(unit.dtype)
    span = narrow(np.asarray(1 - low), np.dtype(dtype)).astype(unit.dtype)
    u = np.maximum(low, narrow(unit * span + low, np.dtype(dtype)).astype(unit.dtype))
    return np.asarray(np.sqrt(2) * erf_inv(u.astype(np.float64))).astype(unit.dtype)
