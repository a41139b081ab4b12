"""Kinds of element types and small helpers that several families of rewrites share."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ir.core import Dense, Value
from ir.ops.contraction import dot_general
from ir.ops.families import COMPLEX, FLOAT, INEXACT, INTEGER, NUMBER, ORDERED
from ir.ops.shape import broadcast_in_dim, constant, reshape_to
from ir.types import Shape

__all__ = [
    "BATCHED", "BITS", "COMPLEX", "EXACT", "FLOAT", "INEXACT", "INTEGER", "MATMUL", "NUMBER", "ORDERED", "REAL",
    "dot", "fill", "filled", "repeated", "same",
]  # fmt: skip

BITS: Final = frozenset({"bool", "int", "uint"})
EXACT: Final = frozenset({"bool", "int", "uint"})  # whatever the order of operations
REAL: Final = NUMBER - COMPLEX


def fill(value: Dense) -> Any:
    """The NumPy array of rank 0 that fills a constant, or None."""
    return value.array if value.shape == () and value.dtype.kind != "key" else None


def filled(array: Any, like: Dense, shape: Shape) -> Value:
    """A constant of that shape filled with a number, in the element type of `like`."""
    with np.errstate(all="ignore"):
        return constant(value=Dense(np.asarray(array).astype(like.dtype.np), like.dtype), shape=shape)  # type: ignore[no-any-return]


def repeated(x: Value, shape: Shape, dims: tuple[int, ...]) -> Value:
    """`x` broadcast; reshaped, which is free, where nothing is repeated."""
    if x.type.size == math.prod(shape):
        return reshape_to(x, shape)
    return broadcast_in_dim(x, shape=shape, dims=dims)  # type: ignore[no-any-return]


def same(c: Dense, v: Dense) -> bool:
    """Whether two constants are filled with the same number, bit for bit."""
    return fill(c) is not None and c == v


# Attributes of products of matrices, and of batches of them, as rules name them.
MATMUL: dict[str, Any] = {"lc": (1,), "rc": (0,), "lb": (), "rb": (), "precision": None, "preferred": None}
BATCHED = MATMUL | {"lc": (2,), "rc": (1,), "lb": (0,), "rb": (0,)}


def dot(x: Value, y: Value, dims: Any) -> Value:
    """The product of given contracted axes and batch axes of both, precision and preferred type."""
    lc, rc, lb, rb, precision, preferred = dims
    return dot_general(  # type: ignore[no-any-return]
        x,
        y,
        lhs_contract=lc,
        rhs_contract=rc,
        lhs_batch=lb,
        rhs_batch=rb,
        precision=precision,
        preferred_type=preferred,
    )
