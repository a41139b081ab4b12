"""Networks, with what they cost as they stand and in the best order, and sums of them."""

from __future__ import annotations

import functools
import math
from typing import Any

import ml_dtypes
import numpy as np

from ir.core import Value
from ir.machine import Machine
from ir.passes.products.network import Network
from ir.passes.products.order import Factor, Order
from ir.types import DType

# A new order has to be quicker by this factor and by so many seconds.
_QUICKER, _SECONDS = 0.9, 1e-6


class Choice:
    """A network, with the seconds that its equations take as they stand and in the best order.

    Attributes:
      together: whether it was chosen with others, for what all save.
      repeating: seconds to repeat the result along an axis, where it is not read element by element.
    """

    def __init__(self, network: Network, old: float, machine: Machine) -> None:
        self.network, self.old, self.machine = network, old, machine
        self.together = False
        self.repeating = 0.0

    @functools.cached_property
    def order(self) -> Order:
        return _order(self.network, self.machine)

    @functools.cached_property
    def _ordered(self) -> float:
        return self.order.seconds() * (self.machine.precise if self.network.mixed else 1)

    @property
    def new(self) -> float:
        if self.network.plain or not self.network.terms:
            return self.old
        return self._ordered + self.repeating

    @property
    def pays(self) -> bool:
        return self.together or pays(self.old, self.new)

    @property
    def seconds(self) -> float:
        return self.new if self.pays else self.old

    @property
    def parts(self) -> list[Choice]:
        """What is added up."""
        return [self]

    @property
    def takes(self) -> bool:
        """Whether it takes elements of its factor, and computes nothing."""
        network = self.network
        return len(network.terms) == 1 and network.number == 1 and not network.divisors and not network.sums

    @property
    def repeats(self) -> bool:
        """Whether its result is one along an axis."""
        held = {leaf for _, axes in self.network.terms for axis in axes for leaf in axis.label.leaves()}
        return any(label.size > 1 and label not in held for label in self.network.out)


class Sum:
    """A network factors of which are sums, multiplied out."""

    pays = True

    def __init__(self, parts: list[Choice], seconds: float) -> None:
        self.parts, self.seconds = parts, seconds

    @property
    def new(self) -> float:
        return self.seconds


def within(choice: Choice | Sum | None, value: Value) -> float:
    """Seconds of a network in its best order, inf where a value is still one of its factors."""
    if choice is None or any(v is value for v in factors(choice)):
        return math.inf
    return choice.new


def factors(choice: Choice | Sum) -> list[Value]:
    """What is multiplied, in all of its networks."""
    return [v for part in choice.parts for v, _ in part.network.terms]


def pays(old: float, new: float) -> bool:
    """Whether another order is so much quicker that it is worth it."""
    return new < _QUICKER * old and old - new > _SECONDS


def _order(network: Network, machine: Machine) -> Order:
    numbers: dict[Any, int] = {}
    sizes: list[int] = []
    factors = []
    for value, axes in network.terms:
        labels: dict[int, None] = {}
        cuts = []
        for axis, n in zip(axes, value.type.shape, strict=True):
            whole = axis.label.size
            parts = tuple([leaf.size for leaf in axis.label.leaves()])
            cuts.append(
                (axis.start, axis.stride, whole, parts) if whole != n or axis.start or parts != (n,) else None
            )
            for label in axis.label.leaves():
                if label.size > 1:
                    at = numbers.setdefault(label, len(sizes))
                    if at == len(sizes):
                        sizes.append(label.size)
                    labels[at] = None
        pattern = tuple([numbers[k] if k.size > 1 else -1 for a in axes for k in a.label.leaves()])
        first = {p: k for k, p in reversed(list(enumerate(pattern)))}
        factors.append(Factor(tuple(labels), (id(value), tuple(cuts), tuple([first[p] for p in pattern]))))
    out = frozenset([numbers[label] for label in network.out if label in numbers])
    return Order(factors, sizes, out, network.root.results[0].type.dtype.np.itemsize, machine)


def has_range(dtype: DType) -> bool:
    """Whether products of that type in another order seldom overflow: float32 and wider, and bfloat16."""
    return dtype.is_inexact and int(ml_dtypes.finfo(dtype.real.np).maxexp) >= 128  # type: ignore[no-untyped-call]


def is_number(number: Any, dtype: DType) -> bool:
    """Whether the numbers of a network, put together, are one that its element type has."""
    if number in (1, -1):
        return True
    info: Any = ml_dtypes.finfo(dtype.real.np)  # type: ignore[no-untyped-call]
    return bool(np.isfinite(number)) and float(info.smallest_normal) <= abs(number) <= float(info.max)


__all__ = ["Choice", "Sum", "factors", "has_range", "is_number", "pays", "within"]
