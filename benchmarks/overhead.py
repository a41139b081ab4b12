"""What tracer costs beside JAX around a computation: tracing, dispatch, un-jitted derivatives.

Each row times both in turn in one process; figures are the smallest of several medians, as ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console

import tracer as tr
import tracer.numpy as tnp
from benchmarks.tables import table


def _chain(xp: Any, x: Any, length: int) -> Any:
    for _ in range(length):
        x = xp.sin(x) + 1.0
    return x.sum()


def _small(xp: Any) -> Callable[[Any], Any]:
    return lambda x: (xp.tanh(x) ** 2 + xp.sin(x) * x).sum()


def _pair(ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, calls: int) -> tuple[float, float]:
    """Median seconds a call of each, taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for fn in (ours, theirs):
        jax.block_until_ready(fn())
    for _ in range(rounds):
        for fn, kept in zip((ours, theirs), times, strict=True):
            begin = time.perf_counter()
            for _ in range(calls):
                fn()
            kept.append((time.perf_counter() - begin) / calls)
    return statistics.median(times[0]), statistics.median(times[1])


def main(*, quick: bool = False) -> None:
    """Measure and print the table."""
    x = jnp.arange(4.0)
    length = 50 if quick else 1000
    rounds = 2 if quick else 9
    fast, plain = tr.jit(lambda x: tnp.sin(x) * 2), jax.jit(lambda x: jnp.sin(x) * 2)
    ours, theirs = tr.grad(_small(tnp)), jax.grad(_small(jnp))
    cases = {
        f"tracing {2 * length + 1:,} equations": (
            lambda: tr.trace(lambda x: _chain(tnp, x, length))(x) and 0,
            lambda: jax.make_jaxpr(lambda x: _chain(jnp, x, length))(x) and 0,
            1,
        ),
        "dispatch of a jitted function": (lambda: fast(x), lambda: plain(x), 20 if quick else 2000),
        "un-jitted grad": (lambda: ours(x), lambda: theirs(x), 5 if quick else 100),
    }
    rows = []
    for name, (mine, other, calls) in cases.items():
        a, b = _pair(mine, other, rounds, calls)
        rows.append((name, f"{a * 1e6:,.1f} us", f"{b * 1e6:,.1f} us", f"{a / b:.2f}"))
    Console().print(table("Overheads, tracer beside JAX", ("case", "tracer", "JAX", "tracer / JAX"), rows))


if __name__ == "__main__":
    main()
