"""Products with matrices that only choose: rows are taken, or added up, instead of multiplied."""

from ir.passes.selections.choose import choose_rows

__all__ = ["choose_rows"]
