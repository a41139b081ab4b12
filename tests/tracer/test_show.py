"""`show`: every line of the text is there, in columns that fit, or counted; terminals, pipes and notebooks."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function
from ir.printer import lines
from tests.ir.generate import functions
from tests.tracer.chains import chain, nested, work
from tests.tracer.helpers import array
from tracer.errors import ArgumentError, ArgumentTypeError
from tracer.units import amount
from tracer.views.sheet import Cell, Column, Sheet, cut, plain, printable, wrapped
from tracer.views.show import COLUMNS
from tracer.views.summary import Note, repeated, tree

V = array(4)


def loss(x: Any) -> Any:
    scaled = tnp.sin(x) * 2
    return (scaled + 0 * x).sum()


# What is shown ------------------------------------------------------------------------------------


def squeezed(text: str) -> str:
    return " ".join(text.split())


@given(functions(depth=2))
def test_everything_is_shown(function: Function) -> None:
    shown = [squeezed(line) for line in str(tr.show(function, limit=None, max_elements=None)).split("\n")]
    expected = []
    for line in lines(function):
        text = line.text.strip()
        if line.eqn is not None and line.eqn.results:
            left, right = text.split(" = ", 1)
            pairs = [part.split(": ") for part in re.split(r", (?=[^\W\d]\w*: )", left)]
            text = f"{', '.join(n for n, _ in pairs)} {', '.join(t for _, t in pairs)} {right}"
        expected.append(squeezed(text))
    assert shown == expected


def test_columns() -> None:
    function = tr.trace(loss)(V)
    text = str(tr.show(function, columns=("code", "live", "flops", "bytes", "source")))
    heading, _, *rows = text.split("\n")
    assert heading.split() == ["result", "type", "flops", "bytes", "live", "equation", "source", "code"]
    for row, eqn, live in zip(rows, function.eqns, ir.cost.live_bytes(function), strict=False):
        costs = ir.eqn_cost(eqn)
        cells = re.split(r"  +", row.strip())
        assert cells[2:5] == [str(costs.flops), str(costs.bytes_accessed), str(live)]
        assert cells[6] == f"test_show.py:{eqn.source.line}"
        assert "tnp." in cells[7] or "scaled" in cells[7]
    assert f"{len(function.eqns)} equations" in rows[-1]


def test_what_can_be_shown() -> None:
    jitted = tr.jit(loss)
    assert str(tr.show(jitted)(V)) == str(tr.show(loss)(V)) == str(tr.show(jitted.ir(V)))
    assert str(tr.show(loss, stage="trace")(V)) == str(tr.show(tr.trace(loss)(V)))
    assert str(tr.show(loss, stage=0)(V)) == str(tr.show(tr.trace(loss)(V)))
    stages = jitted.stages(V)
    last_cse = max(i for i, (name, _) in enumerate(stages) if name == "cse")
    assert tr.show(loss, stage="cse")(V).function == stages[last_cse][1]
    assert tr.show(tr.jit(loss, opt=0))(V).function == tr.trace(loss)(V)
    assert tr.show(loss).__name__ == "loss"


def test_refusals() -> None:
    function = chain("sc")
    with pytest.raises(ArgumentError, match=r"expected columns among flops, .* got flop"):
        tr.show(function, columns=["flop"])
    with pytest.raises(ArgumentError, match="limit of at least 1"):
        tr.show(function, limit=0)
    with pytest.raises(ArgumentError, match="at least 20 columns, got 3"):
        tr.show(function, width=3)
    with pytest.raises(ArgumentError, match="got an ir"):
        tr.show(function, stage="trace")  # type: ignore[call-overload]
    with pytest.raises(ArgumentTypeError, match="got int"):
        tr.show(3)  # type: ignore[call-overload]
    with pytest.raises(ArgumentError, match=r"stages of loss \(0 trace, 1 .*\), got 'nowhere'"):
        tr.show(loss, stage="nowhere")(V)
    with pytest.raises(ArgumentError, match="got 99"):
        tr.show(loss, stage=99)(V)


def test_what_is_long_is_elided() -> None:
    table = np.arange(100, dtype=np.float32)
    function = tr.trace(lambda x: x + table)(array(100))
    assert "[0.0, 1.0, 2.0, ...]" in str(tr.show(function))
    assert "99.0]" in str(tr.show(function, max_elements=None))
    many = tr.trace(lambda *xs: tnp.concatenate(xs))(*[V] * 30)
    assert "… 22 more …" in str(tr.show(many))


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert printable("a\tb\x1b[31mc") == "a b?[31mc"


# Summaries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ops", ["s" * 300, "sc" * 150, "scn" * 100 + "am" * 60 + "ssc" * 90, "snsmca" * 50])
def test_a_long_program_is_counted_out(ops: str) -> None:
    rows = tr.show(chain(ops), limit=20).rows()
    assert len(rows) <= 40
    total = 0
    shown = 0  # since the last note
    for row in rows:
        if isinstance(row, Note):
            if found := re.search(
                r"the last (?:([\d,]+) equations|equation) again.*\(([\d,]+) equations", row.text
            ):
                period = int((found[1] or "1").replace(",", ""))
                total += int(found[2].replace(",", "")) - period
            else:
                total += int(re.match(r"… ([\d,]+) equation", row.text)[1].replace(",", ""))  # type: ignore[index]
        elif row.eqn is not None:
            shown += 1
    assert total + shown == len(ops)


@given(st.lists(st.tuples(st.text("scn", min_size=1, max_size=4), st.integers(1, 12)), max_size=5))
def test_repetitions_are_repetitions(parts: list[tuple[str, int]]) -> None:
    ops = "".join(text * times for text, times in parts)
    body = tree(lines(chain(ops)))
    end = 0
    for stretch in repeated(body.items):
        assert stretch.start >= end
        end = stretch.stop
        assert stretch.length == stretch.repeats * stretch.period
        first = ops[stretch.start : stretch.start + stretch.period]
        assert ops[stretch.start : stretch.stop] == first * stretch.repeats


def test_nested_functions_are_summarised_too() -> None:
    deep = nested(40, chain("sc" * 100))
    text = str(tr.show(deep, limit=30))
    assert len(text.split("\n")) < 60
    assert "… def" in text
    assert str(tr.show(deep, limit=None)).count("\n") > 280


def test_limits_of_short_programs_do_nothing() -> None:
    function = nested(3, chain("scn"))
    assert str(tr.show(function)) == str(tr.show(function, limit=None))
    assert not any(isinstance(row, Note) for row in tr.show(function).rows())


@pytest.mark.parametrize("limit", [60, None])
def test_work_is_linear(limit: int | None) -> None:
    def of(n: int) -> int:
        function = chain("scnma" * n)
        return work(lambda: str(tr.show(function, limit=limit, columns=("flops", "live", "source"))))

    of(10)  # what is loaded and cached once
    small, large = of(400), of(2000)  # 10,000 equations
    assert large < 5 * 1.2 * small


# Layout -------------------------------------------------------------------------------------------


@given(functions(max_eqns=6), st.integers(20, 150), st.booleans())
def test_lines_fit_the_width(function: Function, width: int, wrap: bool) -> None:
    listing = tr.show(function, width=width, wrap=wrap)
    for line in str(listing).split("\n"):
        assert cell_len(line) <= width
        assert line == line.rstrip()


CELLS = st.lists(st.tuples(st.text("ab ,xλ漢", max_size=12), st.sampled_from(["", "bold"])), max_size=5)


@given(CELLS, st.integers(2, 30))
def test_wrapping_loses_nothing(runs: list[tuple[str, str]], width: int) -> None:
    cell: Cell = tuple(runs)
    parts = wrapped(cell, width)
    assert "".join(plain(part) for part in parts).replace(" ", "") == plain(cell).replace(" ", "")
    assert all(cell_len(plain(part)) <= width for part in parts)
    # Every letter keeps its style.
    styled = [(c, style) for part in parts for text, style in part for c in text if c != " "]
    assert styled == [(c, style) for text, style in cell for c in text if c != " "]


@given(CELLS, st.integers(1, 30), st.sampled_from(["start", "end"]))
def test_cutting_keeps_an_end(runs: list[tuple[str, str]], width: int, keeps: Any) -> None:
    cell: Cell = tuple(runs)
    text, whole = plain(cut(cell, width, keeps)), plain(cell)
    assert cell_len(text) <= width
    if cell_len(whole) <= width:
        assert text == whole
    elif keeps == "start":
        assert text.endswith("…")
        assert whole.startswith(text[:-1])
    else:
        assert text.startswith("…")
        assert whole.endswith(text[1:])


def test_columns_share_what_is_missing() -> None:
    cells = tuple([((letter * 30, ""),) for letter in "abc"])
    sheet = Sheet([Column(least=5), Column(), Column(least=20)], [cells])
    (line,) = sheet.lines(70)
    assert plain(line) == f"{'a' * 15}…  {'b' * 30}  {'c' * 19}…"
    (line,) = sheet.lines(60)
    assert plain(line) == f"{'a' * 5}…  {'b' * 30}  {'c' * 19}…"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.4, "999"),
        (1000, "1k"),
        (1234, "1.23k"),
        (45_600_000, "45.6M"),
        (3e18, "3E"),
    ],
)
def test_amounts(number: float, text: str) -> None:
    assert amount(number) == text


# Where it is printed ------------------------------------------------------------------------------


def test_terminals_get_colour_and_pipes_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    listing = tr.show(chain("sc"))
    out = io.StringIO()
    listing.print(Console(file=out, force_terminal=True, width=80, color_system="truecolor"))
    assert "\x1b[1m" in out.getvalue()
    assert re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()) == f"{listing}\n"
    listing.print()
    assert capsys.readouterr().out == f"{listing}\n"
    Console(file=out, width=30).print(listing)
    assert max(map(len, out.getvalue().split("\n")[-6:])) <= 30


@pytest.mark.parametrize("width", [80, 120])
def test_all_columns_share_a_terminal(width: int) -> None:
    text = str(tr.show(tr.trace(loss)(V), columns=COLUMNS, width=width))
    assert max(map(len, text.split("\n"))) <= width
    assert all(
        re.search(r":\d+(  |$)", row) for row in text.split("\n")[2:-2]
    )  # of the source, the line stays


def test_nothing_is_imported_before_it_is_needed() -> None:
    code = "import sys, tracer; print(sorted({'rich', 'argparse', 'pydot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "rich" not in done.stdout


def test_plain_text_has_no_limit_of_width() -> None:
    wide = tr.trace(lambda **xs: sum(xs.values()))(**{f"a_rather_long_name_{i}": V for i in range(20)})
    assert "…" not in str(tr.show(wide))


def test_notebooks() -> None:
    page = tr.show(tr.jit(lambda x: x < 1).ir(V))._repr_html_()
    assert page.startswith("<pre>")
    assert "lt(x, " in page
    assert repr(tr.show(chain("s"))) == str(tr.show(chain("s")))
