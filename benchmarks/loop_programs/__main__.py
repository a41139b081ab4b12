"""`python -m benchmarks.loop_programs NAME SIZE`: first call and steady seconds of JAX on the plain loop."""

from __future__ import annotations

import json
import sys

import jax
import jax.numpy as jnp

from benchmarks.loop_programs import PROGRAMS
from benchmarks.loop_programs.core import first_call, gradient_of, steady


def main() -> None:
    program, n = PROGRAMS[sys.argv[1]], int(sys.argv[2])
    args = program.arguments(n)
    fn = gradient_of(jax, lambda *a: program.loop(jnp, n, *a), args)
    seconds, _ = first_call(fn, args)
    json.dump([seconds, *steady([fn], args, 1.0)], sys.stdout)


if __name__ == "__main__":
    main()
