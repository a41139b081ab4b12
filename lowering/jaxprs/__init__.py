"""JAX to IR: a jaxpr becomes a function of our ops, equation by equation.

`importer` walks the equations, `rules/` maps each primitive (its files mirror `ir.ops`), `foreign` keeps
what has no counterpart whole, `types` and `source` translate types and source locations.
"""
