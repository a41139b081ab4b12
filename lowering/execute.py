"""Running programs: compiled once for each structure, kept in a bounded cache. Thread-safe.

Python numbers that a function closes over are constants of its program, so a number that changes from
call to call gives a new program each time. After `EXACT` such programs that differ in their numbers
only, one more is compiled that takes the changing numbers as operands, and serves all that follow.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

import jax

import lowering.device  # noqa: F401 (tells the optimiser)
from ir.collector import without_collection
from ir.contents import is_number
from ir.core import Dense, Eqn, Function, Value, inner_first
from ir.ops.shape import broadcast_in_dim, constant
from ir.ops.structural import unequalled
from ir.passes.inlining import inline_calls
from ir.types import TensorType
from lowering.boundary import emit_differentiable, emitted_as, importing
from lowering.emit import with_weak_types
from lowering.late import Late

# Programs kept; each holds one XLA executable for each set of argument placements.
CACHE_SIZE = 1024
# Bytes of the arrays in the programs that a cache keeps. An executable holds a copy of them.
CACHE_BYTES = 1 << 28
# Programs compiled for their very numbers, of those that differ in nothing else.
EXACT = 3

T = TypeVar("T")
Optimize = Callable[[Function], Function]


class Cache(Generic[T]):
    """The most recently used values, by key: so many, with so large arrays in the functions of their keys."""

    def __init__(self, size: int = CACHE_SIZE, nbytes: int = CACHE_BYTES) -> None:
        self.size = size
        self.nbytes = nbytes
        self._weights: dict[Hashable, int] = {}
        self._weight = 0
        self._held: OrderedDict[Hashable, T] = OrderedDict()
        # Comparing keys may import a custom rule, which asks the cache again: the same thread must get in.
        self._lock = threading.RLock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value for `key`, made outside the lock when there is none."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
                return found
        made = make()
        weight = _nbytes(key)
        with self._lock:
            found = self._held.setdefault(key, made)
            if weight and key not in self._weights:
                self._weights[key] = weight
                self._weight += weight
            while len(self._held) > self.size or (self._weight > self.nbytes and len(self._held) > 1):
                oldest, _ = self._held.popitem(last=False)
                self._weight -= self._weights.pop(oldest, 0)
            return found

    def find(self, key: Hashable) -> T | None:
        """The value for `key`, if it is held."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def keep(self, key: Hashable, value: T) -> None:
        """Hold a value for `key`, unless one is held."""
        self.get(key, lambda: value)

    def drop(self, key: Hashable) -> None:
        """Forget the value for `key`."""
        with self._lock:
            self._held.pop(key, None)
            self._weight -= self._weights.pop(key, 0)

    def __len__(self) -> int:
        return len(self._held)

    def clear(self) -> None:
        """Forget every value."""
        with self._lock:
            self._held.clear()
            self._weights.clear()
            self._weight = 0


def _nbytes(key: Any) -> int:
    """Bytes of the constants of the functions in a key."""
    if isinstance(key, tuple):
        return sum([_nbytes(part) for part in key])
    if not isinstance(key, Function):
        return 0
    constants = (eqn.attrs["value"] for f in inner_first(key) for eqn in f.eqns if eqn.op is constant)
    return sum([value.array.nbytes for value in constants])


class _Family:
    """Programs that differ in their numbers only.

    Attributes:
      first: the numbers of the first one.
      varying: which of them were seen to change.
      count: how many such programs there were.
    """

    def __init__(self, first: tuple[Dense, ...]) -> None:
        self.first = first
        self.varying: set[int] = set()
        self.count = 0
        self._lock = threading.Lock()

    def meet(self, numbers: tuple[Dense, ...]) -> frozenset[int]:
        """Take note of one more program; the numbers that are to be operands of its executable."""
        with self._lock:
            self.count += 1
            self.varying.update(
                i for i, (a, b) in enumerate(zip(self.first, numbers, strict=True)) if a is not b and a != b
            )
            return frozenset(self.varying) if self.count > EXACT else frozenset()


