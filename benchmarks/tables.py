"""Tables of results: for the terminal, and as Markdown. The first column is text, the others are figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.markup import escape
from rich.table import Table

Rows = Iterable[Sequence[str]]


def table(title: str, heads: Iterable[str], rows: Rows) -> Table:
    """For the terminal."""
    made = Table(title=title)
    for k, head in enumerate(heads):
        made.add_column(head, justify="right" if k else "left")
    for row in rows:
        made.add_row(*[escape(cell) for cell in row])
    return made


def markdown(heads: Sequence[str], rows: Rows) -> list[str]:
    """As lines of Markdown."""
    lines = [heads, ("---", *["---:"] * (len(heads) - 1)), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


__all__ = ["markdown", "table"]
