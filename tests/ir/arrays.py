"""Arrays to evaluate on, and comparison of results, for the tests of `ir.numerics`."""

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ir.numerics.precision import is_complex, is_float, is_integer, widen

Array = npt.NDArray[Any]

NARROW = ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"]
DTYPES = ["float32", "complex64", "int32", "int8", "uint8", "bool", *NARROW]


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def integers(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Small integers of either sign: their sums and products are exact in every dtype."""
    target = dtype_of(dtype)
    low = 0 if target.name.startswith(("uint", "bool")) else -2
    x = rng.integers(low, 3, shape)
    if is_complex(target):
        return (x + 1j * rng.integers(low, 3, shape)).astype(target)
    return x.astype(target)


def special(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    """Values that repeat, with NaN, infinities and both zeros for floats, the extremes for integers."""
    target = dtype_of(dtype)
    if target == np.bool_:
        return rng.integers(0, 2, shape).astype(np.bool_)
    if is_integer(target):
        info = np.iinfo(target)
        return rng.choice(np.array([info.min, info.max, 0, 1, 2, info.max - 1], target), shape)
    if is_complex(target):
        parts = rng.choice([-np.inf, -1.0, -0.0, 0.0, 1.0, np.nan], (2, *shape))
        return np.stack([parts[0], parts[1]], -1).astype(target.char.lower()).view(target)[..., 0]
    with np.errstate(all="ignore"):
        return rng.choice([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, 1.5, -2.0], shape).astype(target)


def normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Array:
    target = dtype_of(dtype)
    if is_complex(target):
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(target)
    return rng.standard_normal(shape).astype(target) if is_float(target) else integers(rng, shape, dtype)


def assert_same(actual: Any, expected: Any) -> None:
    """Equal in dtype, shape and every element, NaN equal to NaN."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(widen(actual), widen(expected))


def assert_close(actual: Any, expected: Any, steps: float = 64) -> None:
    """Equal in dtype and shape, and in value to so many roundings of the largest finite element."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if not (is_float(expected.dtype) or is_complex(expected.dtype)):
        return np.testing.assert_array_equal(actual, expected)
    eps = float(ml_dtypes.finfo(expected.real.dtype if is_complex(expected.dtype) else expected.dtype).eps)
    wide = widen(expected)
    scale = float(np.max(np.abs(wide), where=np.isfinite(wide), initial=1))
    return np.testing.assert_allclose(widen(actual), wide, rtol=0, atol=steps * eps * scale)
