"""ht: the Jacobian of hand tracking, of 3 residuals for each point.

In the simple form a point belongs to a vertex, and residuals depend on the 26 numbers of the pose. In the complicated
one it lies in a triangle, at two coordinates of its own: its rows hold derivatives by these two, then by the pose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.adbench import complex_step, hand_model, tracked

# Numbers of the pose that turn a finger's bones: the second bone by two, the third and fourth by one.
FINGERS, BENDS = 5, 4


def euler(xp: Any, angles: Any) -> Any:
    """Rotations [b, 3, 3] by angles [b, 3] about x, z and y: Rz Ry Rx."""
    (cx, cz, cy), (sx, sz, sy) = ([f(angles)[:, i] for i in range(3)] for f in (xp.cos, xp.sin))
    entries = [
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    ]  # fmt: skip
    return xp.reshape(xp.stack(entries, axis=-1), (-1, 3, 3))


def turned(xp: Any, rotation: Any) -> Any:
    """The matrix of a rotation about an axis by its length, which is not zero."""
    angle = xp.sqrt(xp.sum(rotation**2))
    x, y, z = (rotation[i] / angle for i in range(3))
    s, c = xp.sin(angle), xp.cos(angle)
    entries = [
        x * x + (1 - x * x) * c, x * y * (1 - c) - z * s, x * z * (1 - c) + y * s,
        x * y * (1 - c) + z * s, y * y + (1 - y * y) * c, y * z * (1 - c) - x * s,
        x * z * (1 - c) - y * s, z * y * (1 - c) + x * s, z * z + (1 - z * z) * c,
    ]  # fmt: skip
    return xp.reshape(xp.stack(entries), (3, 3))


def bone_angles(xp: Any, theta: Any, bones: int) -> Any:
    """Angles [bones, 3] about x, z and y: of the wrist none, of a finger's four bones as `FINGERS` says."""
    zero = theta[0] * 0
    rows = [[zero, zero, zero]] * bones
    for finger in range(FINGERS):
        bend = 6 + BENDS * finger
        rows[2 + 4 * finger] = [theta[bend], theta[bend + 1], zero]
        rows[3 + 4 * finger] = [theta[bend + 2], zero, zero]
        rows[4 + 4 * finger] = [theta[bend + 3], zero, zero]
    return xp.stack([xp.stack(row) for row in rows])


def vertices(xp: Any, theta: Any, model: dict[str, Any], parents: tuple[int, ...]) -> Any:
    """Positions [v, 3] of the hand in a pose, by linear blend skinning.

    Args:
      theta: f64[26]: global rotation 3, translation 3, then angles of bones.
      model: arrays of `adbench.Hand`.
    """
    rotations = euler(xp, bone_angles(xp, theta, len(parents)))
    absolutes: list[Any] = []
    for bone, parent in enumerate(parents):
        base = model["relatives"][bone]
        relative = xp.concatenate([base[:, :3] @ rotations[bone], base[:, 3:]], axis=1)
        absolutes.append(relative if parent == -1 else absolutes[parent] @ relative)
    transforms = xp.stack(absolutes) @ model["inverse_absolutes"]
    posed = model["positions"] @ xp.swapaxes(transforms[:, :3], 1, 2)
    skinned = xp.sum(posed * xp.swapaxes(model["weights"], 0, 1)[:, :, None], axis=0)
    return skinned @ xp.swapaxes(turned(xp, theta[:3]), 0, 1) + theta[3:6]


def forward(lib: Library, f: Any, theta: Any) -> Any:
    """The Jacobian [*result, theta.size] in forward mode, all directions at once."""
    columns = lib.vmap(lambda direction: lib.jvp(f, (theta,), (direction,))[1])(lib.np.eye(theta.shape[0]))
    return lib.np.moveaxis(columns, 0, -1)


def simple(lib: Library, theta: Any, correspondences: Any, points: Any, model: Any, *, parents: Any) -> Any:
    """f64[n, 3, 26]."""
    return forward(
        lib, lambda theta: points - vertices(lib.np, theta, model, parents)[correspondences], theta
    )


def complicated(
    lib: Library, theta: Any, us: Any, correspondences: Any, points: Any, model: Any, *, parents: Any
) -> Any:
    """f64[n, 3, 28]: a point's coordinates move that point alone, so that two directions move all of them."""
    xp = lib.np
    corners = model["triangles"][correspondences]

    def errors(us: Any, theta: Any) -> Any:
        at = vertices(xp, theta, model, parents)[corners]
        u, v = us[:, 0, None], us[:, 1, None]
        return points - (u * at[:, 0] + v * at[:, 1] + (1 - u - v) * at[:, 2])

    by_us = [
        lib.jvp(lambda us: errors(us, theta), (us,), (xp.ones_like(us) * np.eye(2)[i],))[1] for i in range(2)
    ]
    by_theta = forward(lib, lambda theta: errors(us, theta), theta)
    return xp.concatenate([xp.stack(by_us, axis=-1), by_theta], axis=-1)


def arrays() -> dict[str, np.ndarray]:
    model = hand_model()
    names = ("relatives", "inverse_absolutes", "positions", "weights", "triangles")
    return {name: getattr(model, name) for name in names}


