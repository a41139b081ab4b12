"""Programs drawn from seeds and tried, several at a time."""

from __future__ import annotations

import itertools
import multiprocessing
import random
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import jax

from tests.fuzz.check import CHECKS, Harness, Outcome, agree
from tests.fuzz.generate import generate
from tests.fuzz.program import Program
from tests.fuzz.spaces import JAX


def attempt(seed: str) -> tuple[Program, Outcome]:
    """The program that a seed draws, and what became of it."""
    rng = random.Random(seed)
    program = generate(rng)
    # Second order and batches cost most to compile: for a part of the programs.
    checks = [c for c in CHECKS if c in ("value", "grad") or rng.random() < 0.5]
    return program, agree(program, rng, checks)


def outcomes(seeds: Sequence[str], jobs: int) -> Iterator[Outcome]:
    """What became of the program of each seed, in order; several are tried at a time, one in a process.

    XLA may end the whole process. The programs that were being tried then are tried again, each alone.
    """
    left = list(seeds)
    while left:
        done = yield from _until_a_process_ends(left, jobs)
        suspects, left = left[done : done + jobs + 1], left[done + jobs + 1 :]
        yield from [_alone(seed) for seed in suspects]


def _until_a_process_ends(seeds: Sequence[str], jobs: int) -> Generator[Outcome, None, int]:
    """Outcomes in order; returns how many there were."""
    done = 0
    with _processes(jobs) as pool:
        try:
            for outcome in pool.map(_outcome, seeds):
                yield outcome
                done += 1
        except BrokenProcessPool:
            pass  # the caller finds out which it was
    return done


def _alone(seed: str) -> Outcome:
    try:
        with _processes(1) as pool:
            return pool.submit(_outcome, seed).result()
    except BrokenProcessPool:
        pass
    try:
        with _processes(1) as pool:
            pool.submit(_by_jax, seed).result()
    except BrokenProcessPool:
        return Outcome("discarded", "XLA ends the process with JAX's program too")
    return Outcome("differs", ENDED, "XLA ended the process, and not with JAX's program")


ENDED = "the process ended"


def _processes(jobs: int) -> ProcessPoolExecutor:
    # Not forked: threads of XLA do not survive that.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _by_jax(seed: str) -> None:
    """Compile and run what JAX makes of the program, all checks."""
    harness = Harness(generate(random.Random(seed)), CHECKS)
    with jax.enable_x64(True):
        jax.block_until_ready(jax.jit(harness.everything(JAX))(*harness.given))


_tried = itertools.count(1)


def _outcome(seed: str) -> Outcome:
    if next(_tried) % 50 == 0:
        jax.clear_caches()  # no program is run again
    return attempt(seed)[1]
