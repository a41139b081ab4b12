"""What a staged `for` runs over: arrays, `range` with traced bounds, `enumerate` and `zip` of those.

Outside a `for` statement of converted code they behave as Python's own.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ir.errors import ArgumentError, ConcretizationError
from tracer.conversion.values import is_traced
from tracer.value import Tensor


class Staged:
    """Something a `for` can run over while the program is being recorded.

    Attributes:
      length: the number of items, where it is known.
    """

    length: int | None
    _items: Iterator[Any] | None = None

    def count(self) -> Any:
        """The number of items; may be traced."""
        raise NotImplementedError

    def at(self, i: Any) -> Any:
        """The item at a traced position."""
        raise NotImplementedError

    def slices(self) -> Any:
        """All items, for `scan`: a pytree of arrays with a leading axis."""
        raise NotImplementedError

    def item(self, slice_: Any) -> Any:
        """An item from a slice of `slices()`."""
        return slice_

    def _python(self) -> Iterator[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        return self._python()

    def __next__(self) -> Any:
        if self._items is None:
            self._items = self._python()
        return next(self._items)


class Array(Staged):
    """The leading axis of an array."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.length = int(array.shape[0])

    def count(self) -> Any:
        return self.length

    def at(self, i: Any) -> Any:
        return self.array[i]

    def slices(self) -> Any:
        return self.array

    def _python(self) -> Iterator[Any]:
        return iter(self.array)


class Range(Staged):
    """`range(start, stop, step)`; any of the three may be traced."""

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        for bound in (start, stop, step):
            if getattr(bound, "shape", ()) != () or not np.issubdtype(
                getattr(bound, "dtype", np.int64), np.integer
            ):
                raise TypeError(f"range: expected integer scalars, got {bound!r}")
        self.start, self.stop, self.step = start, stop, step
        self.length = None
        if not any(is_traced(x) for x in (start, stop, step)):
            self.length = len(range(start, stop, step))

    def count(self) -> Any:
        if self.length is not None:
            return self.length
        from tracer.numpy import maximum, where

        span = self.stop - self.start
        if not is_traced(self.step):
            if self.step == 0:
                raise ArgumentError("range: expected a step that is not zero, got 0")
            return maximum((span + (self.step - 1 if self.step > 0 else self.step + 1)) // self.step, 0)
        return maximum((span + where(self.step > 0, self.step - 1, self.step + 1)) // self.step, 0)

    def at(self, i: Any) -> Any:
        return self.start + i * self.step

    def slices(self) -> Any:
        from tracer.numpy import arange

        return arange(self.start, self.stop, self.step)

    def _python(self) -> Iterator[Any]:
        if self.length is not None:
            return iter(range(self.start, self.stop, self.step))
        raise ConcretizationError(
            "expected a known number of items, got a range with traced bounds",
            note="run over it with a `for` statement of a converted function",
        )


class Enumerate(Staged):
    """`enumerate(items, start)`."""

    def __init__(self, items: Staged, start: Any) -> None:
        self.items, self.start, self.length = items, start, items.length

    def count(self) -> Any:
        return self.items.count()

    def at(self, i: Any) -> Any:
        return self.start + i, self.items.at(i)

    def slices(self) -> Any:
        from tracer.numpy import arange

        return arange(self.length) + self.start, self.items.slices()

    def item(self, slice_: Any) -> Any:
        return slice_[0], self.items.item(slice_[1])

    def _python(self) -> Iterator[Any]:
        return builtins.enumerate(self.items, self.start)


class Zip(Staged):
    """`zip(*items)`."""

    def __init__(self, items: tuple[Staged, ...], strict: bool) -> None:
        self.items, self.strict = items, strict
        lengths = {x.length for x in items}
        if strict and len(lengths) != 1:
            raise ValueError(f"zip(): expected items of equal length, got {sorted(map(str, lengths))}")
        known = [n for n in lengths if n is not None]
        self.length = min(known) if len(known) == len(lengths) else None

    def count(self) -> Any:
        if self.length is not None:
            return self.length
        from tracer.numpy import minimum

        first, *rest = [x.count() for x in self.items]
        for n in rest:
            first = minimum(first, n)
        return first

    def at(self, i: Any) -> Any:
        return tuple([x.at(i) for x in self.items])

    def slices(self) -> Any:
        return tuple([jax.tree_util.tree_map(lambda a: a[: self.length], x.slices()) for x in self.items])

    def item(self, slice_: Any) -> Any:
        return tuple([x.item(s) for x, s in builtins.zip(self.items, slice_, strict=True)])

    def _python(self) -> Iterator[Any]:
        return builtins.zip(*self.items, strict=self.strict)


def staged(items: Any) -> Staged | None:
    """What a `for` over `items` runs over if it is staged; None where it is Python's."""
    if isinstance(items, Staged):
        return items
    if isinstance(items, (Tensor, jax.core.Tracer)) and items.ndim:
        return Array(items)
    if is_traced(items):
        array = items.__jax_array__()
        return Array(array) if array.ndim else None
    return None


def range_(*bounds: Any) -> Any:
    """`range`; staged where a bound is traced."""
    if not any(is_traced(b) for b in bounds) or not 1 <= len(bounds) <= 3:
        return range(*bounds)
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    return Range(start, stop, step)


def enumerate_(iterable: Any, start: Any = 0) -> Any:
    """`enumerate`; staged over what is staged."""
    inner = staged(iterable)
    return builtins.enumerate(iterable, start) if inner is None else Enumerate(inner, start)


def zip_(*iterables: Any, strict: bool = False) -> Any:
    """`zip`; staged where one is and all others can be: ranges and arrays."""
    inner = [staged(x) for x in iterables]
    if any(x is not None for x in inner):
        for k, x in builtins.enumerate(iterables):
            if inner[k] is None and isinstance(x, (jax.Array, np.ndarray)) and x.ndim:
                inner[k] = Array(x)
            elif inner[k] is None and type(x) is range:
                inner[k] = Range(x.start, x.stop, x.step)
        found = [x for x in inner if x is not None]
        if len(found) == len(inner):
            return Zip(tuple(found), strict)
    return builtins.zip(*iterables, strict=strict)


__all__ = ["Range", "Staged", "enumerate_", "range_", "staged", "zip_"]
