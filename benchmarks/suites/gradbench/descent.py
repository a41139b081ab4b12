"""Gradient descent as particle and saddle take it, with derivatives in either mode.

May import: NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suites.case import Library

# A gradient or a step that is not longer ends the descent.
SMALL = 1e-5
# The first factor of the gradient; doubled after ten successes, halved after a failure.
FIRST, SUCCESSES = 1e-5, 10
# Mode of the outer derivatives, then of the inner: forward or reverse.
MODES = ("ff", "fr", "rf", "rr")

Function = Callable[[Any], Any]
Derivatives = Callable[[Function], Callable[[Any], tuple[Any, Any]]]


def derivatives(lib: Library, mode: str) -> Derivatives:
    """Value and gradient of a function of f64[n]: in forward mode (`f`), or in reverse (`r`)."""
    if mode == "r":
        return lib.value_and_grad

    def forward(f: Function) -> Callable[[Any], tuple[Any, Any]]:
        def by_directions(x: Any) -> tuple[Any, Any]:
            pairs = [
                lib.jvp(f, (x,), (lib.np.ones_like(x) * lib.np.asarray(row),)) for row in np.eye(x.shape[0])
            ]
            return pairs[0][0], lib.np.stack([slope for _, slope in pairs])

        return by_directions

    return forward


def argmin(lib: Library, derivatives_of: Derivatives, f: Function, start: Any) -> Any:
    """Where gradient descent from `start` ends, each trip of whose loop tries a step and takes it where f falls.

    Source: Pearlmutter and Siskind 2008, Using programming language theory to make automatic differentiation sound and
    efficient.
    """
    xp = lib.np
    evaluate = derivatives_of(f)

    def length(v: Any) -> Any:
        return xp.sqrt(xp.sum(v * v))

    def going(state: Any) -> Any:
        x, _, slope, eta, _ = state
        return (length(slope) > SMALL) & (length(x - (x - eta * slope)) > SMALL)

    def step(state: Any) -> Any:
        x, value, slope, eta, successes = state
        tried = x - eta * slope
        tried_value, tried_slope = evaluate(tried)
        better = tried_value < value
        successes = xp.where(better, successes + 1, 0)
        doubled = successes == SUCCESSES
        return (
            xp.where(better, tried, x),
            xp.where(better, tried_value, value),
            xp.where(better, tried_slope, slope),
            xp.where(doubled, 2 * eta, xp.where(better, eta, eta / 2)),
            xp.where(doubled, 0, successes),
        )

    first = (start, *evaluate(start), xp.asarray(FIRST), xp.asarray(0))
    return lib.while_loop(going, step, first)[0]


def argmax(lib: Library, derivatives_of: Derivatives, f: Function, start: Any) -> Any:
    return argmin(lib, derivatives_of, lambda x: -f(x), start)


def plain_argmin(f: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> np.ndarray:
    """The same in NumPy, for a function that returns value and gradient worked out by hand; for references."""
    x, (value, slope), eta, successes = start, f(start), FIRST, 0
    while np.sqrt(np.sum(slope**2)) > SMALL:
        if successes == SUCCESSES:
            eta, successes = 2 * eta, 0
            continue
        tried = x - eta * slope
        if np.sqrt(np.sum((x - tried) ** 2)) <= SMALL:
            break
        tried_value, tried_slope = f(tried)
        if tried_value < value:
            x, value, slope, successes = tried, tried_value, tried_slope, successes + 1
        else:
            eta, successes = eta / 2, 0
    return x


__all__ = ["MODES", "Derivatives", "argmax", "argmin", "derivatives", "plain_argmin"]
