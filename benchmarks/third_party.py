"""Programs of libraries that are written with JAX: `value_and_grad` through tracer beside JAX.

Needs the extra `third-party`. Both run in turn in one process; figures are medians, as ratios. Wanted: a
steady time of at most 1.05 times JAX's. Writes `benchmarks/results/third_party.md`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import track

import tracer as tr
from benchmarks.tables import markdown, table
from tests.third_party.programs import PROGRAMS

RESULTS = Path(__file__).parent / "results" / "third_party.md"
# JAX has no reverse mode through their loops.
WITHOUT_PEER = {"optax_lbfgs_steps"}
COLUMNS = ("program", "tracer", "JAX", "tracer / JAX", "first call, tracer / JAX")


def _first(fn: Callable[..., Any], args: Any) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(fn(*args))
    return time.perf_counter() - begin


def _steady(ours: Callable[..., Any], theirs: Callable[..., Any], args: Any, seconds: float) -> list[float]:
    """Median seconds a call of each, taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 7:
        for fn, kept in zip((ours, theirs), times, strict=True):
            kept.append(_first(fn, args))
    return [statistics.median(kept) for kept in times]


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    rows = []
    for name in track([n for n in PROGRAMS if n not in WITHOUT_PEER], "libraries over JAX", transient=True):
        f, args = PROGRAMS[name]()
        ours, theirs = tr.jit(tr.value_and_grad(f)), jax.jit(jax.value_and_grad(f))
        other_first, first = _first(theirs, args), _first(ours, args)
        mine, other = _steady(ours, theirs, args, 0.2 if quick else 3.0)
        times = (f"{mine * 1e6:,.0f} us", f"{other * 1e6:,.0f} us", f"{mine / other:.2f}")
        rows.append((name, *times, f"{first / other_first:.2f}"))
    Console().print(table("Libraries written with JAX, value and gradient", COLUMNS, rows))
    if not quick:
        text = "\n".join(markdown(COLUMNS, rows))
        RESULTS.write_text(
            f"{__doc__.splitlines()[0]}\n\nJAX {jax.__version__}, {jax.devices()[0].device_kind}.\n\n{text}\n"
        )


if __name__ == "__main__":
    main()
