"""What a report holds and prints; `tests/browser` looks at its page."""

from __future__ import annotations

import io
import itertools
import json
import random
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import ir
import tracer as tr
import tracer.numpy as tnp
from ir import cost
from ir.printer import common_names, lines
from tests.tracer.helpers import array, clean
from tracer.report import Report
from tracer.report.diff import applied, hunks
from tracer.report.embed import embedded
from tracer.report.page import escaped
from tracer.units import count, duration, size

V = array(4)


def loss(w: Any, x: Any) -> Any:
    h = tnp.tanh(x @ w)
    return (h * h + 0 * h).sum()


@pytest.fixture(scope="module")
def report() -> Report:
    return tr.explain(tr.jit(tr.grad(loss)))(array(16, 16), array(8, 16))


def test_every_pass_says_what_it_did(report: Report) -> None:
    rules = {use.name: use for stage in report.stages for use in stage.rules}
    assert rules
    from ir.rewrites import RULES

    known = {rule.name: rule for rule in RULES}
    for name, use in rules.items():
        assert use.doc == " ".join(known[name].doc.split())
        assert use.count >= len(use.sources) >= 1
        assert all(source.file == __file__ for source in use.sources)
    # A stage in which rules were applied is another program.
    for before, stage in zip(report.stages, report.stages[1:], strict=False):
        assert not stage.rules or stage.function is not before.function
    assert all(stage.doc for stage in report.stages[1:])


def test_stages_are_those_of_jit(report: Report) -> None:
    stages = tr.jit(tr.grad(loss)).stages(array(16, 16), array(8, 16))
    assert [(s.name, s.function) for s in report.stages] == stages
    assert report.function == tr.jit(tr.grad(loss)).ir(array(16, 16), array(8, 16))


def test_what_happens_before_and_during_differentiation(report: Report) -> None:
    (group,) = report.groups
    assert group.name == "value_and_grad of loss"
    assert [s.name for s in group.stages] == [
        "trace",
        "guard",
        "roll",
        "stabilize",
        "stop_shifts",
        "multiply_rows",
        "tabulate_powers",
        "value_and_grad",
        "simplify_inner",
        "share_adjoints",
    ]
    assert len(group.stages[0].function.results) == 1
    assert len(group.stages[-1].function.results) == 2
    for stage in group.stages:
        ir.verify(stage.function)
    assert all(stage.doc for stage in group.stages[1:])


def test_a_gradient_of_a_jitted_function_is_the_gradients_own_report() -> None:
    w, x = array(16, 16), array(8, 16)
    inner = tr.explain(tr.grad(tr.jit(loss)), compile=False)(w, x)
    assert [str(t) for t in inner.function.out_types] == ["f32[16,16]"]
    assert [str(t) for t in tr.explain(tr.jit(loss), compile=False)(w, x).function.out_types] == ["f32[]"]


def test_phases_cover_the_time() -> None:
    begin = time.perf_counter()
    report = tr.explain(tr.grad(loss))(array(16, 16), array(8, 16))
    elapsed = time.perf_counter() - begin
    assert {phase.kind for phase in report.phases} == {"trace", "before", "pass", "lower", "compile"}
    assert all(phase.seconds >= 0 for phase in report.phases)
    total = sum(phase.seconds for phase in report.phases)
    assert total <= elapsed
    assert report.seconds <= total
    optimised = [phase for phase in report.phases if phase.kind in ("trace", "before", "pass")]
    assert sum(phase.seconds for phase in optimised) == pytest.approx(report.seconds, rel=0.2)
    assert {phase.kind for phase in tr.explain(loss, compile=False)(array(16, 16), array(8, 16)).phases} == {
        "trace",
        "pass",
    }
    clean()


def test_cost_by_line(report: Report) -> None:
    assert sum(each.flops for each in report.lines) == cost.flops(report.function)
    assert sum(each.equations for each in report.lines) == len(report.profile)
    first = report.lines[0]
    text = Path(first.file).read_text(encoding="utf-8").split("\n")[first.line - 1]
    assert "x @ w" in text  # the products
    assert [each.seconds for each in report.lines] == sorted((e.seconds for e in report.lines), reverse=True)
    assert all(each.known for each in report.lines)


