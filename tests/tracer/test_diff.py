"""`diff`: counts add up, copies have none, edits are found wherever they are, nested functions included."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

import ir
import tracer as tr
from ir.core import Function, inner_first
from tests.ir.generate import functions
from tests.tracer.chains import chain, nested, work
from tests.tracer.helpers import array
from tracer.errors import ArgumentError, ArgumentTypeError

TRIES = settings().max_examples  # of the profile


def printed_equations(function: Function) -> int:
    return sum(len(f.eqns) for f in inner_first(function))


@given(functions())
def test_a_function_and_its_copy(function: Function) -> None:
    for other in (function, ir.parse(str(function))):
        found = tr.diff(function, other)
        assert found.same
        assert not found
        assert (found.removed, found.added, found.changed) == (0, 0, 0)
        assert found.kept == printed_equations(function)
        assert all(row.kind == "same" for row in found._rows)


@settings(max_examples=TRIES // 2)
@given(functions(), functions())
def test_counts_add_up(before: Function, after: Function) -> None:
    found = tr.diff(before, after, max_elements=None)
    assert found.kept + found.changed + found.removed == printed_equations(before)
    assert found.kept + found.changed + found.added == printed_equations(after)
    assert found.same == (before == after)
    # Each side has all of its lines, in order.
    assert [row.left.text for row in found._rows if row.left] == str(before).split("\n")
    assert [row.right.text for row in found._rows if row.right] == str(after).split("\n")
    str(found)


@given(st.text("scnma", max_size=30), st.data())
def test_one_edit(ops: str, data: st.DataObject) -> None:
    where = data.draw(st.integers(0, len(ops)))
    found = tr.diff(chain(ops), chain(ops[:where] + "n" + ops[where:]))
    assert (found.removed, found.added) == (0, 1)
    assert found.kept + found.changed == len(ops)
    assert found.changed <= 1  # what uses the new value


def test_an_edit_deep_inside() -> None:
    before, after = nested(30, chain("scnma")), nested(30, chain("scama"))
    found = tr.diff(before, after)
    assert (found.removed, found.added) == (1, 1)
    assert found.changed == 31  # the calls around it, and what uses the new value
    assert any(
        row.kind == "both" and "neg" in row.left.text and "add" in row.right.text for row in found._rows
    )


def test_equal_stretches_collapse() -> None:
    before, after = chain("sc" * 500 + "n" + "sc" * 500), chain("sc" * 500 + "a" + "sc" * 500)
    text = str(tr.diff(before, after, context=2))
    assert "… 998 lines the same" in text
    assert len(text.split("\n")) < 16
    assert text.endswith("1 removed (-), 1 added (+), 1 changed (~), 1,999 the same")


def test_long_differences_collapse() -> None:
    before, after = chain("s"), chain("s" + "cn" * 100)
    assert "… 195 lines that differ" in str(tr.diff(before, after, limit=6))
    assert str(tr.diff(before, after, limit=None)).count("\n") > 200


def test_marks_and_highlights() -> None:
    before = chain("scs")
    after = ir.parse(str(before).replace("cos(a)", "cos(x)"))
    found = tr.diff(before, after, titles=("this", "that"))
    first, *_, last = str(found).split("\n")
    assert re.split(r"  +", first) == ["this: 3 equations", "that: 3 equations"]
    assert last == "0 removed (-), 0 added (+), 1 changed (~), 2 the same"
    out = io.StringIO()
    found.print(Console(file=out, force_terminal=True, width=100, color_system="truecolor"))
    # Only the operand is marked: the names that correspond are not.
    assert "\x1b[1;31ma\x1b[0m" in out.getvalue()
    assert "\x1b[1;32mx\x1b[0m" in out.getvalue()
    assert out.getvalue().count("\x1b[1;31m") == 1


def test_stages_of_compilation() -> None:
    stages = dict(tr.jit(lambda x: (x * 1.0 + 0.0) * 3).stages(2.0))
    found = tr.diff(stages["trace"], stages["simplify"])
    assert found.removed > 0
    assert found.kept > 0
    assert tr.diff(stages["trace"], stages["trace"]).same


@pytest.mark.parametrize("width", [40, 61, 100])
def test_width(width: int) -> None:
    text = str(tr.diff(chain("scnma" * 9), chain("scma" * 9), width=width))
    assert max(map(len, text.split("\n"))) <= width


def test_refusals() -> None:
    with pytest.raises(ArgumentTypeError, match=r"two ir.Functions, got function; trace\(f\)"):
        tr.diff(chain("s"), lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="context of 0"):
        tr.diff(chain("s"), chain("s"), context=-1)
    with pytest.raises(ArgumentError, match="limit of at least 2"):
        tr.diff(chain("s"), chain("s"), limit=1)


@pytest.mark.parametrize(("first", "second"), [("scnma", "scnma"), ("scnma", "scma"), ("scnma", "amncs")])
def test_work_is_near_linear(first: str, second: str) -> None:
    def of(n: int) -> int:
        before, after = chain(first * n), chain(second * n)
        return work(lambda: str(tr.diff(before, after)))

    of(10)
    small, large = of(400), of(2000)  # 10,000 equations
    assert large < 5 * 1.3 * small


def test_other_params_and_results_are_seen() -> None:
    x = array(4)
    swapped = tr.diff(tr.trace(lambda a, b: a - b)(x, x), tr.trace(lambda b, a: a - b)(x, x))
    assert swapped and "1 params or results differ" in swapped.summary()
    returned = tr.diff(tr.trace(lambda a, b: a)(x, x), tr.trace(lambda a, b: b)(x, x))
    assert returned and "1 params or results differ" in returned.summary()
    for each in (swapped, returned):
        assert any(row.kind != "same" for row in each._rows)


@given(functions(max_eqns=8), functions(max_eqns=8))
def test_what_differs_has_a_row_that_says_so(a: ir.Function, b: ir.Function) -> None:
    found = tr.diff(a, b)
    assert bool(found) == any(row.kind != "same" for row in found._rows)
