"""Looking into programs while they run: where NaN comes from, values, assertions.

`nans` names the equation that made the first NaN; `check` asserts, and `checkify` says whether that held; `print`
shows values, `watch` and `record` collect them; `memory` says which lines hold it. See `docs/debugging.md`.
"""

from tracer.debug.checks import Error, check, checkify
from tracer.debug.memory import Peak, memory
from tracer.debug.nonfinite import nans
from tracer.debug.printing import print
from tracer.debug.recording import Recording, record, watch
from tracer.debug.statistics import Statistics

__all__ = [
    "Error",
    "Peak",
    "Recording",
    "Statistics",
    "check",
    "checkify",
    "memory",
    "nans",
    "print",
    "record",
    "watch",
]
