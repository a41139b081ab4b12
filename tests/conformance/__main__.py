"""`python -m tests.conformance [--cases N] [--seed S] [--only NAME] [--jobs J]`: our functions against JAX's.

Draws random calls of every public function and compares values, dtypes, weak types and gradients, with
and without `jit`. Prints how many functions and cases were tried, and each difference with the seed that
draws it again; the exit status is 1 where there is one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from tests import add_xla_flags
from tests.conformance.catalog import MODULES
from tests.conformance.check import compared, trial
from tests.conformance.draw import Draw
from tests.tracer.helpers import x64

# How many calls are compiled as one program.
BATCH = 10
# One batch of so many also runs without `jit`, which compiles each call by itself.
EAGER = 4


def planned(only: str | None, rng: np.random.Generator) -> list[tuple[str, str]]:
    """(module, function) of all functions, shuffled."""
    every = [
        (m, n)
        for m, module in MODULES.items()
        for n in module.recipes
        if (n.startswith("Tensor.") or hasattr(module.theirs, n)) and only in (None, n, m)
    ]
    return [every[int(i)] for i in rng.permutation(len(every))]


def main() -> int:
    # Programs that run once: compiling them is nearly all of the time.
    add_xla_flags("--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true")
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="how many calls to try")
    parser.add_argument("--seed", type=int, default=None, help="random by default")
    parser.add_argument("--only", default=None, metavar="NAME", help="a module or a function")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes")
    args = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    order = planned(args.only, np.random.default_rng(seed))
    if not order:
        parser.error(f"no module and no function is called {args.only!r}")
    counts: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    started = time.monotonic()
    work = [(*batch, seed, i) for i, batch in enumerate(batches(order, args.cases))]
    for report in reports(work, args.jobs):
        for message in report.wrong:
            print(f"seed {seed}, {message}\n", flush=True)
        counts["mismatches"] += len(report.wrong)
        counts.update(report.counts)
        seen |= report.seen
    print(
        f"{len(seen)} functions of {len(order)}, {counts['cases']} cases, {counts['gradients']} with gradients, "
        f"{counts['refused']} more that JAX refuses, {counts['mismatches']} mismatches, "
        f"{time.monotonic() - started:.0f} s, seed {seed}"
    )
    return 1 if counts["mismatches"] else 0


def batches(order: list[tuple[str, str]], cases: int) -> list[tuple[str, list[str]]]:
    """`cases` functions, taken in turn, in batches of one module."""
    turns = [order[i % len(order)] for i in range(cases)]
    out = []
    for start in range(0, cases, 8 * BATCH):
        for module in MODULES:
            names = [n for m, n in turns[start : start + 8 * BATCH] if m == module]
            out += [(module, names[i : i + BATCH]) for i in range(0, len(names), BATCH)]
    return out


@dataclass(frozen=True)
class Report:
    """What became of a batch."""

    wrong: list[str]
    counts: Counter[str]
    seen: set[tuple[str, str]]


def reports(work: list[tuple[str, list[str], int, int]], jobs: int) -> Iterator[Report]:
    if jobs <= 1 or len(work) == 1:
        yield from map(run, work)
        return
    # By the name that other processes know it by.
    from tests.conformance.__main__ import run as task

    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(task, work)


def run(batch: tuple[str, list[str], int, int]) -> Report:
    """Draw and compare one batch: (module, functions, seed, number of the batch)."""
    name, functions, seed, number = batch
    module, rng = MODULES[name], np.random.default_rng([seed, number])
    draw = Draw(rng, wide=bool(rng.random() < 0.4))
    report = Report([], Counter(), set())
    trials = []
    # Operands are drawn on the borders of domains on purpose: NumPy and JAX warn of them.
    with warnings.catch_warnings(), x64(draw.wide):
        warnings.simplefilter("ignore")
        for function in functions:
            found = trial(draw.one(module.recipes[function])(draw), module.theirs)
            if found is None:
                report.counts["refused"] += 1
                continue
            trials.append(found)
            report.seen.add((name, function))
            report.counts["cases"] += 1
            report.counts["gradients"] += found.seed is not None
        if trials:
            wrong, refused = compared(trials, module.ours, module.theirs, eager=number % EAGER == 0)
            report.counts.update(refused=refused, cases=-refused)
            report.wrong.extend([f"{name}: {message}" for message in wrong])
    return report


if __name__ == "__main__":
    sys.exit(main())
