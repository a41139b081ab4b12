"""The page of a report in a browser: what it shows, how it answers, and that it needs nothing else."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tracer as tr
from ir.printer import common_names, lines
from ir.regions import labels
from tests.browser import sample
from tests.browser.conftest import Browser, Opener, emulate
from tracer.report import Report

TABS = ("program", "passes", "cost", "memory", "time")
ESCAPE = "\ue00c"
ENTER = "\ue007"
RIGHT = "\ue014"
END = "\ue010"


def line_of(part: str) -> int:
    """The number of the line of the sample that holds a text."""
    text = Path(sample.__file__).read_text(encoding="utf-8").split("\n")
    (found,) = [i for i, line in enumerate(text, 1) if part in line]
    return found


def source_row(browser: Browser, line: int) -> str:
    """Bring a line of the source into view; the selector of its row."""
    name = Path(sample.__file__).name
    index = browser.run(
        "showFile(DATA.files.findIndex((f) => f.name === arguments[0]));"
        "const index = view.source.findIndex((row) => row.line === arguments[1]);"
        "lists.source.reveal(index); return index",
        name,
        line,
    )
    return f"#source-{index}"


def test_nothing_is_asked_of_the_network(opened: Browser, page: Path) -> None:
    for tab in TABS:
        opened.click(f"#tab-{tab}")
    opened.click("#help")
    asked = opened.requests()
    assert asked == [page.as_uri()]
    assert opened.errors() == []
    assert opened.run("return document.images.length + document.querySelectorAll('link, [src]').length") == 0
    policy = opened.run("return document.querySelector('meta[http-equiv]').content")
    assert "default-src 'none'" in policy
    # The policy is in force: what asks is stopped.
    opened.run("fetch('https://example.com/').catch(() => { window.refused = true })")
    opened.driver.execute_async_script("setTimeout(arguments[0], 200)")
    assert opened.run("return window.refused")


def test_every_stage_is_the_program_of_that_stage(opened: Browser, report: Report) -> None:
    groups = [report.stages, *[group.stages for group in report.groups]]
    names = common_names([stage.function for stages in groups for stage in stages])
    for t, stages in enumerate(groups):
        for k, stage in enumerate(stages):
            shown = opened.run(
                "return TRACKS[arguments[0]].lines(arguments[1]).map((line) => DATA.texts[line])", t, k
            )
            assert shown == [line.text for line in lines(stage.function, max_elements=8, names=names)], (t, k)


def test_the_slider_shows_what_a_stage_changed(opened: Browser, report: Report) -> None:
    changed = [
        k for k, s in enumerate(report.stages) if k and s.function is not report.stages[k - 1].function
    ]
    k = next(k for k in changed if report.stages[k].rules)
    opened.run(
        "const s = document.getElementById('stage'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))",
        k,
    )
    said = opened.text("#stage-says")
    assert report.stages[k].name in said
    for use in report.stages[k].rules:
        assert use.name in said
    added = opened.run("return view.rows.filter((r) => r[1] > 0).map((r) => DATA.texts[r[0]])")
    removed = opened.run("return view.rows.filter((r) => r[1] < 0).map((r) => DATA.texts[r[0]])")
    assert added
    assert removed
    before, after = (set(opened.run("return TRACKS[0].lines(arguments[0])", i)) for i in (k - 1, k))
    texts = opened.run("return DATA.texts")
    assert {texts[i] for i in after - before} == set(added)
    assert {texts[i] for i in before - after} == set(removed)
    opened.press("p", "c")  # the next change is brought into view
    assert opened.texts("#ir .row.added, #ir .row.removed")
    opened.press("d")
    assert opened.texts("#ir .row.added, #ir .row.removed") == []
    assert opened.run("return view.rows.length") == len(after)


def test_a_source_line_highlights_its_equations_and_an_equation_its_lines(
    opened: Browser, report: Report
) -> None:
    line = line_of("logits = h @")
    opened.move(source_row(opened, line))
    hit = opened.run(
        "return hits(view.pointed, 'ir').map((i) => view.rows[i])"
        ".filter((row) => row[1] >= 0).map((row) => DATA.texts[row[0]].trim())"
    )
    names = common_names([s.function for g in (report, *report.groups) for s in g.stages])
    wanted = [
        each.text.strip()
        for each in lines(report.function, max_elements=8, names=names)
        if each.eqn is not None
        and any(s.line == line and s.file == sample.__file__ for s in each.eqn.source.all())
    ]
    assert len(wanted) > 1
    assert sorted(hit) == sorted(wanted)
    # The first of them is brought into view when the line is clicked, and stays highlighted.
    opened.move(source_row(opened, line), click=True)
    opened.move("#stage-says")
    shown = opened.run(
        "const box = document.getElementById('ir').getBoundingClientRect();"
        "return [...document.querySelectorAll('#ir .row.hit')].filter((row) => {"
        "  const r = row.getBoundingClientRect(); return r.top >= box.top && r.bottom <= box.bottom })"
        ".map((row) => row.querySelector('.text').textContent.trim())"
    )
    assert set(shown) & set(wanted)
    assert {text.strip() for text in opened.texts("#ir .row.hit:not(.removed) .text")} <= set(wanted)
    assert f"{len(wanted)} equations of this stage" in opened.text("#detail")
    # And the other way, by keys.
    opened.press(ESCAPE)
    assert opened.texts("#ir .row.hit, #source .row.hit") == []
    index = opened.run(
        "return view.rows.findIndex((r) => DATA.texts[r[0]].trim() === arguments[0])", shown[0]
    )
    opened.run("lists.ir.go(arguments[0])", index)
    opened.press("p", ENTER)
    assert str(line) in [text.split(" ")[0] for text in opened.texts("#source .row.hit .gutter")]
    assert opened.text("#detail code") == shown[0]


def test_what_defines_and_uses_is_marked(opened: Browser, report: Report) -> None:
    names = common_names([s.function for g in (report, *report.groups) for s in g.stages])
    eqns = report.function.eqns
    made_by = {v: eqn for eqn in eqns for v in eqn.results}
    eqn = next(e for e in eqns if e.operands and all(v in made_by for v in e.operands))
    shown = lines(report.function, max_elements=8, names=names)
    at = {id(line.eqn): i for i, line in enumerate(shown)}
    opened.run("document.getElementById('changes').click(); choose('ir', arguments[0], false)", at[id(eqn)])
    related = dict(opened.run("return [...view.related]"))
    assert {i for i, role in related.items() if role == "defines"} == {
        at[id(made_by[v])] for v in eqn.operands
    }
    users = {at[id(e)] for e in eqns if set(e.operands) & set(eqn.results)}
    end = len(shown) - 1
    assert {i for i, role in related.items() if role == "uses"} - {end} == users


def test_search(opened: Browser) -> None:
    count = opened.run(
        "return view.rows.filter((r) => DATA.texts[r[0]].includes('tanh')).length"
        " + view.source.filter((r) => r.text.includes('tanh')).length"
    )
    assert count > 1
    opened.press("/", "TanH")
    assert opened.text("#found") == f"{count} found"
    opened.press(ENTER)
    assert opened.text("#found") == f"1 of {count}"
    assert "tanh" in opened.texts(".row .found.now")
    opened.press(ENTER)
    assert opened.text("#found") == f"2 of {count}"
    opened.press("zz")
    assert opened.text("#found") == "nothing found"
    opened.press(ESCAPE)
    assert opened.text("#found") == ""
    assert opened.texts(".row .found") == []


def test_keys(opened: Browser, report: Report) -> None:
    for k, tab in enumerate(TABS, 1):
        opened.press(str(k))
        shown = opened.run(
            "return [...document.querySelectorAll('main > section:not([hidden])')].map((e) => e.id)"
        )
        assert shown == [tab]
    opened.press("1", "[")
    last = len(report.stages) - 1
    assert opened.run("return view.stage") == last - 1
    opened.press("]")
    assert opened.run("return view.stage") == last
    opened.press("{")
    stage = opened.run("return view.stage")
    assert stage == 0 or report.stages[stage].function is not report.stages[stage - 1].function
    opened.press("s", END)
    assert opened.run("return lists.source.active") == opened.run("return view.source.length") - 1
    assert opened.run("return document.activeElement.getAttribute('aria-activedescendant')")
    opened.press("?")
    assert opened.run("return document.getElementById('keys').open")
    opened.press(ESCAPE)
    assert not opened.run("return document.getElementById('keys').open")
    # Every key that does something is written down.
    written = set(opened.texts("#keys kbd"))
    assert set(opened.run("return Object.keys(KEYS)")) <= written
    assert {"t", "?", "Esc", "Enter", "1", "5"} <= written


def test_light_and_dark(browser: Browser, page: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    for scheme in ("dark", "light"):
        emulate(browser, scheme)
        browser.open(page)
        assert browser.run("return document.documentElement.dataset.theme") == scheme
        first = browser.run(ground)
        browser.click("#theme")
        assert browser.run("return document.documentElement.dataset.theme") != scheme
        assert browser.run(ground) != first
        browser.press("t")
        assert browser.run(ground) == first


def luminance(colour: str) -> float:
    """Of `#rrggbb`, by WCAG 2.1."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(opened: Browser, scheme: str) -> None:
    """WCAG 2.1, 1.4.3: a contrast of 4.5 to 1."""
    opened.run("setTheme(arguments[0])", scheme)

    def colour(name: str) -> str:
        found: str = opened.run(
            "return getComputedStyle(document.documentElement).getPropertyValue(arguments[0]).trim()",
            f"--{name}",
        )
        return found

    pairs = [(ink, paper) for ink in ("ink", "soft", "accent") for paper in ("paper", "ground")]
    pairs += [(ink, "paper") for ink in ("type", "op", "attr", "number", "keyword", "added", "removed")]
    pairs += [
        ("warn", "warn-soft"),
        ("removed", "removed-soft"),
        ("ink", "added-soft"),
        ("ink", "pin"),
        ("ink", "found"),
    ]
    for ink, paper in pairs:
        a, b = sorted([luminance(colour(ink)), luminance(colour(paper))])
        assert (b + 0.05) / (a + 0.05) >= 4.5, (ink, paper)


