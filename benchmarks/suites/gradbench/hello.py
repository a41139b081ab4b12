"""hello: the square of a number, and its derivative, which measures the call and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity

SOURCE = "GradBench, evals/hello"
SIZES: dict[str, dict[str, Any]] = {"tiny": {"x": 3.0}, "middle": {"x": 1234.5}}


def square(lib: Library, x: Any) -> Any:
    return x * x


def inputs(x: float) -> tuple[Any, ...]:
    return (np.float64(x),)


CASES = (
    Case(
        "gradbench", "hello, square", square, inputs, SIZES, Quantity.VALUE,
        reference=lambda x: x**2, source=SOURCE,
    ),
    Case(
        "gradbench", "hello, double", square, inputs, SIZES, Quantity.GRADIENT,
        reference=lambda x: 2 * x, source=SOURCE,
    ),
)  # fmt: skip

__all__ = ["CASES", "square"]
