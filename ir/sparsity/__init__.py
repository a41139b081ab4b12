"""Sparsity: patterns of Jacobians and Hessians from the IR, and colourings that compress them.

Imports the core of `ir` and its transforms; standard library and NumPy only.
"""

from ir.sparsity.patterns import Pattern, hessian_pattern, jacobian_pattern

__all__ = ["Pattern", "hessian_pattern", "jacobian_pattern"]
