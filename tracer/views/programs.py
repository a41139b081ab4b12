"""The program that a view is of: an `ir.Function`, or what a Python function is compiled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ir
from ir.errors import ArgumentError
from tracer.api.arguments import function_name
from tracer.api.jit import jit


def program_of(f: Callable[..., Any], stage: str | int | None = None) -> Callable[..., ir.Function]:
    """From arguments of `f` to its program.

    Args:
      f: a Python function, or one made by `jit`, whose options hold.
      stage: `None` for the optimised program; `"trace"` for the program before any pass; otherwise what
        the pass of that name left (the last, if it runs several times), or the position of a stage.

    Raises:
      ArgumentError: by the function returned: no such stage.
    """
    jitted = f if hasattr(f, "stages") and hasattr(f, "ir") else jit(f)

    def program(*args: Any, **kwargs: Any) -> ir.Function:
        if stage is None:
            return jitted.ir(*args, **kwargs)  # type: ignore[no-any-return]
        return chosen_stage(jitted.stages(*args, **kwargs), stage, function_name(f))

    return program


def chosen_stage(stages: list[tuple[str, ir.Function]], stage: str | int, what: str) -> ir.Function:
    """The program after one of the stages; ArgumentError if there is none of that name or position."""
    names = [name for name, _ in stages]
    if isinstance(stage, int):
        if -len(stages) <= stage < len(stages):
            return stages[stage][1]
    elif stage in names:
        return stages[len(names) - 1 - names[::-1].index(stage)][1]
    listed = ", ".join(f"{i} {name}" for i, name in enumerate(names))
    raise ArgumentError(f"expected one of the stages of {what} ({listed}), got {stage!r}")
