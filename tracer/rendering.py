"""Reports that print through rich, as text and as HTML, and that are written to files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ir.errors import ArgumentError

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


def written(what: str, path: str | os.PathLike[str], data: str | bytes) -> Path:
    """The path of a file that now holds `data`.

    Args:
      what: the function that was given the path.

    Raises:
      ArgumentError: there is no such folder.
      OSError: the file cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ArgumentError(f"{what}: expected a path in a folder that exists, got {os.fspath(path)!r}")
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path
