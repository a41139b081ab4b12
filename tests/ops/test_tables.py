"""The three places of an op agree: its record, its lowering rule, its samples. What is missing is named."""

from __future__ import annotations

from typing import Any

import pytest

import ir
from ir.op import LINEAR, MULTILINEAR, ZERO
from lowering.emit import rules
from tests.ops.harness import BY_NAME, case
from tests.ops.refusals import NO_DERIVATIVE, REFUSALS, UNDEFINED
from tests.ops.samples import SAMPLES

OPS = ir.all_ops()

# Ops that lack a sample, and why.
NO_SAMPLE = {
    "custom_vjp_tangent": "stands for a linear map of which only the transpose is known",
    "foreign": "holds what has no counterpart in the IR; tests/lowering/test_foreign.py",
    "foreign_effect": "likewise; tests/lowering/test_foreign.py",
    "all_gather": "exchanges between examples of a batch; tests/tracer/test_collectives.py",
    "all_to_all": "likewise; tests/tracer/test_collectives.py",
    "collective_permute": "likewise; tests/tracer/test_collectives.py",
    "check": "has no results; tests/tracer/debug/test_check.py",
    "custom_vjp_call": "has no forward mode to test; tests/tracer/test_custom_rules.py has its reverse mode",
}


def names(exempt: dict[str, str] | None = None) -> list[str]:
    return [name for name in OPS if name not in (exempt or {})]


def test_there_are_ops_and_samples() -> None:
    assert len(OPS) > 100
    assert len(SAMPLES) > len(OPS)


def test_no_sample_without_an_op() -> None:
    assert {s.op for s in SAMPLES} <= set(OPS)


def test_no_lowering_without_an_op() -> None:
    assert set(rules()) <= set(OPS)


@pytest.mark.parametrize(
    "exempt",
    [NO_SAMPLE, NO_DERIVATIVE, UNDEFINED, {r.op: r for r in REFUSALS}],
    ids=["sample", "derivative", "operands", "orders"],
)
def test_exempt_ops_exist(exempt: dict[str, Any]) -> None:
    assert set(exempt) <= set(OPS)


@pytest.mark.parametrize("name", OPS)
def test_has_lowering(name: str) -> None:
    assert name in rules()


@pytest.mark.parametrize("name", names(NO_SAMPLE))
def test_has_sample(name: str) -> None:
    assert any(s.op == name for s in SAMPLES)


@pytest.mark.parametrize("name", OPS)
def test_has_evaluation(name: str) -> None:
    assert OPS[name].eval is not None


@pytest.mark.parametrize("name", OPS)
def test_has_derivative(name: str) -> None:
    the_op = OPS[name]
    missing = the_op.jvp is None and the_op.differentiate is None
    assert missing == (name in NO_DERIVATIVE), "has no jvp rule" if missing else "is listed as having none"


@pytest.mark.parametrize("name", OPS)
def test_linear_op_has_transpose(name: str) -> None:
    if OPS[name].jvp in (LINEAR, MULTILINEAR):
        assert OPS[name].transpose is not None


@pytest.mark.parametrize("name", names(NO_SAMPLE))
def test_has_batching(name: str) -> None:
    the_op = OPS[name]
    without_operands = all(not case(key, s.dtypes[0]).types for key, s in BY_NAME.items() if s.op == name)
    assert the_op.batch is not None or the_op.elementwise or without_operands


@pytest.mark.parametrize("name", OPS)
def test_results_without_tangents_have_derivative_zero(name: str) -> None:
    """An op whose results are never float or complex says so, instead of failing under `grad`."""
    cases = [case(key, dtype) for key, s in BY_NAME.items() if s.op == name for dtype in s.dtypes]
    if cases and not any(t.dtype.is_inexact for c in cases for t in c.function.out_types):
        assert OPS[name].jvp is ZERO


@pytest.mark.parametrize("name", BY_NAME)
def test_flops_are_a_count(name: str) -> None:
    for dtype in BY_NAME[name].dtypes[:1]:
        c = case(name, dtype)
        (eqn,) = c.function.eqns
        flops = c.op.flops(c.function.in_types, c.function.out_types, **eqn.attrs)
        assert type(flops) is int
        assert flops >= 0
