"""Elementwise ops that have infinite slopes at finite operands say where theirs are finite; the others have none."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ir
from ir import transforms
from ir.errors import DifferentiationError, TracerError
from ir.op import ZERO, all_ops, building
from ir.types import TensorType, f32

ATTRS: dict[str, list[dict[str, Any]]] = {"integer_pow": [{"y": n} for n in (-3, -1, 0, 2, 5)]}
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 100.0, -100.0)
OPS = {
    name: op
    for name, op in all_ops().items()
    if op.elementwise and op.jvp not in (ZERO, None) and (not op.attrs or name in ATTRS) and name != "select"
}


def slopes(name: str, points: Any, **attrs: Any) -> list[np.ndarray[Any, Any]]:
    """The value and the derivative by each operand that has one, at a batch of points."""
    x = TensorType((len(points),), f32)
    arrays = [np.asarray(column, np.float32) for column in zip(*points, strict=True)]
    params = tuple([ir.Value(x) for _ in arrays])
    builder = ir.Builder()
    with building(builder):
        result = OPS[name](*params, **attrs)
    function = ir.Function(params, tuple(builder.eqns), (result,), name)
    out = [ir.evaluate(function, *arrays)[0]]
    for position in range(len(arrays)):
        nonzero = [i == position for i in range(len(arrays))]
        try:
            program, present = transforms.jvp(function, nonzero, primals_out=False)
        except DifferentiationError:
            continue
        if any(present):
            out += ir.evaluate(program, *arrays, np.ones_like(arrays[0]))
    return out


def arity(name: str) -> int:
    for count in (1, 2, 3):
        try:
            slopes(name, [(0.5,) * count], **ATTRS.get(name, [{}])[0])
        except (TracerError, TypeError):
            continue
        return count
    return 0  # takes no floats of one type


TAKEN = [name for name in OPS if arity(name)]


@pytest.mark.parametrize("name", TAKEN)
def test_slopes_are_finite_where_the_op_says(name: str) -> None:
    op, count = OPS[name], arity(name)
    assert count
    for attrs in ATTRS.get(name, [{}]):
        numbers = (None,) * count if op.tame is None else op.tame(**attrs)
        assert len(numbers) == count
        points = list(itertools.product(*[POINTS if n is None else (n,) for n in numbers]))
        for out in slopes(name, points, **attrs):
            wrong = [p for p, y in zip(points, np.asarray(out), strict=True) if not np.isfinite(y)]
            assert not wrong, f"{name} {attrs} is not finite at {wrong[:3]}"


def test_ops_that_are_tested() -> None:
    assert {"add", "atan2", "div", "log", "pow", "regularized_incomplete_beta", "tanh"} <= set(TAKEN)
    assert {name for name in OPS if OPS[name].tame is not None} <= set(TAKEN)