def test_loops_count_all_trips_where_these_are_known() -> None:
    def known(x: Any) -> Any:
        return tr.scan(lambda c, _: (tnp.sin(c) * 2, None), x, None, length=30)[0]

    def unknown(x: Any) -> Any:
        return tr.while_loop(lambda c: c.sum() < 10, lambda c: tnp.sin(c) * 2, x)

    for f in (known, unknown):
        report = tr.explain(f, compile=False)(V)
        (each,) = [e for e in report.profile if e.eqn.op.name == "sin"]
        assert each.known is (f is known)
        assert each.times == (30 if f is known else 1)
        assert any(not line.known for line in report.lines) is (f is unknown)
        assert ("≥" in str(report)) is (f is unknown)


def test_what_xla_says(report: Report) -> None:
    xla = report.compiled
    assert xla is not None
    assert xla.arguments == report.memory.arguments
    assert xla.flops is None or xla.flops > 0
    donated = tr.explain(tr.jit(lambda x: x * 2, donate_argnums=0))(array(64, 64))
    assert donated.compiled is not None
    assert donated.compiled.shared == 64 * 64 * 4
    assert tr.explain(loss, compile=False)(array(16, 16), array(8, 16)).compiled is None


def test_declined() -> None:
    def layers(weights: Any, x: Any) -> Any:
        for w in weights:
            x = tnp.tanh(x @ w)
        return x.sum()

    report = tr.explain(tr.grad(layers), compile=False)([array(40, 40)] * 150, array(40))
    assert any(remark.declined for remark in report.remarks)
    assert not any(
        remark.declined for remark in tr.explain(loss, compile=False)(array(4, 4), array(4, 4)).remarks
    )


def test_printing(report: Report) -> None:
    text = str(report)
    for word in ("time", "equations", "flops", "bound by", "XLA: compile", "temporaries", "def loss("):
        assert word in text, word
    idle = 0
    for before, stage in itertools.pairwise(report.stages):
        if stage.function is before.function:
            idle += 1
        else:
            assert stage.name in text
        for use in stage.rules:
            assert use.name in text.replace("\n", "")
    assert f"{idle} without change" in text
    out = io.StringIO()
    report.print(Console(file=out, width=200), lines=2)
    assert f"… {len(str(report.function).splitlines()) - 2} more lines" in out.getvalue()
    report.print(Console(file=out, width=200), lines=None)
    assert str(report.function).splitlines()[-1] in out.getvalue()


def test_a_function_without_equations_has_a_report() -> None:
    report = tr.explain(lambda x: x)(V)
    assert report.memory.peak == 0
    assert report.memory.position is None
    assert str(report)
    assert "<title>" in report.html()


def test_saving(report: Report, tmp_path: Path) -> None:
    path = report.save(str(tmp_path / "report.html"))
    assert path == tmp_path / "report.html"
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert not re.search(
        r"(?:src|href)\s*=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)", page.split('id="data">')[0]
    )
    with pytest.raises(
        tr.errors.ArgumentError, match=r"expected a path in a folder that exists, got .*no_such"
    ):
        report.save(tmp_path / "no_such" / "report.html")
    assert "srcdoc=" in report._repr_html_()


def test_stages_of_the_page_are_the_programs(report: Report) -> None:
    data = json.loads(json.dumps(embedded(report)))
    tracks = [report.stages, *[group.stages for group in report.groups]]
    names = common_names([stage.function for stages in tracks for stage in stages])
    for track, stages in zip(data["tracks"], tracks, strict=True):
        shown: list[int] = []
        for kept, stage in zip(track["stages"], stages, strict=True):
            shown = applied(shown, kept["hunks"])
            wanted = lines(stage.function, max_elements=8, names=names)
            assert [data["texts"][i] for i in shown] == [line.text for line in wanted]
            for i, line in zip(shown, wanted, strict=True):
                places = [data["places"][p] for p in data["textPlaces"][i]]
                sources = [] if line.eqn is None else line.eqn.source.all()
                assert places == [[s.file, s.line, s.function] for s in sources if s.line]


@given(st.text(), st.text(alphabet="</script>!-&\u2028\ud800", max_size=30))
def test_no_text_ends_the_data(a: str, b: str) -> None:
    text = escaped({a: [b, {b: a}]})
    assert json.loads(text) == {a: [b, {b: a}]}
    assert not set("<>&\u2028\u2029") & set(text)
    text.encode("utf-8")


lists = st.lists(st.integers(0, 12), max_size=40)


