"""Products of many factors in the best order, of matrices put together, and of what is known in part already."""

from ir.passes.products.adjoints import share_adjoints
from ir.passes.products.blocks import multiply_blocks, multiply_rows
from ir.passes.products.masked import add_masked
from ir.passes.products.panels import multiply_panels
from ir.passes.products.reorder import reorder_products

__all__ = [
    "add_masked",
    "multiply_blocks",
    "multiply_panels",
    "multiply_rows",
    "reorder_products",
    "share_adjoints",
]
