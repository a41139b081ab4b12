"""Lowering of `ir.ops.cumulative`."""

from __future__ import annotations

from typing import Any

from jax import lax
from jax import numpy as jnp

from lowering.emit import lowers
from lowering.rules.reduce import accumulated


@lowers("cumsum")
def _cumsum(x: Any, **attrs: Any) -> Any:
    return accumulated(lax.cumsum, x, **attrs)


@lowers("cumprod")
def _cumprod(x: Any, **attrs: Any) -> Any:
    return accumulated(lax.cumprod, x, **attrs)


@lowers("cumlogsumexp")
def _cumlogsumexp(x: Any, *, axis: int, reverse: bool) -> Any:
    if jnp.iscomplexobj(x):  # jax.lax.cumlogsumexp gives nan where an element is -inf
        return lax.associative_scan(jnp.logaddexp, x, reverse=reverse, axis=axis)
    return accumulated(lax.cumlogsumexp, x, axis=axis, reverse=reverse)


lowers("cummax")(lax.cummax)
lowers("cummin")(lax.cummin)
