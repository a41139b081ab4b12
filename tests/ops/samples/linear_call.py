"""Samples of `ir.ops.linear_call`: two maps at once, each scaled by a residual, and a residual nobody reads."""

from jax import numpy as jnp

import ir
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, mul, sin
from ir.ops.linear_call import linear_call  # noqa: F401 (declares the op)
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim
from ir.types import dtype_named
from tests.ops.sample import COMPLEX, Sample

N, M = 3, 2


def _attrs(dtype: str) -> dict[str, object]:
    """(matrix, scale, unread, x, y) -> (matrix x + sum of y, sin(scale) y)."""
    element = dtype_named(dtype)
    t = lambda *shape: ir.TensorType(shape, element)
    residuals = [t(N, M), t(M), t(2)]

    def product(a, x, axis):
        return dot_general(a, x, lhs_contract=(axis,), rhs_contract=(0,))

    def forward(a, s, _, x, y):
        total = broadcast_in_dim(reduce_sum(y, axes=(0,)), shape=(N,), dims=())
        return add(product(a, x, 1), total), mul(sin(s), y)

    def back(a, s, _, u, v):
        total = broadcast_in_dim(reduce_sum(u, axes=(0,)), shape=(M,), dims=())
        return product(a, u, 0), add(mul(sin(s), v), total)

    return {
        "function": ir.build([*residuals, t(M), t(M)], forward, "forward"),
        "transpose": ir.build([*residuals, t(N), t(M)], back, "back"),
        "num_residuals": len(residuals),
    }


def _reference(a, s, _, x, y):
    return a @ x + jnp.sum(y), jnp.sin(s) * y


def _draw(d):
    return d.array(N, M), d.array(M), d.array(2), d.array(M), d.array(M)


SAMPLES = [
    Sample("linear_call", _draw, _reference, _attrs(dtype), (dtype,), dtype)
    for dtype in ("f32", "f64", *COMPLEX)
]
