"""How the first call and the time grow with the program: n operations in a chain, n indexed terms, n steps of a loop.

The loops are Python's: what a library traces has n times as many operations as one trip. May import: NumPy and the
cases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library

SIZES = {"tiny": {"n": 8}, "small": {"n": 64}, "middle": {"n": 256}, "large": {"n": 1024}}
# Elements of the arrays that do not grow.
WIDTH = 8


def _arrays(*shapes: Callable[[int], int]) -> Callable[..., tuple[Any, ...]]:
    def inputs(n: int) -> tuple[Any, ...]:
        rng = np.random.default_rng(0)
        return tuple(rng.uniform(-1.0, 1.0, shape(n)) for shape in shapes)

    return inputs


def chain(lib: Library, x: Any, c: Any) -> Any:
    """Each operation on the result of the one before."""
    for k in range(c.shape[0]):
        x = lib.np.sin(x) + c[k] * x
    return lib.np.sum(x)


def chain_reference(x: Any, c: Any) -> Any:
    slope = np.ones_like(x)
    for each in c:
        x, slope = np.sin(x) + each * x, slope * (np.cos(x) + each)
    return np.sum(x), slope


def terms(lib: Library, x: Any) -> Any:
    """A sum over elements, as one writes it with indices."""
    total = 0.0
    for k in range(x.shape[0] - 1):
        total = total + lib.np.exp(-(x[k] ** 2)) * x[k + 1]
    return total


def terms_reference(x: Any) -> Any:
    near, far = x[:-1], x[1:]
    weight = np.exp(-(near**2))
    slope = np.zeros_like(x)
    slope[:-1] -= 2 * near * weight * far
    slope[1:] += weight
    return np.sum(weight * far), slope


def _pull(position: Any, roll: Callable[..., Any]) -> Any:
    return 0.1 * (roll(position, 1) + roll(position, -1) - 2.0 * position)


def ring(lib: Library, x: Any, push: Any) -> Any:
    """Masses on a ring of springs, Euler's method, pushed at every step."""
    velocity = 0.0 * x
    for k in range(push.shape[0]):
        velocity = velocity + 0.1 * (_pull(x, lib.np.roll) + push[k])
        x = x + 0.1 * velocity
    return lib.np.sum(x**2)


def ring_reference(x: Any, push: Any) -> Any:
    """The loop is linear in the state and symmetric in space: backwards it is its own transpose."""
    velocity = 0.0 * x
    for each in push:
        velocity = velocity + 0.1 * (_pull(x, np.roll) + each)
        x = x + 0.1 * velocity
    value, slope, of_velocity = np.sum(x**2), 2 * x, 0.0 * x
    for _ in push:
        of_velocity = of_velocity + 0.1 * slope
        slope = slope + 0.1 * _pull(of_velocity, np.roll)
    return value, slope


def _n(n: int) -> int:
    return n


def _width(n: int) -> int:
    del n
    return WIDTH


CASES = (
    Case("growth", "chain of n operations", chain, _arrays(_width, _n), SIZES, reference=chain_reference),
    Case("growth", "sum over n indexed terms", terms, _arrays(_n), SIZES, reference=terms_reference),
    Case("growth", "n steps of Euler's method", ring, _arrays(_width, _n), SIZES, reference=ring_reference),
)

__all__ = ["CASES"]
