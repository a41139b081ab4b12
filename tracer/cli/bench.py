"""`bench`: time to compile and to run, beside `jax.jit` of the same function where it runs there.

Results are compared before anything is timed. The two run in turn, so that what disturbs one disturbs the
other; a time to run is the median over all runs. The first call holds tracing, passes and XLA's compilation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ir.errors import ArgumentError
from tracer.api.arguments import function_name
from tracer.cli.arguments import Arguments, concrete
from tracer.units import duration
from tracer.views.cells import NOTE, NUMBER
from tracer.views.sheet import Cell, Column, Sheet, Span, View, printable

_MOST_RUNS = 10_000
_finished: Callable[[Any], Any] = jax.block_until_ready


class Timings(View):
    """Times of one function; made by `measure`.

    Attributes:
      rows: (name, seconds of the first call, seconds of each later one).
      notes: what else there is to say.
    """

    def __init__(self, title: str, rows: list[tuple[str, float, list[float]]], notes: list[str]) -> None:
        self.title = title
        self.rows = rows
        self.notes = notes

    def sheet(self, width: int | None) -> Sheet:
        columns = [Column(self.title)]
        columns += [Column(title, "right") for title in ("first call", "run", "fastest", "runs")]
        rows: list[tuple[Cell, ...] | Span] = []
        for name, first, runs in self.rows:
            times = (
                duration(first),
                duration(statistics.median(runs)),
                duration(min(runs)),
                f"{len(runs):,}",
            )
            rows.append((((name, "bold"),), *[((text, NUMBER),) for text in times]))
        rows.extend([Span(((note, NOTE),), 2) for note in self.notes])
        return Sheet(columns, rows, titles=True)


def measure(
    f: Callable[..., Any], ours: Callable[..., Any], arguments: Arguments, options: argparse.Namespace
) -> Timings:
    """Time `ours`, made of `f`, on random arrays of the types of the arguments.

    Args:
      f: as the user wrote it, for `jax.jit`.
      ours: compiled by tracer, differentiated if the options say so.
      options: `grad`, `argnums`, `seconds`, `alone`.

    Raises:
      ArgumentError: no time to measure for.
    """
    if not options.seconds > 0:
        raise ArgumentError(f"expected --seconds above 0, got {options.seconds}")
    args, kwargs = concrete((arguments.args, arguments.kwargs))
    candidates = [("tracer", ours)]
    notes = []
    if not options.alone:
        plain = getattr(f, "__wrapped__", f) if hasattr(f, "stages") else f
        theirs = jax.grad(plain, options.argnums) if options.grad else plain
        candidates.append(("jax.jit", jax.jit(theirs)))
    firsts: dict[str, float] = {}
    results: dict[str, Any] = {}
    for name, call in list(candidates):
        begin = time.perf_counter()
        try:
            results[name] = _finished(call(*args, **kwargs))
        except Exception as error:
            if name == "tracer":
                raise
            candidates.pop()
            notes.append(f"jax.jit does not run it: {type(error).__name__}: {printable(str(error))[:200]}")
            continue
        firsts[name] = time.perf_counter() - begin
    runs = _timed(candidates, args, kwargs, options.seconds)
    if len(candidates) == 2:
        notes.extend(_compared(results["tracer"], results["jax.jit"]))
        ratio = statistics.median(runs["jax.jit"]) / statistics.median(runs["tracer"])
        word = "faster" if ratio >= 1 else "slower"
        notes.append(f"tracer is {max(ratio, 1 / ratio):.2f} times {word} than jax.jit on {_device()}")
    else:
        notes.append(f"on {_device()}")
    title = f"gradient of {function_name(f)}" if options.grad else function_name(f)
    return Timings(title, [(name, firsts[name], runs[name]) for name, _ in candidates], notes)


def _timed(
    candidates: list[tuple[str, Callable[..., Any]]], args: Any, kwargs: Any, budget: float
) -> dict[str, list[float]]:
    runs: dict[str, list[float]] = {name: [] for name, _ in candidates}
    for _, call in candidates:  # the first calls have been made; what they left to do is done now
        _finished(call(*args, **kwargs))
    end = time.perf_counter() + budget * len(candidates)
    while True:
        for name, call in candidates:
            begin = time.perf_counter()
            _finished(call(*args, **kwargs))
            runs[name].append(time.perf_counter() - begin)
        count = len(runs[candidates[0][0]])
        if count >= _MOST_RUNS or (count >= 3 and time.perf_counter() >= end):
            return runs


def _compared(ours: Any, theirs: Any) -> list[str]:
    """What is to be said about the difference of the results."""
    first, second = jax.tree_util.tree_leaves(ours), jax.tree_util.tree_leaves(theirs)
    if len(first) != len(second):
        return [f"the results differ: {len(first)} arrays, and {len(second)} of jax.jit"]
    largest = 0.0
    for a, b in zip(first, second, strict=True):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        x, y = np.asarray(a, np.complex128), np.asarray(b, np.complex128)
        if x.shape != y.shape:
            return [f"the results differ: {x.shape}, and {y.shape} of jax.jit"]
        if x.size:
            scale = max(float(np.max(np.abs(y), initial=0.0, where=np.isfinite(y))), 1e-30)
            with np.errstate(invalid="ignore"):  # infinity less itself, which counts as equal
                apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0, np.abs(x - y))
            largest = max(largest, float(np.max(apart)) / scale)
    return [f"results agree to {largest:.1e} of their largest element"]


def _device() -> str:
    device = jax.devices()[0]
    return f"{device.platform} ({device.device_kind})"
