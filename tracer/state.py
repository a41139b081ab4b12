"""The innermost active trace of each thread. Imports nothing of the project when it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from ir.core import Function
    from tracer.api.collectives import Lanes
    from tracer.bridge import Bridge
    from tracer.debug.nonfinite import nans
    from tracer.debug.recording import record
    from tracer.trace import Trace

Context = TypeVar("Context")


class State(threading.local):
    """What this thread records.

    Attributes:
      trace: the trace that operations are recorded in, `None` outside any.
      autograph: functions that are handed to tracer have their control flow converted.
      roll: how programs have their loops found again before they are differentiated; `None` for the default.
      bridge: stands for the trace that is suspended while JAX traces a function, `None` elsewhere.
      watches: the contexts of `debug.nans` that this thread is in, the last entered last.
      records: those of `debug.record`.
      axes: the named axes of the `vmap`s being traced, by name, outermost first.
      looking: whether results are looked at within `debug.nans`; not while they are.
    """

    trace: Trace | None = None
    autograph: bool = False
    roll: Callable[[Function, int | None], Function] | None = None
    bridge: Bridge | None = None
    looking: bool = True

    def __init__(self) -> None:
        self.watches: list[nans] = []
        self.records: list[record] = []
        self.axes: dict[Any, Lanes] = {}

    @property
    def watch(self) -> nans | None:
        """Looks at the results of every program that runs outside traces, `None` outside `debug.nans`."""
        return self.watches[-1] if self.watches and self.looking else None

    @property
    def recording(self) -> bool:
        """Whether watched values are recorded."""
        return bool(self.records)


state = State()

# What is active now in whatever thread, by id: traces being recorded, and what else changes how a compiled function
# is called. Where there is nothing, it need not look at its thread's state, which would cost more than the rest
# of its wrapper.
ACTIVE: set[int] = set()


class Entries(Generic[Context]):
    """Where a context was entered: for each time, the list of contexts of the thread that did.

    Contexts may be left in any order and from any thread, as generators do: each holds for the thread that entered it
    until it is left.
    """

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: list[list[Context]] = []

    def enter(self, context: Context, contexts: list[Context]) -> None:
        """The context is entered by the thread that is in `contexts`."""
        contexts.append(context)
        self._lists.append(contexts)
        ACTIVE.add(id(context))

    def leave(self, context: Context, contexts: list[Context]) -> None:
        """The context is left by the thread that is in `contexts`; by another, if that one did not enter it."""
        here = [k for k, entered in enumerate(self._lists) if entered is contexts]
        entered = self._lists.pop(here[-1] if here else -1)
        last = max(k for k, each in enumerate(entered) if each is context)
        del entered[last]
        if not self._lists:
            ACTIVE.discard(id(context))
