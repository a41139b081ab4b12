"""Dropout and embedding."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

import tracer.numpy as tnp
from ir.errors import ArgumentError, ArgumentTypeError, ShapeError
from tracer.nn.operands import axes_of, floating
from tracer.types import canonical


def dropout(
    x: Any,
    rate: float,
    key: Any = None,
    *,
    deterministic: bool = False,
    shared_axes: Sequence[int] = (),
) -> Any:
    """Each element set to zero with probability `rate`, the others divided by 1 - rate (Srivastava et al. 2014).

    y_i = x_i * b_i / (1 - rate) with independent b_i that are 1 with probability 1 - rate: those of
    `tracer.random.bernoulli(key, 1 - rate, shape)`. So the mean of y is x.

    Args:
      x: any shape.
      rate: a Python number in [0, 1]; 0 gives `x`, 1 gives zeros.
      key: of `tracer.random`; not needed where nothing is drawn.
      deterministic: return `x`, as in evaluation.
      shared_axes: axes along which all elements share one b.

    Returns:
      An array of the shape and type of `x`.

    Raises:
      ArgumentError: a rate outside [0, 1], or no key where elements are drawn.
    """
    import tracer.random as trandom

    if not isinstance(rate, (numbers.Real, np.floating)):
        raise ArgumentTypeError(f"dropout: expected a Python number for the rate, got {type(rate).__name__}")
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout: expected a rate in [0, 1], got {rate}")
    t = floating(x, "dropout")
    if deterministic or rate == 0:
        return t
    if rate == 1:
        return tnp.zeros_like(t)
    if key is None:
        raise ArgumentError(f"dropout: expected a key with the rate {rate}; deterministic=True needs none")
    shared = axes_of(tuple(shared_axes), t.ndim, "dropout")
    shape = tuple([1 if a in shared else n for a, n in enumerate(t.shape)])
    return tnp.where(trandom.bernoulli(key, 1 - float(rate), shape), t / (1 - float(rate)), 0)


def embedding(table: Any, indices: Any) -> Any:
    """Rows of a table: y[..., :] = table[indices[...]].

    Args:
      table: (entries, *features).
      indices: integers of any shape; negative ones count from the end.

    Returns:
      An array of shape (*indices.shape, *features) and the type of the table. An index out of range gives
      NaN, so that it shows, and no gradient.

    Raises:
      ArgumentTypeError: indices that are no integers.
      ShapeError: a table without axes.
    """
    rows, at = tnp.asarray(table), tnp.asarray(indices)
    if not canonical(at.dtype).is_integer:
        raise ArgumentTypeError(f"embedding: expected integer indices, got {canonical(at.dtype)}")
    if rows.ndim == 0:
        raise ShapeError("embedding: expected a table with at least one axis, got a scalar")
    return tnp.take(rows, at, axis=0)


__all__ = ["dropout", "embedding"]
