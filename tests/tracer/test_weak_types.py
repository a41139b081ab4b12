"""Element types and weak types of derivatives by Python numbers and weakly typed arrays, as in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import both

REAL: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "square": lambda n: lambda x: x * x,
    "cube": lambda n: lambda x: x**3,
    "sin": lambda n: lambda x: n.sin(x),
    "by a float32": lambda n: lambda x: x * np.float32(2),
    "by an array": lambda n: lambda x: (x * jnp.ones(3)).sum(),
    "by a float16": lambda n: lambda x: (x * jnp.ones(3, jnp.float16)).sum(),
    "abs": lambda n: lambda x: abs(x),
    "as float32": lambda n: lambda x: n.asarray(x, np.float32),
    "constant": lambda n: lambda x: 1.0,
    "where": lambda n: lambda x: n.where(True, x, 2.0),
    "division": lambda n: lambda x: 1 / x,
    "stack": lambda n: lambda x: n.stack([x, x * 2]).sum(),
    "dot": lambda n: lambda x: n.dot(x * jnp.ones(2), jnp.ones(2)),
    "mean": lambda n: lambda x: n.mean(x),
    "through complex": lambda n: lambda x: n.real(x * 1j),
}
COMPLEX: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "real": lambda n: lambda z: n.real(n.exp(z)),
    "imag": lambda n: lambda z: n.imag(z * z),
    "abs": lambda n: lambda z: abs(z),
    "norm": lambda n: lambda z: n.real(z * n.conj(z)),
    "turned": lambda n: lambda z: n.abs(z * (1 + 2j)),
}
HOLOMORPHIC: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "square": lambda n: lambda z: z * z,
    "sin": lambda n: lambda z: n.sin(z),
    "division": lambda n: lambda z: 1 / z,
    "by an array": lambda n: lambda z: (z * jnp.ones(3)).sum(),
}
REALS: dict[str, Callable[[], Any]] = {
    "float": lambda: 2.0,
    "NumPy float32": lambda: np.float32(2),
    "NumPy float64": lambda: np.float64(2),
    "float32": lambda: jnp.float32(2),
    "weak": lambda: jnp.asarray(2.0),
}
COMPLEXES: dict[str, Callable[[], Any]] = {
    "complex": lambda: 2.0 + 1j,
    "NumPy complex64": lambda: np.complex64(1 + 2j),
    "complex64": lambda: jnp.complex64(1 + 2j),
    "weak": lambda: jnp.asarray(1 + 2j),
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("kind", REALS)
@pytest.mark.parametrize("name", REAL)
def test_real(name: str, kind: str, x64: bool) -> None:
    f = REAL[name]
    with jax.enable_x64(x64):
        x = REALS[kind]()
        both(lambda xp, t: t.value_and_grad(f(xp))(x))
        both(lambda xp, t: t.jit(t.grad(f(xp)))(x))
        both(lambda xp, t: t.grad(t.grad(f(xp)))(x))
        both(lambda xp, t: t.vjp(f(xp), x)[1](t.numpy.asarray(f(xp)(x))))
        if name != "through complex":  # where JAX takes the tangent, and not the result, for strong
            both(lambda xp, t: t.jvp(f(xp), (x,), (x,)))


@pytest.mark.parametrize("kind", REALS)
def test_an_extremum_leaves_the_derivative_as_weak_as_its_operand(kind: str) -> None:
    """So it is in JAX up to 0.11; since 0.12, its derivative of `maximum` is never weak."""
    x = REALS[kind]()
    weak = kind in ("float", "weak")
    for gradient in (tr.grad(lambda x: tnp.maximum(x, 1)), tr.jit(tr.grad(lambda x: tnp.minimum(x, 1)))):
        assert gradient(x).dtype == np.float32
        assert gradient(x).weak_type == weak
    value, derivative = tr.value_and_grad(lambda x: tnp.maximum(x, 1))(x)
    assert (value, derivative) == (2, 1)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("kind", COMPLEXES)
@pytest.mark.parametrize("name", COMPLEX)
def test_real_functions_of_complex_numbers(name: str, kind: str, x64: bool) -> None:
    f = COMPLEX[name]
    with jax.enable_x64(x64):
        z = COMPLEXES[kind]()
        both(lambda xp, t: t.value_and_grad(f(xp))(z))
        both(lambda xp, t: t.jit(t.grad(f(xp)))(z))
        both(lambda xp, t: t.vjp(f(xp), z)[1](f(xp)(z)))
        both(lambda xp, t: t.grad(lambda y: xp.real(t.grad(f(xp))(y)))(z))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("kind", COMPLEXES)
@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_holomorphic_functions(name: str, kind: str, x64: bool) -> None:
    f = HOLOMORPHIC[name]
    with jax.enable_x64(x64):
        z = COMPLEXES[kind]()
        both(lambda xp, t: t.jvp(f(xp), (z,), (z,)))
        both(lambda xp, t: t.vjp(f(xp), z)[1](f(xp)(z)))
        both(lambda xp, t: t.linearize(f(xp), z)[1](z))
