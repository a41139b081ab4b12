"""`exact=True` compiled by XLA, bit for bit the program with passes off, where XLA does not round as it likes.

XLA may give two programs different bits although ours computes each number alike in both:
  its algebraic simplifier reassociates: (x * a) * b becomes x * (a * b), a product of matrices a sum, a sum of
    a broadcast a product; what it sees depends on what is dead, shared or constant in each program;
  LLVM contracts a * b + c to one operation, where both are in one fusion; which are depends on who else reads
    a * b;
  a sum in a fusion runs in another order than one by itself.
So where the two differ they are compiled again without those, and at last one op at a time. What differs
there too is a fault of ours: `ir.evaluate`, which `check` compares, does none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import jax
import numpy as np

from ir.core import Function
from ir.passes.pipeline import optimize
from lowering.emit import emit
from tests.fuzz.rewrites.check import Failure, different_bits, gradient, orderless
from tests.fuzz.rewrites.draw import Drawn
from tests.fuzz.rewrites.ways import passes

_Run = Callable[[Function, tuple[Any, ...]], list[Any]]


def _compiled(options: dict[str, Any]) -> _Run:
    def run(function: Function, inputs: tuple[Any, ...]) -> list[Any]:
        with jax.enable_x64(True):
            made = jax.jit(lambda *xs: emit(function, xs)).lower(*inputs).compile(compiler_options=options)
            return [np.asarray(x) for x in made(*inputs)]

    return run


def _by_single_ops(function: Function, inputs: tuple[Any, ...]) -> list[Any]:
    with jax.enable_x64(True), jax.disable_jit():
        return [np.asarray(x) for x in emit(function, [jax.numpy.asarray(x) for x in inputs])]


LEVELS: Final[dict[str, _Run]] = {
    "by default": _compiled({}),
    "without XLA's simplifier": _compiled({"xla_disable_hlo_passes": "algsimp"}),
    "without fusion": _compiled({"xla_disable_hlo_passes": "algsimp,fusion", "xla_cpu_max_isa": "AVX"}),
    "one op at a time": _by_single_ops,
}


def compiled_failures(drawn: Drawn, equal: Counter[str] | None = None) -> Iterator[Failure]:
    """Results that differ in a bit when XLA runs the exact passes' program instead of the one without passes.

    Args:
      equal: counts there at which of `LEVELS` programs are equal first.
    """
    sides = [("value", drawn.function, drawn.function)]
    if any(drawn.wrt):
        sides.append(("gradient", gradient(drawn, "off"), gradient(drawn, "exact")))
    for what, off, exact in sides:
        pair = optimize(off, passes("off")), optimize(exact, passes("exact"))
        wrong: str | None = None
        for level, run in LEVELS.items():
            want, got = (run(each, drawn.inputs) for each in pair)
            wrong = different_bits(got, want, signs=not orderless(off))
            if wrong is None:
                if equal is not None:
                    equal[level] += 1
                break
        if wrong is not None:
            yield Failure(f"compiled {what}, exact", wrong)
