"""Loops over rows of a mask compute only the columns that the mask lets through."""

from ir.passes.masking.skip import skip_masked, skipping

__all__ = ["skip_masked", "skipping"]
