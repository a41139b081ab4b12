"""How long things take on a kind of device, roughly: what decides between two ways to compute the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of device.

    Attributes:
      flops: operations a second within large contractions.
      bandwidth: bytes a second to and from memory.
      launch: seconds that each kernel takes besides.
      caches: from the smallest, (bytes of an array that is kept there, bytes a second).
      fresh: bytes a second for which a program gets memory that it had not before.
      one_order: whether convolutions take images and kernels with their axes in one order, (batch, …, features)
        and (…, features in, features out), and others are copied into it before.
      widens: whether products of floats of 16 bits are computed in f32, of copies.
      loops_for_bits: whether random bits of Threefry keys are made in a loop over arrays.
      sums_apart: whether a library reduces arrays of floats.
      precise: how many times as long contractions may take in the highest precision.
      counted_bits: whether random bits of Threefry keys are those of positions, each by itself.
    """

    flops: float
    bandwidth: float
    launch: float
    caches: tuple[tuple[float, float], ...] = ()
    fresh: float = float("inf")
    one_order: bool = False
    widens: bool = False
    sums_apart: bool = False
    loops_for_bits: bool = False
    precise: float = 1.0
    counted_bits: bool = True

    def seconds(self, flops: float, nbytes: float) -> float:
        """Of one kernel that does so many operations and moves so many bytes to and from memory."""
        return flops / self.flops + nbytes / self.bandwidth + self.launch

    def moving(self, nbytes: float, largest: float) -> float:
        """Seconds to move so many bytes again and again, of arrays of which the largest has so many."""
        for size, rate in self.caches:
            if largest <= size:
                return nbytes / rate
        return nbytes / self.bandwidth


# Two to four cores; the rates of XLA's own kernels.
CPU = Machine(
    flops=1.5e11,
    bandwidth=9e9,
    launch=1e-6,
    caches=((2.2e6, 5e10), (2e7, 3e10)),
    fresh=3e9,
    one_order=True,
    widens=True,
    sums_apart=True,
    loops_for_bits=True,
)
# A large GPU, in single precision. Loops are slow there: every kernel in one is launched by itself.
ACCELERATOR = Machine(flops=5e13, bandwidth=2.5e12, launch=5e-6, caches=((4e7, 5e12),), precise=8.0)

_sources: list[Callable[[], Machine]] = []


def current() -> Machine:
    """The machine that programs are compiled for, as the lowering knows."""
    return _sources[0]() if _sources else CPU


def answer(source: Callable[[], Machine]) -> None:
    """Have `current` ask `source`."""
    _sources[:] = [source]
