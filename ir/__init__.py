"""The compiler core: types, functions, ops with their rules, transforms, passes. NumPy only."""

from ir.core import Dense, Eqn, Function, Opaque, Value, nested_functions
from ir.cost import bytes_accessed, eqn_cost, flops, live_memory, summary
from ir.evaluate import evaluate
from ir.op import Builder, Op, all_ops, build, building, inline, op_named
from ir.parser import parse
from ir.printer import to_text
from ir.source import Source
from ir.types import DType, TensorType, dtype_named, dtypes, from_numpy
from ir.verify import verify

__all__ = [
    "Builder",
    "DType",
    "Dense",
    "Eqn",
    "Function",
    "Op",
    "Opaque",
    "Source",
    "TensorType",
    "Value",
    "all_ops",
    "build",
    "building",
    "bytes_accessed",
    "dtype_named",
    "dtypes",
    "eqn_cost",
    "evaluate",
    "flops",
    "from_numpy",
    "inline",
    "live_memory",
    "nested_functions",
    "op_named",
    "parse",
    "summary",
    "to_text",
    "verify",
]
