"""Lowering of `ir.ops.special`."""

from __future__ import annotations

from jax import lax

from lowering.emit import lowers

# Ops whose lowering is the function of the same name in jax.lax.
for _name in (
    "bessel_i0e", "bessel_i1e", "digamma", "erf", "erf_inv", "erfc", "igamma", "igamma_grad_a", "igammac",
    "lgamma", "polygamma", "random_gamma_grad", "zeta",
):  # fmt: skip
    lowers(_name)(getattr(lax, _name))

lowers("regularized_incomplete_beta")(lax.betainc)
