"""Charts of results. May import: Matplotlib, of the extra `bench`.

Peers keep their colours and markers in all charts, so that they are told apart without colour too.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from benchmarks.peers.peer import VALUE_ONLY
from benchmarks.runner import results, roster
from benchmarks.runner.record import Row
from benchmarks.runner.results import BASE, Group
from benchmarks.runner.units import ratio_text, seconds_text

# In a page, these become the page's own colours.
INK, FAINT, BAND = "#1b1f24", "#b6bdc6", "#eef1f4"
_WIDTH, _ROW, _LABEL = 9.0, 0.42, 34
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
}


@dataclass(frozen=True)
class Chart:
    """A figure under a name for files, with a sentence that says what it shows."""

    name: str
    caption: str
    figure: Figure

    def save(self, folder: Path) -> list[Path]:
        """As PNG and SVG, on white."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{self.name}.{kind}" for kind in ("png", "svg")]
        with mpl.rc_context(_STYLE | {"svg.hashsalt": self.name}):
            for path in paths:
                # Without the date, the same results give the same file.
                metadata = {"Date": None} if path.suffix == ".svg" else {}
                self.figure.savefig(path, dpi=130, facecolor="white", metadata=metadata)
        return paths

    def svg(self) -> str:
        """For a page: transparent, in the page's colours."""
        out = io.StringIO()
        with mpl.rc_context(_STYLE | {"svg.hashsalt": self.name}):
            self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        text = out.getvalue()
        # Names of groups are the same in all charts; those of marks and clips are salted.
        text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
        for colour, variable in ((INK, "currentColor"), (FAINT, "var(--faint)"), (BAND, "var(--band)")):
            text = text.replace(colour, variable)
        # Text without a colour of its own is black.
        return text.replace("<svg ", '<svg fill="currentColor" role="img" ', 1)


def charts(groups: Sequence[Group], device: str) -> list[Chart]:
    """Of all suites on a device."""
    with mpl.rc_context(_STYLE):
        out = []
        for group in groups:
            for kind, figure in (("time", results.steady_s), ("first-call", results.first_s)):
                made = relative(group, figure, kind)
                if made:
                    out.append(made)
        for suite in sorted({group.suite for group in groups}):
            grown = results.growing([group for group in groups if group.suite == suite])
            if grown:
                out.append(growth(suite, *grown))
    return [Chart(f"{device}-{c.name}", c.caption, c.figure) for c in out]


def _marker(axes: Axes, x: float, y: float, row: Row) -> None:
    entry = roster.entry(row.peer)
    hollow = row.note == VALUE_ONLY
    axes.plot(
        [x], [y], marker=entry.marker, markersize=6.5, color=entry.colour, linestyle="none",
        markerfacecolor="none" if hollow else entry.colour, zorder=3,
    )  # fmt: skip