def test_what_can_be_used_has_a_name(opened: Browser) -> None:
    roles = {
        "button",
        "slider",
        "searchbox",
        "checkbox",
        "combobox",
        "tab",
        "tablist",
        "listbox",
        "tabpanel",
        "table",
    }
    seen = set()
    for tab in TABS:
        opened.click(f"#tab-{tab}")
        tree = opened.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        for node in tree:
            role = node.get("role", {}).get("value")
            if role in roles and not node.get("ignored"):
                seen.add(role)
                assert node.get("name", {}).get("value"), node
    assert seen >= roles - {"table"}


def test_memory(opened: Browser, report: Report) -> None:
    opened.press("4")
    memory = report.memory
    assert opened.run("return DATA.memory.temporary") == list(memory.temporary)
    assert memory.position is not None
    assert f"Peak at equation {memory.position + 1}" in opened.text("#memory-readout")
    shown = opened.texts("#held-table tbody tr")
    assert len(shown) == len(memory.held)
    compiled = report.compiled
    assert compiled is not None
    assert opened.run("return DATA.xla.temporary") == compiled.temporary
    opened.run("document.getElementById('memory-chart').focus()")
    opened.press(RIGHT)
    at = min(memory.position + 1, len(memory.temporary) - 1)
    assert f"Equation {at + 1}:" in " ".join(opened.text("#memory-readout").split()).replace(
        "Equation ", "Equation "
    )
    opened.press(ENTER)  # to the equation
    assert opened.run("return document.getElementById('program').hidden") is False
    names = common_names([s.function for g in (report, *report.groups) for s in g.stages])
    text = next(
        line.text.strip()
        for line in lines(report.function, max_elements=8, names=names)
        if line.eqn is report.function.eqns[at]
    )
    assert opened.text("#detail code") == text


