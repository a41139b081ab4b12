"""JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.peers.jax_like import JaxLike


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


def peer() -> JaxLike:
    return JaxLike("jax", Library, jax)


__all__ = ["Library", "peer"]
