"""In which order to multiply: dynamic programming over sets of factors.

The cost of a set is that of the cheapest last product of two of its parts (Lawler's and others' algorithm for
einsum; for chains of matrices it is Godbole 1973). Parts that are the same product but for the names of their
labels are computed once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ir.machine import Machine

# Up to so many factors all sets are looked at; of more, sets that hang together, up to so many.
_ALL = 6
_SETS = 400

Labels = frozenset[int]


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor: labels of its axes, and what tells equal factors with equal cuts."""

    labels: tuple[int, ...]
    key: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """How to multiply the factors of a set (a bit mask): the last product's parts, and its seconds with theirs."""

    parts: tuple[int, int] | None
    seconds: float


class Order:
    """The best order of some factors.

    Args:
      sizes: of labels.
      out: labels that the result has.
      itemsize: bytes of an element.
    """

    def __init__(
        self, factors: Sequence[Factor], sizes: Sequence[int], out: Labels, itemsize: int, machine: Machine
    ) -> None:
        self.factors, self.sizes, self.out, self.itemsize = factors, sizes, out, itemsize
        self.machine = machine
        self.all = (1 << len(factors)) - 1
        self.holding: dict[int, int] = {}  # the factors that have a label
        for i, factor in enumerate(factors):
            for label in factor.labels:
                self.holding[label] = self.holding.get(label, 0) | 1 << i
        self.needed = functools.cache(self._needed)
        self.signature = functools.cache(self._signature)
        keys = [factor.key for factor in factors]
        self.repeats = len(set(keys)) < len(keys)
        self.plans: dict[int, Plan] = {}
        for i in range(len(factors)):
            self.plans[1 << i] = Plan(None, self._alone(i))

    @property
    def sums(self) -> bool:
        """Whether a label is summed over at all."""
        return not self.holding.keys() <= self.out

    def volume(self, labels: Labels) -> int:
        """Elements of an array with those labels."""
        return math.prod([self.sizes[label] for label in labels])

    def _members(self, mask: int) -> list[int]:
        return [i for i in range(len(self.factors)) if mask >> i & 1]

    def _needed(self, mask: int) -> Labels:
        """Labels of the product of a set: those that the result or another factor has."""
        labels = {label for i in self._members(mask) for label in self.factors[i].labels}
        return frozenset([label for label in labels if label in self.out or self.holding[label] & ~mask])

    def _signature(self, mask: int) -> tuple[Any, tuple[int, ...]] | None:
        """What two sets have in common that are one product with other names of labels; and the labels in order.

        (Equal factors are taken in their own order: of some sets that are one product this does not tell.)
        """
        if not self.repeats:
            return None
        members = sorted(self._members(mask), key=lambda i: repr(self.factors[i].key))
        keys = [self.factors[i].key for i in members]
        order: dict[int, int] = {}
        for i in members:
            for label in self.factors[i].labels:
                order.setdefault(label, len(order))
        named = tuple([tuple([order[label] for label in self.factors[i].labels]) for i in members])
        kept = tuple([label in self.needed(mask) for label in order])
        return (tuple(keys), named, kept), tuple(order)

    def _alone(self, i: int) -> float:
        """Seconds to sum a factor over the labels that only it has."""
        labels = frozenset(self.factors[i].labels)
        needed = self.needed(1 << i)
        if labels == needed:
            return 0.0
        return self.machine.seconds(0, self.itemsize * (self.volume(labels) + self.volume(needed)))

    def product(self, left: Labels, right: Labels, out: Labels) -> float:
        """Seconds of one product."""
        both = left | right
        nbytes = self.itemsize * (self.volume(left) + self.volume(right) + self.volume(out))
        return self.machine.seconds(2 * self.volume(both) if both != out else 0, nbytes)

    def seconds(self) -> float:
        """Of the best order; inf where there are too many to compare."""
        if self.all not in self.plans:
            pairs = self._every_pair() if len(self.factors) <= _ALL else self._connected_pairs()
            for left, right in pairs:
                self._try(left, right)
        found = self.plans.get(self.all)
        return math.inf if found is None else found.seconds

    def _try(self, left: int, right: int) -> None:
        a, b = self.plans.get(left), self.plans.get(right)
        if a is None or b is None:
            return
        whole = left | right
        seconds = a.seconds + self.product(self.needed(left), self.needed(right), self.needed(whole))
        held = self.plans.get(whole)
        if held is not None and held.seconds <= seconds:
            return
        one, other = self.signature(left), self.signature(right)
        if one is None or other is None or one[0] != other[0]:
            seconds += b.seconds
        if held is None or seconds < held.seconds:
            self.plans[whole] = Plan((left, right), seconds)

    def _every_pair(self) -> Iterator[tuple[int, int]]:
        for whole in range(1, self.all + 1):
            low = whole & -whole
            part = (whole - 1) & whole
            while part:
                if part & low:
                    yield part, whole ^ part
                part = (part - 1) & whole

    def _connected_pairs(self) -> Iterator[tuple[int, int]]:
        """Pairs of sets that hang together and share a label, small ones first, then of others; none if too many."""
        near = [0] * len(self.factors)
        for holders in self.holding.values():
            for i in self._members(holders):
                near[i] |= holders
        levels: list[list[int]] = [[1 << i for i in range(len(self.factors))]]
        around = {1 << i: near[i] & ~(1 << i) for i in range(len(self.factors))}
        total = len(self.factors)
        while levels[-1] and total <= _SETS:
            larger: dict[int, None] = {}
            for held in levels[-1]:
                for i in self._members(around[held]):
                    mask = held | 1 << i
                    if mask not in around:
                        around[mask] = (around[held] | near[i]) & ~mask
                        larger[mask] = None
            levels.append(list(larger))
            total += len(larger)
        if total > _SETS:
            return
        for size in range(2, len(levels) + 1):
            for small in range(1, size // 2 + 1):
                for left in levels[small - 1]:
                    for right in levels[size - small - 1]:
                        if not left & right and around[left] & right:
                            yield left, right
        # What hangs together with nothing else is multiplied last, small arrays first.
        whole = sorted(
            [mask for mask, beside in around.items() if not beside],
            key=lambda mask: self.volume(self.needed(mask)),
        )
        joined = whole[0]
        for mask in whole[1:]:
            yield joined, mask
            joined |= mask
