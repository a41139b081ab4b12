"""The programs of `benchmarks/loops.py`: tracer's value and gradient of the loop are the expert's."""

from __future__ import annotations

import jax
import pytest

import tracer as tr
import tracer.numpy as tnp
from benchmarks.loop_programs import PROGRAMS
from benchmarks.loop_programs.core import gradient_of, worst_error

# What is not rolled up takes long to compile.
SMALL = {"American put": 6, "binomial tree": 8, "Cholesky": 5, "Gram-Schmidt": 5, "layers of a list": 16}


@pytest.mark.parametrize("name", PROGRAMS)
def test_equals_the_expert(name: str) -> None:
    program = PROGRAMS[name]
    n = SMALL.get(name, program.size // 2)
    args = program.arguments(n)
    want = gradient_of(jax, lambda *a: program.expert(n, *a), args)(*args)
    got = gradient_of(tr, lambda *a: program.loop(tnp, n, *a), args)(*args)
    assert worst_error(got, want) <= program.tolerance


# Their programs grow with n.
GROWS = {"Cholesky", "RNN over a list", "layers of a list"}


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in GROWS])
def test_is_rolled_up(name: str) -> None:
    """As large at twice the size: what is left as it was written has twice as many equations."""
    program = PROGRAMS[name]
    sizes = []
    for n in (program.size, 2 * program.size):
        args = program.arguments(n)
        loop = lambda *a, n=n: program.loop(tnp, n, *a)
        sizes.append(len(gradient_of(tr, loop, args).ir(*args).eqns))
    assert sizes[1] <= sizes[0] + 8
