"""Programs that fail late: those of which XLA may not get the memory.

On a CPU a call returns while its program still runs, or waits for memory. Where that is refused, the results raise
an error when they are waited for, far from the call. So calls of programs that hold much wait for them; they take so
long that nothing is lost by it. Other devices get the memory before a call returns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from ir.core import Function, inner_first
from ir.timeline import timeline

# Bytes that are refused in practice, or take tenths of a second to write.
LARGE = 1 << 30


class Late:
    """Whether the programs that were compiled for a function are to be waited for.

    Attributes:
      programs: those that are, or nothing: looked at in every call.
    """

    __slots__ = ("programs",)

    def __init__(self) -> None:
        self.programs: list[str] = []

    def seen(self, function: Function) -> Function:
        """Take note of an optimised program that is about to be emitted; the program."""
        if holds_much(function):
            self.programs.append(function.name)
        return function

    def waited(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a call returns, waited for if a program is large."""
        outs = call(*args, **kwargs)
        return wait(outs) if self.programs else outs


def holds_much(function: Function) -> bool:
    """Whether a program asks for so much memory of a CPU, by the estimate of `ir.timeline`."""
    if jax.default_backend() != "cpu":
        return False
    written = sum([v.type.nbytes for f in inner_first(function) for eqn in f.eqns for v in eqn.results])
    return written > LARGE and timeline(function).total > LARGE


def wait(outs: Any) -> Any:
    """The results when they are there; tracers of JAX are not waited for."""
    for x in jax.tree_util.tree_leaves(outs):
        if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
            x.block_until_ready()
    return outs


__all__ = ["LARGE", "Late", "holds_much", "wait"]
