"""Plain Python loops: value and gradient through tracer, beside what an expert writes in JAX.

Every program of `loop_programs` is measured at sizes n, 2n and 4n: first call (trace, differentiate, optimise,
compile, run) and steady time, the two sides in turn; at n also NumPy's time for the value and, where it is at hand,
PyTorch's for value and gradient; on request JAX's on the same loop, in a process of its own. Wanted: a steady time of
at most 1.15 times the expert's, and a first call that does not grow. Writes `benchmarks/results/loops.md`.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs import PROGRAMS, Program
from benchmarks.loop_programs.core import RUN, differentiated, first_call, gradient_of, steady, worst_error
from benchmarks.tables import markdown, table

RESULTS = Path(__file__).parent / "results" / "loops.md"
SCALES = (1, 2, 4)
CLOSE = 1.15
# Where the first call took longer than this, in seconds, larger sizes are left out.
_PATIENCE = 5.0
# Columns of the terminal that the table needs to be read.
_WIDTH = 170


class Disagreement(Exception):
    """Value or gradient differ from the expert's."""


@dataclass(frozen=True)
class Naive:
    """JAX on the plain loop; seconds.

    Attributes:
      first: its first call, or the seconds after which it was given up.
      steady: its steady time and tracer's, taken in turn; None where it was given up.
    """

    first: float
    steady: tuple[float, float] | None


@dataclass
class Sample:
    """A program at one size; seconds.

    Attributes:
      scale: n as a multiple of the smallest size measured.
      operations: of the loop as it is traced.
      equations: of value and gradient after the passes.
      first, steady: tracer's and the expert's.
      naive: JAX on the loop itself, if it was run.
    """

    name: str
    scale: int
    n: int
    operations: int
    equations: int
    first: tuple[float, float]
    steady: tuple[float, float]
    numpy: float | None = None
    torch: float | None = None
    naive: Naive | None = None

    @property
    def ratio(self) -> float:
        return self.steady[0] / self.steady[1]


@dataclass
class Report:
    """What was measured, what went wrong, and the seconds that JAX was given for a plain loop, if it was run."""

    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    jax_cap: float | None = None

    def sizes(self, name: str) -> list[Sample]:
        return [s for s in self.samples if s.name == name]

    def summary(self) -> list[str]:
        return [*self._speed_ups(), *self._steady(), *self._growth(), *self.errors]

    def _speed_ups(self) -> Iterable[str]:
        for scale in SCALES:
            run = [(s, s.naive) for s in self.samples if s.scale == scale and s.naive]
            if not run:
                continue
            faster = [naive.first / s.first[0] for s, naive in run]
            late = sum(naive.steady is None for _, naive in run)
            line = f"First call at {_times(scale)}: JAX takes {statistics.geometric_mean(faster):.1f} times as long on"
            line = f"{line} the same loop (geometric mean of {len(run)}, from {min(faster):.2f} to {max(faster):.0f})"
            yield (
                f"{line}; {late} were given up after {self.jax_cap:.0f} s, and count with that."
                if late
                else f"{line}."
            )
            slower = {s.name: n.steady[1] / n.steady[0] for s, n in run if n.steady}
            if slower:
                worst = max(slower, key=lambda name: slower[name])
                line = f"Steady time at {_times(scale)} against JAX on the same loop:"
                line = f"{line} {statistics.geometric_mean(slower.values()):.2f} (geometric mean of {len(slower)})"
                yield f"{line}, at most {slower[worst]:.2f} ({worst})."

    def _steady(self) -> Iterable[str]:
        for scale in SCALES:
            if there := [s for s in self.samples if s.scale == scale]:
                close = sum(s.ratio <= CLOSE for s in there)
                mean = statistics.geometric_mean(s.ratio for s in there)
                line = f"Steady time at {_times(scale)}: {close} of {len(there)} programs"
                yield f"{line} take at most {CLOSE} times the expert's; geometric mean {mean:.2f}."

    def _growth(self) -> Iterable[str]:
        for scale in SCALES[1:]:
            growth = {
                name: there[SCALES.index(scale)].first[0] / there[0].first[0]
                for name in PROGRAMS
                if len(there := self.sizes(name)) > SCALES.index(scale)
            }
            if growth:
                worst = max(growth, key=lambda name: growth[name])
                line = f"First call at {_times(scale)} against n: {statistics.geometric_mean(growth.values()):.2f}"
                yield f"{line} times as long (geometric mean of {len(growth)}), at most {growth[worst]:.1f} ({worst})."
        grown = [n for n in PROGRAMS if (s := self.sizes(n)) and s[-1].equations > s[0].equations]
        yield f"Programs whose equations grow with n: {', '.join(grown) or 'none'}."
        most = max((len(self.sizes(name)) for name in PROGRAMS), default=0)
        if short := [name for name in PROGRAMS if 0 < len(self.sizes(name)) < most]:
            yield f"Larger sizes left out after {_PATIENCE:.0f} s for a first call: {', '.join(short)}."


def _times(scale: int) -> str:
    return "n" if scale == 1 else f"{scale}n"


# Measuring -----------------------------------------------------------------------------------------------


def measured(program: Program, scale: int, n: int, seconds: float) -> Sample:
    """Tracer and the expert in turn.

    Raises:
      Disagreement: they do not agree to the program's tolerance.
    """
    args = program.arguments(n)

    def loop(*args: Any) -> Any:
        return program.loop(tnp, n, *args)

    ours = gradient_of(tr, loop, args)
    theirs = gradient_of(jax, lambda *a: program.expert(n, *a), args)
    other_first, want = first_call(theirs, args)
    first, got = first_call(ours, args)
    error = worst_error(got, want)
    if error > program.tolerance:
        raise Disagreement(f"differs from the expert's by {error:.1e}, allowed {program.tolerance:.0e}")
    mine, other = steady([ours, theirs], args, seconds, RUN)
    operations, equations = len(tr.trace(loop)(*args).eqns), len(ours.ir(*args).eqns)
    return Sample(program.name, scale, n, operations, equations, (first, other_first), (mine, other))


