"""Reads the files of ADBench (`benchmarks/data/adbench`) and its published results; and the complex step.

May import: NumPy only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[2] / "data" / "adbench"


def published(eval_name: str, what: str) -> np.ndarray:
    """Values from ADBench's own tests: `published("gmm", "jacobian.expected_gradient")`."""
    return np.asarray(json.loads((DATA / "expected.json").read_text())[eval_name][what])


def _lines(path: str) -> list[list[float]]:
    return [
        [float(v) for v in line.split()] for line in (DATA / path).read_text().splitlines() if line.strip()
    ]


@dataclass(frozen=True)
class Mixture:
    """A mixture of `k` Gaussians in `d` dimensions and the points that it is fitted to.

    Attributes:
      alphas: f64[k], logarithms of weights.
      means: f64[k, d].
      icf: f64[k, d (d + 1) / 2], inverse covariance factors.
      x: f64[n, d].
      gamma, m: of the Wishart prior.
    """

    alphas: np.ndarray
    means: np.ndarray
    icf: np.ndarray
    x: np.ndarray
    gamma: float
    m: int


@cache
def mixture(file: str) -> Mixture:
    lines = _lines(f"gmm/{file}.txt")
    _, k, n = (int(v) for v in lines[0])
    ends = np.cumsum([1, k, k, k, n])
    alphas, means, icf, x = (np.array(lines[a:b]) for a, b in pairwise(ends))
    gamma, m = lines[ends[-1]]
    return Mixture(alphas[:, 0], means, icf, x, gamma, int(m))


def observations(file: str) -> tuple[np.ndarray, ...]:
    """Cameras [n, 11], points [m, 3], weights [p], features [p, 2]; camera and point of each observation [p]."""
    (n, m, p), camera, point, weight, feature = _lines(f"ba/{file}.txt")
    n, m, p = int(n), int(m), int(p)
    repeated = [
        np.tile(row, (times, 1)) for row, times in ((camera, n), (point, m), (weight, p), (feature, p))
    ]
    order = np.arange(p, dtype=np.int32)
    return repeated[0], repeated[1], repeated[2][:, 0], repeated[3], order % n, order % m


@dataclass(frozen=True)
class Hand:
    """The model of a hand: `b` bones and `v` vertices.

    Attributes:
      parents: of each bone, -1 for none; it comes before its children.
      relatives, inverse_absolutes: f64[b, 4, 4], transforms of the bones at rest.
      positions: f64[v, 4], homogeneous.
      weights: f64[v, b], of bones for vertices.
      triangles: i32[., 3], vertices.
    """

    parents: tuple[int, ...]
    relatives: np.ndarray
    inverse_absolutes: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    triangles: np.ndarray


@cache
def hand_model() -> Hand:
    bones, vertices, triangles = (
        [line.split(":") for line in (DATA / "hand" / "model" / f"{name}.txt").read_text().splitlines()]
        for name in ("bones", "vertices", "triangles")
    )
    transforms = np.array([[float(v) for v in bone[2:34]] for bone in bones]).reshape(-1, 2, 4, 4)
    weights = np.zeros((len(vertices), len(bones)))
    for row, vertex in zip(weights, vertices, strict=True):
        for i in range(int(vertex[8])):
            row[int(vertex[9 + 2 * i])] = float(vertex[10 + 2 * i])
    return Hand(
        tuple(int(bone[1]) for bone in bones),
        transforms[:, 0],
        transforms[:, 1],
        np.array([[*(float(v) for v in vertex[:3]), 1.0] for vertex in vertices]),
        weights,
        np.array([[int(v) for v in triangle[:3]] for triangle in triangles], np.int32),
    )


@dataclass(frozen=True)
class Tracked:
    """Points that a hand is fitted to.

    Attributes:
      theta: f64[26], the pose.
      correspondences: i32[n], vertices, or triangles where there is `us`.
      points: f64[n, 3].
      us: f64[n, 2], coordinates within triangles.
    """

    theta: np.ndarray
    correspondences: np.ndarray
    points: np.ndarray
    us: np.ndarray | None


@cache
def tracked(file: str, *, complicated: bool) -> Tracked:
    lines = _lines(f"hand/{file}.txt")
    n = int(lines[0][0])
    rows = np.array(lines[1 : n + 1])
    us = np.array(lines[n + 1 : 2 * n + 1]) if complicated else None
    theta = np.array(lines[(2 if complicated else 1) * n + 1 :])[:, 0]
    return Tracked(theta, rows[:, 0].astype(np.int32), rows[:, 1:], us)


@cache
def sentence(file: str) -> tuple[np.ndarray, ...]:
    """Main parameters [2 l, 4 b], extra parameters [3, b], state [2 l, b] and characters [c, b]."""
    lines = _lines(f"lstm/{file}.txt")
    layers, count, _ = (int(v) for v in lines[0])
    ends = np.cumsum([1, 2 * layers, 3, 2 * layers, count])
    return tuple(np.array(lines[a:b]) for a, b in pairwise(ends))


def complex_step(f: Callable[[np.ndarray], Any], x: np.ndarray) -> Any:
    """Jacobian of an analytic function by the complex step, which subtracts nothing (Squire and Trapp 1998).

    Args:
      f: from complex [x.size, *x.shape], a point in each row, to [x.size, *result].

    Returns: [*result, *x.shape].
    """
    step = 1e-30
    directions = np.eye(x.size).reshape(x.size, *x.shape)
    rows = np.imag(f(x + 1j * step * directions)) / step
    return np.moveaxis(rows, 0, -1).reshape(*rows.shape[1:], *x.shape)


__all__ = [
    "DATA",
    "Hand",
    "Mixture",
    "Tracked",
    "complex_step",
    "hand_model",
    "mixture",
    "observations",
    "published",
    "sentence",
    "tracked",
]
