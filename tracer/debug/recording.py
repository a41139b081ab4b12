"""`watch` and `record`: named values of a program, and their cotangents, as they are computed.

A program compiled outside `record` contains nothing of it: `watch` is the identity there. Within, programs are
compiled apart, with a callback for each watched value.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import jax
import numpy as np

from ir.errors import ArgumentError
from tracer.debug.printing import emit_effect
from tracer.state import Entries, state
from tracer.value import Tensor


class Recording(dict[str, list[Any]]):
    """The watched values by name, each a list of NumPy arrays in the order in which they came.

    Attributes:
      gradients: their cotangents, where the program computes some.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradients: dict[str, list[Any]] = {}

    def _take(self, site: _Site, leaves: Sequence[Any]) -> None:
        rest = iter(leaves)
        every = [np.asarray(next(rest)) if given else None for given in site.given]
        held = self.gradients if site.gradient else self
        held.setdefault(site.name, []).append(jax.tree_util.tree_unflatten(site.tree, every))


@dataclass(frozen=True, slots=True)
class _Site:
    """What is watched.

    Attributes:
      gradient: the cotangent of the value.
      tree: its structure.
      given: which of its leaves are sent; integers have no cotangents.
    """

    name: str
    gradient: bool
    tree: Any
    given: tuple[bool, ...]


# Callbacks run in threads of the runtime. The last recording that began gets what they bring.
_recordings: list[Recording] = []
_lock = threading.Lock()


def _received(site: _Site, *leaves: Any) -> None:
    with _lock:
        if _recordings:
            _recordings[-1]._take(site, leaves)


class record:
    """Within this context, `watch` records: `with record() as values: step(x)`, then `values["loss"]`.

    Every entry is a list, as a value may be computed many times: in each iteration of a loop, for each example under
    `vmap`. On leaving, what is still running is waited for. Records of several threads at once get mixed.
    """

    def __init__(self) -> None:
        self._entries: Entries[record] = Entries()
        self._values: list[Recording] = []

    def __enter__(self) -> Recording:
        values = Recording()
        with _lock:
            _recordings.append(values)
        self._values.append(values)
        self._entries.enter(self, state.records)
        return values

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            jax.effects_barrier()  # type: ignore[no-untyped-call]
        finally:
            self._entries.leave(self, state.records)
            values = self._values.pop()
            with _lock:
                _recordings[:] = [each for each in _recordings if each is not values]


def watch(name: str, value: Any) -> Any:
    """`value`, recorded as `name` wherever a `record` is active; otherwise nothing but `value`.

    Use what it returns in the place of `value`, so that the cotangent is recorded, too.

    Args:
      name: of the entry.
      value: an array or a pytree of arrays.

    Raises:
      ArgumentError: `name` is no string.
    """
    if not isinstance(name, str):
        raise ArgumentError(f"watch: expected a name and a value, got {type(name).__name__} for the name")
    if not state.recording:
        return value
    leaves, tree = jax.tree_util.tree_flatten(value)
    _emit(_Site(name, False, tree, (True,) * len(leaves)), leaves)
    if state.trace is None or not any(isinstance(x, Tensor) for x in leaves):
        return value
    return jax.tree_util.tree_unflatten(tree, _marked(name, tree)(*leaves))


def _emit(site: _Site, leaves: Sequence[Any]) -> None:
    callback = functools.partial(_received, site)
    if state.trace is None and not any(isinstance(x, jax.core.Tracer) for x in leaves):
        callback(*leaves)
        return

    def send(*xs: Any) -> None:
        jax.debug.callback(callback, *xs)

    if state.trace is None:  # JAX traces the function
        send(*leaves)
    else:
        emit_effect(("record", site), "watch_gradient" if site.gradient else "watch", send, leaves)


@functools.lru_cache(maxsize=256)
def _marked(name: str, tree: Any) -> Any:
    """The identity of the leaves, whose transpose records the cotangents."""
    from tracer.api.custom import custom_jvp
    from tracer.api.linear_call import linear_call

    @custom_jvp
    def marked(*leaves: Any) -> tuple[Any, ...]:
        return leaves

    @marked.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        moved = tuple([_is_inexact(x) for x in primals])

        def back(_: Any, cts: Any) -> Any:
            _emit(_Site(name, True, tree, moved), cts)
            return cts

        given = tuple([t for t, m in zip(tangents, moved, strict=True) if m])
        outs = iter(linear_call(lambda _, ts: ts, back, (), given) if given else ())
        return marked(*primals), tuple([next(outs) if m else t for t, m in zip(tangents, moved, strict=True)])

    return marked


def _is_inexact(x: Any) -> bool:
    if isinstance(x, Tensor):
        return x.value.type.dtype.is_inexact
    return bool(jax.numpy.issubdtype(jax.numpy.result_type(x), jax.numpy.inexact))


__all__ = ["Recording", "record", "watch"]