def relative(group: Group, figure: results.Figure, kind: str) -> Chart | None:
    """A row for each case, a mark for each peer at its figure divided by tracer's."""
    shown = {
        name: rows for name, rows in group.cases.items()
        if BASE in rows and figure(rows[BASE]) and any(figure(r) for p, r in rows.items() if p != BASE)
    }  # fmt: skip
    if not shown:
        return None
    peers = [p for p in group.peers if any(p in rows and figure(rows[p]) for rows in shown.values())]
    row_height = max(_ROW, 0.06 * len(peers))
    made = Figure(figsize=(_WIDTH, row_height * len(shown) + 1.25), layout="constrained")
    axes = made.add_subplot()
    axes.set_xscale("log")
    spread = 0.76 / max(len(peers), 1)
    for k, rows in enumerate(shown.values()):
        if k % 2:
            axes.axhspan(k - 0.5, k + 0.5, color=BAND, linewidth=0, zorder=0)
        ours = figure(rows[BASE])
        assert ours is not None
        for j, peer in enumerate(peers):
            value = figure(rows[peer]) if peer in rows else None
            if value is None:
                continue
            y = k + (j - (len(peers) - 1) / 2) * spread
            steady = rows[peer].steady
            if steady and figure is results.steady_s:
                ends = (steady.lower_quartile_s / ours, steady.upper_quartile_s / ours)
                axes.plot(ends, (y, y), color=roster.entry(peer).colour, linewidth=1.6, zorder=2)
            _marker(axes, value / ours, y, rows[peer])
    axes.axvline(1.0, color=INK, linewidth=0.9, zorder=1)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_yticks(range(len(shown)), [textwrap.fill(name, _LABEL) for name in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.5, alpha=0.6, zorder=0)
    _log_axis(axes, "x", lambda v: f"{ratio_text(v)}x")
    what = "time of a call" if kind == "time" else "first call (trace, compile, run)"
    axes.set_xlabel(f"{what}, relative to tracer; further right is slower")
    _legend(made, peers, any(r.note == VALUE_ONLY for rows in shown.values() for r in rows.values()))
    caption = f"{group.suite}, size {group.size}: {what}, relative to tracer. Lines are quartiles."
    return Chart(f"{group.suite}-{group.size}-{kind}", caption, made)


def growth(suite: str, parameter: str, groups: Sequence[Group]) -> Chart:
    """First call and call against the parameter, a pair of panels for each case."""
    names = list(groups[0].cases)
    made = Figure(figsize=(_WIDTH, 2.7 * len(names) + 0.6), layout="constrained")
    panels = made.subplots(len(names), 2, squeeze=False)
    peers: set[str] = set()
    for axes_of_case, name in zip(panels, names, strict=True):
        axes_of_case[0].set_title(textwrap.shorten(name, 100))
        for axes, figure, what in zip(
            axes_of_case, (results.first_s, results.steady_s), ("first call", "call"), strict=True
        ):
            for peer in roster.order({p for g in groups for p in g.cases.get(name, {})}):
                rows = [g.cases[name][peer] for g in groups if peer in g.cases.get(name, {})]
                points = [(row.parameters[parameter], value) for row in rows if (value := figure(row))]
                if not points:
                    continue
                peers.add(peer)
                entry = roster.entry(peer)
                hollow = any(row.note == VALUE_ONLY for row in rows)
                axes.plot(
                    *zip(*points, strict=True), color=entry.colour, marker=entry.marker, markersize=5,
                    linewidth=1.4, linestyle=":" if hollow else "-",
                    markerfacecolor="none" if hollow else entry.colour,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.set_yscale("log")
            values = sorted({row.parameters[parameter] for g in groups for row in g.rows})
            axes.set_xlim(values[0] / 1.25, values[-1] * 1.25)
            axes.set_xticks(values, [f"{v:,}" for v in values])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(color=FAINT, linewidth=0.5, alpha=0.6)
            axes.set_ylabel(what)
            axes.set_xlabel(parameter)
            if axes.lines:
                _log_axis(axes, "y", seconds_text)
    _legend(made, roster.order(peers), any(r.note == VALUE_ONLY for g in groups for r in g.rows))
    return Chart(f"{suite}-growth", f"{suite}: first call and time of a call by {parameter}.", made)


def _log_axis(axes: Axes, which: str, text: Any) -> None:
    """Labels at decades; within two of them, at 2 and 5 too."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(10, subs=(1.0,) if high / low > 100 else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(value)))
    axis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, peers: Sequence[str], value_only: bool) -> None:
    handles = [
        Line2D([], [], color=e.colour, marker=e.marker, markersize=6.5, linestyle="none", label=e.label)
        for e in map(roster.entry, peers)
    ]
    if value_only:
        handles.append(
            Line2D(
                [],
                [],
                color=INK,
                marker="o",
                markerfacecolor="none",
                linestyle="none",
                label="hollow: value only",
            )
        )
    columns = min(len(handles), 6)
    # Matplotlib fills columns, people read rows.
    by_rows = [handle for k in range(columns) for handle in handles[k::columns]]
    figure.legend(handles=by_rows, loc="outside upper center", ncols=columns, frameon=False)


__all__ = ["Chart", "charts", "growth", "relative"]
