"""kmeans: the direction of Newton's method for k-means clustering, gradient over diagonal of the Hessian."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity


def cost(lib: Library, points: Any, centroids: Any) -> Any:
    """Sum over the points of the squared distance to the closest centroid (Bottou and Bengio 1994)."""
    xp = lib.np
    distances = (
        xp.sum(points**2, axis=1)[None, :]
        + xp.sum(centroids**2, axis=1)[:, None]
        - 2 * (centroids @ points.T)
    )
    return xp.sum(xp.min(distances, axis=0))


def direction(lib: Library, points: Any, centroids: Any) -> Any:
    """The Hessian is diagonal, so that its product with ones is its diagonal."""
    gradient = lib.grad(lambda c: cost(lib, points, c))
    along, curvature = lib.jvp(gradient, (centroids,), (lib.np.ones_like(centroids),))
    return along / curvature


def inputs(n: int, k: int, d: int) -> tuple[Any, ...]:
    """Each centroid is one of the points, so that no cluster is empty."""
    points = np.random.default_rng(31337).random((n, d))
    return points, points[-k:]


def reference(points: np.ndarray, centroids: np.ndarray) -> Any:
    """From a centroid to the mean of its points."""
    closest = np.concatenate(
        [
            np.argmin(np.sum((part[:, None] - centroids) ** 2, axis=2), axis=1)
            for part in np.array_split(points, -(-points.shape[0] // 1000))
        ]
    )
    means = [points[closest == j].mean(axis=0) for j in range(centroids.shape[0])]
    return centroids - np.array(means)


CASES = (
    Case(
        "gradbench", "kmeans", direction, inputs,
        {
            "tiny": {"n": 60, "k": 5, "d": 3}, "small": {"n": 1000, "k": 10, "d": 8},
            "middle": {"n": 10_000, "k": 100, "d": 8}, "large": {"n": 10_000, "k": 1000, "d": 16},
        },
        Quantity.CALL, reference=reference, source="GradBench, evals/kmeans",
    ),
)  # fmt: skip

__all__ = ["CASES", "cost", "direction"]
