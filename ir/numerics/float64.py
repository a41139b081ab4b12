"""Evaluate a function in float64 whatever floating dtype comes in.

Shared by the special functions. Imports NumPy and its neighbour `precision`. Invariant: a wrapped
kernel sees one-dimensional float64 arrays of one length; its caller sees the broadcast shape and
the dtype that went in.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ir.numerics.precision import is_float

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

EPS = float(np.finfo(np.float64).eps)


def computed_in_float64(kernel: Callable[..., Float64]) -> Callable[..., Array]:
    """Wrap `kernel` so that it takes arrays (or scalars) of one floating dtype and any shapes that broadcast.

    The result has the broadcast shape and the dtype of the arguments; no NumPy warning is emitted.
    The wrapped function raises TypeError where an argument is not floating or the dtypes differ.
    """

    @functools.wraps(kernel)
    def wrapper(*args: npt.ArrayLike) -> Array:
        arrays = np.broadcast_arrays(*args)
        dtype = arrays[0].dtype
        if not is_float(dtype) or any(a.dtype != dtype for a in arrays):
            raise TypeError(
                f"{kernel.__name__}: expected arguments of one floating dtype, "
                f"got {', '.join(a.dtype.name for a in arrays)}"
            )
        with np.errstate(all="ignore"):
            result = kernel(*(a.astype(np.float64).ravel() for a in arrays))
            return np.asarray(result.reshape(arrays[0].shape).astype(dtype))

    return wrapper


def evaluate_where(
    mask: npt.NDArray[np.bool_], kernel: Callable[..., Float64], *args: Float64, otherwise: Float64 | float
) -> Float64:
    """`kernel(*args)` where `mask` holds, `otherwise` elsewhere, which `kernel` never sees."""
    result = np.array(np.broadcast_to(otherwise, mask.shape), np.float64)
    if mask.any():
        result[mask] = kernel(*(a[mask] for a in args))
    return result


def horner(x: Float64, coefficients: list[float]) -> Float64:
    """The polynomial with `coefficients`, highest power first, at `x`."""
    result = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        result = result * x + coefficient
    return result


def log1p_minus(x: Float64) -> Float64:
    """log(1 + x) - x for |x| <= 1/2, to full relative precision.

    With r = x / (2 + x), log(1 + x) = 2 atanh(r) and 2 r - x = -r x, so the difference is
    r (2 r**2 (1/3 + r**2/5 + r**4/7 + ...) - x); r**2 <= 1/9 makes 18 terms enough. DLMF 4.6.4.
    """
    r = x / (2 + x)
    series = horner(r * r, [1 / (2 * k + 3) for k in range(17, -1, -1)])
    return np.asarray(r * (2 * r * r * series - x))


def iterate(
    step: Callable[[Array, int], tuple[Array, Array]], state: Array, max_steps: int = 100_000
) -> Array:
    """Apply `step` to the columns of `state`, each until it reports convergence on its own.

    A column's result so does not depend on which others are computed beside it.
    """
    result = state.copy()
    live = np.arange(state.shape[1])
    for n in range(1, max_steps + 1):
        if not live.size:
            break
        state, done = step(state, n)
        if done.any():
            result[:, live[done]] = state[:, done]
            live, state = live[~done], state[:, ~done]
    result[:, live] = state
    return result
