"""Products with matrices that only choose, and systems of matrices with structure."""

from ir.passes.selections.choose import choose_rows
from ir.passes.selections.determinants import read_determinants
from ir.passes.selections.solutions import solve_structured

__all__ = ["choose_rows", "read_determinants", "solve_structured"]
