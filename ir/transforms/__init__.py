"""Transforms `Function -> Function`: jvp, linearize, transpose, batch, guarded, checked."""

from ir.transforms.batch import batch
from ir.transforms.checked import checked
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
    "checked",
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
