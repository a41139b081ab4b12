"""`python -m tests.fuzz --programs N [--seed S] [--jobs J]`: random programs through tracer and JAX.

Prints how many were tried, agree and were discarded. Each program that differs is printed made
small, with the seed that draws it again, and the exit status is 1. `--rules N` tries the suite of
`tests.fuzz.rewrites` instead.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter

from tests.fuzz.attempt import ENDED, attempt, outcomes
from tests.fuzz.check import CHECKS, Outcome, agree, failure
from tests.fuzz.generate import generate
from tests.fuzz.minimise import minimise
from tests.fuzz.program import Program


def report(seed: str, program: Program, outcome: Outcome, seconds: float) -> str:
    """A difference as text, with the program made small."""

    def shows(candidate: Program) -> bool:
        try:
            if not check:
                raised = failure(candidate, way)
                return raised[:40] == outcome.detail[:40]
            found = agree(candidate, random.Random(0), checks, [way])
        except Exception:  # noqa: BLE001 (JAX refuses it: not a smaller case of this)
            return False
        return found.kind == "differs" and found.why == outcome.why

    if outcome.why == ENDED:  # making it small would end this process too
        return f"seed {seed}: {ENDED}\n\n{program}\n\n{outcome.detail}\n"
    check, _, way = outcome.why.rpartition(", ")
    checks = [check] if check else list(CHECKS)
    small = minimise(program, shows, seconds)
    detail = agree(small, random.Random(0), checks, [way]).detail if check else failure(small, way)
    return f"seed {seed}: differs in {outcome.why}\n\n{small}\n\n{detail}\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=int, default=200, help="how many to try")
    parser.add_argument("--seed", default=None, help="where to start; random by default")
    parser.add_argument("--one", default=None, metavar="SEED", help="only the program of this seed, printed")
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes")
    parser.add_argument(
        "--minimise", type=float, default=120.0, metavar="S", help="seconds for each difference"
    )
    parser.add_argument(
        "--rules", type=int, default=0, metavar="N", help="N programs in which rewrites meet, instead"
    )
    parser.add_argument(
        "--compiled", type=int, default=10, metavar="K", help="of those, XLA runs one in K; 0 for none"
    )
    args = parser.parse_args()
    if args.rules:
        from tests.fuzz.rewrites import run

        base = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
        if args.one is not None:
            return run.one(args.one, args.minimise)
        return run.main(args.rules, int(base), args.minimise, args.compiled)
    if args.one is not None:
        program, outcome = attempt(args.one)
        print(program, f"\n\n{outcome.kind}: {outcome.why}\n{outcome.detail}")
        return outcome.kind == "differs"
    base = args.seed if args.seed is not None else f"{random.SystemRandom().randrange(10**6)}"
    counts: Counter[str] = Counter()
    started = time.monotonic()
    print(f"seed {base}", flush=True)
    seeds = [f"{base}.{i}" for i in range(args.programs)]
    for seed, outcome in zip(seeds, outcomes(seeds, args.jobs), strict=True):
        counts[outcome.kind] += 1
        counts[f"{outcome.kind}: {outcome.why}"] += bool(outcome.why)
        if outcome.kind == "differs":
            print(report(seed, generate(random.Random(seed)), outcome, args.minimise), flush=True)
    reasons = ", ".join(
        f"{n} {why.partition(': ')[2]}" for why, n in counts.items() if why.startswith("discarded: ")
    )
    print(
        f"{args.programs} programs, {counts['agrees']} agree, {counts['differs']} differ, "
        f"{counts['discarded']} discarded{f' ({reasons})' if reasons else ''}, "
        f"{time.monotonic() - started:.0f} s, seed {base}"
    )
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main())
