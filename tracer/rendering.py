"""Reports that print through rich, as text and as HTML."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

# Columns of text that is not printed to a terminal.
WIDTH = 100


def plain(show: Callable[[Console], None]) -> str:
    """What `show` prints, without colours."""
    from rich.console import Console

    console = Console(width=WIDTH, no_color=True)
    with console.capture() as captured:
        show(console)
    return captured.get()


def html(show: Callable[[Console], None]) -> str:
    """What `show` prints, for notebooks."""
    import io

    from rich.console import Console

    console = Console(width=WIDTH, record=True, file=io.StringIO())
    show(console)
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")
