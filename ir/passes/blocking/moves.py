"""What is done to a dimension of a large array: several are merged into one, or some elements are cut out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ir.core import Eqn, Value
from ir.ops.shape import pad, pad_axis, reshape, reshape_to, slice, slice_axis


@dataclass(frozen=True)
class Merge:
    """Dimensions `dim`, `dim + 1`, ... of these sizes become one."""

    dim: int
    sizes: tuple[int, ...]

    @property
    def dims(self) -> range:
        return range(self.dim, self.dim + len(self.sizes))

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[: self.dim], prod(self.sizes), *shape[self.dim + len(self.sizes) :])

    def new(self, d: int) -> int:
        """Where a dimension is afterwards."""
        return d if d <= self.dim else max(d - len(self.sizes) + 1, self.dim)

    def at(self, dim: int) -> Merge:
        """The same of an array that has the dimensions elsewhere."""
        return Merge(dim, self.sizes)

    def done(self, x: Value) -> Value:
        return reshape_to(x, self.shape(x.type.shape))

    def undone(self, x: Value) -> Value:
        return reshape_to(x, (*x.type.shape[: self.dim], *self.sizes, *x.type.shape[self.dim + 1 :]))


@dataclass(frozen=True)
class Cut:
    """Of dimension `dim`, with so many elements, the elements from `low` to `high` are taken."""

    dim: int
    size: int
    low: int
    high: int

    @property
    def dims(self) -> range:
        return range(self.dim, self.dim + 1)

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.size,)

    def shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*shape[: self.dim], self.high - self.low, *shape[self.dim + 1 :])

    def new(self, d: int) -> int:
        return d

    def at(self, dim: int) -> Cut:
        return Cut(dim, self.size, self.low, self.high)

    def done(self, x: Value) -> Value:
        return slice_axis(x, self.dim, self.low, self.high)

    def undone(self, x: Value) -> Value:
        return pad_axis(x, self.dim, self.low, self.size - self.high)


Move = Merge | Cut


def move_of(eqn: Eqn, least: float) -> Move | None:
    """What an equation does to an array of at least so many bytes, forwards or backwards; None for other equations."""
    if (
        eqn.op not in (reshape, slice, pad)
        or min(eqn.operands[0].type.nbytes, eqn.results[0].type.nbytes) < least
    ):
        return None
    old, new = eqn.operands[0].type.shape, eqn.results[0].type.shape
    if eqn.op is reshape:
        return _merge(old, new) or _merge(new, old)
    small, large = (new, old) if eqn.op is slice else (old, new)
    changed = [d for d, (n, m) in enumerate(zip(small, large, strict=True)) if n != m]
    if len(changed) != 1:
        return None
    (d,) = changed
    if eqn.op is slice:
        low, stride = eqn.attrs["starts"][d], eqn.attrs["strides"][d]
    else:
        low, _, between = eqn.attrs["config"][d]
        stride = between + 1
        if low < 0 or low + small[d] > large[d]:
            return None
    return Cut(d, large[d], low, low + small[d]) if stride == 1 else None


def _merge(old: Sequence[int], new: Sequence[int]) -> Merge | None:
    count = len(old) - len(new) + 1
    if count < 2:
        return None
    for d, n in enumerate(new):
        if (*old[:d], *old[d + count :]) == (*new[:d], *new[d + 1 :]) and prod(old[d : d + count]) == n:
            return Merge(d, tuple(old[d : d + count]))
    return None


__all__ = ["Cut", "Merge", "Move", "move_of"]
