"""What is done to programs while they are compiled, step by step, for those who want to look.

    with journal() as steps:
        function = optimize(function)
    for each in steps:
        print(each.name, len(each.before.eqns), len(each.after.eqns), each.rules)

What changes a program goes through `step`, and what belongs together is put `within` one heading. Where no
journal is kept that costs one look at a context variable. Imports the core of `ir` only.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from ir.core import Function
from ir.remarks import Remark, remark, remarks
from ir.source import Source

# A rule that was applied, and the place of what it replaced.
Applied = tuple[str, Source]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a program.

    Attributes:
      name: of the pass or the transform.
      heading: what it is part of; empty for the pipeline itself.
      part: counts up where another program is begun under the same heading.
      before: the program before it.
      after: the program after it.
      seconds: it took, what was recorded within it left out.
      rules: the rules that were applied, in order.
      remarks: what was said.
    """

    name: str
    heading: str
    part: int
    before: Function
    after: Function
    seconds: float
    rules: tuple[Applied, ...]
    remarks: tuple[Remark, ...]


@dataclass(slots=True)
class _Journal:
    steps: list[Step] = field(default_factory=list)
    heading: str = ""
    part: int = 0
    parts: int = 0
    within: float = 0.0  # seconds of the steps recorded since the step now running began
    applied: list[Applied] | None = None


_kept: ContextVar[_Journal | None] = ContextVar("journal", default=None)


@contextlib.contextmanager
def journal() -> Iterator[list[Step]]:
    """Collect the steps that are made in the block, each when it ends."""
    made = _Journal()
    token = _kept.set(made)
    try:
        yield made.steps
    finally:
        _kept.reset(token)


def step(name: str, change: Callable[[Function], Function], function: Function) -> Function:
    """`change(function)`, recorded if a journal is kept."""
    kept = _kept.get()
    if kept is None:
        return change(function)
    outer, others = kept.within, kept.applied
    kept.within, kept.applied = 0.0, []
    begin = time.perf_counter()
    try:
        with remarks() as said:
            after = change(function)
        seconds = time.perf_counter() - begin
        kept.steps.append(
            Step(
                name,
                kept.heading,
                kept.part,
                function,
                after,
                seconds - kept.within,
                tuple(kept.applied),
                tuple(said),
            )
        )
        outer += seconds
    finally:
        kept.within, kept.applied = outer, others
    for each in said:
        remark(each.by, each.source, each.text, declined=each.declined)
    return after


@contextlib.contextmanager
def within(heading: str) -> Iterator[None]:
    """Put the steps of the block under a heading."""
    kept = _kept.get()
    if kept is None:
        yield
        return
    outer = kept.heading, kept.part
    kept.parts += 1
    kept.heading, kept.part = heading, kept.parts
    try:
        yield
    finally:
        kept.heading, kept.part = outer


def applied() -> list[Applied] | None:
    """Where the rules that are applied are to be written down; None where nobody listens."""
    kept = _kept.get()
    return None if kept is None else kept.applied


__all__ = ["Applied", "Step", "applied", "journal", "step", "within"]
