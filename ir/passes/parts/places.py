"""Places along an axis: how they are taken of an array, and how an array that is zero elsewhere is made of them.

`taken` reads them off an equation that takes parts, `put` off one that puts parts into zeros.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.core import Dense, Eqn, Value
from ir.ops.convert import convert
from ir.ops.elementwise import and_, ge, lt, select
from ir.ops.indexing import dynamic_slice, dynamic_update_slice, gather
from ir.ops.scatter import scatter_add
from ir.ops.shape import (
    broadcast_in_dim,
    full,
    full_like,
    pad_axis,
    permute,
    reshape,
    reshape_to,
    slice,
    slice_axis,
)
from ir.rewriter import constant_number
from ir.types import i32

# How many times fewer places than the axis has are worth a part of their own; rows at an index are copied one by one.
_FEWER, _FEWER_ROWS = 3, 4

Now = Callable[[Value], Value]
Definition = Callable[[Value], Eqn | None]


@dataclass(frozen=True, slots=True)
class Steps:
    """Places at equal distances."""

    start: int
    count: int
    step: int

    def pays(self, size: int) -> bool:
        """Whether they are few enough of an axis of that size."""
        return 0 < _FEWER * self.count <= size

    def take(self, x: Value, axis: int, now: Now) -> Value:
        """Those places of an array."""
        limit = self.start + (self.count - 1) * self.step + 1
        return slice_axis(x, axis, self.start, limit, self.step)

    def put(self, part: Value, axis: int, size: int, now: Now) -> Value:
        """An array with `part` in those places and zeros elsewhere."""
        last = self.start + (self.count - 1) * self.step + 1
        return pad_axis(part, axis, self.start, size - last, interior=self.step - 1)


@dataclass(frozen=True, slots=True)
class Window:
    """Places side by side from a computed start on, moved into bounds."""

    start: Value
    count: int

    def pays(self, size: int) -> bool:
        """Whether they are few enough of an axis of that size."""
        return 0 < _FEWER * self.count <= size

    def _starts(self, rank: int, axis: int, now: Now) -> list[Value]:
        start = now(self.start)
        zero: Value = full((), 0, start.type.dtype)
        return [start if d == axis else zero for d in range(rank)]

    def take(self, x: Value, axis: int, now: Now) -> Value:
        """Those places of an array."""
        sizes = tuple([self.count if d == axis else n for d, n in enumerate(x.type.shape)])
        return dynamic_slice(x, *self._starts(x.type.rank, axis, now), sizes=sizes)  # type: ignore[no-any-return]

    def put(self, part: Value, axis: int, size: int, now: Now) -> Value:
        """An array with `part` in those places and zeros elsewhere."""
        whole = full(_with(part.type.shape, axis, size), 0, part.type.dtype)
        return dynamic_update_slice(whole, part, *self._starts(part.type.rank, axis, now))  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Rows:
    """Places at a computed index, of any shape; they may repeat, and are taken, or added up, one by one.

    Attributes:
      mode: "clip" or "promise_in_bounds", as of `gather` and `scatter_add`.
    """

    index: Value
    mode: str

    @property
    def count(self) -> int:
        """How many they are."""
        return self.index.type.size

    def pays(self, size: int) -> bool:
        """Whether they are few enough of an axis of that size."""
        return 0 < _FEWER_ROWS * self.count <= size

    def take(self, x: Value, axis: int, now: Now, *, summed: bool = False) -> Value:
        """Those places of an array.

        Args:
          summed: what is taken is multiplied by what was put there, and added up: nothing, out of bounds.
        """
        fills = summed and self.mode != "clip"
        return gather(  # type: ignore[no-any-return]
            x, reshape_to(now(self.index), (self.count, 1)),
            offset_dims=tuple([d for d in range(x.type.rank) if d != axis]), collapsed_slice_dims=(axis,),
            start_index_map=(axis,), slice_sizes=_with(x.type.shape, axis, 1),
            mode="fill" if fills else self.mode,
            fill_value=Dense(np.zeros((), x.type.dtype.np), x.type.dtype) if fills else None,
        )  # fmt: skip

    def inside(self, size: int, now: Now) -> Value:
        """Which of them are places of an axis of that size."""
        index = reshape_to(now(self.index), (self.count,))
        # (Narrow integers do not count as far as the axis is long.)
        index = index if index.type.dtype.bits >= 32 else convert(index, dtype=i32)
        return and_(ge(index, full_like(index, 0)), lt(index, full_like(index, size)))  # type: ignore[no-any-return]

    def put(self, part: Value, axis: int, size: int, now: Now) -> Value:
        """An array to whose zeros `part` is added in those places."""
        return scatter_add(  # type: ignore[no-any-return]
            full(_with(part.type.shape, axis, size), 0, part.type.dtype),
            reshape_to(now(self.index), (self.count, 1)), part,
            update_window_dims=tuple([d for d in range(part.type.rank) if d != axis]),
            inserted_window_dims=(axis,), scatter_dims_to_operand_dims=(axis,), mode=self.mode,
        )  # fmt: skip


Places = Steps | Window | Rows
# Places by their axis.
Parts = Mapping[int, Places]


def common(a: Places | None, b: Places | None) -> Places | None:
    """The places that two readers want, if these are the same."""
    if isinstance(a, Rows) and isinstance(b, Rows) and a.index is b.index:
        return a if a.mode == b.mode else Rows(a.index, "clip")
    return a if a == b else None


def _with(shape: tuple[int, ...], axis: int, size: int) -> tuple[int, ...]:
    return (*shape[:axis], size, *shape[axis + 1 :])


def take(x: Value, parts: Parts, now: Now) -> Value:
    """Some places along some axes of an array."""
    for axis, places in parts.items():
        x = places.take(x, axis, now)
    return x


def put(part: Value, parts: Parts, shape: tuple[int, ...], now: Now) -> Value:
    """An array of that shape with a part in its places and zeros elsewhere."""
    for axis, places in parts.items():
        part = places.put(part, axis, shape[axis], now)
    return part


# Equations that take, and put ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Taken:
    """What an equation takes of its first operand.

    Attributes:
      axes: for each axis of the part, in the order in which they stand in the result, which one it is.
      fill: what is read out of bounds; None where nothing is.
    """

    parts: dict[int, Places]
    axes: tuple[int, ...]
    fill: Any = None

    def result(self, part: Value, shape: tuple[int, ...], sizes: tuple[int, ...], now: Now) -> Value:
        """The result, of that shape, made of the part of an array of those sizes."""
        if self.fill is not None:
            ((axis, places),) = self.parts.items()
            assert isinstance(places, Rows)
            inside = broadcast_in_dim(places.inside(sizes[axis], now), shape=part.type.shape, dims=(axis,))
            part = select(inside, part, full_like(part, self.fill))
        return reshape_to(permute(part, self.axes), shape)


def taken(eqn: Eqn, definition: Definition) -> Taken | None:
    """The places that an equation takes; None of one that does something else."""
    a, x = eqn.attrs, eqn.operands[0] if eqn.operands else None
    if x is None or 0 in x.type.shape or not eqn.results or 0 in eqn.results[0].type.shape:
        return None
    every = tuple(range(x.type.rank))
    parts: dict[int, Places] = {}
    if eqn.op is slice:
        for d, n in enumerate(x.type.shape):
            count = eqn.results[0].type.shape[d]
            if count < n:
                parts[d] = Steps(a["starts"][d], count, a["strides"][d] if count > 1 else 1)
        return Taken(parts, every)
    if eqn.op is dynamic_slice:
        for d, n in enumerate(x.type.shape):
            if a["sizes"][d] < n:
                parts[d] = Window(eqn.operands[1 + d], a["sizes"][d])
        return Taken(parts, every)
    if eqn.op is not gather or len(a["start_index_map"]) != 1 or a["operand_batching_dims"]:
        return None
    (axis,) = a["start_index_map"]
    if a["collapsed_slice_dims"] != (axis,) or a["slice_sizes"] != _with(x.type.shape, axis, 1):
        return None
    axes = _order(eqn.results[0].type.rank, a["offset_dims"], axis)
    if axes is None:
        return None
    mode, fill = a["mode"], None
    if mode == "fill":
        mode, value = "clip", a["fill_value"]
        if value is None and not x.type.dtype.is_float:
            return None
        fill = np.nan if value is None else value.item()
    return Taken({axis: Rows(_flat(eqn.operands[1], definition), mode)}, axes, fill)


def _flat(index: Value, definition: Definition) -> Value:
    """What has the numbers of an index in the same order: equal ones are one value, whatever their shape."""
    while (eqn := definition(index)) is not None and eqn.op is reshape:
        (index,) = eqn.operands
    return index


def _order(rank: int, windows: tuple[int, ...], axis: int) -> tuple[int, ...] | None:
    """Of an array with one axis for all places, its axes as they stand in one whose places have several, or none.

    Args:
      rank: of the latter.
      windows: its other axes.
      axis: that of the places, in the former.
    """
    own = [d for d in range(rank) if d not in windows]
    if own and own != list(range(own[0], own[0] + len(own))):
        return None
    rest = [d for d in range(len(windows) + 1) if d != axis]
    before = sum(d < own[0] for d in windows) if own else axis
    return (*rest[:before], axis, *rest[before:])


@dataclass(frozen=True, slots=True)
class Put:
    """What an equation puts into zeros.

    Attributes:
      operand: which of its operands that is.
      axes: for each axis of the operand, places as one axis, which one of the result it is.
      shape: of the operand, places as one axis.
    """

    parts: dict[int, Places]
    operand: int
    axes: tuple[int, ...]
    shape: tuple[int, ...]

    def part(self, operand: Value) -> Value:
        """The part that stands in the places."""
        perm = tuple([self.axes.index(d) for d in range(len(self.axes))])
        return permute(reshape_to(operand, self.shape), perm)


def put_into_zeros(eqn: Eqn, definition: Definition) -> Put | None:
    """The places outside of which the result of an equation is zero; None where that is not known."""
    if not eqn.results or 0 in eqn.results[0].type.shape:
        return None
    out, a = eqn.results[0].type, eqn.attrs
    if eqn.op.name == "pad":
        x, value = eqn.operands
        config: Any = a["config"]
        if constant_number(definition(value)) != 0 or any(min(each) < 0 for each in config):
            return None
        parts: dict[int, Places] = {
            d: Steps(low, x.type.shape[d], gap + 1) for d, (low, high, gap) in enumerate(config) if low or high or gap
        }  # fmt: skip
        return Put(parts, 0, tuple(range(out.rank)), x.type.shape)
    if eqn.op not in (dynamic_update_slice, scatter_add):
        return None
    if constant_number(definition(eqn.operands[0])) != 0:
        return None
    if eqn.op is dynamic_update_slice:
        part = eqn.operands[1].type.shape
        parts = {
            d: Window(eqn.operands[2 + d], n) for d, n in enumerate(part) if n < out.shape[d]
        }  # fmt: skip
        return Put(parts, 1, tuple(range(out.rank)), part)
    _, index, updates = eqn.operands
    (*rest,) = a["scatter_dims_to_operand_dims"]
    if len(rest) != 1 or a["operand_batching_dims"] or a["inserted_window_dims"] != (rest[0],):
        return None
    if a["mode"] not in ("clip", "promise_in_bounds"):
        return None
    axis, windows = rest[0], a["update_window_dims"]
    axes = _order(updates.type.rank, windows, axis)
    rows = Rows(_flat(index, definition), a["mode"])
    shape = tuple([rows.count if d == axis else out.shape[d] for d in axes or ()])
    if axes is None or math.prod(shape) != updates.type.size:
        return None  # (windows are smaller than rows)
    return Put({axis: rows}, 2, axes, shape)


__all__ = [
    "Definition", "Parts", "Places", "Put", "Rows", "Steps", "Taken", "Window", "common", "put", "put_into_zeros",
    "take", "taken",
]  # fmt: skip
