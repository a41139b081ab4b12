"""ba: the sparse Jacobian of bundle adjustment.

An observation has two residuals, which depend on the 11 numbers of a camera, the 3 of a point and on its weight, and a
third, the constraint of its weight. In reverse mode two products with a vector an observation give all of it, where
columns told apart by colours take fifteen. Results are what is not zero by the structure of the Jacobian: of the
residuals [p, 2, 15], then of the constraints [p].
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.adbench import complex_step, observations


def residuals(xp: Any, camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    """Weighted reprojection error f64[2] of one observation, by Rodrigues' formula for an angle that is not zero.

    Args:
      camera: f64[11]: rotation 3, centre 3, focal length, principal point 2, radial distortion 2.
      point: f64[3]; weight: f64[]; feature: f64[2], where the point was seen.
    """
    r1, r2, r3, c1, c2, c3, focal, u, v, k1, k2 = (camera[i] for i in range(11))
    x, y, z = point[0] - c1, point[1] - c2, point[2] - c3
    angle = xp.sqrt(r1 * r1 + r2 * r2 + r3 * r3)
    n1, n2, n3 = r1 / angle, r2 / angle, r3 / angle
    cosine, sine = xp.cos(angle), xp.sin(angle)
    along = (n1 * x + n2 * y + n3 * z) * (1 - cosine)
    seen_x = x * cosine + (n2 * z - n3 * y) * sine + n1 * along
    seen_y = y * cosine + (n3 * x - n1 * z) * sine + n2 * along
    seen_z = z * cosine + (n1 * y - n2 * x) * sine + n3 * along
    p, q = seen_x / seen_z, seen_y / seen_z
    square = p * p + q * q
    distortion = 1 + k1 * square + k2 * square * square
    return xp.stack(
        [
            weight * (p * distortion * focal + u - feature[0]),
            weight * (q * distortion * focal + v - feature[1]),
        ]
    )


def constraint(weight: Any) -> Any:
    return 1 - weight**2


def jacobian(
    lib: Library, cameras: Any, points: Any, weights: Any, features: Any, camera: Any, point: Any
) -> tuple[Any, Any]:
    """A batch over the observations of two gradients each, a residual's."""
    xp = lib.np

    def rows(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        def row(i: int) -> Any:
            by = lib.grad(lambda c, p, w: residuals(xp, c, p, w, feature)[i], (0, 1, 2))(
                camera, point, weight
            )
            return xp.concatenate([by[0], by[1], xp.reshape(by[2], (1,))])

        return xp.stack([row(0), row(1)])

    values = lib.vmap(rows)(cameras[camera], points[point], weights, features)
    return values, lib.vmap(lib.grad(constraint))(weights)


def by_jacrev(module: str) -> Callable[..., tuple[Any, Any]]:
    """The same, both cotangents at once, for libraries with `jacrev`."""

    def of(
        lib: Library, cameras: Any, points: Any, weights: Any, features: Any, camera: Any, point: Any
    ) -> tuple[Any, Any]:
        jacrev = import_module(module).jacrev

        def rows(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
            by = jacrev(lambda c, p, w: residuals(lib.np, c, p, w, feature), (0, 1, 2))(camera, point, weight)
            return lib.np.concatenate([by[0], by[1], by[2][:, None]], axis=1)

        values = lib.vmap(rows)(cameras[camera], points[point], weights, features)
        return values, lib.vmap(lib.grad(constraint))(weights)

    return of


def reference(
    cameras: np.ndarray, points: np.ndarray, weights: np.ndarray, features: np.ndarray,
    camera: np.ndarray, point: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The complex step, from the formula with a matrix for the rotation, once for observations that are alike."""
    given = np.concatenate([cameras[camera], points[point], weights[:, None], features], axis=1)
    different, like = np.unique(given, axis=0, return_inverse=True)

    def errors(v: np.ndarray, feature: np.ndarray) -> Any:
        r, zero = v[:, :3], np.zeros_like(v[:, 0])
        angle = np.sqrt((r**2).sum(axis=1))[:, None, None]
        rows = [[zero, -r[:, 2], r[:, 1]], [r[:, 2], zero, -r[:, 0]], [-r[:, 1], r[:, 0], zero]]
        skew = np.array(rows).transpose(2, 0, 1) / angle
        rotation = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
        seen = np.einsum("nij,nj->ni", rotation, v[:, 11:14] - v[:, 3:6])
        flat = seen[:, :2] / seen[:, 2:]
        square = (flat**2).sum(axis=1, keepdims=True)
        distorted = flat * (1 + v[:, 9:10] * square + v[:, 10:11] * square**2)
        return v[:, 14:15] * (distorted * v[:, 6:7] + v[:, 7:9] - feature)

    values = np.array([complex_step(partial(errors, feature=row[15:]), row[:15]) for row in different])
    return values[like.reshape(-1)], -2 * weights


CASES = (
    Case(
        "gradbench", "ba", jacobian, observations,
        {
            "tiny": {"file": "test"}, "small": {"file": "ba1_n49_m7776_p31843"},
            "middle": {"file": "ba5_n257_m65132_p225911"}, "large": {"file": "ba10_n1197_m126327_p563734"},
        },
        Quantity.CALL, reference=reference,
        spelled={"tracer": by_jacrev("tracer"), "jax": by_jacrev("jax")}, source="ADBench; GradBench, evals/ba",
    ),
)  # fmt: skip

__all__ = ["CASES", "constraint", "jacobian", "residuals"]
