"""The op table. Importing this package declares every op; each is also a function that builds IR."""

from ir.ops import loops
from ir.ops import (
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
    random,
    reduce,
    reduce_window,
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
    "random",
    "reduce",
    "reduce_window",
    "scatter",
    "shape",
    "sorting",
    "special",
    "windows",
]
