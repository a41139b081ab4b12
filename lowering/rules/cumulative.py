"""Lowering of `ir.ops.cumulative`."""

from __future__ import annotations

from typing import Any

from jax import lax

from lowering.emit import lowers
from lowering.rules.reduce import accumulated


@lowers("cumsum")
def _cumsum(x: Any, **attrs: Any) -> Any:
    return accumulated(lax.cumsum, x, **attrs)


@lowers("cumprod")
def _cumprod(x: Any, **attrs: Any) -> Any:
    return accumulated(lax.cumprod, x, **attrs)


@lowers("cumlogsumexp")
def _cumlogsumexp(x: Any, **attrs: Any) -> Any:
    return accumulated(lax.cumlogsumexp, x, **attrs)


lowers("cummax")(lax.cummax)
lowers("cummin")(lax.cummin)
