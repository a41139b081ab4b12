"""Follow all solutions of a nonlinear PDE round a fold, by Newton's method with sparse Jacobians.

Bratu's problem on the unit square, -laplace(u) = c exp(u) with u = 0 on the boundary, describes the temperature of what
heats itself. Up to a critical c of 6.80812 it has two solutions, a cool and a hot one, which meet there; beyond, it
explodes. Pseudo-arclength continuation (Keller 1977) follows the branch of solutions through the fold, where the
Jacobian by u is singular, with Newton's method on (u, c) together. The residual is the PDE as one would write it;
tracer finds the pattern of its Jacobian, five points and a column, and computes it with a few products, whatever
the grid.

    python examples/bratu.py [--plot bratu.png]
"""

from __future__ import annotations

import argparse
import os
import time

import jax
import matplotlib
import numpy as np
import scipy.sparse as sp
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import spsolve

import tracer as tr
import tracer.numpy as tnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

QUICK = bool(os.environ.get("TRACER_EXAMPLE_QUICK"))
CRITICAL = 6.808124423  # as the literature has it
TOLERANCE = 1e-9


def residual(u, c):
    """The PDE by second-order differences on a grid of inner points."""
    v = tnp.pad(u, 1)
    laplacian = v[2:, 1:-1] + v[:-2, 1:-1] + v[1:-1, 2:] + v[1:-1, :-2] - 4 * u
    return laplacian * (u.shape[0] + 1) ** 2 + c * tnp.exp(u)


evaluate = tr.jit(residual)
# The Jacobian by u is a sparse matrix of SciPy, that by c one column.
jacobian = tr.sparse_jacobian(residual, argnums=(0, 1), format="csr")


def newton(u, c, direction, target):
    """The solution at which `direction` has the product `target` with (u, c), and the steps it took."""
    for step in range(20):
        r = np.append(
            np.asarray(evaluate(u, c)).ravel(), direction[:-1] @ u.ravel() + direction[-1] * c - target
        )
        if abs(r).max() < TOLERANCE * u.shape[0] ** 2:
            return u, c, step
        by_u, by_c = jacobian(u, c)
        bordered = sp.bmat([[by_u, by_c], [direction[None, :-1], direction[None, -1:]]], format="csc")
        change = spsolve(bordered, -r)
        u, c = u + change[:-1].reshape(u.shape), c + change[-1]
    raise ArithmeticError("Newton's method did not converge")


def branch(size, count, length):
    """(u, c) along the branch from u = 0, c = 0 on, about `length` apart, and all Newton steps."""
    u, c = np.zeros((size, size)), 0.0
    # Of the norm in which lengths are measured: the mean square of u, whatever the grid, and a hundredth of that of c.
    weights = np.append(np.full(size * size, 1 / size**2), 0.01)
    direction = np.append(np.zeros(size * size), 10.0)
    points, steps = [(u, c)], 0
    for _ in range(count):
        start = np.append(u.ravel(), c) + length * direction
        found = newton(
            start[:-1].reshape(u.shape), start[-1], weights * direction, weights * direction @ start
        )
        change = np.append((found[0] - u).ravel(), found[1] - c)
        direction = change / np.sqrt(weights @ change**2)
        u, c, steps = found[0], found[1], steps + found[2]
        points.append((u, c))
    return points, steps


def fold(points):
    """The largest c, by the parabola through the three points around it."""
    middle = np.array([u[len(u) // 2, len(u) // 2] for u, _ in points])
    c = np.array([c for _, c in points])
    k = int(np.argmax(c))
    return np.polyfit(middle[k - 1 : k + 2], c[k - 1 : k + 2], 2), middle, c


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", default="bratu.png")
    options = parser.parse_args()
    console = Console()
    begin = time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    size = 31 if QUICK else 63
    pattern = tr.sparsity(residual, argnums=(0, 1))(np.zeros((size, size)), 0.0)
    console.print(f"{size} x {size} grid: {pattern}, of {pattern.shape[0] * pattern.shape[1]:,}")
    points, steps = branch(size, 20, 0.1)
    (a, b, d), middle, c = fold(points)
    critical = d - b * b / (4 * a)
    table = Table(title="Bratu's problem")
    for column in ("c", "cool: u in the middle", "hot: u in the middle"):
        table.add_column(column, justify="right")
    k = int(np.argmax(c))
    for at in (3.5, 4.5, 5.5, 6.5):
        cool = np.interp(at, c[: k + 1], middle[: k + 1])
        hot = np.interp(-at, -c[k:], middle[k:])
        table.add_row(f"{at}", f"{cool:.3f}", f"{hot:.3f}")
    console.print(table)

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    axes[0].plot(c, middle, ".-")
    axes[0].axvline(CRITICAL, color="gray", linestyle=":")
    axes[0].set(xlabel="c", ylabel="u in the middle", title="All solutions")
    shown = axes[1].imshow(points[-1][0], extent=(0, 1, 0, 1))
    axes[1].set(title=f"The hot solution at c = {points[-1][1]:.2f}")
    figure.colorbar(shown)
    figure.savefig(options.plot, dpi=150)

    seconds = time.perf_counter() - begin
    console.print(
        f"{len(points)} solutions in {steps} Newton steps; critical c = {critical:.4f}, known: {CRITICAL:.4f}; "
        f"plotted in {options.plot}; {seconds:.1f} s in all"
    )
    if abs(critical - CRITICAL) > 0.02:
        raise SystemExit(f"expected the fold at {CRITICAL:.4f}, got {critical:.4f}")


if __name__ == "__main__":
    main()
