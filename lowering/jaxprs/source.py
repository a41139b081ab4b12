"""Where an equation of a jaxpr comes from in the user's program."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ir.source import UNKNOWN, Source, is_internal


@functools.cache
def _internal_folders() -> tuple[str, ...]:
    """Folders of packages whose frames are never the user's."""
    names = [n for n in sys.modules if "." not in n and is_internal(n)]
    files = [getattr(sys.modules[n], "__file__", None) for n in names]
    folders = [str(Path(f).parent) for f in files if f and f.endswith("__init__.py")]
    return tuple(folders)


@functools.lru_cache(maxsize=4096)
def _is_internal_file(file: str) -> bool:
    name = Path(file).name
    if name in ("functools.py", "contextlib.py") or file.startswith("<frozen"):
        return True
    return file.startswith(_internal_folders())


@dataclass(frozen=True, slots=True)
class _Traceback:
    """The innermost frame of a traceback of JAX that is the user's."""

    traceback: Any

    def resolve(self) -> tuple[str, int, str]:
        for frame in self.traceback.frames:
            if not _is_internal_file(frame.file_name):
                return frame.file_name, frame.line_num, frame.function_name
        return "<unknown>", 0, ""


def source_of(traceback: Any) -> Source:
    """The user's location in a traceback of JAX, found when somebody asks."""
    return UNKNOWN if traceback is None else Source.lazily(_Traceback(traceback))
