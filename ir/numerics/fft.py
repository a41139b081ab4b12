"""Discrete Fourier transforms."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from ir.numerics.precision import Array

_KINDS = ("fft", "ifft", "rfft", "irfft")


def fft(x: npt.ArrayLike, kind: str, lengths: Sequence[int]) -> Array:
    """Fourier transform over the last `len(lengths)` dimensions.

    Args:
      x: the input; complex, but real for "rfft".
      kind: "fft"; "ifft", which divides by the number of elements; "rfft", of real input, which gives the
        non-negative frequencies of the last dimension only; "irfft", the inverse of that, with real result.
      lengths: sizes of the transformed dimensions, on the real side for "rfft" and "irfft".

    Returns:
      complex64 (float32 for "irfft") for 32-bit floats and complex64, else complex128 (float64).

    Raises:
      ValueError: an unknown kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"expected kind to be one of {_KINDS}, got {kind!r}")
    x = np.asarray(x)
    if kind == "irfft":
        single = x.dtype in (np.float32, np.complex64)
        dtype = np.dtype(np.float32 if single else np.float64)
    else:
        dtype = np.result_type(x.dtype, np.complex64)
    if not lengths:
        return (x.real if kind == "irfft" else x).astype(dtype)
    shape = (*x.shape[: x.ndim - len(lengths)], *lengths)
    if kind == "rfft":
        shape = (*shape[:-1], lengths[-1] // 2 + 1 if lengths[-1] else 0)
    if math.prod(shape) == 0 or x.size == 0:
        return np.zeros(shape, dtype)
    transforms: dict[str, Callable[..., Array]] = {
        "fft": np.fft.fftn,
        "ifft": np.fft.ifftn,
        "rfft": np.fft.rfftn,
        "irfft": np.fft.irfftn,
    }
    with np.errstate(all="ignore"):
        return np.asarray(transforms[kind](x, s=tuple(lengths), axes=tuple(range(-len(lengths), 0)))).astype(
            dtype
        )