PROGRAMS: Cache[Callable[..., Any]] = Cache()
_FAMILIES: Cache[_Family] = Cache()


def run(
    key: tuple[Hashable, ...],
    function: Function,
    transform: Callable[[Function], Function],
    optimize: Optimize,
    operands: Sequence[Any],
    weak: Sequence[bool],
) -> tuple[Any, ...]:
    """Results of `transform(function)`, optimised, at JAX operands.

    The operands may be tracers of JAX: custom rules that the program contains hold for its transforms.

    Args:
      key: what `transform` does, so that (key, function) names the program.
      function: what was traced; compared by structure.
      transform: called once for each new program.
      optimize: the passes.
      operands: JAX arrays, NumPy arrays, numbers or tracers of JAX, one for each param.
      weak: which results are weakly typed.
    """
    flags = tuple(weak)
    program = PROGRAMS.find((key, flags, function))
    if program is None:
        if unequalled(function):
            program = _once(transform(function), flags, optimize, operands)
        else:
            program = PROGRAMS.get(
                (key, flags, function), lambda: _compiled(transform(function), flags, optimize)
            )
    return program(*operands)  # type: ignore[no-any-return]


def _once(
    program: Function, flags: tuple[bool, ...], optimize: Optimize, operands: Sequence[Any]
) -> Callable[..., Any]:
    """What runs a program that will not be met again. Without its rules it may be."""
    if any(isinstance(x, jax.core.Tracer) for x in operands):  # JAX may differentiate it
        return _jitted(program, flags, optimize)
    plain = inline_calls(program)
    return PROGRAMS.get(("plain", flags, plain), lambda: _compiled(plain, flags, optimize))


def _compiled(program: Function, weak: tuple[bool, ...], optimize: Optimize) -> Callable[..., Any]:
    numbers = tuple([eqn.attrs["value"] for eqn in program.eqns if is_number(eqn)])
    if numbers:
        every = _with_operands(program, frozenset(range(len(numbers))))
        varying = _FAMILIES.get((weak, every), lambda: _Family(numbers)).meet(numbers)
        if varying:
            general = _with_operands(program, varying)
            made = PROGRAMS.get(("numbers", weak, general), lambda: _jitted(general, weak, optimize))
            given = tuple([numbers[i].array for i in sorted(varying)])
            return lambda *xs: made(*xs, *given)
    return _jitted(program, weak, optimize)


def _jitted(program: Function, weak: tuple[bool, ...], optimize: Optimize) -> Callable[..., Any]:
    late = Late()

    @without_collection()
    def run(*operands: Any) -> tuple[Any, ...]:
        outs = emit_differentiable(program, lambda f: late.seen(optimize(f)), with_weak_types(operands, ()))
        return with_weak_types(outs, weak)

    compiled = jax.jit(run)

    def call(*operands: Any) -> tuple[Any, ...]:
        if importing.active:
            emitted_as(compiled.trace(*operands).jaxpr, program)
        return late.waited(compiled, *operands)  # type: ignore[no-any-return]

    return call


def _with_operands(program: Function, chosen: frozenset[int]) -> Function:
    """`program` with the chosen ones of its numbers as further params."""
    params = list(program.params)
    eqns = []
    at = -1
    for eqn in program.eqns:
        if is_number(eqn):
            at += 1
            if at in chosen:
                shape = eqn.attrs["shape"]
                number = Value(TensorType((), eqn.attrs["value"].dtype), "number")
                params.append(number)
                attrs = {"shape": shape, "dims": ()}
                eqn = Eqn(broadcast_in_dim, (number,), attrs, eqn.results, eqn.source)
        eqns.append(eqn)
    return program.replace(params=tuple(params), eqns=tuple(eqns))


__all__ = ["CACHE_SIZE", "EXACT", "PROGRAMS", "Cache", "run"]
