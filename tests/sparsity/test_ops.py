"""Every op has a rule, and no rule forgets an element: on all samples of all ops, to second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ir
from ir.sparsity import hessian_pattern, jacobian_pattern
from ir.sparsity.propagate import is_conservative, rule_of
from tests.ops.harness import BY_NAME, Case, case, derivative_dtypes, inexact, mask
from tests.ops.refusals import differentiable_operands, kind, refusal
from tests.sparsity.dense import hessian, inexact_results, jacobian, loss

OPS = ir.all_ops()
MOST = 150  # inputs: the reference takes one evaluation for each

# Ops of which nothing more is said than that all depends on all.
CONSERVATIVE = {
    "all_gather",
    "all_to_all",
    "collective_permute",
    "foreign",
    "foreign_effect",
    "linear_solve",
    "replay",
    "while_record",
}
# Ops that meet tangents without having a transpose: loops and windows over primals and tangents together.
JOINT = {"while_loop", "while_record", "reduce_window", "assume"}


def _inputs(c: Case) -> int:
    """How many numbers a sample is differentiated by."""
    chosen = mask(differentiable_operands(c), len(c.operands))
    return sum(np.size(x) for x, n in zip(c.operands, chosen, strict=True) if n)


def _params(*orders: str) -> list[Any]:
    """The samples that have derivatives of all these orders, and not too many inputs."""
    cases = [(name, dtype) for name in BY_NAME for dtype in derivative_dtypes(name)[:1]]
    return [
        pytest.param(name, dtype, id=f"{name}-{dtype}")
        for name, dtype in cases
        if kind(name, dtype) == "tested"
        and not any(refusal(case(name, dtype), order) for order in orders)
        and inexact(case(name, dtype).function.out_types)
        and 0 < _inputs(case(name, dtype)) <= MOST
    ]


@pytest.mark.parametrize("name", OPS)
def test_has_rule(name: str) -> None:
    """Ops that may be part of a linear program have a rule; which ones are given up is written here."""
    the_op = OPS[name]
    if the_op.transpose is not None or name in JOINT:
        assert rule_of(the_op) is not None
    assert is_conservative(the_op) == (name in CONSERVATIVE)


def _drawn(name: str, dtype: str) -> tuple[ir.Function, list[Any], tuple[bool, ...]]:
    c = case(name, dtype)
    operands = [np.asarray(x) for x in c.operands]
    chosen = mask(differentiable_operands(c), len(operands))
    return inexact_results(c.function), operands, chosen


@pytest.mark.parametrize(("name", "dtype"), _params("forward"))
def test_jacobian(name: str, dtype: str) -> None:
    function, operands, chosen = _drawn(name, dtype)
    found = jacobian_pattern(function, chosen).dense()
    want = jacobian(function, operands, chosen)
    assert found.shape == want.shape
    assert not (want & ~found).any()


@pytest.mark.parametrize(("name", "dtype"), _params("forward", "reverse", "second"))
def test_hessian(name: str, dtype: str) -> None:
    function, operands, chosen = _drawn(name, dtype)
    scalar = loss(function)
    found = hessian_pattern(scalar, chosen).dense()
    assert not (hessian(scalar, operands, chosen) & ~found).any()
    assert np.array_equal(found, found.T)
