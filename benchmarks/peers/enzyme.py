"""Enzyme-JAX: JAX programs, differentiated by Enzyme in MLIR."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
from enzyme_ad.jax import enzyme_jax_ir

from benchmarks.peers.jax_like import JaxLike
from benchmarks.peers.peer import Unsupported
from benchmarks.suites.case import Case, Quantity


def by_enzyme(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function, as one that Enzyme optimises, and differentiates where JAX is asked for a derivative of it."""
    return enzyme_jax_ir()(f)  # type: ignore[no-any-return]


def _derivative(take: Callable[..., Any]) -> Callable[..., Callable[..., Any]]:
    return lambda f, argnums=0: take(by_enzyme(f), argnums)


_grad, _value_and_grad = _derivative(jax.grad), _derivative(jax.value_and_grad)


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = jnp, jax.nn
    scan, while_loop = staticmethod(jax.lax.scan), staticmethod(jax.lax.while_loop)
    vmap = staticmethod(jax.vmap)
    grad, value_and_grad = staticmethod(_grad), staticmethod(_value_and_grad)

    @staticmethod
    def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
        return jax.jvp(by_enzyme(f), tuple(primals), tuple(tangents))

    @staticmethod
    def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
        """Forward over reverse."""
        return jax.jvp(_grad(f), tuple(primals), tuple(vectors))[1]


# What `JaxLike` takes from a module.
_MODULE = SimpleNamespace(
    jit=jax.jit,
    grad=_grad,
    value_and_grad=_value_and_grad,
    jacrev=_derivative(jax.jacrev),
    hessian=_derivative(jax.hessian),
)


class Enzyme(JaxLike):
    """Values are Enzyme's too: its passes optimise the program."""

    def derived(self, case: Case, f: Callable[..., Any]) -> Callable[..., Any]:
        if case.quantity in (Quantity.JACOBIAN, Quantity.SPARSE_JACOBIAN, Quantity.HESSIAN):
            raise Unsupported("Enzyme-JAX has no batching rule, which JAX needs for a Jacobian")
        return super().derived(case, by_enzyme(f) if case.quantity is Quantity.VALUE else f)

    def versions(self) -> Mapping[str, str]:
        return {"enzyme-ad": version("enzyme-ad"), **super().versions()}


def peer() -> Enzyme:
    return Enzyme("enzyme", Library, _MODULE, spelled=("enzyme", "jax"))


__all__ = ["peer"]
