"""Random nests of control flow: converted and compiled, they give what Python gives, and its derivatives."""

from __future__ import annotations

import itertools
import linecache
import math
import os
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import x64

VARIABLES = ("a", "b", "c")
_numbers = itertools.count()

values = st.sampled_from(
    [
        "a * 0.5 + x",
        "b - 0.3 * a",
        "c + a * b * 0.1",
        "(a if b > c else b * 0.9)",
        "x * 1.3 - c",
        "-a",
        "0.7",
        "(b and c) + 0.1",
    ]
)
conditions = st.sampled_from(
    [
        "a > 0.3",
        "b < c",
        "a < 1.0 and b < 2.0",
        "x > 0.5 or c < 0.0",
        "not a > b",
        "-1.0 < a <= 1.5",
        "known",
        "known and a < 0.5",
    ]
)


@st.composite
def blocks(draw: Any, depth: int, in_loop: bool) -> list[str]:
    """Lines of a block; what jumps ends it."""
    lines: list[str] = []
    kinds = ["assign", "assign", "augment"]
    if depth:
        kinds += ["if", "while", "array", "range"]
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(kinds))
        name = draw(st.sampled_from(VARIABLES))
        if kind == "assign":
            lines.append(f"{name} = {draw(values)}")
        elif kind == "augment":
            lines.append(f"{name} += 0.25 * {draw(values)}")
        elif kind == "if":
            lines.append(f"if {draw(conditions)}:")
            lines += indented(draw(blocks(depth - 1, in_loop)))
            if draw(st.booleans()):
                lines.append("else:")
                lines += indented(draw(blocks(depth - 1, in_loop)))
        elif kind == "while":
            fuel = f"n{next(_numbers)}"
            lines += [f"{fuel} = 0", f"while {fuel} < 3 and ({draw(conditions)}):", f"    {fuel} += 1"]
            lines += indented(draw(blocks(depth - 1, True)))
        else:
            over, item = ("items" if kind == "array" else "range(3)"), f"i{next(_numbers)}"
            lines.append(f"for {item} in {over}:")
            lines += indented([f"{name} = {name} * 0.8 + 0.1 * {item}", *draw(blocks(depth - 1, True))])
            if draw(st.integers(0, 3)) == 0:
                lines += ["else:", "    c = c + 0.5"]
    ends = ["", ""] + (["break", "continue"] if in_loop else []) + ["return"]
    end = draw(st.sampled_from(ends))
    if end and depth < 3:
        lines.append(f"if {draw(conditions)}:")
        lines.append(f"    {end} {draw(values) if end == 'return' else ''}".rstrip())
    return lines


def indented(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


@st.composite
def programs(draw: Any) -> str:
    body = ["a, b, c, known = x, 0.5, -0.2, True", *draw(blocks(3, False)), "return a + 2 * b - c"]
    return "\n".join(["def f(x, items):", *indented(body)]) + "\n"


def compiled(source: str) -> Any:
    """The function, with its source where `inspect` and the converter look for it."""
    name = f"<program {next(_numbers)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    namespace: dict[str, Any] = {"__name__": "programs"}
    exec(compile(source, name, "exec"), namespace)
    return namespace["f"]


@settings(max_examples=10 if os.environ.get("CI") else 25)  # each compiles a program of its own
@given(programs(), st.sampled_from([0.37, 1.21, -0.83]))
def test_converted_programs_agree_with_python(source: str, x: float) -> None:
    items = np.array([0.3, -0.6, 0.9])
    with x64():
        f = compiled(source)
        want = f(x, items)
        value, slope = tr.jit(tr.value_and_grad(f), autograph=True)(x, tnp.asarray(items))
        np.testing.assert_allclose(float(value), want, rtol=1e-9, atol=1e-12, err_msg=source)
        # Finite differences mean something where no step crosses a branch.
        slopes = [(f(x + h, items) - f(x - h, items)) / (2 * h) for h in (1e-6, 3e-6, 1e-7)]
        if max(slopes) - min(slopes) < 1e-4 * max(1, abs(slopes[0])) and math.isfinite(slopes[0]):
            np.testing.assert_allclose(float(slope), slopes[0], rtol=1e-3, atol=1e-4, err_msg=source)


@settings(max_examples=25)
@given(programs(), st.sampled_from([0.37, 1.21, -0.83]))
def test_conversion_changes_nothing_that_is_not_traced(source: str, x: float) -> None:
    f = compiled(source)
    assert tr.autograph(f)(x, [0.3, -0.6, 0.9]) == f(x, [0.3, -0.6, 0.9])
