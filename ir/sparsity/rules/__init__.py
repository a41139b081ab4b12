"""The rules by which dependence on inputs goes through ops; the files mirror `ir/ops`."""

from ir.sparsity.rules import (
    calls,
    contraction,
    control,
    elementwise,
    indexing,
    linalg,
    reduce,
    shape,
    windows,
)

__all__ = [
    "calls", "contraction", "control", "elementwise", "indexing", "linalg", "reduce", "shape", "windows",
]  # fmt: skip