def _fastest(call: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def numpy_seconds(program: Program, n: int, seconds: float) -> float:
    """Of the value."""
    args = jax.tree_util.tree_map(np.asarray, program.arguments(n))
    return _fastest(lambda: program.loop(np, n, *args), seconds)


def torch_seconds(torch: Any, program: Program, n: int, seconds: float) -> float:
    """Of value and gradient, not compiled."""
    args = jax.tree_util.tree_map(lambda v: torch.tensor(np.asarray(v)), program.arguments(n))
    wanted = differentiated(program.arguments(n))
    leaves = [v for i in wanted for v in jax.tree_util.tree_leaves(args[i])]
    for v in leaves:
        v.requires_grad_()
    return _fastest(lambda: torch.autograd.grad(program.loop(torch, n, *args), leaves), seconds)


def naive_jax(program: Program, n: int, cap: float) -> Naive:
    """JAX on the plain loop, in a process that is ended after `cap` seconds."""
    command = [sys.executable, "-m", "benchmarks.loop_programs", program.name, str(n)]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parents[1], timeout=cap, capture_output=True, check=True, text=True
        )
    except subprocess.TimeoutExpired:
        return Naive(cap, None)
    first, theirs, ours = json.loads(done.stdout)
    return Naive(first, (theirs, ours))


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ModuleNotFoundError:
        return None


def measure_all(report: Report, torch: Any, *, quick: bool) -> None:
    """Every program at every size, into the report."""
    seconds = 0.1 if quick else 1.0
    measured(next(iter(PROGRAMS.values())), 1, 1, 0.0)  # what only the first program of a process pays
    for program in track(PROGRAMS.values(), description="loops", transient=True):
        late = False
        for scale in SCALES[:1] if quick else SCALES:
            n = max(program.size // 4, 4) if quick else scale * program.size
            try:
                sample = measured(program, scale, n, seconds)
                if scale == 1:
                    sample.numpy = numpy_seconds(program, n, seconds / 8)
                    sample.torch = torch_seconds(torch, program, n, seconds / 8) if torch else None
                if report.jax_cap:
                    sample.naive = (
                        Naive(report.jax_cap, None) if late else naive_jax(program, n, report.jax_cap)
                    )
                    late = sample.naive.steady is None
            except Exception as error:  # noqa: BLE001 (reported, and the suite fails at its end)
                report.errors.append(f"ERROR: {program.name}, n={n}: {type(error).__name__}: {error}")
                break
            report.samples.append(sample)
            if sample.first[0] > _PATIENCE:
                break


# Printing ------------------------------------------------------------------------------------------------


def columns(report: Report, torch: Any) -> dict[str, Callable[[Sample], str]]:
    """Heads of the table, and what stands below them."""
    out: dict[str, Callable[[Sample], str]] = {
        "program": lambda s: s.name,
        "n": lambda s: str(s.n),
        "operations": lambda s: f"{s.operations:,}",
        "equations": lambda s: f"{s.equations:,}",
        "first call": lambda s: f"{s.first[0]:.2f} s",
        "expert": lambda s: f"{s.first[1]:.2f} s",
        "steady": lambda s: _micro(s.steady[0]),
        "expert, steady": lambda s: _micro(s.steady[1]),
        "ratio": lambda s: f"{s.ratio:.2f}",
        "NumPy, value": lambda s: _micro(s.numpy),
    }
    if torch:
        out["PyTorch"] = lambda s: _micro(s.torch)
    if report.jax_cap is not None:
        out["JAX, first call"] = lambda s: _first(s.naive)
        out["JAX, steady"] = lambda s: _micro(s.naive.steady[0]) if s.naive and s.naive.steady else ""
        out["ratio to it"] = lambda s: (
            f"{s.naive.steady[1] / s.naive.steady[0]:.2f}" if s.naive and s.naive.steady else ""
        )
    return out


def _first(naive: Naive | None) -> str:
    if naive is None:
        return ""
    return f"{naive.first:.2f} s" if naive.steady else f"> {naive.first:.0f} s"


def _micro(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e6:,.0f} us"


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], summary: Sequence[str], torch: Any) -> str:
    versions = f"JAX {jax.__version__}" + (f", PyTorch {torch.__version__}" if torch else "")
    return "\n".join([
        "# Plain Python loops",
        "",
        "Value and gradient in float32 by tracer, beside an expert's JAX, by `python -m benchmarks loops`.",
        "Operations are those of the loop as it is traced, equations those of the whole after the passes.",
        f"{versions}, {jax.devices()[0].device_kind}.",
        "",
        *[f"- {line}" for line in summary],
        "",
        *markdown(heads, rows),
        "",
    ])  # fmt: skip


def main(*, quick: bool = False, jax_cap: float | None = None) -> None:
    """Measure and print the table.

    Args:
      jax_cap: seconds that JAX is given for each plain loop; it is not run by default.
    """
    torch, report = _torch(), Report(jax_cap=jax_cap)
    measure_all(report, torch, quick=quick)
    shown = columns(report, torch)
    rows = [[cell(s) for cell in shown.values()] for s in report.samples]
    console = Console(width=max(Console().width, _WIDTH))
    console.print(table("Plain Python loops, value and gradient", shown, rows))
    for line in report.summary():
        console.print(line, highlight=False)
    if not quick:
        RESULTS.write_text(_markdown([*shown], rows, report.summary(), torch))
    if report.errors:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
