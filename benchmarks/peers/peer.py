"""What a peer does for the runner. May import: NumPy and the cases; never another peer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from benchmarks.suites.case import Case


class Peer(Protocol):
    """One library, in a process and an environment of its own."""

    name: str

    def versions(self) -> Mapping[str, str]:
        """Of the library and what it runs on."""

    def device(self) -> str:
        """The device's own name."""

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        """Inputs on the device, and the call that is timed: it compiles at its first call, returns the library's own
        arrays, and only when they are there.
        """

    def arrays(self, results: Any) -> list[Any]:
        """The leaves of results as NumPy arrays, in the order of `jax.tree_util` (dictionaries sorted by key)."""


__all__ = ["Peer"]
