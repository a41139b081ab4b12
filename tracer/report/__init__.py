"""The report of `tracer.explain`: gathered in `collect`, held in `model`, shown by `terminal` and `page`."""

from tracer.report.model import Report, Stage

__all__ = ["Report", "Stage"]
