"""Samples of every op, one file for each file of `ir.ops`; `SAMPLES` joins them."""

from importlib import import_module

from tests.ops.sample import Sample

FAMILIES = (
    "elementwise",
    "logic",
    "convert",
    "special",
    "shape",
    "reduce",
    "cumulative",
    "sorting",
    "contraction",
    "convolution",
    "indexing",
    "scatter",
    "windows",
    "reduce_window",
    "fft",
    "linalg",
    "decompositions",
    "random",
    "calls",
    "checkpoint",
    "loops",
    "cond",
    "while_loop",
    "while_record",
    "replay",
    "linear_solve",
    "linear_call",
)
SAMPLES: list[Sample] = [
    s for family in FAMILIES for s in import_module(f"tests.ops.samples.{family}").SAMPLES
]
