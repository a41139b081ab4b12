"""`python -m benchmarks.loop_programs NAME SIZE`: JAX on the plain loop.

Prints, as JSON, the seconds of its first call, its steady seconds, and tracer's, the two taken in turn.
"""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs import PROGRAMS
from benchmarks.loop_programs.core import RUN, first_call, gradient_of, steady


def main() -> None:
    program, n = PROGRAMS[sys.argv[1]], int(sys.argv[2])
    args = program.arguments(n)
    theirs = gradient_of(jax, lambda *a: program.loop(jnp, n, *a), args)
    seconds, _ = first_call(theirs, args)
    ours = gradient_of(tr, lambda *a: program.loop(tnp, n, *a), args)
    first_call(ours, args)
    json.dump([seconds, *steady([theirs, ours], args, 1.0, RUN)], sys.stdout)


if __name__ == "__main__":
    main()
