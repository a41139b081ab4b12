"""The reference evaluator rounds alike wherever elements lie in memory, so that results compare bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ir
from ir.core import Value
from ir.op import build
from ir.ops.contraction import dot_general
from ir.ops.reduce import reduce_prod, reduce_sum
from ir.ops.shape import transpose
from ir.types import TensorType, f64

OPS: dict[str, Callable[[Value], Any]] = {
    "reduce_sum": lambda x: reduce_sum(x, axes=(2,)),
    "reduce_prod": lambda x: reduce_prod(x, axes=(2,)),
    "dot_general": lambda x: dot_general(x, x, lhs_contract=(2, 1), rhs_contract=(2, 1)),
}
X = np.random.default_rng(0).uniform(0.5, 1.5, (6, 40, 30))


@pytest.mark.parametrize("name", OPS)
def test_views_are_as_copies(name: str) -> None:
    """A transposed value, which is a view, has the sums of the same value in an array of its own."""

    def turned(x: Value) -> Any:
        return transpose(x, perm=(2, 0, 1))

    (view,) = ir.evaluate(build([TensorType(X.shape, f64)], turned), X)
    (got,) = ir.evaluate(build([TensorType(X.shape, f64)], lambda x: OPS[name](turned(x))), X)
    alone = build([TensorType(view.shape, f64)], OPS[name])
    for array in (view, np.array(view, order="C"), np.array(view, order="F")):
        assert ir.evaluate(alone, array)[0].tobytes() == got.tobytes()
