"""How long things take on a kind of device, roughly: what decides between two ways to compute the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of device.

    Attributes:
      flops: operations a second within large contractions.
      bandwidth: bytes a second to and from memory.
      launch: seconds that each kernel takes besides.
      cache: bytes that a kernel finds in the cache, if the last one left them there.
      cached: bytes a second to and from the cache.
    """

    flops: float
    bandwidth: float
    launch: float
    cache: float = 8e6
    cached: float = 4e10

    def seconds(self, flops: float, nbytes: float) -> float:
        """Of one kernel that does so many operations and moves so many bytes."""
        return flops / self.flops + nbytes / self.bandwidth + self.launch


# Two to four cores.
CPU = Machine(flops=1e11, bandwidth=8e9, launch=1e-6)
