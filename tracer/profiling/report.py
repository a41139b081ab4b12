"""What `tr.profile` found, as values and as tables."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ir.source import Source
from tracer.rendering import html, plain
from tracer.units import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

# A profiler that makes calls take so many times as long is worth a word.
_SLOWED = 2.0


@dataclass(frozen=True, slots=True)
class RegionTime:
    """Time of the regions of one label, or of operations that XLA made itself.

    Attributes:
      label: `name:file.py:line` as in XLA's metadata; for XLA's own operations their opcode in parentheses.
      sources: the lines that it comes from; none for XLA's own operations.
      seconds: a call, on all threads or streams together.
      launches: kernels a call.
      flops, nbytes: by the cost model, a call; 0 where it does not know.
    """

    label: str
    sources: tuple[Source, ...]
    seconds: float
    launches: float
    flops: float
    nbytes: float

    @property
    def place(self) -> tuple[str, str]:
        """(name, file and line)."""
        name, _, line = self.label.partition(":")
        return name, line


@dataclass(frozen=True, slots=True)
class LineTime:
    """Time of one line of the user's, seconds a call: its share of the regions it is in, by their cost."""

    source: Source
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Times of one function for one set of arguments.

    Attributes:
      name: the function's name.
      calls: how many calls were recorded.
      seconds: a call takes, from its start until its results are there (median of the calls without profiler).
      watched: likewise with the profiler, which takes its time for every kernel.
      busy: seconds a call that operations ran, on all threads or streams together.
      regions: the dearest first.
      lines: likewise.
    """

    name: str
    calls: int
    seconds: float
    watched: float
    busy: float
    regions: tuple[RegionTime, ...]
    lines: tuple[LineTime, ...]

    def print(self, console: Console | None = None, *, limit: int = 20) -> None:
        """Print the dearest regions and lines, at most `limit` of each."""
        from rich.console import Console

        out = console or Console()
        out.print(self._by_region(limit))
        out.print(self._by_line(limit))
        if self.watched > _SLOWED * self.seconds:
            out.print(
                f"The profiler made a call take {duration(self.watched)}: "
                "times of what runs many small kernels, such as loops, are mostly its own."
            )

    def __str__(self) -> str:
        return plain(self.print)

    def _repr_html_(self) -> str:
        return html(self.print)

    def _share(self, seconds: float) -> str:
        return f"{seconds / self.busy:6.1%}" if self.busy else ""

    def _by_region(self, limit: int) -> RenderableType:
        title = f"{self.name}: {duration(self.seconds)} a call, operations {duration(self.busy)}, {self.calls} calls"
        table = _table(title, ("region", "line"), ("time", "share", "kernels", "Gflop/s", "GB/s"))
        for each in self.regions[:limit]:
            table.add_row(
                *[_short(text) for text in each.place],
                duration(each.seconds),
                self._share(each.seconds),
                f"{each.launches:,.0f}",
                _rate(each.flops, each.seconds),
                _rate(each.nbytes, each.seconds),
            )
        if rest := self.regions[limit:]:
            total = sum(each.seconds for each in rest)
            table.add_row(f"{len(rest)} more", "", duration(total), self._share(total))
        return table

    def _by_line(self, limit: int) -> RenderableType:
        table = _table("by line", ("code", "line"), ("time", "share"))
        for each in self.lines[:limit]:
            place = f"{os.path.basename(each.source.file)}:{each.source.line}"
            table.add_row(
                _short(each.source.text()), _short(place), duration(each.seconds), self._share(each.seconds)
            )
        return table


def _table(title: str, texts: Iterable[str], numbers: Iterable[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for head in texts:
        table.add_column(head)
    for head in numbers:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def _short(text: str) -> Text:
    """Text that is cut where there is no room for it."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def _rate(amount: float, seconds: float) -> str:
    return f"{amount / seconds * 1e-9:.1f}" if amount and seconds else ""
