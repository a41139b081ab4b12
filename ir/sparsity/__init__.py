"""Sparsity: patterns of Jacobians and Hessians from the IR, and colourings that compress them.

Imports the core of `ir` and its transforms; standard library and NumPy only.
"""

from ir.sparsity.coloring import ORDERS, Coloring, color_columns, color_symmetric
from ir.sparsity.patterns import Pattern, hessian_pattern, jacobian_pattern, needs_reverse

__all__ = [
    "ORDERS", "Coloring", "Pattern", "color_columns", "color_symmetric", "hessian_pattern", "jacobian_pattern",
    "needs_reverse",
]  # fmt: skip
