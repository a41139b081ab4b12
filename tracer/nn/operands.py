"""Operands of the functions here: as floating-point arrays, traced or not, and the precision they are reduced in."""

from __future__ import annotations

from typing import Any

import tracer.numpy as tnp
from ir.errors import ArgumentTypeError
from tracer.types import canonical


def floating(x: Any, name: str) -> Any:
    """`x` as an array of real floating-point numbers; integers and bools are promoted.

    Raises:
      ArgumentTypeError: complex numbers.
    """
    t = tnp.asarray(x)
    dtype = canonical(t.dtype)
    if dtype.is_complex:
        raise ArgumentTypeError(f"{name}: expected real numbers, got {dtype} of shape {t.shape}")
    return t if dtype.is_inexact else t.astype(float)


def widened(x: Any) -> Any:
    """`x`, in single precision where it is narrower: what sums of many elements need."""
    return x if canonical(x.dtype).bits >= 32 else x.astype(tnp.float32)


def axes_of(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Distinct non-negative axes from None (all), an int or a sequence, in increasing order."""
    from tracer.numpy.dispatch import normalize_axes

    return tuple(sorted(normalize_axes(axis, rank, name)))
