"""Running programs: compiled once for each structure, kept in a bounded cache. Thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax

import ir
from lowering.boundary import emit_differentiable

# Programs kept; each holds one XLA executable for each set of argument placements.
CACHE_SIZE = 1024


class ProgramCache:
    """The most recently used compiled programs, by key."""

    def __init__(self, size: int = CACHE_SIZE) -> None:
        self.size = size
        self._held: OrderedDict[Hashable, Callable[..., Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """The program for `key`, made outside the lock when there is none."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                return found
        made = make()
        with self._lock:
            found = self._held.setdefault(key, made)
            while len(self._held) > self.size:
                self._held.popitem(last=False)
            return found

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget every program."""
        with self._lock:
            self._held.clear()


PROGRAMS = ProgramCache()


def run(
    key: tuple[Hashable, ...],
    function: ir.Function,
    transform: Callable[[ir.Function], ir.Function],
    optimize: Callable[[ir.Function], ir.Function],
    operands: Sequence[Any],
) -> tuple[Any, ...]:
    """Results of `transform(function)`, optimised, at JAX operands.

    The operands may be tracers of JAX: custom rules that the program contains hold for its transforms.

    Args:
      key: what `transform` does, so that (key, function) names the program.
      function: what was traced; compared by structure.
      transform: called once for each new program.
    """

    def make() -> Callable[..., Any]:
        program = transform(function)
        return jax.jit(lambda *xs: emit_differentiable(program, optimize, xs))

    return PROGRAMS.get((*key, function), make)(*operands)  # type: ignore[no-any-return]
