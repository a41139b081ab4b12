"""Rows of styled cells laid out in columns: for a terminal of some width, or as plain text.

rich has tables, too, but measures every cell several times: ten thousand equations take it seconds. Here a
cell is measured once, and a row is a few strings. Linear in the number of cells.
"""

from __future__ import annotations

import html
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from ir.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.style import Style

Run = tuple[str, str]  # text, and a style as rich names it
Cell = tuple[Run, ...]

NARROWEST = 20  # columns of a terminal; below that nothing is laid out sensibly
_ELLIPSIS = "…"
_ROOM = 8  # columns that an indented line needs after its indentation
_LEAST = 4  # of a column where all of them at their least are still too wide


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a sheet.

    Attributes:
      title: printed above it, if titles are.
      align: of its cells.
      least: how narrow it may become where the width does not suffice; 0 if it keeps its width.
      keeps: which end of a cell stays where it is cut.
      usual: without a limit of the width, cells wider than this push the rest of their row aside.
    """

    title: str = ""
    align: Literal["left", "right"] = "left"
    least: int = 0
    usual: int | None = None
    keeps: Literal["start", "end"] = "start"


@dataclass(frozen=True, slots=True)
class Span:
    """A row across all columns; its second and further lines are indented by `indent` more.

    Attributes:
      breaks: whether it is broken into lines where it is too long, rather than cut.
    """

    cell: Cell
    indent: int = 0
    breaks: bool = True


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows under columns, `gap` between them."""

    columns: Sequence[Column]
    rows: Sequence[tuple[Cell, ...] | Span]
    titles: bool = False
    gap: str = "  "

    def lines(self, width: int | None = None, *, wrap: bool = False) -> Iterator[Cell]:
        """The lines as they are printed, without spaces at their ends.

        Args:
          width: of the terminal; `None` for no limit.
          wrap: continue cells that are too long on further lines, rather than cut them.
        """
        widths = self._widths(width)
        rows: Iterable[tuple[Cell, ...] | Span] = self.rows
        if self.titles:
            heading = tuple([((column.title, "bold dim"),) for column in self.columns])
            rows = (heading, *rows)
        for row in rows:
            if isinstance(row, Span):
                yield from _span_lines(row, width)
            elif not wrap or width is None:
                fitted = row if width is None else self._cut(row, widths)
                yield self._line(fitted, widths)
            else:
                parts = [wrapped(cell, w) for cell, w in zip(row, widths, strict=True)]
                for i in range(max([len(part) for part in parts], default=0)):
                    yield self._line([part[i] if i < len(part) else () for part in parts], widths)

    def _widths(self, width: int | None) -> list[int]:
        """The width of every column, together with the gaps no more than `width` if that can be."""
        widths = [measure(((column.title, ""),)) if self.titles else 0 for column in self.columns]
        for row in self.rows:
            if not isinstance(row, Span):
                for i, cell in enumerate(row):
                    size = measure(cell)
                    widths[i] = max(widths[i], size)
        if width is None:
            return [
                w if column.usual is None else min(w, column.usual)
                for w, column in zip(widths, self.columns, strict=True)
            ]
        room = width - len(self.gap) * (len(self.columns) - 1)
        _shrink(widths, [column.least for column in self.columns], room)
        _shrink(widths, [min(column.least, _LEAST) for column in self.columns], room)
        return widths

    def _cut(self, row: Sequence[Cell], widths: Sequence[int]) -> list[Cell]:
        return [cut(cell, w, c.keeps) for cell, w, c in zip(row, widths, self.columns, strict=True)]

    def _line(self, cells: Sequence[Cell], widths: Sequence[int]) -> Cell:
        runs: list[Run] = []
        blanks = 0  # written only when something follows
        for i, (cell, width, column) in enumerate(zip(cells, widths, self.columns, strict=True)):
            blanks += len(self.gap) if i else 0
            pad = max(0, width - measure(cell))
            before = pad if column.align == "right" else 0
            if cell:
                if blanks + before:  # in the style of what follows: fewer runs, and spaces look the same
                    (text, style), *rest = cell
                    runs.append((" " * (blanks + before) + text, style))
                    runs.extend(rest)
                else:
                    runs.extend(cell)
                blanks = pad - before
            else:
                blanks += pad
        return _stripped(runs)


