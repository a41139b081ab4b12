"""Solve Kepler's equation with a plain Python `while`, and differentiate the solver.

E - e sin E = M gives the eccentric anomaly E of a planet from its mean anomaly M and eccentricity e. The
solver is safeguarded Newton iteration, as one would write it in Python: a `while` with a data-dependent end,
a branch that falls back to bisection. tracer differentiates through it in reverse. The implicit function
theorem gives the same derivatives in closed form, dE/dM = 1 / (1 - e cos E) and dE/de = sin E / (1 - e cos E).

    python examples/newton.py [--plot kepler.png]
"""

from __future__ import annotations

import argparse
import os
import time

import jax
import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table

import tracer as tr
import tracer.numpy as tnp

matplotlib.use("Agg")
import matplotlib.pyplot as plt

QUICK = bool(os.environ.get("TRACER_EXAMPLE_QUICK"))
TOLERANCE = 1e-12


def anomaly(mean, e):
    """(E, number of iterations) for a mean anomaly in [0, pi] and an eccentricity in [0, 1)."""
    low, high = mean, mean + e
    found = mean + e * tnp.sin(mean)
    trips = 0
    while abs(found - e * tnp.sin(found) - mean) > TOLERANCE and trips < 60:
        residual = found - e * tnp.sin(found) - mean
        if residual > 0:
            high = found
        else:
            low = found
        step = found - residual / (1 - e * tnp.cos(found))
        if low < step < high:
            found = step
        else:
            found = (low + high) / 2
        trips += 1
    # One more step, whatever the residual: its derivative is that of the root, to rounding.
    return found - (found - e * tnp.sin(found) - mean) / (1 - e * tnp.cos(found)), trips


def implicit(found, e):
    """(dE/dM, dE/de) by the implicit function theorem."""
    return 1 / (1 - e * np.cos(found)), np.sin(found) / (1 - e * np.cos(found))


def compare(console):
    """A table of solutions and derivatives; returns the largest relative difference."""
    solve = tr.jit(tr.value_and_grad(anomaly, argnums=(0, 1), has_aux=True), autograph=True)
    table = Table(title="Kepler's equation: the derivative of a while loop")
    for column in ("e", "M", "E", "trips", "dE/dM", "dE/de", "difference from implicit"):
        table.add_column(column, justify="right")
    worst = 0.0
    for e in (0.1, 0.6, 0.95, 0.999):
        for mean in (0.02, 1.0, 3.0):
            (found, trips), slopes = solve(mean, e)
            exact = implicit(float(found), e)
            difference = max(abs(float(a) / b - 1) for a, b in zip(slopes, exact, strict=True))
            worst = max(worst, difference)
            table.add_row(
                f"{e}", f"{mean}", f"{float(found):.6f}", f"{int(trips)}",
                f"{float(slopes[0]):.6f}", f"{float(slopes[1]):.6f}", f"{difference:.1e}",
            )  # fmt: skip
    console.print(table)
    return worst


def plot(path, count):
    """dE/dM over the orbit for several eccentricities, every point its own loop under `vmap`."""
    speed = tr.jit(tr.vmap(tr.grad(lambda m, e: anomaly(m, e)[0]), in_axes=(0, None)), autograph=True)
    mean = np.linspace(0.01, np.pi, count)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for e in (0.0, 0.3, 0.6, 0.8):
        axes.plot(mean, speed(mean, e), label=f"e = {e}")
    axes.set(xlabel="mean anomaly M (rad)", ylabel="dE/dM", title="Through a Python while loop, in reverse")
    axes.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", default="kepler.png")
    options = parser.parse_args()
    console = Console()
    begin = time.perf_counter()
    jax.config.update("jax_enable_x64", True)
    worst = compare(console)
    plot(options.plot, 30 if QUICK else 300)
    seconds = time.perf_counter() - begin
    console.print(
        f"largest relative difference {worst:.1e}; dE/dM plotted in {options.plot}; {seconds:.1f} s in all"
    )
    if worst > 1e-8:
        raise SystemExit(f"expected derivatives to agree to 1e-8, got {worst:.1e}")


if __name__ == "__main__":
    main()
