"""JAX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.jax_like import JaxLike, channels_last


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = jnp, jax.nn
    scan, while_loop = staticmethod(jax.lax.scan), staticmethod(jax.lax.while_loop)
    vmap, grad, value_and_grad = (
        staticmethod(jax.vmap),
        staticmethod(jax.grad),
        staticmethod(jax.value_and_grad),
    )
    jvp = staticmethod(jax.jvp)

    @staticmethod
    def hvp(f: Any, primals: Any, vectors: Any) -> Any:
        """Forward over reverse, as JAX's cookbook has it."""
        return jax.jvp(jax.grad(f), primals, vectors)[1]

    @staticmethod
    def conv(x: Any, w: Any, strides: Sequence[int] | None = None, padding: Any = "SAME") -> Any:
        return jax.lax.conv_general_dilated(
            x, w, strides or (1,) * (x.ndim - 2), padding, dimension_numbers=channels_last(x.ndim)
        )

    @staticmethod
    def max_pool(x: Any, window: Sequence[int], strides: Sequence[int], padding: Any = "VALID") -> Any:
        if not isinstance(padding, str):
            padding = ((0, 0), *padding, (0, 0))
        return jax.lax.reduce_window(
            x, np.array(-np.inf, x.dtype), jax.lax.max, (1, *window, 1), (1, *strides, 1), padding
        )

    @staticmethod
    def segment_sum(data: Any, ids: Any, count: int) -> Any:
        return jax.ops.segment_sum(data, ids, count)


def peer() -> JaxLike:
    return JaxLike("jax", Library, jax)


__all__ = ["Library", "peer"]
