"""NumPy: values alone, computed at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from benchmarks.peers import eager
from benchmarks.peers.nn import Functions
from benchmarks.peers.peer import VALUE_ONLY, Defaults, Unsupported, numpy_inputs, program_of, static_of
from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import leaves


def _no_derivatives(*_: Any, **__: Any) -> Any:
    raise Unsupported("NumPy takes no derivatives")


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = np, Functions(np)
    scan, while_loop = partial(eager.scan, np.stack), staticmethod(eager.while_loop)
    vmap = partial(eager.vmap, np.stack)
    grad = value_and_grad = jvp = hvp = staticmethod(_no_derivatives)


class NumPy(Defaults):
    """Of `value and gradient` the value."""

    name = "numpy"

    def versions(self) -> Mapping[str, str]:
        return {}

    def device(self) -> str:
        return "cpu"

    def note(self, case: Case) -> str:
        return VALUE_ONLY if case.quantity is Quantity.VALUE_AND_GRADIENT else ""

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        if case.quantity not in (Quantity.VALUE, Quantity.CALL, Quantity.VALUE_AND_GRADIENT):
            raise Unsupported("NumPy takes no derivatives")
        program, static = program_of(case, self.name), static_of(case, size)
        args = numpy_inputs(case, size)
        return lambda: program(Library, *args, **static)

    def arrays(self, results: Any) -> list[Any]:
        return [np.asarray(leaf) for leaf in leaves(results)]


def peer() -> NumPy:
    return NumPy()


__all__ = ["peer"]
