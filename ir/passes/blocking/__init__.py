"""Large intermediate arrays in blocks: a part of the program becomes a loop over blocks of one axis."""

from ir.passes.blocking.plan import block, blocked

__all__ = ["block", "blocked"]
