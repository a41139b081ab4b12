"""What tracer costs beside JAX around a computation: tracing, dispatch, un-jitted derivatives; what `debug.nans` costs.

Each row times both in turn in one process; figures are the smallest of several medians, as ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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


def _training_step(width: int) -> Callable[[], Any]:
    """Four layers of `width` units on a batch of as many examples, value, gradient and update."""
    rng = np.random.default_rng(0)
    weights = [jnp.asarray(rng.normal(size=(width, width)) / width**0.5, jnp.float32) for _ in range(4)]
    x = jnp.asarray(rng.normal(size=(width, width)), jnp.float32)

    def loss(weights: Any, x: Any) -> Any:
        y = x
        for w in weights:
            y = tnp.tanh(y @ w)
        return tnp.mean((y - x) ** 2)

    @tr.jit
    def step(weights: Any, x: Any) -> Any:
        value, gradients = tr.value_and_grad(loss)(weights, x)
        return [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)], value

    return lambda: jax.block_until_ready(step(weights, x))


def _scan(length: int, width: int) -> Callable[[], Any]:
    """Value and gradient of a recurrent layer."""
    w, xs = jnp.ones((width, width)) / width, jnp.ones((length, width))

    @tr.jit
    @tr.value_and_grad
    def f(w: Any, xs: Any) -> Any:
        return tnp.sum(tr.scan(lambda c, x: (tnp.tanh(c @ w + x), c), xs[0], xs)[0])

    return lambda: jax.block_until_ready(f(w, xs))


def _within_nans(f: Callable[[], Any]) -> Callable[[], Any]:
    def watched() -> Any:
        with tr.debug.nans():
            return f()

    return watched


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
    watched = []
    for name, f, calls in (
        ("a training step, width 64", _training_step(64), 200),
        ("a training step, width 256", _training_step(256), 20),
        ("a scan of 100 steps, width 32", _scan(100, 32), 200),
        ("a scan of 1,000 steps, width 64", _scan(1000, 64), 20),
    ):
        a, b = _pair(_within_nans(f), f, rounds, 2 if quick else calls)
        watched.append((name, f"{a * 1e6:,.0f} us", f"{b * 1e6:,.0f} us", f"{a / b:.2f}"))
    Console().print(table("debug.nans", ("case", "within", "outside", "within / outside"), watched))


if __name__ == "__main__":
    main()
