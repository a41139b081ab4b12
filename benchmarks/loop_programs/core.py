"""What a program is, where its numbers come from, and how one is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# How often a program is called in its turn, where it takes microseconds.
RUN = 10


@dataclass(frozen=True)
class Program:
    """A scalar loss, as it is first written and as an expert writes it in JAX.

    Attributes:
      size: the smallest n measured; unrolled, the loop is some hundreds to thousands of operations there.
      loop: `loop(xp, n, *args)` with Python loops; `xp` is NumPy, JAX, tracer or PyTorch.
      expert: `expert(n, *args)`, the same mathematics.
      arguments: those of size n, in float32; what holds integers is not differentiated.
      tolerance: of values and gradients, relative to the largest entry.
    """

    name: str
    size: int
    loop: Callable[..., Any]
    expert: Callable[..., Any]
    arguments: Callable[[int], tuple[Any, ...]]
    tolerance: float = 2e-5


def f32(values: Any) -> Any:
    return jnp.asarray(values, jnp.float32)


def normal(seed: int, *shape: int) -> Any:
    return f32(np.random.default_rng(seed).normal(size=shape))


def uniform(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Any:
    return f32(np.random.default_rng(seed).uniform(low, high, shape))


def differentiated(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Positions of the arguments that are floating point throughout."""
    leaves = jax.tree_util.tree_leaves
    return tuple(i for i, arg in enumerate(args) if all(v.dtype.kind == "f" for v in leaves(arg)))


def gradient_of(library: Any, f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Value and gradient, compiled by `library`: tracer or JAX."""
    return library.jit(library.value_and_grad(f, argnums=differentiated(args)))


def worst_error(got: Any, want: Any) -> float:
    """Largest difference of two trees relative to the largest entry of the leaf; infinite for NaN."""
    worst = 0.0
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            return float("inf")
        error = float(np.max(np.abs(a - b)) / max(np.max(np.abs(b)), 1e-6))
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst


def first_call(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[float, Any]:
    """Seconds of a call, and its result."""
    begin = time.perf_counter()
    out = jax.block_until_ready(fn(*args))
    return time.perf_counter() - begin, out


def steady(
    fns: Sequence[Callable[..., Any]], args: tuple[Any, ...], seconds: float, run: int = 1
) -> list[float]:
    """Median seconds a call of each, taken in turn, within so many seconds together.

    Args:
      run: how often each is called in its turn. What takes microseconds is slower where something else has just run;
        so with more than one call the first is not counted.
    """
    times: list[list[float]] = [[] for _ in fns]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < 7:
        for fn, kept in zip(fns, times, strict=True):
            calls = [first_call(fn, args)[0] for _ in range(run)]
            kept += calls[1:] or calls
    return [statistics.median(kept) for kept in times]


__all__ = [
    "RUN", "Program", "differentiated", "f32", "first_call", "gradient_of", "normal", "steady", "uniform",
    "worst_error",
]  # fmt: skip
