"""Where an equation of a jaxpr comes from in the user's program."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from ir.source import UNKNOWN, Source, is_internal
from lowering.frames import source_in


@functools.cache
def _internal_folders() -> tuple[str, ...]:
    """Folders of packages whose frames are never the user's."""
    names = [n for n in sys.modules if "." not in n and is_internal(n)]
    files = [getattr(sys.modules[n], "__file__", None) for n in names]
    return tuple([os.path.join(Path(f).parent, "") for f in files if f and f.endswith("__init__.py")])


@functools.lru_cache(maxsize=4096)
def _is_internal_file(file: str) -> bool:
    name = Path(file).name
    if name in ("functools.py", "contextlib.py") or file.startswith("<frozen"):
        return True
    return file.startswith(_internal_folders())


def source_of(traceback: Any) -> Source:
    """The innermost frame of a traceback of JAX that is the user's, or stands for the user's (`lowering.frames`)."""
    if traceback is None:
        return UNKNOWN
    for code, offset in zip(*traceback.raw_frames(), strict=True):
        if not _is_internal_file(code.co_filename):
            return source_in(code) or Source(code, offset)
    return UNKNOWN