def test_cost_by_line(opened: Browser, report: Report) -> None:
    opened.press("3")
    rows = opened.texts("#cost-table tbody tr")
    assert len(rows) == len(report.lines)
    assert f":{report.lines[0].line}" in rows[0]
    head = "#cost-table thead th:nth-child(8) button"  # equations
    opened.click(head)
    shown = [int(text.replace(",", "")) for text in opened.texts("#cost-table tbody td:nth-child(8)")]
    assert shown == sorted(shown, reverse=True)
    opened.click(head)
    order = "return document.querySelector('#cost-table th[aria-sort]').getAttribute('aria-sort')"
    assert opened.run(order) == "ascending"
    opened.click("#cost-table tbody tr button.link")
    assert opened.run("return view.chosen && view.chosen.pane") == "source"


def test_regions(opened: Browser, report: Report) -> None:
    """Each is listed with its cost; one that is chosen highlights its equations and their lines, and says so."""
    opened.press("3")
    rows = opened.texts("#region-table tbody tr")
    assert [next(r for r in report.regions if row.startswith(r.name)).name for row in rows]
    assert len(rows) == len(report.regions)
    final = lines(report.function)
    label_of = [line.eqn and labels(line.function).get(line.eqn) for line in final]
    k = max(range(len(report.regions)), key=lambda k: report.regions[k].equations)
    region = report.regions[k]
    assert region.equations > 1
    opened.click(f"#region-table tbody tr:nth-child({k + 1}) button.link")
    assert opened.run("return [view.chosen.pane, view.chosen.region]") == ["region", k]
    shown = opened.run("return hits(view.chosen, 'ir').map((index) => view.lineOf[index])")
    assert shown == [i for i, label in enumerate(label_of) if label == region.label]
    assert len(shown) == region.equations
    marked = opened.run("return hits(view.chosen, 'source').map((index) => view.source[index].line)")
    assert region.source.line in marked
    for selector in (f"#ir-{shown[0]}", f"#source-{marked[0] - 1}"):
        assert opened.run("return document.querySelector(arguments[0]).matches('.hit')", selector), selector
    detail = opened.text("#detail")
    assert region.name in detail
    assert f"region of {region.equations} equations" in detail
    # From one of its equations back to it, and away with the stage.
    opened.move(f"#ir-{shown[0]}", click=True)
    assert opened.run("return view.chosen.pane") == "ir"
    assert f"in region {region.name}" in opened.text("#detail")
    opened.click("#detail button.code")
    assert opened.run("return view.chosen.region") == k
    opened.click("#stage-before")
    assert opened.run("return view.chosen") is None
    assert opened.errors() == []


