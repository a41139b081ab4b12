"""What is read in part, or zero but for a part, is computed in part."""

from ir.passes.parts.compute import compute_parts

__all__ = ["compute_parts"]
