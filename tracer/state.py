"""The innermost active trace of each thread. Imports nothing of the project when it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ir.core import Function
    from tracer.bridge import Bridge
    from tracer.debug.nonfinite import nans
    from tracer.trace import Trace


class State(threading.local):
    """What this thread records.

    Attributes:
      trace: the trace that operations are recorded in, `None` outside any.
      autograph: functions that are handed to tracer have their control flow converted.
      roll: how programs have their loops found again before they are differentiated; `None` for the default.
      bridge: stands for the trace that is suspended while JAX traces a function, `None` elsewhere.
      recording: whether watched values are recorded.
      watch: looks at the results of every program that runs outside traces, `None` outside `debug.nans`.
    """

    trace: Trace | None = None
    autograph: bool = False
    roll: Callable[[Function, int | None], Function] | None = None
    bridge: Bridge | None = None
    recording: bool = False
    watch: nans | None = None


state = State()

# What is active now in whatever thread, by id: traces being recorded, and what else changes how a compiled function
# is called. Where there is nothing, it need not look at its thread's state, which would cost more than the rest
# of its wrapper.
ACTIVE: set[int] = set()
