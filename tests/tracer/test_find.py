"""`find`: against a walk over all equations; names, types, sources, nested functions, refusals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, inner_first
from tests.ir.generate import functions
from tests.tracer.chains import chain, nested, work
from tests.tracer.helpers import array
from tracer.errors import ArgumentError, ArgumentTypeError

V = array(4)


def inside(x: Any) -> Any:
    bent = tnp.tanh(x)  # here
    return bent * 2


def program() -> Function:
    def step(state: Any, row: Any) -> Any:
        state = inside(state + row)
        return state, state

    return tr.trace(lambda x, rows: tr.scan(step, x, rows)[0].sum())(V, array(3, 4))


@given(functions())
def test_all_of_an_op(function: Function) -> None:
    every = [eqn for f in inner_first(function) for eqn in f.eqns]
    assert len(tr.find(function)) == len(every)
    for name in {eqn.op.name for eqn in every}:
        found = tr.find(function, op=name)
        assert {id(place.eqn) for place in found} == {id(eqn) for eqn in every if eqn.op.name == name}
        for place in found:
            assert place.function.eqns[place.position] is place.eqn
    wide = tr.find(function, where=lambda eqn: len(eqn.operands) > 1)
    assert len(wide) == sum(len(eqn.operands) > 1 for eqn in every)


def test_where_they_stand() -> None:
    (place,) = tr.find(program(), op="tanh")
    assert place.path[-1] == "step"
    assert place.function.name == "step"
    assert place.names[place.eqn.results[0]] == "bent"
    assert place.source.line == inside.__code__.co_firstlineno + 1
    assert str(place).startswith(f"{place.path[0]}/step[{place.position}]  bent: f32[4] = tanh(")
    assert str(place).endswith(f"# test_find.py:{place.source.line}")


def test_names() -> None:
    function = program()
    assert [p.eqn.op.name for p in tr.find(function, name="bent")] == ["tanh"]
    assert [p.eqn.op.name for p in tr.find(function, name="b*t")] == ["tanh"]
    assert [p.eqn.op.name for p in tr.find(function, uses="bent")] == ["mul"]
    assert not tr.find(function, name="nothing")

    def twice(x: Any) -> Any:
        y = tnp.sin(x)
        y = tnp.cos(y)
        return y

    # The printer numbers what has one name; the name finds all of them, the printed name one.
    assert [p.eqn.op.name for p in tr.find(tr.trace(twice)(V), name="y")] == ["sin", "cos"]
    assert [p.eqn.op.name for p in tr.find(tr.trace(twice)(V), name="y_1")] == ["cos"]


def test_types() -> None:
    function = program()
    every = {str(v.type) for p in tr.find(function) for v in p.eqn.results}
    assert every == {"f32[4]", "f32[3,4]", "f32[]"}
    assert len(tr.find(function, type="f32[]")) == sum(
        any(str(v.type) == "f32[]" for v in p.eqn.results) for p in tr.find(function)
    )
    assert len(tr.find(function, type="f32[*]")) == len(tr.find(function))
    assert tr.find(function, type="f32[3, 4]")


@pytest.mark.parametrize(
    "source",
    [
        "test_find.py:LINE",
        "tracer/test_find.py:LINE",
        ":LINE",
        "LINE",
        "# here",
        "tnp.tanh(x)",
        "test_find.py:LINE-LINE",
    ],
)
def test_sources(source: str) -> None:
    line = inside.__code__.co_firstlineno + 1
    found = tr.find(program(), source=source.replace("LINE", str(line)))
    assert [p.eqn.op.name for p in found] == ["tanh"]
    assert len(tr.find(program(), source=f"test_find.py:{line}-{line + 1}")) > 1
    assert len(tr.find(program(), source=line)) == 1
    assert not tr.find(program(), source=f"find.py:{line}")  # a file's whole name


def test_conditions_hold_together() -> None:
    assert len(tr.find(program(), op=["tanh", "mul"], name="bent")) == 1
    assert not tr.find(program(), op="mul", name="bent")


def test_merged_equations_are_found_at_each_place() -> None:
    def f(x: Any) -> Any:
        a = tnp.sin(x)
        b = tnp.sin(x)
        return a + b

    function = tr.jit(f).ir(V)
    line = f.__code__.co_firstlineno
    assert len(tr.find(function, op="sin")) == 1
    for number in (line + 1, line + 2):
        assert [p.eqn.op.name for p in tr.find(function, source=f"test_find.py:{number}", op="sin")] == [
            "sin"
        ]


def test_a_sequence() -> None:
    found = tr.find(chain("scs"), op="s*")
    assert [p.position for p in found] == [0, 2]
    assert [p.position for p in found[1:]] == [2]
    assert found[-1] in list(found)
    assert len(tr.find(nested(50, chain("sc")), op="cos")) == 1
    assert str(found).endswith("2 equations with op s*")


def test_refusals() -> None:
    function = chain("s")
    with pytest.raises(ArgumentError, match="got 'dot'; did you mean dot_general"):
        tr.find(function, op="dot")
    with pytest.raises(ArgumentError, match=r"did you mean .*tanh"):
        tr.find(function, op="tahn")
    with pytest.raises(ArgumentError, match=r"lines in order, got the source 'a.py:3-2'"):
        tr.find(function, source="a.py:3-2")
    with pytest.raises(ArgumentError, match="an empty text"):
        tr.find(function, source=" ")
    with pytest.raises(ArgumentTypeError, match="got function"):
        tr.find(lambda x: x)  # type: ignore[arg-type]


def test_work_is_linear() -> None:
    def of(n: int) -> int:
        function = chain("scnma" * n)
        return work(lambda: str(tr.find(function, op="sin", source="chain.py:3")))

    of(10)
    assert of(2000) < 5 * 1.2 * of(400)
