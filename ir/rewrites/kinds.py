"""Kinds of element types and small helpers that several families of rewrites share."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ir.core import Dense, Value
from ir.ops.families import COMPLEX, FLOAT, INEXACT, INTEGER, NUMBER
from ir.ops.shape import constant
from ir.types import Shape

__all__ = [
    "BITS", "COMPLEX", "EXACT", "FLOAT", "INEXACT", "INTEGER", "NUMBER", "REAL", "F", "fill", "filled", "same",
]  # fmt: skip

BITS: Final = frozenset({"bool", "int", "uint"})
EXACT: Final = frozenset({"bool", "int", "uint"})  # whatever the order of operations
REAL: Final = NUMBER - COMPLEX
F: Final = ("bf16", "f16", "f32", "f64")


def fill(value: Dense) -> Any:
    """The NumPy array of rank 0 that fills a constant, or None."""
    return value.array if value.shape == () and value.dtype.kind != "key" else None


def filled(array: Any, like: Dense, shape: Shape) -> Value:
    """A constant of that shape filled with a number, in the element type of `like`."""
    with np.errstate(all="ignore"):
        return constant(value=Dense(np.asarray(array).astype(like.dtype.np), like.dtype), shape=shape)  # type: ignore[no-any-return]


def same(a: Dense, b: Dense) -> bool:
    """Whether two constants are filled with the same number, bit for bit."""
    return fill(a) is not None and a == b
