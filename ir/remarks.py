"""Remarks of passes about the user's program: what was done to it, or why something was not.

    with remarks() as found:
        function = optimize(function)
    for each in found:
        print(each.source, each.text)

A pass makes them with `remark`; outside `remarks` that does nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from ir.source import Source


@dataclass(frozen=True, slots=True)
class Remark:
    """What a pass says about a place of the program.

    Attributes:
      by: the name of the pass.
      declined: whether it says why something was not done.
    """

    by: str
    source: Source
    text: str
    declined: bool = False

    def __str__(self) -> str:
        return f"{self.by}: {self.text} ({self.source})"


_found: ContextVar[list[Remark] | None] = ContextVar("found", default=None)


def remark(by: str, source: Source, text: str, *, declined: bool = False) -> None:
    """Make a remark, if somebody listens."""
    found = _found.get()
    if found is not None:
        found.append(Remark(by, source, text, declined))


@contextlib.contextmanager
def remarks() -> Iterator[list[Remark]]:
    """Collect the remarks that passes make in the block."""
    found: list[Remark] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


__all__ = ["Remark", "remark", "remarks"]
