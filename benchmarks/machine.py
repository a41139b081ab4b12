"""The cost model's figures of a device, measured: what `ir/machine.py` says beside what XLA's kernels take here.

Rates decide between two ways to compute the same, so only their proportions matter, and one set stands for many
machines. Where a proportion is off by more than 2 on the machines that matter, change the figures there. Measured
inside one compiled loop, so that calls cost nothing. Writes `benchmarks/results/machine.md`.
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
from jax import lax
from rich.console import Console
from rich.progress import track

from benchmarks.tables import markdown, table
from lowering.device import machine as model

RESULTS = Path(__file__).parent / "results" / "machine.md"
COLUMNS = ("figure", "model", "measured", "measured / model")
# Seconds for each figure, and the seconds that one call of a loop is to take.
_SECONDS, _CALL = 0.7, 0.02
# An array that no cache holds, bytes.
_LARGE = 1 << 28


@dataclass(frozen=True)
class Figure:
    """A figure of the model.

    Attributes:
      unit: of the printed value.
      scale: how many of the base unit are one of `unit`.
    """

    name: str
    unit: str
    scale: float
    model: float
    measured: float

    @property
    def row(self) -> tuple[str, ...]:
        shown = [f"{value / self.scale:,.3g}" for value in (self.model, self.measured)]
        return (f"{self.name}, {self.unit}", *shown, f"{self.measured / self.model:.2f}")


def per_trip(body: Callable[[Any], Any], start: Any, seconds: float = _SECONDS) -> float:
    """Seconds of one trip of a loop: the median of its calls, of which each has many trips."""

    def run(trips: int) -> Callable[[Any], Any]:
        return jax.jit(lambda x: lax.fori_loop(0, trips, lambda _, c: body(c), x), donate_argnums=0)

    trips = 1
    while True:
        call = run(trips)
        jax.block_until_ready(call(jnp.copy(start)))
        begin = time.perf_counter()
        jax.block_until_ready(call(jnp.copy(start)))
        if (took := time.perf_counter() - begin) > _CALL / 4 or trips > 1 << 20:
            break
        trips *= 4 if took > _CALL / 64 else 32
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        x = jax.block_until_ready(jnp.copy(start))
        begin = time.perf_counter()
        jax.block_until_ready(call(x))
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) / trips


def flops(n: int, seconds: float) -> float:
    """Of products of n x n matrices in float32, a second."""
    a = jnp.eye(n) * 0.999
    return 2 * n**3 / per_trip(lambda x: x @ a, jnp.ones((n, n)), seconds)


def moved(nbytes: int, seconds: float) -> float:
    """Bytes a second of a kernel that reads and writes an array of so many bytes, again and again."""
    return 2 * nbytes / per_trip(lambda x: x * 1.0001, jnp.ones(nbytes // 4), seconds)


def launch(seconds: float, pairs: int = 8) -> float:
    """Seconds that one of several kernels on a small array takes: a sum, and what needs all of it, in turn."""

    def body(x: Any) -> Any:
        for _ in range(pairs):
            x = x - jnp.sum(x)
        return x

    return per_trip(body, jnp.zeros(1024), seconds) / (2 * pairs)


def fresh(nbytes: int, seconds: float) -> float:
    """Bytes a second for which memory is got that the program had not before: beside writing to what it has."""
    kept = jax.jit(lambda x: x * 1.0001, donate_argnums=0)
    new = jax.jit(lambda x: x * 1.0001)
    times: tuple[list[float], list[float]] = ([], [])
    x = jnp.ones(nbytes // 4)
    end = time.perf_counter() + seconds
    while len(times[0]) < 3 or time.perf_counter() < end:
        for call, taken in zip((new, kept), times, strict=True):
            begin = time.perf_counter()
            made = jax.block_until_ready(call(x))
            taken.append(time.perf_counter() - begin)
            if call is kept:
                x = made
            del made
    more = float(np.median(times[0]) - np.median(times[1]))
    return nbytes / max(more, 1e-9)


def figures(*, quick: bool = False) -> list[Figure]:
    """Every figure of the model, measured."""
    known = model()
    seconds = 0.01 if quick else _SECONDS
    n, large = (64, 1 << 16) if quick else (2048, _LARGE)
    jobs: list[tuple[str, str, float, float, Callable[[], float]]] = [
        ("operations in large products", "Gflop/s", 1e9, known.flops, lambda: flops(n, seconds)),
        ("to and from memory", "GB/s", 1e9, known.bandwidth, lambda: moved(large, seconds)),
        *[
            (f"arrays of {size / 2e6:.3g} MB", "GB/s", 1e9, rate, lambda size=size: moved(int(size / 2), seconds))
            for size, rate in known.caches
        ],
        ("of a kernel", "us", 1e-6, known.launch, lambda: launch(seconds)),
    ]  # fmt: skip
    if known.fresh < float("inf"):
        jobs.append(("memory that is new", "GB/s", 1e9, known.fresh, lambda: fresh(large, seconds)))
    return [
        Figure(name, unit, scale, value, measure())
        for name, unit, scale, value, measure in track(jobs, description="machine", transient=True)
    ]


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    rows = [figure.row for figure in figures(quick=quick)]
    console = Console()
    console.print(table("Figures of the cost model", COLUMNS, rows))
    if not quick:
        text = [
            "# Figures of the cost model",
            "",
            "What `ir/machine.py` says, beside what is measured here, by `python -m benchmarks machine`.",
            f"JAX {jax.__version__}, {jax.devices()[0].device_kind}.",
            "",
            *markdown(COLUMNS, rows),
            "",
        ]
        RESULTS.write_text("\n".join(text))


if __name__ == "__main__":
    main()
