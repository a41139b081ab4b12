"""Transforms `Function -> Function`: jvp, linearize, transpose, batch, guarded."""

from ir.transforms.batch import batch
from ir.transforms.guard import guarded
from ir.transforms.jvp import jvp
from ir.transforms.linearize import (
    linearize,
    split_linearize,
    split_vjp,
    transpose,
    transpose_map,
    value_and_grad,
    vjp,
)

__all__ = [
    "batch",
    "guarded",
    "jvp",
    "linearize",
    "split_linearize",
    "split_vjp",
    "transpose",
    "transpose_map",
    "value_and_grad",
    "vjp",
]
