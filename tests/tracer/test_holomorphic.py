"""Complex derivatives of holomorphic functions, beside JAX's, and what is said of functions that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
from tests.tracer.helpers import both, x64
from tracer.errors import ArgumentTypeError

Z = np.array([1 + 2j, -0.5 + 0.3j])

# By library of array functions and library of transforms.
FUNCTIONS: dict[str, Callable[[Any, Any], Callable[[Any], Any]]] = {
    "power": lambda n, t: lambda z: z**3,
    "rational": lambda n, t: lambda z: z * (1 + 2j) + 1 / z,
    "transcendental": lambda n, t: lambda z: n.exp(z) * n.sin(z),
    "mean": lambda n, t: lambda z: n.mean(z) * z,
    "fft": lambda n, t: lambda z: n.fft.fft(z) ** 2,
    "linear algebra": lambda n, t: lambda z: n.linalg.inv(n.outer(z, z) + n.eye(2))[0],
    "not holomorphic": lambda n, t: lambda z: n.conj(z) * z,  # whatever it means, it means the same
    "loop": lambda n, t: lambda z: (t if t is tr else t.lax).fori_loop(0, 4, lambda i, w: w * w + z, 0.1 * z),
}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_derivatives(name: str, wide: bool) -> None:
    f = FUNCTIONS[name]
    with x64(wide):
        z = jnp.asarray(Z)
        both(lambda n, t: t.value_and_grad(lambda z: n.sum(f(n, t)(z)), holomorphic=True)(z))
        both(lambda n, t: t.jacfwd(f(n, t), holomorphic=True)(z))
        both(lambda n, t: t.jit(t.jacrev(f(n, t), holomorphic=True))(z))
        both(lambda n, t: t.hessian(f(n, t), holomorphic=True)(z))


@pytest.mark.parametrize("z", [1 + 2j, np.complex64(1 + 2j), jnp.asarray(1 + 2j)])
def test_scalars_keep_their_weak_types(z: Any) -> None:
    both(lambda n, t: t.grad(lambda z: z**3, holomorphic=True)(z))
    both(lambda n, t: t.grad(t.grad(lambda z: z**3, holomorphic=True), holomorphic=True)(z))
    both(lambda n, t: t.vmap(t.grad(lambda z: n.exp(z), holomorphic=True))(jnp.asarray(Z)))


def test_reverse_mode_by_complex_arguments_of_real_results() -> None:
    z, x = jnp.asarray(Z), jnp.arange(2.0)
    both(lambda n, t: t.jacrev(lambda z: n.abs(z) ** 2 * x)(z))
    both(lambda n, t: t.jacrev(lambda p: (n.abs(p["z"]) ** 2 * p["x"]).sum())({"z": z, "x": x}))
    both(lambda n, t: t.jacfwd(lambda x: x * (1 + 1j))(x))


def test_jacobians_by_integers_are_zeros() -> None:
    both(lambda n, t: t.jacrev(lambda x, k: x * k, (0, 1), allow_int=True)(jnp.arange(3.0), np.arange(3)))
    with pytest.raises(ArgumentTypeError, match=r"jacrev: .* got int i32\[\] for leaf\[1\]\['k'\]"):
        tr.jacrev(lambda x, p: x * p["k"], (0, 1))(jnp.arange(3.0), {"k": 2})


@pytest.mark.parametrize("transform", [tr.grad, tr.jacfwd, tr.jacrev])
def test_what_does_not_fit_is_said(transform: Any) -> None:
    z = jnp.complex64(1 + 2j)
    with pytest.raises(
        ArgumentTypeError, match=r"got c64\[\].*; of a holomorphic function, holomorphic=True"
    ):
        transform(lambda z: z * z)(z)
    with pytest.raises(
        ArgumentTypeError, match=r"complex.*got f32\[\].*; holomorphic=True is for functions of complex"
    ):
        transform(lambda z: z * z, holomorphic=True)(1.0)
    with pytest.raises(
        ArgumentTypeError, match=r"complex.*got f32\[\].*; holomorphic=True is for functions of complex"
    ):
        transform(lambda z: abs(z), holomorphic=True)(z)


def test_derivatives_of_what_jax_differentiates() -> None:
    f = lambda z: jnp.sum(jnp.sinh(z) * z)
    np.testing.assert_allclose(
        tr.grad(f, holomorphic=True)(jnp.asarray(Z)), jax.grad(f, holomorphic=True)(jnp.asarray(Z)), rtol=1e-5
    )
