"""What a peer does for the runner. May import: NumPy, trees and the cases; never another peer."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import mapped

# The runner sets it before the process starts: `cpu`, `gpu` or `tpu`.
DEVICE = "BENCHMARK_DEVICE"


class Unsupported(NotImplementedError):
    """What the library cannot do; the message is the reason in the case's row."""


class Peer(Protocol):
    """One library, in a process and an environment of its own. A module of a peer has `peer() -> Peer`."""

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

    def note(self, case: Case) -> str:
        """What a reader of the row must know: `VALUE_ONLY`, `DENSE` or nothing."""

    def temporaries(self) -> int | None:
        """Bytes of temporaries of the call last prepared, where the library says so."""


# Notes. `VALUE_ONLY`: the first of the results alone, without derivatives. `DENSE`: all elements, zeros too.
VALUE_ONLY, DENSE = "value only", "dense"


class Defaults:
    """What most peers have in common."""

    name: str

    def note(self, case: Case) -> str:
        return DENSE if case.quantity is Quantity.SPARSE_JACOBIAN else ""

    def temporaries(self) -> int | None:
        return None


def wanted_device() -> str:
    """`cpu`, `gpu` or `tpu`, as the runner was told."""
    return os.environ.get(DEVICE, "cpu")


def program_of(case: Case, *names: str) -> Callable[..., Any]:
    """The program as the users of the first of these peers write it that has a way of its own."""
    return next((case.spelled[name] for name in names if name in case.spelled), case.program)


def static_of(case: Case, size: str) -> Mapping[str, Any]:
    """Keyword arguments of the program."""
    return case.static(**case.sizes[size]) if case.static else {}


def numpy_inputs(case: Case, size: str) -> tuple[Any, ...]:
    """The inputs as arrays of NumPy, in the case's dtype.

    Raises:
      Unsupported: NumPy has no such dtype.
    """
    if case.dtype not in ("float32", "float64"):
        raise Unsupported(f"NumPy has no {case.dtype}")

    def array(leaf: Any) -> Any:
        made = np.asarray(leaf)
        return made.astype(case.dtype, copy=False) if made.dtype.kind == "f" else made

    inputs: tuple[Any, ...] = mapped(array, case.inputs(**case.sizes[size]))
    return inputs


def not_zero(array: Any) -> Any:
    """Elements of a dense Jacobian that are not zero, in the order of rows, then columns."""
    flat = np.asarray(array).ravel()
    return flat[flat != 0]


__all__ = [
    "DENSE",
    "DEVICE",
    "Defaults",
    "Peer",
    "Unsupported",
    "VALUE_ONLY",
    "not_zero",
    "numpy_inputs",
    "program_of",
    "static_of",
    "wanted_device",
]