@given(lists, lists)
def test_differences_make_the_new_text(old: list[int], new: list[int]) -> None:
    changes = hunks(old, new)
    assert applied(old, changes) == new
    assert (changes == []) is (old == new)
    for position, removed, inserted in changes:  # nothing is put back where it was
        assert removed or inserted
        assert old[position : position + removed] != inserted


@given(st.permutations(range(30)), st.sets(st.integers(0, 29)))
def test_removing_lines_is_seen_as_that(old: list[int], gone: set[int]) -> None:
    changes = hunks(old, [line for line in old if line not in gone])
    assert all(not inserted for _, _, inserted in changes)
    assert sum(removed for _, removed, _ in changes) == len(gone)


def test_differences_take_near_linear_time() -> None:
    rng = random.Random(0)

    def seconds(length: int) -> float:
        old = list(range(length))
        new = [line for line in old if rng.random() > 0.1] + [
            -rng.randrange(length) for _ in range(length // 5)
        ]
        rng.shuffle(new)
        begin = time.perf_counter()
        hunks(old, new)
        return time.perf_counter() - begin

    assert min(seconds(80_000) for _ in range(3)) < 40 * min(seconds(10_000) for _ in range(3))


def test_units() -> None:
    assert [count(n) for n in (0, 7, 999, 1000, 12_345, 999_500, 1.5e12)] == [
        "0 ", "7 ", "999 ", "1.00 k", "12.3 k", "1.00 M", "1.50 T",
    ]  # fmt: skip
    assert size(2_000_000) == "2.00 MB"
    assert [duration(s) for s in (2, 0.9999, 0.0123, 4.56e-6, 7e-9, 0)] == [
        "2.00 s", "1.00 s", "12.3 ms", "4.56 µs", "7.00 ns", "0.00 ns",
    ]  # fmt: skip


@pytest.mark.slow
def test_long_functions_are_reported_in_near_linear_time() -> None:
    def made(length: int) -> Report:
        rng = random.Random(0)
        code = ["def f(x):", "    h = [x]"]
        for i in range(length):
            a, op = rng.randrange(max(0, i - 5), i + 1), rng.choice(["sin", "cos", "tanh"])
            code.append(f"    h.append(tnp.{op}(h[{a}] * {rng.random()}) + h[{i}])")
        code.append("    return h[-1]")
        space: dict[str, Any] = {"tnp": tnp, "__name__": "user"}
        exec(compile("\n".join(code), "long.py", "exec"), space)
        return tr.explain(tr.jit(space["f"], opt=0), compile=False)(np.ones(4, np.float32))

    def seconds(length: int) -> float:
        begin = time.perf_counter()
        made(length).html()
        return time.perf_counter() - begin

    seconds(100)
    short, long = (min(seconds(n) for _ in range(3)) for n in (500, 4_000))
    assert long < 8 * 4 * short


def test_regions_have_the_costs_of_their_equations() -> None:
    report = tr.explain(lambda x, w: tnp.sum(tnp.tanh(x @ w) ** 2))(array(8, 4), array(4, 3))
    assert sum(f"_dot_general:{Path(__file__).name}:" in r.label for r in report.regions) == 1
    assert sum(r.seconds for r in report.regions) <= sum(p.seconds for p in report.profile) * (1 + 1e-9)
    assert sum(r.flops for r in report.regions) == sum(p.flops for p in report.profile)
    numbers = sum(p.eqn.op.name == "constant" for p in report.profile)
    assert sum(r.equations for r in report.regions) >= len(report.profile) - numbers
    assert "Cost by region" in str(report)


@pytest.mark.parametrize(
    ("f", "held"),
    [
        (lambda a: tnp.sum(tnp.linalg.solve(a, a * 2) ** 2), "inside linear_solve"),
        (lambda a: tnp.sum(tnp.cumsum(tnp.exp(a), 1) ** 2), "in runs"),
        (lambda a: tnp.sum(tnp.sort(a, 0) * tnp.sin(a)), "along all axes"),
    ],
)
def test_what_a_compiler_adds_is_said_where_the_program_has_it(f: Any, held: str) -> None:
    report = tr.explain(tr.grad(f), compile=False)(np.eye(40, dtype=np.float32) + 1)
    assert held in str(report)
    own = {id(eqn) for eqn in report.function.eqns}
    assert all(id(each.eqn) in own for each in report.memory.held)
    assert held in json.dumps(embedded(report))
