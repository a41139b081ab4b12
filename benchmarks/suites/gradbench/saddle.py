"""saddle: a saddle point by gradient descent within gradient descent, in four mixtures of modes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.descent import MODES, argmax, argmin, derivatives, plain_argmin


def saddle(lib: Library, start: Any, *, mode: str) -> Any:
    """The points p and q, side by side, of the least over p of the greatest over q of p.p - q.q."""
    outer, inner = (derivatives(lib, m) for m in mode)

    def height(p: Any, q: Any) -> Any:
        return lib.np.sum(p**2) - lib.np.sum(q**2)

    def greatest(p: Any) -> Any:
        return height(p, argmax(lib, inner, lambda q: height(p, q), start))

    p = argmin(lib, outer, greatest, start)
    q = argmax(lib, outer, lambda q: height(p, q), start)
    return lib.np.concatenate([p, q])


def inputs(start: float) -> tuple[Any, ...]:
    return (np.full(2, start),)


def reference(start: np.ndarray) -> np.ndarray:
    """Gradients by hand: 2 p and, of the negative, 2 q, wherever the other point is."""
    q = plain_argmin(lambda q: (float(np.sum(q**2)), 2 * q), start)
    p = plain_argmin(lambda p: (float(np.sum(p**2) - np.sum(q**2)), 2 * p), start)
    last = plain_argmin(lambda q: (float(np.sum(q**2) - np.sum(p**2)), 2 * q), start)
    return np.concatenate([p, last])


SIZES = {"tiny": {"start": 1.0}, "middle": {"start": 1.0}}
CASES = tuple(
    Case(
        "gradbench", f"saddle, {mode}", saddle, inputs, SIZES, Quantity.CALL,
        reference=reference, static=partial(lambda mode, **_: {"mode": mode}, mode),
        source="GradBench, evals/saddle",
    )
    for mode in MODES
)  # fmt: skip

__all__ = ["CASES", "saddle"]
