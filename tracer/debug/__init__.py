"""Looking into programs while they run: where NaN comes from, values, assertions.

`nans` names the equation that made the first NaN. See `docs/debugging.md`.
"""

from tracer.debug.nans import nans
from tracer.debug.statistics import Statistics

__all__ = ["Statistics", "nans"]
