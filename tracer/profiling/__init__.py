"""Where time goes on the device, by the user's lines: `tr.profile`."""

from tracer.profiling.profile import profile
from tracer.profiling.report import LineTime, Profile, RegionTime

__all__ = ["LineTime", "Profile", "RegionTime", "profile"]
