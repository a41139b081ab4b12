"""Comparisons and reports of results that are made up."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.runner import compare, environment, insert, report, results
from benchmarks.runner.compare import change, interval
from benchmarks.runner.record import Memory, PeerInfo, Row, Run, Settings, Status, read, write
from benchmarks.runner.schedule import steady
from benchmarks.runner.units import bytes_text, ratio_text, seconds_text

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = Settings(device="cpu", seconds=1.0, timeout_s=9.0)


def row(case: str, peer: str, seconds: float | None, size: str = "middle", n: int = 4, **more: Any) -> Row:
    """Ten turns whose medians differ by a percent or so."""
    usual: dict[str, Any] = {"status": Status.OK, "dtype": "float64", "quantity": "value"}
    if seconds is not None:
        turns = [[seconds * (1 + 0.002 * k), seconds * (1 + 0.002 * k)] for k in range(-5, 6)]
        usual |= {"first_s": 100 * seconds, "steady": steady(turns), "memory": Memory(100, 2_000_100, 4096)}
    return Row(suite="made", case=case, size=size, parameters={"n": n}, peer=peer, **usual | more)


def made(*rows: Row) -> Run:
    peers = {name: PeerInfo({"numpy": "2"}, "cpu") for name in {r.peer for r in rows}}
    return Run("2026-01-01T00:00:00+00:00", environment.machine(), SETTINGS, ("abc",), "later", peers, rows)


ROWS = (
    row("a | b", "tracer", 1e-3),
    row("a | b", "jax", 2e-3),
    row("a | b", "numpy", 1e-4, note="value only"),
    row("c", "tracer", 1e-3),
    row("c", "jax", 8e-3),
    row("c", "torch", None, status=Status.WRONG, reason="error 3e-2, allowed 1e-8"),
    row("c", "numpy", None, status=Status.DECLINED, reason="NumPy takes no derivatives"),
)


def test_interval_covers_the_ratio_as_often_as_it_says() -> None:
    rng, hits = np.random.default_rng(0), 0
    for seed in range(200):
        before, after = rng.lognormal(0.0, 0.1, 25), rng.lognormal(np.log(1.3), 0.1, 25)
        low, high = interval(list(before), list(after), seed=seed)
        hits += low <= 1.3 <= high
    assert 0.88 <= hits / 200 <= 1.0


def test_interval_of_one_turn_knows_nothing() -> None:
    assert interval([1.0], [2.0, 2.0]) == (0.0, float("inf"))


@pytest.mark.parametrize(
    ("after", "verdict", "regressed"),
    [(1.3e-3, "slower", True), (0.5e-3, "faster", False), (1.05e-3, "", False), (1e-3, "", False)],
)
def test_change(after: float, verdict: str, regressed: bool) -> None:
    got = change(row("c", "tracer", 1e-3), row("c", "tracer", after), 1.1)
    assert (got.verdict, got.regressed) == (verdict, regressed)
    assert got.ratio == pytest.approx(after / 1e-3)
    assert got.low is not None and got.high is not None and got.low <= got.ratio <= got.high


def test_result_that_is_lost_is_a_regression() -> None:
    lost = row("c", "tracer", None, status=Status.WRONG, reason="error 1")
    assert change(row("c", "tracer", 1.0), lost, 1.1).regressed
    assert change(row("c", "tracer", 1.0), lost, 1.1).verdict == "ok -> wrong: error 1"
    assert not change(lost, row("c", "tracer", 1.0), 1.1).regressed
    assert not change(lost, lost, 1.1).verdict


def test_compare_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after, other = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.json"
    write(made(*ROWS), before)
    write(made(row("c", "tracer", 2e-3), row("c", "jax", 8e-3)), after)
    write(made(row("d", "tracer", 2e-3)), other)
    assert compare.main([str(before), str(before)]) == 0
    assert compare.main([str(before), str(after), "--out", str(tmp_path / "t.md")]) == 1
    assert "| made: c | middle | tracer | 1 ms | 2 ms | 2.000 |" in (tmp_path / "t.md").read_text()
    assert compare.main([str(before), str(after), "--peer", "jax"]) == 0
    assert compare.main([str(before), str(after), "--threshold", "2.5"]) == 0
    assert compare.main([str(before), str(other)]) == 2
    assert "no row in common" in capsys.readouterr().out


def test_tables() -> None:
    text = report.as_markdown(results.devices([made(*ROWS)]), {"cpu-made-middle-time": "charts/x.png"})
    lines = text.splitlines()
    assert "| case | quantity | tracer | JAX | PyTorch | NumPy |" in lines
    assert r"| a \| b | value | 1 ms | 2 ms (2x) |  | 100 us (value only) |" in lines
    assert "| c | value | 1 ms | 8 ms (8x) | wrong | declined |" in lines
    assert "| c | value | 100 ms | 800 ms (8x) |  |  |" in lines
    assert "| c | value | 2 MB; 4.1 kB | 2 MB; 4.1 kB |  |  |" in lines
    # Geometric mean of 2 and 8.
    assert "| made, middle | 2 | 4 (2) |  |  |" in lines
    assert lines.count("![made, middle: time of a call](charts/x.png)") == 1
    wrong = lines.index("- c, PyTorch: wrong, error 3e-2, allowed 1e-8")
    assert lines[wrong + 1] == "- c, NumPy: declined, NumPy takes no derivatives"
    assert "Not measured: GPU, TPU." in lines


def test_later_files_replace_rows() -> None:
    (device,) = results.devices([made(*ROWS), made(row("c", "jax", 4e-3))])
    assert results.ratio(device.groups[0].cases["c"], "jax", results.steady_s) == pytest.approx(4.0)


def test_growth_needs_three_sizes_that_differ_in_one_number() -> None:
    sizes = ("tiny", "small", "middle")
    rows = [row("a", p, 1e-3 * 2**k, size, 4**k) for k, size in enumerate(sizes) for p in ("tracer", "jax")]
    (device,) = results.devices([made(*rows)])
    assert [g.size for g in device.groups] == list(sizes)
    grown = results.growing(device.groups)
    assert grown is not None and grown[0] == "n"
    assert results.growing(device.groups[:2]) is None
    (odd,) = results.devices(
        [made(*(dataclasses.replace(r, parameters={"n": "x" * k}) for k, r in enumerate(rows)))]
    )
    assert results.growing(odd.groups) is None


def test_report_command(tmp_path: Path) -> None:
    sizes = ("tiny", "small", "middle")
    rows = [
        row("grows", p, 1e-3 * 2**k, size, 4**k) for k, size in enumerate(sizes) for p in ("tracer", "jax")
    ]
    write(made(*ROWS, *rows), tmp_path / "a.json")
    assert report.main([str(tmp_path / "a.json"), "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out" / "charts").iterdir()}
    assert {"cpu-made-middle-time.png", "cpu-made-middle-time.svg", "cpu-made-middle-first-call.png"} <= names
    assert "cpu-made-growth.png" in names
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<svg") == len(names) // 2 and "a | b" in page
    # Nothing from elsewhere, and each id once.
    assert not re.search(r"""(?:src|href)=["']https?:""", page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for text in (tmp_path / "out" / "report.md").read_text().splitlines():
        if picture := re.search(r"\]\((charts/.*)\)", text):
            assert (tmp_path / "out" / picture[1]).exists()


def test_report_of_what_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    assert report.main([str(tmp_path / "a.json")]) == 2


def test_figures() -> None:
    assert [seconds_text(s) for s in (None, 2.5e-9, 4.03e-6, 0.1234, 12.0, 1234.0)] == [
        "", "2.5 ns", "4.03 us", "123 ms", "12 s", "1,234 s",
    ]  # fmt: skip
    assert [bytes_text(b) for b in (0, 4096, 5e6, 2e9)] == ["0 B", "4.1 kB", "5 MB", "2 GB"]
    assert [ratio_text(r) for r in (0.01234, 1.5, 1234.5)] == ["0.0123", "1.5", "1,234"]


def test_the_table_of_all_results() -> None:
    found = results.devices([made(*ROWS)])
    assert insert.table(found).splitlines() == [
        "`made`, middle size, CPU: time of a call, divided by tracer's",
        "",
        "|  | tracer | JAX | PyTorch | NumPy |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| a \\| b | 1 ms | 2 |  | value only |",
        "| c | 1 ms | 8 | wrong | declined |",
        "| geometric mean |  | 4 |  |  |",
        "",
        "Not measured: GPU, TPU.",
    ]


def test_the_table_goes_between_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "readme.md"
    found = results.devices([made(*ROWS)])
    for old in ("", "\n\nan old table\n\n"):
        path.write_text(f"before\n{insert.BEGIN}{old}{insert.END}\nafter\n")
        insert.insert(path, found)
        assert path.read_text() == f"before\n{insert.BEGIN}\n\n{insert.table(found)}\n\n{insert.END}\nafter\n"
    for wrong in ("no marks", insert.END + insert.BEGIN, insert.BEGIN):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"readme\.md: expected one"):
            insert.insert(path, found)
        assert path.read_text() == wrong


@pytest.mark.parametrize("name", ["README.md", "docs/benchmarks.md"])
def test_the_tables_in_the_documents_are_those_of_the_results(name: str) -> None:
    runs = [read(path) for path in sorted(ROOT.glob("benchmarks/results/*/*.json"))]
    text = (ROOT / name).read_text(encoding="utf-8")
    assert insert.inserted(text, insert.table(results.devices(runs))) == text
