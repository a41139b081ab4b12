"""Small functions of the IR whose size and shape tests of views choose."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import ir
from ir.core import Function, Value
from ir.ops.calls import call
from ir.ops.elementwise import add, cos, mul, neg, sin
from ir.types import TensorType, f32

SCALAR = TensorType((), f32)
OPS: dict[str, Any] = {"s": sin, "c": cos, "n": neg, "m": lambda x: mul(x, x), "a": lambda x: add(x, x)}


def chain(ops: str, name: str = "f") -> Function:
    """One equation for each letter, each of the result before."""

    def body(x: Value) -> Value:
        for letter in ops:
            x = OPS[letter](x)
        return x

    return ir.build([SCALAR], body, name, names=["x"], source=ir.Source.at("chain.py", 3, "chain"))


def nested(depth: int, leaf: Function) -> Function:
    """Calls of calls of `leaf`, `depth` deep."""
    for level in range(depth):
        inner = leaf
        leaf = ir.build([SCALAR], lambda x, f=inner: sin(call(x, function=f)), f"level_{level}", names=["x"])
    return leaf


def work(run: Callable[[], object]) -> int:
    """Calls of Python and C functions made to run; a measure of work that no other process disturbs."""
    count = 0

    def called(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        run()
    finally:
        sys.setprofile(before)
    return count
