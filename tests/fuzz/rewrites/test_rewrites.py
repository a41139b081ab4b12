"""Programs in which rewrites meet keep values, gradients, bits and cost; `make fuzz RULES=1` tries more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import ir
from ir.core import Value
from ir.op import build
from ir.ops.elementwise import add, mul, sin
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full_like, transpose
from ir.rewrites import RULES
from ir.types import TensorType, f64
from tests.fuzz.rewrites import check
from tests.fuzz.rewrites.check import Check, difference, different_bits
from tests.fuzz.rewrites.compiled import LEVELS, compiled_failures
from tests.fuzz.rewrites.cost import dearer
from tests.fuzz.rewrites.draw import Drawn, draw
from tests.fuzz.rewrites.minimise import minimise
from tests.fuzz.rewrites.run import Suite, report
from tests.fuzz.rewrites.ways import passes

# Every rule has its turn in as many programs as there are rules.
PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
def test_programs_keep_what_they_compute_and_cost_no_more(part: int) -> None:
    suite = Suite(1, compiled=0)
    numbers = range(part, len(RULES), PARTS)
    for number in numbers:
        drawn, found = suite.try_one(number)
        assert not found, report(f"1.{number}", drawn, found, 30.0)
    assert suite.discarded.total() < len(numbers) // 20
    assert {RULES[number].name for number in numbers} <= set(suite.used)
    assert len(suite.check.fired) > len(RULES) // 2


@pytest.mark.parametrize("number", range(6))
def test_exact_programs_have_the_same_bits_compiled(number: int) -> None:
    assert not list(compiled_failures(draw(number)))


def test_programs_are_of_their_seed_and_print_as_they_parse() -> None:
    for seed in range(10):
        one, again = draw(seed), draw(seed)
        assert one.loss == again.loss
        assert ir.parse(str(one.loss)) == one.loss
        ir.verify(one.loss)


# The checks themselves -----------------------------------------------------------------------------------

M = TensorType((2, 3), f64)


def _drawn() -> Drawn:
    def body(x: Value) -> tuple[Value, ...]:
        y = mul(sin(x), full_like(x, 2))
        z = add(
            transpose(y, perm=(1, 0)), broadcast_in_dim(reduce_sum(x, axes=(0, 1)), shape=(3, 2), dims=())
        )
        return reduce_sum(z, axes=(0, 1)), y, z

    return Drawn(build([M], body), (np.linspace(0.1, 0.9, 6).reshape(2, 3),), Counter())


def test_a_pass_that_changes_values_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(function: ir.Function) -> ir.Function:
        """Without the factor 2."""
        eqns = [e for e in function.eqns if e.op.name != "mul"]
        env = {e.results[0]: e.operands[0] for e in function.eqns if e.op.name == "mul"}
        eqns = [ir.Eqn(e.op, tuple([env.get(v, v) for v in e.operands]), e.attrs, e.results) for e in eqns]
        return function.replace(eqns=tuple(eqns), results=tuple([env.get(v, v) for v in function.results]))

    real = passes
    monkeypatch.setattr(
        check, "passes", lambda way, *given, **how: (*real(way), *([wrong] if way != "off" else []))
    )
    kinds = {each.kind for each in Check().failures(_drawn())}
    assert {"value, default", "value, fast", "value, exact", "gradient, default"} <= kinds


def test_what_costs_more_is_found() -> None:
    drawn = _drawn()
    longer = build([M], lambda x: (reduce_sum(sin(add(x, full_like(x, 0))), axes=(0, 1)),))
    shorter = build([M], lambda x: (reduce_sum(sin(x), axes=(0, 1)),))
    assert {what for what, _ in dearer(shorter, longer)} == {"operations", "bytes", "seconds"}
    assert not list(dearer(longer, shorter))
    assert not list(dearer(drawn.loss, drawn.loss))


def test_bits_and_digits() -> None:
    one, next_ = np.array([1.0, -0.0]), np.array([np.nextafter(1.0, 2), -0.0])
    assert different_bits([next_], [one]) is not None
    assert different_bits([np.array([1.0, 0.0])], [one]) is not None
    assert different_bits([np.array([1.0, 0.0])], [one], signs=False) is None
    assert difference([next_], [one]) is None
    assert difference([one + 1e-8], [one]) is not None


def test_a_failure_is_made_small() -> None:
    def shows(candidate: Drawn) -> bool:
        return any(eqn.op.name == "transpose" for eqn in candidate.loss.eqns)

    small = minimise(_drawn(), shows, 20.0)
    assert len(small.loss.eqns) <= 3
    ir.verify(small.loss)
    assert len(ir.evaluate(small.loss, *small.inputs)) == len(small.loss.results)


def test_levels_end_with_single_ops() -> None:
    assert list(LEVELS)[-1] == "one op at a time"
