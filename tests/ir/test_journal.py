"""The journal of compilation: steps, the rules applied in each, and nothing where nobody listens."""

from __future__ import annotations

import pytest

import ir
from ir.journal import applied, journal, step, within
from ir.ops.elementwise import neg, sin
from ir.passes.pipeline import optimize
from ir.passes.simplify import simplify
from ir.remarks import remark, remarks
from ir.types import f32

F = ir.TensorType((3,), f32)


def twice_negated() -> ir.Function:
    return ir.build([F], lambda x: sin(neg(neg(x))))


def test_nothing_is_kept_where_nobody_listens() -> None:
    assert applied() is None
    function = twice_negated()
    assert step("simplify", simplify, function) == optimize(function)
    with within("nothing"):
        assert applied() is None


def test_steps_and_rules() -> None:
    function = twice_negated()
    with journal() as steps:
        out = step("simplify", simplify, function)
        again = step("again", simplify, out)
    assert again is out
    first, second = steps
    assert (first.name, first.before, first.after) == ("simplify", function, out)
    assert [name for name, _ in first.rules] == ["double_negation"]
    assert first.rules[0][1].file == __file__
    assert second.rules == ()
    assert second.before is second.after
    assert first.seconds > 0
    assert applied() is None


def test_headings_parts_and_time_of_steps_within_steps() -> None:
    function = twice_negated()

    def outer(f: ir.Function) -> ir.Function:
        with within("inside"):
            step("first", simplify, f)
        with within("inside"):
            return step("second", simplify, f)

    with journal() as steps:
        step("outer", outer, function)
    assert [(s.name, s.heading) for s in steps] == [("first", "inside"), ("second", "inside"), ("outer", "")]
    assert len({s.part for s in steps}) == 3
    # Rules and seconds are those of a step alone.
    assert [len(s.rules) for s in steps] == [1, 1, 0]
    assert all(s.seconds >= 0 for s in steps)


def test_remarks_are_heard_inside_and_outside() -> None:
    function = twice_negated()

    def saying(f: ir.Function) -> ir.Function:
        remark("saying", f.eqns[0].source, "so", declined=True)
        return f

    with remarks() as found, journal() as steps:
        step("saying", saying, function)
    assert list(steps[0].remarks) == found
    assert found[0].declined


def test_a_step_that_fails_leaves_no_trace() -> None:
    def fails(_: ir.Function) -> ir.Function:
        raise ValueError("no")

    with journal() as steps:
        with pytest.raises(ValueError, match="no"):
            step("fails", fails, twice_negated())
        assert applied() is None
        step("simplify", simplify, twice_negated())
    assert [s.name for s in steps] == ["simplify"]
    assert len(steps[0].rules) == 1
