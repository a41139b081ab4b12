"""One test of the suite: an expression in the forms in which it is first written, and one written by hand.

May import: NumPy and the cases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Quantity

SIZES = {"tiny": {"n": 16}, "small": {"n": 200}, "middle": {"n": 1000}, "large": {"n": 3000}}
SOURCE = (
    "A. Sankaran, N. Akbari Alashti, C. Psarras, P. Bientinesi, Benchmarking the Linear Algebra Awareness of TensorFlow"
    " and PyTorch, IPDPSW 2022, arXiv:2202.09888; github.com/HPAC/LAAB-Python"
)

# What references are computed with.
NUMPY = SimpleNamespace(np=np)

BY_HAND = "by hand"

Program = Callable[..., Any]


@dataclass(frozen=True)
class Test:
    """An expression.

    Attributes:
      inputs: of the number of rows, arrays in double precision.
      forms: `program(library, *inputs)` by how the expression is written: `operator`, `matmul`, ...
      by_hand: what an expert writes, with the operations that libraries share; in NumPy and double precision it is the
        reference of all.
      spelled: by form, or `by hand`, as `Case.spelled`.
    """

    name: str
    inputs: Callable[[int], tuple[Any, ...]]
    forms: Mapping[str, Program]
    by_hand: Program
    spelled: Mapping[str, Mapping[str, Program]] = field(default_factory=dict)
    tolerance: float = 1e-4
    source: str = SOURCE

    # (pytest is not to collect it)
    __test__ = False

    def cases(self) -> list[Case]:
        """The forms, and then the one by hand."""
        return [self._case(form, program) for form, program in {**self.forms, BY_HAND: self.by_hand}.items()]

    def counterparts(self) -> dict[str, str]:
        """By the name of each case of a form, the one by hand."""
        return {f"{self.name}, {form}": f"{self.name}, {BY_HAND}" for form in self.forms}

    def _case(self, form: str, program: Program) -> Case:
        return Case(
            suite="laab",
            name=f"{self.name}, {form}",
            program=program,
            inputs=self.inputs,
            sizes=SIZES,
            quantity=Quantity.VALUE,
            reference=lambda *inputs: self.by_hand(NUMPY, *inputs),
            dtype="float32",
            tolerance=self.tolerance,
            spelled=self.spelled.get(form, {}),
            source=self.source,
        )


def normal(*shapes: Callable[[int], tuple[int, ...]]) -> Callable[[int], tuple[Any, ...]]:
    """Inputs of independent normal numbers, divided by the root of the rows so that products stay of one size."""

    def inputs(n: int) -> tuple[Any, ...]:
        return tuple(
            [np.random.default_rng(k).normal(size=shape(n)) / n**0.5 for k, shape in enumerate(shapes)]
        )

    return inputs


def square(n: int) -> tuple[int, int]:
    return n, n


def column(n: int) -> tuple[int, int]:
    return n, 1


__all__ = ["BY_HAND", "NUMPY", "SIZES", "SOURCE", "Program", "Test", "column", "normal", "square"]