def simple_inputs(file: str | None = None, n: int = 0) -> tuple[Any, ...]:
    """A file of ADBench, or n random vertices and points of the pose of one of its files."""
    if file is not None:
        of = tracked(file, complicated=False)
        return of.theta, of.correspondences, of.points, arrays()
    theta = tracked("simple/hand5_t26_c800", complicated=False).theta
    rng = np.random.default_rng(31337)
    return (
        theta,
        rng.integers(0, hand_model().positions.shape[0], n).astype(np.int32),
        rng.normal(size=(n, 3)),
        arrays(),
    )


def complicated_inputs(file: str | None = None, n: int = 0) -> tuple[Any, ...]:
    if file is not None:
        of = tracked(file, complicated=True)
        return of.theta, of.us, of.correspondences, of.points, arrays()
    theta = tracked("complicated/hand5_t26_c800", complicated=True).theta
    rng = np.random.default_rng(31337)
    triangles = rng.integers(0, hand_model().triangles.shape[0], n).astype(np.int32)
    return theta, rng.random((n, 2)) / 2, triangles, rng.normal(size=(n, 3)), arrays()


def static(**_: Any) -> dict[str, Any]:
    return {"parents": hand_model().parents}


def posed(theta: np.ndarray, model: dict[str, np.ndarray]) -> Any:
    """Vertices [rows, v, 3] for poses [rows, 26], bone by bone with matrices of one axis each."""
    rows = theta.shape[0]
    angles = np.zeros((rows, len(hand_model().parents), 3), theta.dtype)
    for finger in range(FINGERS):
        for joint, bends in enumerate(((0, 1), (2,), (3,))):
            for axis, bend in enumerate(bends):
                angles[:, 2 + 4 * finger + joint, axis] = theta[:, 6 + BENDS * finger + bend]

    def about(axis: int, angle: np.ndarray) -> np.ndarray:
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.tile(np.eye(4, dtype=angle.dtype), (rows, 1, 1))
        matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
        matrix[:, i, j], matrix[:, j, i] = -np.sin(angle), np.sin(angle)
        return matrix

    absolutes: list[np.ndarray] = []
    for bone, parent in enumerate(hand_model().parents):
        x, z, y = angles[:, bone].T
        relative = model["relatives"][bone] @ about(2, z) @ about(1, y) @ about(0, x)
        absolutes.append(relative if parent == -1 else absolutes[parent] @ relative)
    skinned = sum(
        (model["positions"] @ np.swapaxes(absolute @ inverse, 1, 2))[..., :3] * weight[:, None]
        for absolute, inverse, weight in zip(
            absolutes, model["inverse_absolutes"], model["weights"].T, strict=True
        )
    )
    angle = np.sqrt((theta[:, :3] ** 2).sum(axis=1))[:, None]
    axis, zero = (theta[:, :3] / angle).T, np.zeros_like(theta[:, 0])
    skew = np.array(
        [[zero, -axis[2], axis[1]], [axis[2], zero, -axis[0]], [-axis[1], axis[0], zero]]
    ).transpose(2, 0, 1)
    sine, cosine = np.sin(angle)[..., None], np.cos(angle)[..., None]
    rotation = np.eye(3) + sine * skew + (1 - cosine) * skew @ skew
    return skinned @ np.swapaxes(rotation, 1, 2) + theta[:, None, 3:6]


def simple_reference(theta: np.ndarray, correspondences: np.ndarray, points: np.ndarray, model: Any) -> Any:
    """The complex step."""
    return complex_step(lambda t: points - posed(t, model)[:, correspondences], theta)


def complicated_reference(
    theta: np.ndarray, us: np.ndarray, correspondences: np.ndarray, points: np.ndarray, model: Any
) -> np.ndarray:
    corners = model["triangles"][correspondences]

    def errors(theta: np.ndarray) -> Any:
        at = posed(theta, model)[:, corners]
        inside = np.stack([us[:, 0], us[:, 1], 1 - us[:, 0] - us[:, 1]])
        return points - sum(inside[i][:, None] * at[:, :, i] for i in range(3))

    at = posed(theta[None], model)[0][corners]
    by_us = np.stack([at[:, 2] - at[:, 0], at[:, 2] - at[:, 1]], axis=-1)
    return np.concatenate([by_us, complex_step(errors, theta)], axis=-1)


SOURCE = "ADBench; GradBench, evals/ht"
CASES = (
    Case(
        "gradbench", "ht, simple", simple, simple_inputs,
        {
            "tiny": {"file": "test_simple"}, "small": {"file": "simple/hand1_t26_c100"},
            "middle": {"file": "simple/hand5_t26_c800"}, "large": {"n": 6400},
        },
        Quantity.CALL, reference=simple_reference, static=static, source=SOURCE,
    ),
    Case(
        "gradbench", "ht, complicated", complicated, complicated_inputs,
        {
            "tiny": {"file": "test_complicated"}, "small": {"file": "complicated/hand1_t26_c100"},
            "middle": {"file": "complicated/hand5_t26_c800"}, "large": {"n": 6400},
        },
        Quantity.CALL, reference=complicated_reference, static=static, source=SOURCE,
    ),
)  # fmt: skip

__all__ = ["CASES", "complicated", "simple", "vertices"]
