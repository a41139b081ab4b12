"""lse: the gradient of the logarithm of a sum of exponentials, from its parts and no library's function for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity


def logsumexp(lib: Library, x: Any) -> Any:
    largest = lib.np.max(x)
    return lib.np.log(lib.np.sum(lib.np.exp(x - largest))) + largest


def inputs(n: int) -> tuple[Any, ...]:
    return (np.random.default_rng(31337).uniform(-100, 100, n),)


def reference(x: np.ndarray) -> Any:
    weights = np.exp(x - x.max())
    return weights / weights.sum()


CASES = (
    Case(
        "gradbench", "lse", logsumexp, inputs,
        {"tiny": {"n": 100}, "small": {"n": 2500}, "middle": {"n": 160_000}, "large": {"n": 1_280_000}},
        Quantity.GRADIENT, reference=reference, source="GradBench, evals/lse",
    ),
)  # fmt: skip

__all__ = ["CASES", "logsumexp"]
