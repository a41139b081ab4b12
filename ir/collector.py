"""Python's cyclic garbage collector, paused while programs are built."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator


class _Collector:
    """Counts who wants it paused."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pauses = 0
        self._was_enabled = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No collection meanwhile, in any thread; may be nested.

        Next to nothing dies while a program is traced and optimised, and every collection would walk all
        equations so far: half of the time of a large trace went into that.
        """
        with self._lock:
            if not self._pauses:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._pauses += 1
        try:
            yield
        finally:
            with self._lock:
                self._pauses -= 1
                if not self._pauses and self._was_enabled:
                    gc.enable()


without_collection = _Collector().paused

__all__ = ["without_collection"]
