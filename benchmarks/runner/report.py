"""`python -m benchmarks report FILE ...`: tables, charts and a page. May import: the records; `charts` and `page`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.runner import results, roster
from benchmarks.runner.insert import insert
from benchmarks.runner.record import Row, Run, Status, read
from benchmarks.runner.results import BASE, DEVICES, Device, Group
from benchmarks.runner.units import bytes_text, ratio_text, seconds_text
from benchmarks.tables import markdown


@dataclass(frozen=True)
class Section:
    """What Markdown and the page show alike: a heading, sentences, then a table.

    Attributes:
      chart: the name of one, without the device; none where empty.
      listed: a list below the table.
    """

    heading: str
    text: str
    heads: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    chart: str = ""
    listed: tuple[str, ...] = ()


Cell = Callable[[Row, float | None], str]


def sections(device: Device) -> Iterator[Section]:
    """Of one device."""
    yield Section(f"Results on {device.name.upper()}", "", listed=tuple(_conditions(device)))
    yield from _summaries(device)
    for group in device.groups:
        yield from _of_group(group)
    for suite in sorted({group.suite for group in device.groups}):
        if results.growing([group for group in device.groups if group.suite == suite]):
            yield Section(f"{suite}, growth", "", chart=f"{suite}-growth")


def _conditions(device: Device) -> Iterator[str]:
    for run in device.runs:
        m, s = run.machine, run.settings
        variables = "".join(f", {name}={value}" for name, value in m.variables.items())
        yield (
            f"{run.started[:10]}, commit {', '.join(run.commits)}: {m.cpu}, {m.cores} cores, "
            f"{m.memory_bytes / 2**30:.0f} GiB, {m.system}{variables}; {s.seconds:g} s of calls a case and peer"
            + ("" if run.finished else "; not finished")
        )
    infos = {name: info for run in device.runs for name, info in run.peers.items()}
    for name in roster.order(set(infos)):
        versions = ", ".join(f"{key} {value}" for key, value in infos[name].versions.items())
        yield f"{roster.label(name)}: {versions}; {infos[name].device}"


def _summaries(device: Device) -> Iterator[Section]:
    """Geometric means by suite and size."""
    peers = [p for p in roster.order({p for g in device.groups for p in g.peers}) if p != BASE]
    for heading, figure in (("Time of a call", results.steady_s), ("First call", results.first_s)):
        rows = []
        for group in device.groups:
            means = [results.mean_ratio([group], peer, figure) for peer in peers]
            cells = [f"{ratio_text(m[0])} ({m[1]})" if m else "" for m in means]
            rows.append((f"{group.suite}, {group.size}", str(len(group.cases)), *cells))
        text = "Geometric mean of the peer's time divided by tracer's, and over how many cases."
        yield Section(heading, text, ("suite", "cases", *map(roster.label, peers)), tuple(rows))


def _of_group(group: Group) -> Iterator[Section]:
    name, peers = f"{group.suite}, {group.size}", group.peers
    heads = ("case", "quantity", *map(roster.label, peers))

    def rows(cell: Callable[[Row, float | None], str], figure: results.Figure) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (
                case,
                next(iter(by_peer.values())).quantity,
                *(cell(by_peer[p], results.ratio(by_peer, p, figure)) if p in by_peer else "" for p in peers),
            )
            for case, by_peer in group.cases.items()
        )

    yield Section(
        f"{name}: time of a call",
        "Median, and divided by tracer's.",
        heads,
        rows(_steady, results.steady_s),
        chart=f"{group.suite}-{group.size}-time",
        listed=tuple(_reason(row) for row in results.problems(group)),
    )
    yield Section(
        f"{name}: first call",
        "Trace, compile and run; and divided by tracer's.",
        heads,
        rows(lambda row, r: _with_ratio(seconds_text(row.first_s), row, r), results.first_s),
        chart=f"{group.suite}-{group.size}-first-call",
    )
    yield Section(
        f"{name}: memory",
        "Peak of the process, less its peak before the case; then XLA's temporaries, where known.",
        heads,
        rows(_memory, results.steady_s),
    )


def _with_ratio(text: str, row: Row, ratio: float | None) -> str:
    notes = [] if ratio is None or row.peer == BASE else [f"{ratio_text(ratio)}x"]
    notes += [row.note] if row.note else []
    return f"{text} ({', '.join(notes)})" if text and notes else text


def _steady(row: Row, ratio: float | None) -> str:
    if row.status is not Status.OK:
        return str(row.status)
    return _with_ratio(seconds_text(row.steady.median_s), row, ratio) if row.steady else "ok"


def _memory(row: Row, _: float | None) -> str:
    if row.memory is None:
        return ""
    text = bytes_text(row.memory.peak_bytes - row.memory.idle_bytes)
    temporaries = row.memory.temporaries_bytes
    return text if temporaries is None else f"{text}; {bytes_text(temporaries)}"


def _reason(row: Row) -> str:
    return f"{results.title(row)}, {roster.label(row.peer)}: {row.status}, {row.reason}"


def as_markdown(found: Sequence[Device], charts: dict[str, str]) -> str:
    """The tables; `charts` has the paths of pictures by name."""
    lines = [
        "# Benchmarks",
        "",
        "By `python -m benchmarks run`; docs/benchmarks.md says how it is measured.",
        "",
    ]
    for device in found:
        for section in sections(device):
            lines += [f"## {section.heading}", ""]
            lines += [section.text, ""] if section.text else []
            if path := charts.get(f"{device.name}-{section.chart}"):
                lines += [f"![{section.heading}]({path})", ""]
            if section.rows:
                heads = [_escaped(head) for head in section.heads]
                lines += [*markdown(heads, [[_escaped(c) for c in row] for row in section.rows]), ""]
            lines += [f"- {_escaped(each)}" for each in section.listed]
            lines += [""] if section.listed else []
    lines += [f"Not measured: {', '.join(missing)}.", ""] if (missing := not_measured(found)) else []
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def not_measured(found: Sequence[Device]) -> list[str]:
    """Kinds of devices without results."""
    return [name.upper() for name in DEVICES if name not in {device.name for device in found}]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks report", description="Tables and charts of results."
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, help="a folder (that of the first file)")
    parser.add_argument(
        "--insert", type=Path, nargs="+", default=[], metavar="FILE",
        help="documents that get the table of all results between their marks",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    console = Console()
    try:
        runs: list[Run] = [read(path) for path in options.files]
    except (ValueError, OSError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 2
    # Here, so that the tables and the other commands do without Matplotlib.
    from benchmarks.runner.charts import charts
    from benchmarks.runner.page import page

    folder: Path = options.out or options.files[0].parent
    found = results.devices(runs)
    drawn = {chart.name: chart for device in found for chart in charts(device.groups, device.name)}
    folder.mkdir(parents=True, exist_ok=True)
    for chart in drawn.values():
        chart.save(folder / "charts")
    (folder / "report.md").write_text(as_markdown(found, {name: f"charts/{name}.png" for name in drawn}))
    (folder / "report.html").write_text(page(found, {name: chart.svg() for name, chart in drawn.items()}))
    console.print(f"{folder}: report.md, report.html, {len(drawn)} charts")
    try:
        for path in options.insert:
            insert(path, found)
    except (ValueError, OSError) as error:
        console.print(f"[red]{escape(str(error))}[/]")
        return 2
    return 0


__all__ = ["Section", "as_markdown", "main", "not_measured", "sections"]
