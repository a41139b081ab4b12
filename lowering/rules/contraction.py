"""Lowering of `ir.ops.contraction`.

Small products of matrices are written as sums of products on CPUs (`lowering.small_products`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax

import ir
from ir.machine import CPU, current
from lowering.emit import is_repeated, lowers
from lowering.small_products import extents, is_sum


@lowers("dot_general")
def _dot_general(
    lhs: Any,
    rhs: Any,
    *,
    lhs_contract: tuple[int, ...],
    rhs_contract: tuple[int, ...],
    lhs_batch: tuple[int, ...],
    rhs_batch: tuple[int, ...],
    precision: Any,
    preferred_type: ir.DType | None,
) -> Any:
    lhs_free = _others(lhs, lhs_contract + lhs_batch)
    rhs_free = _others(rhs, rhs_contract + rhs_batch)

    def product(x: Any, y: Any) -> Any:
        dims = (lhs_contract, rhs_contract), (lhs_batch, rhs_batch)
        dtype = None if preferred_type is None else preferred_type.np
        return lax.dot_general(x, y, dims, precision=precision, preferred_element_type=dtype)

    def total(x: Any, y: Any) -> Any:
        left = lax.transpose(x, (*lhs_batch, *lhs_free, *lhs_contract))
        right = lax.transpose(y, (*rhs_batch, *rhs_contract, *rhs_free))
        return _sum_of_products(left, right, len(lhs_batch), len(lhs_free), len(lhs_contract))

    if preferred_type is None and lhs.dtype in (np.float32, np.float64) and current() is CPU:
        sizes = extents(lhs.shape, rhs.shape, lhs_contract, rhs_contract, lhs_batch, rhs_batch)
        if is_sum(*sizes, repeated=is_repeated()):
            return _with_derivative_of(product, total)(lhs, rhs)
    return product(lhs, rhs)


def _with_derivative_of(product: Callable[..., Any], total: Callable[..., Any]) -> Callable[..., Any]:
    """`total`, of which JAX keeps the operands for its derivatives, and not all the products it sums."""
    function = jax.custom_jvp(total)

    @function.defjvp
    def _(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
        (x, y), (dx, dy) = primals, tangents
        return function(x, y), product(dx, y) + product(x, dy)

    return function


def _others(x: Any, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple([i for i in range(x.ndim) if i not in axes])


def _sum_of_products(left: Any, right: Any, batch: int, rows: int, summed: int) -> Any:
    """The product of (batch, rows, summed) and (batch, summed, columns), each of them so many axes."""
    ends = batch, batch + rows, batch + rows + summed
    shape = (*left.shape, *right.shape[batch + summed :])
    first = lax.broadcast_in_dim(left, shape, tuple(range(ends[2])))
    dims = (*range(ends[0]), *range(ends[1], len(shape)))
    products = lax.mul(first, lax.broadcast_in_dim(right, shape, dims))
    zero = np.zeros((), products.dtype)
    return lax.reduce(products, zero, lax.add, tuple(range(ends[1], ends[2])))
