"""particle: gradient descent over a trajectory whose force is a gradient, in four mixtures of modes.

A particle is repelled by two charges, at (10, 10 - w) and (10, 0); w is to make it cross the horizontal axis at the
origin.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.descent import MODES, Derivatives, argmin, derivatives, plain_argmin

STEP = 0.1
POSITION, VELOCITY = (0.0, 8.0), (0.75, 0.0)


def miss(lib: Library, derivatives_of: Derivatives, w: Any) -> Any:
    """The square of where the particle crosses the axis, by Euler's method and a straight line at the end."""
    xp = lib.np
    height = xp.stack([xp.asarray(0.0), 10 - w])

    def potential(x: Any) -> Any:
        # The charges at (10, 0) and (10, 10 - w): a column each.
        away = x[0] - 10, x[1] - height
        return xp.sum(1 / xp.sqrt(away[0] ** 2 + away[1] ** 2))

    field = derivatives_of(potential)

    def above(state: Any) -> Any:
        x, v = state
        return x[1] + STEP * v[1] > 0

    def step(state: Any) -> Any:
        x, v = state
        return x + STEP * v, v - STEP * field(x)[1]

    x, v = lib.while_loop(above, step, (xp.asarray(POSITION), xp.asarray(VELOCITY)))
    return (x[0] - x[1] / v[1] * v[0]) ** 2


def particle(lib: Library, w: Any, *, mode: str) -> Any:
    outer, inner = (derivatives(lib, m) for m in mode)
    return argmin(lib, outer, lambda w: miss(lib, inner, w[0]), w[None])[0]


def inputs(w: float) -> tuple[Any, ...]:
    return (np.float64(w),)


def reference(w: np.ndarray) -> float:
    """Position and velocity with their derivatives by w, by hand."""

    def missed(w: np.ndarray) -> tuple[float, np.ndarray]:
        charges = np.array([[10.0, 0.0], [10.0, 10.0 - w[0]]])
        moved = np.array([[0.0, 0.0], [0.0, -1.0]])
        (x, v), (dx, dv) = (np.array([POSITION, VELOCITY]), np.zeros((2, 2)))
        while x[1] + STEP * v[1] > 0:
            away, daway = x - charges, dx - moved
            distance = np.sqrt((away**2).sum(axis=1))[:, None]
            along = (away * daway).sum(axis=1)[:, None]
            force = (away / distance**3).sum(axis=0)
            dforce = (daway / distance**3 - 3 * away * along / distance**5).sum(axis=0)
            x, dx, v, dv = x + STEP * v, dx + STEP * dv, v + STEP * force, dv + STEP * dforce
        slope = v[0] / v[1]
        dslope = (dv[0] - slope * dv[1]) / v[1]
        end, dend = x[0] - x[1] * slope, dx[0] - dx[1] * slope - x[1] * dslope
        return end**2, np.array([2 * end * dend])

    return float(plain_argmin(missed, np.array([float(w)]))[0])


SIZES = {"tiny": {"w": 0.0}, "middle": {"w": 0.0}}
CASES = tuple(
    Case(
        "gradbench", f"particle, {mode}", particle, inputs, SIZES, Quantity.CALL,
        reference=reference, static=partial(lambda mode, **_: {"mode": mode}, mode),
        declined={"jax": "no reverse mode through while_loop"} if mode[0] == "r" else {},
        source="GradBench, evals/particle",
    )
    for mode in MODES
)  # fmt: skip

__all__ = ["CASES", "miss", "particle"]
