"""`exact=True` compiled by XLA, bit for bit the program with passes off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ir.core import Function
from ir.passes.pipeline import optimize
from lowering.emit import emit
from tests.fuzz.rewrites.check import Failure, different_bits, gradient, orderless
from tests.fuzz.rewrites.draw import Drawn
from tests.fuzz.rewrites.ways import passes


def compiled_failures(drawn: Drawn) -> Iterator[Failure]:
    """Results that differ in a bit when XLA runs the exact passes' program instead of the one without passes."""
    sides = [("value", drawn.function, drawn.function)]
    if any(drawn.wrt):
        sides.append(("gradient", gradient(drawn, "off"), gradient(drawn, "exact")))
    for what, off, exact in sides:
        want = _run(optimize(off, passes("off")), drawn.inputs)
        got = _run(optimize(exact, passes("exact")), drawn.inputs)
        wrong = different_bits(got, want, signs=not orderless(off))
        if wrong is not None:
            yield Failure(f"compiled {what}, exact", wrong)


def _run(function: Function, inputs: tuple[Any, ...]) -> list[Any]:
    with jax.enable_x64(True):
        run = jax.jit(lambda *xs: emit(function, xs)).lower(*inputs).compile()
        return [np.asarray(x) for x in run(*inputs)]
