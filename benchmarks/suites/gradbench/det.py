"""det: the gradient of a determinant by expansion into minors, n! products."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity


def determinant(lib: Library, a: Any) -> Any:
    """All minors of a row at once, in a batch that has an axis more at each row.

    The recursion over scalars, as it is defined, is one equation a product: 48,000 for a matrix of 7 x 7.
    """
    xp = lib.np

    def expanded(a: Any) -> Any:
        """Of a[..., n, n], the determinants."""
        n = a.shape[-1]
        if n == 1:
            return a[..., 0, 0]
        others = np.array([[c for c in range(n) if c != j] for j in range(n)])
        # [..., n - 1, n, n - 1] to [..., n, n - 1, n - 1]: the minor without column j.
        minors = xp.moveaxis(a[..., 1:, :][..., others], -2, -3)
        signs = xp.asarray([(-1.0) ** j for j in range(n)])
        return xp.sum(signs * a[..., 0, :] * expanded(minors), axis=-1)

    return expanded(a)


def inputs(n: int) -> tuple[Any, ...]:
    return (np.random.default_rng(31337).random((n, n)),)


def reference(a: np.ndarray) -> Any:
    """Jacobi's formula."""
    return np.linalg.det(a) * np.linalg.inv(a).T


CASES = (
    Case(
        "gradbench", "det", determinant, inputs,
        {"tiny": {"n": 4}, "small": {"n": 5}, "middle": {"n": 8}, "large": {"n": 9}},
        Quantity.GRADIENT, reference=reference, source="GradBench, evals/det",
    ),
)  # fmt: skip

__all__ = ["CASES", "determinant"]
