"""det: the gradient of a determinant by expansion into minors, n! products."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity


def determinant(lib: Library, a: Any) -> Any:
    """Expansion along the first row, over scalars and recursive, as it is defined."""
    n = a.shape[0]

    def minor(row: int, columns: tuple[int, ...]) -> Any:
        """Determinant of the rows from `row` on and of `columns`."""
        if row == n - 1:
            return a[row, columns[0]]
        total = 0.0
        for j, column in enumerate(columns):
            term = a[row, column] * minor(row + 1, columns[:j] + columns[j + 1 :])
            total = total - term if j % 2 else total + term
        return total

    return minor(0, tuple(range(n)))


def by_levels(lib: Library, a: Any) -> Any:
    """All minors of a row at once, in a batch that has an axis more at each row: arrays, and no recursion to unroll."""
    xp = lib.np

    def expanded(a: Any) -> Any:
        """Of a[..., n, n], the determinants."""
        n = a.shape[-1]
        if n == 1:
            return a[..., 0, 0]
        others = np.array([[c for c in range(n) if c != j] for j in range(n)])
        # [..., n - 1, n, n - 1] to [..., n, n - 1, n - 1]: the minor without column j.
        minors = xp.moveaxis(a[..., 1:, :][..., others], -2, -3)
        signs = np.where(np.arange(n) % 2, -1.0, 1.0)
        return xp.sum(signs * a[..., 0, :] * expanded(minors), axis=-1)

    return expanded(a)


def inputs(n: int) -> tuple[Any, ...]:
    return (np.random.default_rng(31337).random((n, n)),)


def reference(a: np.ndarray) -> np.ndarray:
    """Jacobi's formula."""
    return np.linalg.det(a) * np.linalg.inv(a).T


CASES = (
    Case(
        "gradbench", "det", determinant, inputs,
        {"tiny": {"n": 4}, "small": {"n": 5}, "middle": {"n": 7}, "large": {"n": 8}},
        Quantity.GRADIENT, reference=reference, spelled={"jax": by_levels}, source="GradBench, evals/det",
    ),
)  # fmt: skip

__all__ = ["CASES", "by_levels", "determinant"]