def _shrink(widths: list[int], least: Sequence[int], room: int) -> None:
    """Narrow columns until they fit, the widest first; those whose least width is 0 stay as they are."""
    while (excess := sum(widths) - room) > 0:
        spare = [i for i, floor in enumerate(least) if floor and widths[i] > floor]
        if not spare:
            return
        widest = max(widths[i] for i in spare)
        among = [i for i in spare if widths[i] == widest]
        floor = max([*[widths[i] for i in spare if widths[i] < widest], *[least[i] for i in among]])
        step = max(1, min(widest - floor, excess // len(among)))
        for i in among:
            widths[i] -= step


def _stripped(runs: list[Run]) -> Cell:
    while runs and not runs[-1][0].strip(" "):
        runs.pop()
    return tuple(runs)


def _span_lines(span: Span, width: int | None) -> Iterator[Cell]:
    if width is None or measure(span.cell) <= width:
        yield span.cell
    elif not span.breaks:
        yield cut(span.cell, width)
    else:
        first, *rest = wrapped(span.cell, width, width - span.indent)
        yield first
        for line in rest:
            yield ((" " * span.indent, ""), *line)


# Cells --------------------------------------------------------------------------------------------


def plain(cell: Cell) -> str:
    """The text of a cell."""
    return "".join([text for text, _ in cell])


@lru_cache(maxsize=4096)
def _wide(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def measure(cell: Cell) -> int:
    """How many columns of a terminal a cell takes."""
    return sum([len(text) if text.isascii() else _wide(text) for text, _ in cell])


def cut(cell: Cell, width: int, keeps: Literal["start", "end"] = "start") -> Cell:
    """The cell in at most `width` columns, one of its ends left out for an ellipsis."""
    if measure(cell) <= width:
        return cell
    if width <= 0:
        return ()
    text = plain(cell)
    fits = _fitting(text if keeps == "start" else text[::-1], 0, width - 1)
    if keeps == "end":
        return ((_ELLIPSIS, "dim"), *_between(cell, len(text) - fits, len(text)))
    return (*_between(cell, 0, fits), (_ELLIPSIS, "dim"))


def wrapped(cell: Cell, width: int, later: int | None = None) -> list[Cell]:
    """The cell in lines of at most `width` columns, broken at spaces where that can be.

    Lines after the first are indented as it is, where there is room for it.

    Args:
      later: the width of the lines after the first.
    """
    if measure(cell) <= width:
        return [cell]
    text = plain(cell)
    later = width if later is None else later
    indent = len(text) - len(text.lstrip(" "))
    if later - indent < _ROOM:
        indent = 0
    lines: list[Cell] = []
    start, room = 0, max(1, width)
    while start < len(text):
        fits = _fitting(text, start, room)
        if fits < len(text):
            # Up to the last space that fits, but not so far back that the line is nearly empty.
            space = text.rfind(" ", start + (0 if lines else indent), fits + 1)
            if space > start + (fits - start) // 3:
                fits = space + 1
            fits = max(fits, start + 1)
        stop = start + len(text[start:fits].rstrip(" "))
        line = _between(cell, start, stop)
        lines.append(((" " * indent, ""), *line) if indent and lines else line)
        start, room = fits, max(1, later - indent)
    return lines


def _fitting(text: str, start: int, width: int) -> int:
    """The end of the longest part of `text` from `start` that fits."""
    if text.isascii():
        return min(len(text), start + width)
    from rich.cells import get_character_cell_size

    used = 0
    for i in range(start, len(text)):
        used += get_character_cell_size(text[i])
        if used > width:
            return i
    return len(text)


def _between(cell: Cell, start: int, stop: int) -> Cell:
    """The characters from `start` to `stop`."""
    out = []
    at = 0
    for text, style in cell:
        part = text[max(0, start - at) : max(0, stop - at)]
        if part:
            out.append((part, style))
        at += len(text)
    return tuple(out)


def printable(text: str) -> str:
    """One line without control characters, such as those that a terminal obeys."""
    text = " ".join(text.split())
    return text if text.isprintable() else "".join([c if c.isprintable() else "?" for c in text])


# What is printed ----------------------------------------------------------------------------------


class View(ABC):
    """Something to look at: `print` it, or show it in a notebook; `str` is its plain text.

    `str` has no limit of width unless one was given; a terminal's width is kept.
    """

    _width: int | None = None
    _wrap: bool = False

    @abstractmethod
    def sheet(self, width: int | None) -> Sheet:
        """What to lay out in `width` columns, or without a limit."""

    def lines(self, width: int | None = None) -> Iterator[Cell]:
        """Lines of at most `width` columns, and no more than the view was made for."""
        given = [w for w in (width, self._width) if w is not None]
        limit = min(given) if given else None
        return self.sheet(limit).lines(limit, wrap=self._wrap)

    def print(self, console: Console | None = None) -> None:
        """Print it: in colour and the terminal's width, or as plain text where the output is no terminal.

        Args:
          console: of rich, to print on; standard output by default.
        """
        from rich.console import Console

        if console is None:
            console = Console(highlight=False)
            if not console.is_terminal:
                sys.stdout.write(f"{self}\n")
                return
        console.print(self)

    def __str__(self) -> str:
        return "\n".join([plain(line).rstrip() for line in self.lines()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        styles: dict[str, Style | None] = {"": None}
        end = Segment.line()
        for line in self.lines(options.max_width):
            for text, style in line:
                if style not in styles:
                    styles[style] = console.get_style(style)
                yield Segment(text, styles[style])
            yield end


def checked_width(width: int | None) -> int | None:
    """`width`; ArgumentError if nothing can be laid out in it."""
    if width is not None and width < NARROWEST:
        raise ArgumentError(f"expected a width of at least {NARROWEST} columns, got {width}")
    return width


__all__ = [
    "Cell",
    "Column",
    "Run",
    "Sheet",
    "Span",
    "View",
    "checked_width",
    "cut",
    "measure",
    "plain",
]
