"""A report in the terminal, through `rich`."""

from __future__ import annotations

import linecache
import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ir.printer import lines as lines_of
from ir.printer import to_text
from tracer.report.model import Report, Stage, described
from tracer.units import count, duration, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_BLOCKS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 60  # of the time line
_LINES = 12  # of the user's, and of what is held at the peak
_SHORTEST = 0.01  # phases that take less of the whole are taken together


def show(report: Report, console: Console | None, lines: int | None) -> None:
    """Print a report; `lines` of the program at most."""
    from rich.console import Console

    out = console or Console()
    out.print(stage_table(report))
    if any(stage.rules for stage in report.stages):
        out.print()
        out.print(_rules(report))
    for each in report.remarks:
        out.print(str(each), markup=False, highlight=False, style="yellow" if each.declined else None)
    for part in (_phases(report), _lines(report), _regions(report), *_memory(report)):
        out.print()
        out.print(part)
    text = to_text(report.function, max_elements=8).split("\n")
    shown = text if lines is None else text[:lines]
    out.print()
    out.print("\n".join(shown), markup=False, highlight=False, soft_wrap=True)
    if len(shown) < len(text):
        out.print(
            f"… {len(text) - len(shown):,} more lines: print(lines=None), or save('report.html')", style="dim"
        )


def stage_table(report: Report) -> Table:
    """Sizes and costs, stage by stage; those that changed nothing are taken together."""
    title = f"{report.name}: traced and optimised in {duration(report.seconds)}"
    table = _table(title, "stage", "time", "equations", "flops", "bytes moved", "live bytes")
    before: Stage | None = None
    idle = []
    for stage in report.stages:
        if before is not None and before.function is stage.function:
            idle.append(stage.seconds)
            continue
        cells: list[RenderableType] = [stage.name, duration(stage.seconds)]
        for name, text in (("equations", _whole), ("flops", count), ("bytes", size), ("peak", size)):
            cells.append(
                _changed(_number(stage, name), None if before is None else _number(before, name), text)
            )
        table.add_row(*cells)
        before = stage
    if idle:
        table.add_row(f"{len(idle)} without change", duration(sum(idle)), style="dim")
    return table


def _number(stage: Stage, name: str) -> int:
    found: int = len(stage.function.eqns) if name == "equations" else getattr(stage, name)
    return found


def _whole(number: float) -> str:
    return f"{number:,.0f}"


def _changed(now: int, before: int | None, text: Callable[[float], str]) -> RenderableType:
    from rich.text import Text

    if before is None or before == now:
        return text(now).rstrip()
    return Text(text(now).rstrip(), style="green" if now < before else "red")


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    return table


def _rules(report: Report) -> Table:
    table = _table("Rewrites that were applied", "pass", "times", "rule", "why")
    table.columns[2].justify = table.columns[3].justify = "left"
    for stage in report.stages:
        for use in stage.rules:
            table.add_row(stage.name, f"{use.count:,}", use.name, use.doc)
    return table


def _phases(report: Report) -> Table:
    total = sum([each.seconds for each in report.phases])
    table = _table(f"Where {duration(total)} of compiling go", "phase", "time", "share")
    rest = 0.0
    for each in report.phases:
        if each.seconds < _SHORTEST * total:
            rest += each.seconds
            continue
        table.add_row(each.name, duration(each.seconds), f"{each.seconds / total:.0%}")
    if rest:
        table.add_row("all others", duration(rest), f"{rest / total:.0%}")
    return table


def _lines(report: Report) -> Table:
    from rich.text import Text

    total = sum([each.seconds for each in report.lines])
    table = _table(
        f"Cost by line: {report.kernels:,} kernels, {duration(total)} by the roofline model of a {_machine(report)}",
        "line",
        "code",
        "time",
        "flops",
        "bytes",
        "bound by",
    )
    table.columns[1].justify = "left"
    for each in report.lines[:_LINES]:
        where = _place(each.file, each.line)
        code = linecache.getline(each.file, each.line).strip()
        at_least = "" if each.known else "≥ "
        table.add_row(
            Text(where),
            Text(code, overflow="ellipsis", no_wrap=True),
            at_least + duration(each.seconds),
            at_least + count(each.flops),
            at_least + size(each.bytes),
            each.bound,
        )
    if len(report.lines) > _LINES:
        table.add_row(f"… {len(report.lines) - _LINES:,} more", *[""] * 5, style="dim")
    return table


def _place(file: str, line: int) -> str:
    """A line, without the folder that its file is in."""
    return f"{os.path.basename(file)}:{line}" if line else file


def _regions(report: Report) -> Table:
    from rich.text import Text

    table = _table("Cost by region", "region", "equations", "time", "flops", "bytes")
    for each in report.regions[:_LINES]:
        label = Text(each.label, overflow="ellipsis", no_wrap=True)
        table.add_row(
            label, f"{each.equations:,}", duration(each.seconds), count(each.flops), size(each.bytes)
        )
    if len(report.regions) > _LINES:
        table.add_row(f"… {len(report.regions) - _LINES:,} more", *[""] * 4, style="dim")
    return table


def _machine(report: Report) -> str:
    machine = report.machine
    return f"machine with {count(machine.flops)}flop/s and {size(machine.bandwidth)}/s"


def _memory(report: Report) -> list[Any]:
    from rich.text import Text

    memory = report.memory
    held = _table(
        f"Memory: arguments {size(memory.arguments)}, results {size(memory.results)}, "
        f"temporaries at most {size(memory.peak)} (estimate)",
        "held at the peak",
        "bytes",
        "made at",
    )
    held.columns[2].justify = "left"
    names = lines_of(report.function)[0].names
    for each in memory.held[:_LINES]:
        source = each.eqn.source
        where = f"{_place(source.file, source.line)} ({source.function})" if source.line else str(source)
        held.add_row(
            Text(described(each, names)),
            size(each.bytes),
            Text(where, overflow="ellipsis", no_wrap=True),
        )
    if len(memory.held) > _LINES:
        held.add_row(f"… {len(memory.held) - _LINES:,} more", "", "", style="dim")
    parts: list[Any] = [held]
    if memory.peak:
        parts.append(
            Text(f"temporaries over the equations  {_sparkline(memory.temporary)}  peak {size(memory.peak)}")
        )
    xla = report.compiled
    if xla is not None and xla.temporary is not None and xla.results is not None:
        parts.append(Text(f"XLA: results {size(xla.results)}, temporaries {size(xla.temporary)}"))
    return parts


def _sparkline(numbers: tuple[int, ...]) -> str:
    """The greatest of each stretch, as blocks."""
    stretch = math.ceil(len(numbers) / _COLUMNS)
    greatest = [max(numbers[i : i + stretch]) for i in range(0, len(numbers), stretch)]
    top = max(greatest)
    return "".join([_BLOCKS[round(n / top * (len(_BLOCKS) - 1))] for n in greatest])


__all__ = ["show", "stage_table"]
