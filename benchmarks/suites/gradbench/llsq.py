"""llsq: the gradient of a linear least-squares fit of the sign function by a polynomial."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity


def objective(lib: Library, x: Any, t: Any) -> Any:
    """Half the sum of (sign(t) - x0 - x1 t - x2 t^2 - ...)^2 over the nodes t, by Horner's method."""
    fitted = lib.np.zeros_like(t)
    for j in reversed(range(x.shape[0])):
        fitted = fitted * t + x[j]
    return lib.np.sum((lib.np.sign(t) - fitted) ** 2) / 2


def with_jax(lib: Library, x: Any, t: Any) -> Any:
    """A row of powers for each node by `cumprod`, and `vmap`, as GradBench's JAX module has it."""

    def term(t: Any) -> Any:
        powers = lib.np.cumprod(lib.np.full(x.shape[0], t).at[0].set(1))
        return (lib.np.sign(t) - lib.np.sum(x * powers)) ** 2

    return lib.np.sum(lib.vmap(term)(t)) / 2


def inputs(n: int, m: int) -> tuple[Any, ...]:
    return np.random.default_rng(31337).random(m), -1.0 + np.arange(n) * 2.0 / (n - 1)


def reference(x: np.ndarray, t: np.ndarray) -> Any:
    """The residual of the normal equations."""
    powers = np.vander(t, x.size, increasing=True)
    return powers.T @ (powers @ x - np.sign(t))


CASES = (
    Case(
        "gradbench", "llsq", objective, inputs,
        {
            "tiny": {"n": 16, "m": 128}, "small": {"n": 256, "m": 128},
            "middle": {"n": 4096, "m": 128}, "large": {"n": 16384, "m": 128},
        },
        Quantity.GRADIENT, reference=reference, spelled={"jax": with_jax}, source="GradBench, evals/llsq",
    ),
)  # fmt: skip

__all__ = ["CASES", "objective"]
