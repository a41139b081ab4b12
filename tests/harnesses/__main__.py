"""`python -m tests.harnesses [--all] [--group NAME] [--jobs J]`: JAX's cases for its primitives, through tracer.

The jax wheel ships several thousand, one or more for every primitive. Whatever JAX evaluates and
differentiates here, `jit(from_jax(f))` and `grad(from_jax(f))` must too, to the same result. Prints both
counts and each case that differs; the exit status is then 1. By default a sample is taken: at most 12 cases
of a primitive (`--sample`), of the most common dtypes.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import multiprocessing
import os
import sys
import time

from tests.harnesses.cases import part


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.harnesses", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="every case and dtype")
    parser.add_argument("--sample", type=int, default=12, help="cases of a primitive")
    parser.add_argument("--group", action="append", default=[], help="only cases of this primitive")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes")
    options = parser.parse_args()
    begin = time.perf_counter()
    # Many small parts: cases differ much in cost.
    parts = options.jobs * (16 if options.all else 4)
    context = multiprocessing.get_context("spawn")
    tally: collections.Counter[tuple[str, str]] = collections.Counter()
    with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        groups = set(options.group)
        sample = None if options.all else options.sample
        waiting = [pool.submit(part, k, parts, sample, groups) for k in range(parts)]
        for done in concurrent.futures.as_completed(waiting):
            for name, what, status, why in done.result():
                tally[what, status] += 1
                if status == "failed":
                    print(f"{name}: {what}: {why}", flush=True)
    for what in ("value", "gradient"):
        holds, failed = tally[what, "holds"], tally[what, "failed"]
        print(f"{what}: {holds} of {holds + failed} hold; {tally[what, 'refused']} that JAX refuses")
    print(f"{time.perf_counter() - begin:.0f} s")
    return 1 if tally["value", "failed"] + tally["gradient", "failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
