"""ba: the sparse Jacobian of bundle adjustment.

An observation has two residuals, which depend on the 11 numbers of a camera, the 3 of a point and on its weight, and a
third, the constraint of its weight. Results are the values of the Jacobian that are not zero by its structure: of the
residuals [p, 2, 15], then of the constraints [p].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.adbench import complex_step, observations


def cross(xp: Any, a: Any, b: Any) -> Any:
    return xp.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def rotated(xp: Any, rotation: Any, point: Any) -> Any:
    """Rodrigues' formula. The angle is not zero."""
    angle = xp.sqrt(xp.sum(rotation**2))
    axis = rotation / angle
    along = xp.sum(axis * point) * (1 - xp.cos(angle))
    return point * xp.cos(angle) + cross(xp, axis, point) * xp.sin(angle) + axis * along


def residuals(xp: Any, camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    """Weighted reprojection error f64[2] of one observation.

    Args:
      camera: f64[11]: rotation 3, centre 3, focal length, principal point 2, radial distortion 2.
      point: f64[3]; weight: f64[]; feature: f64[2], where the point was seen.
    """
    seen = rotated(xp, camera[:3], point - camera[3:6])
    flat = seen[:2] / seen[2]
    square = xp.sum(flat**2)
    distorted = flat * (1 + camera[9] * square + camera[10] * square**2)
    return weight * (distorted * camera[6] + camera[7:9] - feature)


def constraint(weight: Any) -> Any:
    return 1 - weight**2


def jacobian(
    lib: Library, cameras: Any, points: Any, weights: Any, features: Any, camera: Any, point: Any
) -> tuple[Any, Any]:
    """A batch over the observations of two gradients each, a residual's."""
    xp = lib.np

    def rows(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        def row(i: int) -> Any:
            by = lib.grad(lambda *given: residuals(xp, *given, feature)[i], (0, 1, 2))(camera, point, weight)
            return xp.concatenate([by[0], by[1], xp.reshape(by[2], (1,))])

        return xp.stack([row(0), row(1)])

    values = lib.vmap(rows)(cameras[camera], points[point], weights, features)
    return values, lib.vmap(lib.grad(constraint))(weights)


def with_jax(
    lib: Library, cameras: Any, points: Any, weights: Any, features: Any, camera: Any, point: Any
) -> tuple[Any, Any]:
    """The same, two cotangents at once by `jacrev`."""
    import jax
    import jax.numpy as jnp

    def rows(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        given = jnp.concatenate([camera, point, weight[None]])
        return jax.jacrev(lambda v: residuals(jnp, v[:11], v[11:14], v[14], feature))(given)

    values = jax.vmap(rows)(cameras[camera], points[point], weights, features)
    return values, jax.vmap(jax.grad(constraint))(weights)


def reference(
    cameras: np.ndarray, points: np.ndarray, weights: np.ndarray, features: np.ndarray,
    camera: np.ndarray, point: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """The complex step, from the formula with a matrix for the rotation, once for observations that are alike."""
    given = np.concatenate([cameras[camera], points[point], weights[:, None], features], axis=1)
    different, like = np.unique(given, axis=0, return_inverse=True)

    def errors(v: np.ndarray, feature: np.ndarray) -> np.ndarray:
        r, zero = v[:, :3], np.zeros_like(v[:, 0])
        angle = np.sqrt((r**2).sum(axis=1))[:, None, None]
        skew = np.array(
            [[zero, -r[:, 2], r[:, 1]], [r[:, 2], zero, -r[:, 0]], [-r[:, 1], r[:, 0], zero]]
        ).transpose(2, 0, 1)
        skew = skew / angle
        rotation = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew
        seen = np.einsum("nij,nj->ni", rotation, v[:, 11:14] - v[:, 3:6])
        flat = seen[:, :2] / seen[:, 2:]
        square = (flat**2).sum(axis=1, keepdims=True)
        distorted = flat * (1 + v[:, 9:10] * square + v[:, 10:11] * square**2)
        return v[:, 14:15] * (distorted * v[:, 6:7] + v[:, 7:9] - feature)

    values = np.array([complex_step(lambda v, f=row[15:]: errors(v, f), row[:15]) for row in different])
    return values[like.reshape(-1)], -2 * weights


CASES = (
    Case(
        "gradbench", "ba", jacobian, observations,
        {
            "tiny": {"file": "test"}, "small": {"file": "ba1_n49_m7776_p31843"},
            "middle": {"file": "ba5_n257_m65132_p225911"}, "large": {"file": "ba10_n1197_m126327_p563734"},
        },
        Quantity.CALL, reference=reference, spelled={"jax": with_jax}, source="ADBench; GradBench, evals/ba",
    ),
)  # fmt: skip

__all__ = ["CASES", "constraint", "jacobian", "residuals"]
