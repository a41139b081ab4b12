"""Products of many factors in the best order, and of matrices that are put together block by block."""

from ir.passes.products.blocks import multiply_blocks
from ir.passes.products.reorder import reorder_products

__all__ = ["multiply_blocks", "reorder_products"]
