"""Products of several factors, in the order that costs least."""

from ir.passes.products.reorder import reorder_products

__all__ = ["reorder_products"]
