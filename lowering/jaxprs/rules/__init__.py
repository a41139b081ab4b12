"""Import rules, one file for each file of `ir.ops` that has any. Importing this package registers them."""

from lowering.jaxprs.rules import (
    calls,
    collectives,
    contraction,
    control,
    convert,
    elementwise,
    indexing,
    linalg,
    random,
    reduce,
    shape,
    sorting,
    windows,
)

__all__ = [
    "calls",
    "collectives",
    "contraction",
    "control",
    "convert",
    "elementwise",
    "indexing",
    "linalg",
    "random",
    "reduce",
    "shape",
    "sorting",
    "windows",
]
