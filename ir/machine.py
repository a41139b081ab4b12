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
    """

    flops: float
    bandwidth: float
    launch: float

    def seconds(self, flops: float, nbytes: float) -> float:
        """Of one kernel that does so many operations and moves so many bytes."""
        return flops / self.flops + nbytes / self.bandwidth + self.launch


# Two to four cores.
CPU = Machine(flops=1e11, bandwidth=1.5e10, launch=1e-6)
