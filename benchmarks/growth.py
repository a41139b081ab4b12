"""How each stage of compilation grows with the program.

A chain of equations, such as an unrolled loop leaves behind, is traced, differentiated, batched,
printed, optimised pass by pass and lowered to StableHLO, at sizes that double. Wanted: each stage at
most 2.3 times dearer when the program doubles. Writes `benchmarks/results/growth.md`.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

import ir
import tracer as tr
import tracer.numpy as tnp
from benchmarks.tables import markdown, table
from ir import transforms
from ir.passes.pipeline import pipeline
from lowering.emit import emit

RESULTS = Path(__file__).parent / "results" / "growth.md"


def chain(length: int) -> Callable[[Any], Any]:
    """A scalar function of about `length` equations that no pass can shorten much."""

    def f(x: Any) -> Any:
        for k in range(length // 4):
            x = tnp.sin(x) * 1.01 + x
            if k % 7 == 0:
                x = tnp.tanh(x)
        return tnp.sum(x)

    return f


def seconds(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Least CPU seconds of a call and its last result, garbage collection kept out.

    CPU time, and not time on the wall: other work on the machine is no growth of ours.
    """
    times, out = [], None
    for _ in range(repeats):
        gc.collect()
        gc.disable()
        begin = time.process_time()
        out = call()
        times.append(time.process_time() - begin)
        gc.enable()
    return min(times), out


def stages(length: int, repeats: int) -> dict[str, float]:
    """Seconds of each stage for a chain of `length` equations."""
    x = np.linspace(0.1, 1.0, 8, dtype=np.float32)
    out: dict[str, float] = {}
    out["trace"], function = seconds(lambda: tr.trace(chain(length))(x), repeats)
    out["verify"], _ = seconds(lambda: ir.verify(function), repeats)
    out["hash"], _ = seconds(lambda: hash(function.replace()), repeats)
    out["differentiate"], gradient = seconds(lambda: transforms.value_and_grad(function, [True]), repeats)
    out["jvp"], _ = seconds(lambda: transforms.jvp(function, [True]), repeats)
    out["batch"], _ = seconds(lambda: transforms.batch(function, [True], 3), repeats)
    out["print"], _ = seconds(lambda: str(gradient), repeats)
    for each in pipeline():
        name = getattr(each, "__name__", "pass")
        spent, gradient = seconds(lambda each=each, fn=gradient: each(fn), repeats)
        out[name] = out.get(name, 0.0) + spent
    out["lower"], _ = seconds(lambda: jax.jit(lambda x: emit(gradient, (x,))).lower(x), 1)
    return out


def main(*, quick: bool = False) -> None:
    """Measure, print the table, and write it unless `quick`."""
    # Multiples of 28, so that the chains end alike: where the last equations can be rewritten, `simplify`
    # looks at the program once more.
    sizes = (560, 1120) if quick else (5_040, 10_080, 20_160, 40_320)
    repeats = 1 if quick else 5
    stages(sizes[0], 1)
    measured = [stages(n, repeats) for n in track(sizes, description="growth")]
    rows = []
    for name in measured[0]:
        cells = [f"{measured[0][name]:.4f}"]
        for small, large in itertools.pairwise(measured):
            cells.append(f"{large[name]:.4f} ({large[name] / small[name]:.2f}x)")
        rows.append((name, *cells))
    title = "CPU seconds by size of the program (equations), and ratio to half the size"
    Console().print(table(title, ["stage", *[f"{n:,}" for n in sizes]], rows))
    if quick:
        return
    RESULTS.parent.mkdir(exist_ok=True)
    lines = [
        "# Growth of each stage",
        "",
        "Least CPU seconds of five runs, and the ratio to half the size, by `make growth`.",
        "",
        *markdown(["stage", *[f"{n:,} equations" for n in sizes]], rows),
        "",
    ]
    RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