def test_passes_and_remarks(opened: Browser, report: Report) -> None:
    opened.press("2")
    text = opened.text("#pass-table")
    for stage in (*report.stages, *[s for group in report.groups for s in group.stages]):
        assert stage.name in text
        for use in stage.rules:
            assert use.name in text
    opened.click("#pass-table tbody tr:nth-child(3) button.link")
    assert opened.run("return view.stage") == 2


def test_a_narrow_window(opened: Browser) -> None:
    opened.driver.set_window_size(500, 900)
    for tab in TABS:
        opened.click(f"#tab-{tab}")
        assert opened.run("return document.documentElement.scrollWidth <= innerWidth"), tab
    opened.click("#tab-cost")
    widths = opened.run("return [...document.querySelectorAll('#cost td .code')].map((e) => e.clientWidth)")
    assert min(widths) > 150  # code is read, not a letter a line


def test_ten_thousand_equations(opener: Opener, tmp_path: Path) -> None:
    rng = random.Random(0)
    code = ["import tracer.numpy as tnp", "", "def f(x):", "    h = [x]"]
    for i in range(3_000):
        a, b = rng.randrange(max(0, i - 5), i + 1), rng.randrange(max(0, i - 5), i + 1)
        op = rng.choice(["sin", "cos", "tanh", "exp", "abs"])
        code.append(f"    h.append(tnp.{op}(h[{a}] * {rng.random():.3f}) {rng.choice('+*-')} h[{b}])")
    code.append("    return h[-1].sum()")
    path = tmp_path / "long.py"
    path.write_text("\n".join(code) + "\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location("long", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    report = tr.explain(tr.jit(tr.grad(module.f), opt=0), compile=False)(np.ones(8, np.float32))
    count = len(report.function.eqns)
    assert count > 10_000
    browser = opener(report)
    assert browser.run("return view.rows.length") == count + 2
    elements = "return document.getElementsByTagName('*').length"
    assert browser.run(elements) < 3_000
    began = browser.run("return performance.now()")
    for _ in range(20):  # from end to end, with what belongs to each line
        browser.run("lists.ir.go(Infinity); choose('ir', lists.ir.active - 1, false)")
        browser.run("lists.ir.go(0); choose('ir', 1, false)")
    assert browser.run("return performance.now()") - began < 20_000
    browser.press("p", END)
    assert browser.texts("#ir .row.active .text")[0].strip().startswith("return ")
    assert browser.run(elements) < 3_000
    browser.press("4")
    assert (
        browser.run("return document.querySelector('#memory-chart path').getAttribute('d').length") < 60_000
    )
    assert browser.errors() == []


def test_text_that_looks_like_markup(opener: Opener, tmp_path: Path) -> None:
    evil = "</script><script>window.evil = 1</script><img src=x onerror='window.evil = 2'><!--<script>"
    path = tmp_path / "a<b>&.py"
    path.write_text(
        f'import tracer.numpy as tnp\ndef f(x):\n    return tnp.sin(x), "{evil}"\n', encoding="utf-8"
    )
    spec = importlib.util.spec_from_file_location("evil", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def f(x: Any) -> Any:
        return module.f(x)[0]

    f.__name__ = evil
    browser = opener(tr.explain(f)(np.float32(1)))
    for tab in TABS:
        browser.click(f"#tab-{tab}")
    browser.press("1")
    assert browser.run("return window.evil") is None
    assert browser.text("#name") == evil
    assert any(evil in text for text in browser.texts("#source .text"))
    assert browser.errors() == []


def test_in_a_notebook(browser: Browser, report: Report, tmp_path: Path) -> None:
    """A frame in a page, as notebooks show it."""
    path = tmp_path / "notebook.html"
    body = (
        f"<!doctype html><html data-ready=true><meta charset=utf-8><body>{report._repr_html_()}</body></html>"
    )
    path.write_text(body, encoding="utf-8")
    browser.open(path)
    browser.driver.switch_to.frame(0)
    try:
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(browser.driver, 30).until(
            lambda _: browser.run("return document.documentElement.dataset.ready")
        )
        assert browser.text("#name") == report.name
        assert browser.texts("#ir .row")
    finally:
        browser.driver.switch_to.default_content()
