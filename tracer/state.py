"""The innermost active trace of each thread. Imports nothing of the project."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.bridge import Bridge
    from tracer.trace import Trace


class State(threading.local):
    """What this thread records.

    Attributes:
      trace: the trace that operations are recorded in, `None` outside any.
      autograph: functions that are handed to tracer have their control flow converted.
      bridge: stands for the trace that is suspended while JAX traces a function, `None` elsewhere.
    """

    trace: Trace | None = None
    autograph: bool = False
    bridge: Bridge | None = None


state = State()

# Traces being recorded now, in whatever thread, by id: where there are none, a compiled function need
# not look at its thread's, which would cost more than the rest of its wrapper.
ACTIVE: set[int] = set()
