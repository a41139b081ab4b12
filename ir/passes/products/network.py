"""What products are read as: factors, with a label for each of their axes, summed over the labels of no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.core import Eqn, Value


class Label:
    """An index that products are summed over, or that the result has; `same` once it was found equal to another.

    Attributes:
      parts: indices that it is put together of, as by a reshape: the last one runs fastest.
    """

    __slots__ = ("parts", "same", "size")

    def __init__(self, size: int, parts: tuple[Label, ...] = ()) -> None:
        self.size = size
        self.parts = parts
        self.same: Label | None = None

    def root(self) -> Label:
        """What stands for all that are equal to this one."""
        label = self
        while label.same is not None:
            label = label.same
        return label

    def leaves(self) -> list[Label]:
        """The indices that it is put together of in the end; itself if it is one."""
        label = self.root()
        return [leaf for part in label.parts for leaf in part.leaves()] if label.parts else [label]

    def equate(self, other: Label) -> bool:
        """Make two labels of one size one, if their parts allow it."""
        a, b = self.root(), other.root()
        if a is b:
            return True
        if not a._fits(b):
            return False
        if a.parts and b.parts:
            for p, q in zip(a.parts, b.parts, strict=True):
                p.equate(q)
        if b.parts:
            a, b = b, a
        b.same = a
        return True

    def _fits(self, other: Label) -> bool:
        """Whether both have parts of the same sizes, as far as both have any."""
        a, b = self.root(), other.root()
        if not a.parts or not b.parts:
            return a.size == b.size
        return len(a.parts) == len(b.parts) and all(p._fits(q) for p, q in zip(a.parts, b.parts, strict=True))

    def split(self, sizes: Sequence[int]) -> tuple[Label, ...] | None:
        """Its parts of given sizes, whose product is its own; None if it has others already."""
        label = self.root()
        if not label.parts:
            label.parts = tuple([Label(n) for n in sizes])
        return label.parts if [p.size for p in label.parts] == list(sizes) else None


@dataclass(frozen=True, slots=True)
class Axis:
    """Index i of `label` stands at `start + i * stride` of an axis."""

    label: Label
    start: int = 0
    stride: int = 1

    def is_whole(self, size: int) -> bool:
        """Whether it is all of an axis of that size, in order."""
        return (self.start, self.stride, self.label.size) == (0, 1, size)


Axes = tuple[Axis, ...]


@dataclass(slots=True)
class Network:
    """A sum of products.

    Attributes:
      root: the equation whose result it is.
      terms: the factors, and what labels their axes.
      out: labels of the axes of the result, which are no parts of others; reshaped, if there are more than axes.
      number: a number that is a factor too.
      divisors: values of one element that it is divided by.
      inside: the equations, root included, that compute it now.
      precision: the highest one of its contractions.
      sums: whether its equations sum anything.
      plain: whether it is one contraction of two factors, as it stands.
      multiplies: whether it contracts, or computes with more elements than any factor has.
      mixed: whether its contractions differ in precision.
    """

    root: Eqn
    terms: list[tuple[Value, Axes]]
    out: tuple[Label, ...]
    number: Any
    divisors: list[Value]
    inside: list[Eqn]
    precision: Any
    sums: bool
    plain: bool
    multiplies: bool
    mixed: bool


def axis_groups(inside: Sequence[int], outside: Sequence[int]) -> list[tuple[list[int], list[int]]] | None:
    """Which axes of one shape become which of another of equal size, those of one element left out.

    None for arrays without elements.
    """
    if 0 in inside:
        return None
    out = []
    i = j = 0
    while i < len(inside) or j < len(outside):
        group: tuple[list[int], list[int]] = ([], [])
        sizes = [1, 1]
        while not group[0] or sizes[0] != sizes[1]:
            if i < len(inside) and (sizes[0] <= sizes[1] or j == len(outside)):
                group[0].append(i)
                sizes[0] *= inside[i]
                i += 1
            elif j < len(outside):
                group[1].append(j)
                sizes[1] *= outside[j]
                j += 1
            else:
                break
        wide = [d for d in group[0] if inside[d] != 1], [d for d in group[1] if outside[d] != 1]
        if any(wide):
            out.append(wide)
    return out
