"""Sparse Jacobians and Hessians: compressed, beside the dense ones of tracer and of JAX.

Times are medians, all sides in turn in one process; a pattern and a colouring are found once, when a function is
first compiled for its types. Writes `benchmarks/results/sparse.md`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO
from rich.console import Console
from rich.progress import track

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs.core import normal, steady, worst_error
from benchmarks.tables import markdown, table
from ir.sparsity import color_columns, color_symmetric

RESULTS = Path(__file__).parent / "results" / "sparse.md"
COLUMNS = (
    "program", "rows", "columns", "elements", "products", "pattern, s", "colours, s", "sparse, ms",
    "dense tracer, ms", "dense JAX, ms",
)  # fmt: skip


def heat(xp: Any, u: Any) -> Any:
    v = xp.pad(u, 1)
    return v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4 * u + 0.1 * xp.exp(u)


def burgers(xp: Any, u: Any) -> Any:
    left, right = xp.roll(u, 1), xp.roll(u, -1)
    return -u * xp.where(u > 0, u - left, right - u) + 0.3 * (left - 2 * u + right)


def brusselator(xp: Any, s: Any) -> Any:
    u, v = s
    spread = xp.roll(s, 1, axis=1) - 2 * s + xp.roll(s, -1, axis=1)
    return xp.stack([1 + u * u * v - 4.4 * u, 3.4 * u - u * u * v]) + spread


def rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def dirichlet(xp: Any, u: Any) -> Any:
    """A nonlinear energy of neighbours on a grid."""
    return xp.sum((u[1:] - u[:-1]) ** 4) + xp.sum((u[:, 1:] - u[:, :-1]) ** 4) + xp.sum(u**2)


@dataclass(frozen=True)
class Cameras:
    """Reprojection residuals of a camera of six parameters for each point that it sees."""

    camera: Any
    point: Any

    def __call__(self, xp: Any, p: Any) -> Any:
        cameras, points = p["cameras"][self.camera], p["points"][self.point]
        angle = xp.sqrt(xp.sum(cameras[:, :3] ** 2, axis=1, keepdims=True) + 1e-6)
        axis = cameras[:, :3] / angle
        along = xp.sum(axis * points, axis=1, keepdims=True)
        turned = (
            points * xp.cos(angle)
            + xp.cross(axis, points) * xp.sin(angle)
            + axis * along * (1 - xp.cos(angle))
        )
        moved = turned + cameras[:, 3:]
        return moved[:, :2] / (moved[:, 2:] - 9)


def cameras(size: int) -> tuple[Any, Any]:
    """About `size` parameters, each point seen by four cameras."""
    points, count = size // 3, max(size // 600, 4)
    rng = np.random.default_rng(0)
    point = np.repeat(np.arange(points), 4)
    return Cameras(rng.integers(0, count, point.size), point), {
        "cameras": normal(0, count, 6) / 3, "points": normal(1, points, 3)
    }  # fmt: skip


def side(size: int) -> int:
    return round(size**0.5)


# Program: (a function and its argument of about so many elements, whether it is a Hessian)
PROGRAMS: dict[str, tuple[Callable[[int], tuple[Any, Any]], bool]] = {
    "heat equation, 2-D": (lambda n: (heat, normal(0, side(n), side(n))), False),
    "Burgers' equation": (lambda n: (burgers, normal(0, n)), False),
    "Brusselator, 1-D": (lambda n: (brusselator, normal(0, 2, n // 2)), False),
    "bundle adjustment": (cameras, False),
    "Rosenbrock": (lambda n: (rosenbrock, normal(0, n)), True),
    "energy on a grid": (lambda n: (dirichlet, normal(0, side(n), side(n))), True),
}


def seconds(f: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = f()
    return time.perf_counter() - start, found


def measured(name: str, size: int, *, dense: bool, target: float) -> tuple[str, ...]:
    """One row of the table."""
    made, is_hessian = PROGRAMS[name]
    f, x = made(size)
    ours, theirs = (lambda x: f(tnp, x)), (lambda x: f(jnp, x))
    took, pattern = seconds(lambda: tr.sparsity(ours, hessian=is_hessian)(x))
    colored, coloring = seconds(lambda: (color_symmetric if is_hessian else color_columns)(pattern))
    compressed = tr.jit((tr.sparse_hessian if is_hessian else tr.sparse_jacobian)(ours))
    sides = [compressed]
    if dense:
        sides += [
            tr.jit((tr.hessian if is_hessian else tr.jacfwd)(ours)),
            jax.jit((jax.hessian if is_hessian else jax.jacfwd)(theirs)),
        ]
        full = jax.tree_util.tree_map(
            lambda m: m.todense(), compressed(x), is_leaf=lambda m: isinstance(m, BCOO)
        )
        if worst_error(full, sides[2](x)) > 1e-3:
            raise ArithmeticError(f"{name}: the sparse derivative is not JAX's")
    times = steady(sides, (x,), target)
    shown = [f"{1e3 * t:.2f}" for t in times] + ["—"] * (3 - len(times))
    counts = (*pattern.shape, pattern.nnz, coloring.count)
    return (name, *[f"{n:,}" for n in counts], f"{took:.2f}", f"{colored:.2f}", *shown)


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    sizes = ((300, True),) if quick else ((2_500, True), (100_000, False))
    cases = [(name, size, dense) for size, dense in sizes for name in PROGRAMS]
    rows = [
        measured(name, size, dense=dense, target=0.05 if quick else 2.0)
        for name, size, dense in track(cases, description="sparse derivatives")
    ]
    Console().print(table("Jacobians and, of the last two, Hessians, float32", COLUMNS, rows))
    if not quick:
        lines = ["# Sparse derivatives", "", __doc__.strip().splitlines()[0], ""]
        lines += [
            "Jacobians and, of the last two programs, Hessians, float32; where dense ones fit into memory.",
            "",
        ]
        RESULTS.write_text("\n".join([*lines, *markdown(COLUMNS, rows), ""]))


if __name__ == "__main__":
    main()
