"""Programs drawn from seeds and tried, several at a time."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import jax

from tests.fuzz.check import CHECKS, Outcome, agree
from tests.fuzz.generate import generate
from tests.fuzz.program import Program


def attempt(seed: str) -> tuple[Program, Outcome]:
    """The program that a seed draws, and what became of it."""
    rng = random.Random(seed)
    program = generate(rng)
    # Second order and batches cost most to compile: for a part of the programs.
    checks = [c for c in CHECKS if c in ("value", "grad") or rng.random() < 0.5]
    return program, agree(program, rng, checks)


def outcomes(seeds: Sequence[str], jobs: int) -> Iterator[Outcome]:
    """What became of the program of each seed, in order; several are tried at a time, one in a process."""
    if jobs == 1:
        yield from map(_outcome, seeds)
        return
    # Not forked: threads of XLA do not survive that.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(_outcome, seeds, chunksize=5)


_tried = itertools.count(1)


def _outcome(seed: str) -> Outcome:
    if next(_tried) % 50 == 0:
        jax.clear_caches()  # no program is run again
    return attempt(seed)[1]
