"""ode: the gradient through Runge and Kutta's method for y0' = x0, yi' = xi y(i-1)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity

END = 2.0


def solution(lib: Library, x: Any, steps: Any) -> Any:
    """The last element of y at the end, from zeros.

    Args:
      x: f64[n].
      steps: f64[s], lengths of the steps.
    """
    xp = lib.np

    def slope(y: Any) -> Any:
        return xp.concatenate([x[:1], x[1:] * y[:-1]])

    y = xp.zeros_like(x)
    for i in range(steps.shape[0]):
        h = steps[i]
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[-1]


def with_jax(lib: Library, x: Any, steps: Any) -> Any:
    """`scan` over the steps, elements picked by `where` and `roll`, as GradBench's JAX module has it."""
    xp = lib.np

    def slope(y: Any) -> Any:
        return lib.vmap(lambda i, x, before: xp.where(i == 0, x, x * before))(
            xp.arange(x.shape[0]), x, xp.roll(y, 1)
        )

    def step(y: Any, h: Any) -> tuple[Any, None]:
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return lib.scan(step, xp.zeros_like(x), steps)[0][-1]


def inputs(n: int, s: int) -> tuple[Any, ...]:
    return np.random.default_rng(31337).random(n), np.full(s, END / s)


def reference(x: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The adjoint method by hand. A slope is linear in y, with x below the diagonal of its matrix."""

    def slope(y: np.ndarray) -> np.ndarray:
        return np.concatenate([x[:1], x[1:] * y[:-1]])

    trace, y = [], np.zeros_like(x)
    for h in steps:
        y1 = y
        y2 = y + h / 2 * slope(y1)
        y3 = y + h / 2 * slope(y2)
        y4 = y + h * slope(y3)
        trace.append((h, y1, y2, y3, y4))
        y = y + h / 6 * (slope(y1) + 2 * slope(y2) + 2 * slope(y3) + slope(y4))
    gradient, ybar = np.zeros_like(x), np.zeros_like(x)
    ybar[-1] = 1.0

    def back(y: np.ndarray, kbar: np.ndarray) -> np.ndarray:
        """The cotangent of y, that of x added up."""
        gradient[0] += kbar[0]
        gradient[1:] += kbar[1:] * y[:-1]
        return np.append(kbar[1:] * x[1:], 0.0)

    for h, y1, y2, y3, y4 in reversed(trace):
        b4 = back(y4, h / 6 * ybar)
        b3 = back(y3, h / 3 * ybar + h * b4)
        b2 = back(y2, h / 3 * ybar + h / 2 * b3)
        b1 = back(y1, h / 6 * ybar + h / 2 * b2)
        ybar = ybar + b1 + b2 + b3 + b4
    return gradient


# In s steps the last of n elements feels x only where n is at most 4 s. GradBench's sizes, n from 1,000 to 100,000
# and s up to 100, have gradients that are all zero; the smaller two sizes here do not.
CASES = (
    Case(
        "gradbench", "ode", solution, inputs,
        {
            "tiny": {"n": 8, "s": 5}, "small": {"n": 100, "s": 50},
            "middle": {"n": 10_000, "s": 100}, "large": {"n": 100_000, "s": 100},
        },
        Quantity.GRADIENT, reference=reference, spelled={"jax": with_jax}, source="GradBench, evals/ode",
    ),
)  # fmt: skip

__all__ = ["CASES", "solution"]
