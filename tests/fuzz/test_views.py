"""Random Python programs, traced and differentiated: their text parses back, and every view of them is made."""

from __future__ import annotations

import random
from typing import Any

import jax
import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.fuzz.generate import generate
from tests.fuzz.spaces import TRACER
from tracer.errors import TracerError


@pytest.mark.slow
@settings(max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_views_of_programs(number: int) -> None:
    program = generate(random.Random(f"views.{number}"))
    f = program.function(TRACER)

    def total(*args: Any) -> Any:
        return sum(tnp.real(x).sum() for x in jax.tree_util.tree_leaves(f(*args)))

    argnums = tuple(i for i, p in enumerate(program.block.params) if p.differentiable)

    def slope(*args: Any) -> Any:
        return sum(tnp.real(x).sum() for x in tr.grad(total, argnums)(*args))

    try:
        stages = tr.jit(total).stages(*program.inputs)
        if argnums:
            stages += tr.jit(slope).stages(*program.inputs)
    except TracerError:  # a program that is refused is no matter of views
        reject()
    before = stages[0][1]
    for _, function in (stages[0], stages[-1]):
        text = str(function)
        if "<" not in text.replace("key<", ""):  # a Python rule, which does not parse
            parsed = ir.parse(text)
            assert parsed == function
            assert str(parsed) == text
        assert str(tr.show(function, columns=("live", "code"), width=80))
        assert len(tr.find(function)) == str(tr.show(function, limit=None)).count("\n") + 1 - _frames(
            function
        )
        assert str(tr.graph(function, limit=10**6)).startswith("digraph")
        found = tr.diff(before, function)
        assert found.kept + found.changed + found.removed == len(tr.find(before))
        assert found.kept + found.changed + found.added == len(tr.find(function))


def _frames(function: ir.Function) -> int:
    """First and last lines of functions."""
    return 2 * sum(1 for line in str(function).split("\n") if line.lstrip().startswith("def "))
