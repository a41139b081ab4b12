"""The innermost active trace of each thread. Imports nothing of the project when it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ir.core import Function
    from tracer.bridge import Bridge
    from tracer.trace import Trace


class State(threading.local):
    """What this thread records.

    Attributes:
      trace: the trace that operations are recorded in, `None` outside any.
      autograph: functions that are handed to tracer have their control flow converted.
      roll: how programs have their loops found again before they are differentiated; `None` for the default.
      bridge: stands for the trace that is suspended while JAX traces a function, `None` elsewhere.
    """

    trace: Trace | None = None
    autograph: bool = False
    roll: Callable[[Function, int | None], Function] | None = None
    bridge: Bridge | None = None


state = State()

# Traces being recorded now, in whatever thread, by id: where there are none, a compiled function need
# not look at its thread's, which would cost more than the rest of its wrapper.
ACTIVE: set[int] = set()
