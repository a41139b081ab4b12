"""Lowering rules, one file for each file of `ir.ops`. Importing this package registers them all."""

from lowering.rules import loops
from lowering.rules import (
    calls,
    contraction,
    convert,
    convolution,
    cumulative,
    decompositions,
    elementwise,
    fft,
    indexing,
    linalg,
    reduce,
    scatter,
    shape,
    sorting,
    special,
    windows,
)

__all__ = [
    "calls",
    "contraction",
    "convert",
    "convolution",
    "cumulative",
    "decompositions",
    "elementwise",
    "fft",
    "indexing",
    "linalg",
    "reduce",
    "scatter",
    "shape",
    "sorting",
    "special",
    "windows",
]
