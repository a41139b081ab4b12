"""Defects that were found and fixed, one test each, compared with JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from tracer.errors import TracerError

LIBRARIES = (tracer, tnp), (jax, jnp)
X, Y = jnp.float32(2.0), jnp.float32(3.0)


def assert_same(make: Any, *args: Any) -> None:
    """`make(transforms, numpy)(*args)` gives the same by both libraries."""
    ours, theirs = [make(*library)(*args) for library in LIBRARIES]
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for got, want in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=2e-6)


def _scaled_by_jvp(t: Any) -> Any:
    @t.custom_jvp
    def same(x: Any) -> Any:
        return x

    same.defjvp(lambda primals, tangents: (primals[0], -2 * tangents[0]))
    return same


def _scaled_by_vjp(t: Any) -> Any:
    same = t.custom_vjp(lambda x: x)
    same.defvjp(lambda x: (x, None), lambda _, ct: (-2 * ct,))
    return same


@pytest.mark.parametrize("kind", [_scaled_by_jvp, _scaled_by_vjp])
@pytest.mark.parametrize("order", [1, 2])
def test_custom_rule_that_returns_its_operand_leaves_other_uses_of_it_alone(kind: Any, order: int) -> None:
    def make(t: Any, np_: Any) -> Any:
        same = kind(t)

        def f(x: Any) -> Any:
            y = np_.sin(x)
            return same(y) * y + same(x) * x * x

        return t.grad(f) if order == 1 else t.grad(t.grad(f))

    assert_same(make, X)


def test_custom_rule_may_give_one_result_two_tangents() -> None:
    def make(t: Any, np_: Any) -> Any:
        @t.custom_jvp
        def twice(x: Any) -> Any:
            y = np_.sin(x)
            return y, y

        @twice.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            y = np_.sin(primals[0])
            return (y, y), (3 * tangents[0], 5 * tangents[0])

        def f(x: Any) -> Any:
            a, b = twice(x)
            return a * a + b

        return t.grad(f)

    assert_same(make, X)


@pytest.mark.parametrize("argnums", [(1, 0), (-1, 0), (0, 1), [1]])
def test_grad_gives_gradients_in_the_order_of_argnums(argnums: Any) -> None:
    assert_same(lambda t, _: t.value_and_grad(lambda x, y: x * x * y, tuple(argnums)), X, Y)


def test_grad_refuses_an_argument_twice() -> None:
    for transform in (tracer.grad, tracer.jacrev, tracer.jacfwd):
        with pytest.raises(TracerError, match="argnums that differ"):
            transform(lambda x: x * x, (0, 0))(X)


def test_complex_constants_keep_the_sign_of_a_zero_part() -> None:
    for number in (complex(-1.0, 0.0), complex(-1.0, -0.0)):
        assert_same(
            lambda t, n, c=number: t.jit(lambda z: n.imag(n.log(n.where(z != 0, c, z)))), jnp.complex64(1)
        )


def test_batched_custom_rules_compile_once() -> None:
    f = _scaled_by_vjp(tracer)
    gradient = tracer.grad(lambda x: tracer.vmap(f)(x).sum())
    x = jnp.arange(3.0)
    gradient(x)
    held = len(PROGRAMS)
    gradient(x)
    assert len(PROGRAMS) == held


@pytest.mark.parametrize("how", ["add", "multiply", "min", "max", "divide"])
@pytest.mark.parametrize("index", [slice(1, 3), np.array([0, 3])])
@pytest.mark.filterwarnings("ignore")
def test_updates_of_integers_by_floats_combine_as_floats(how: str, index: Any) -> None:
    assert_same(lambda t, _: t.jit(lambda x: getattr(x.at[index], how)(0.5)), jnp.arange(1, 6))


def test_division_of_a_part_leaves_infinities_alone() -> None:
    x = jnp.array([1.0, np.inf, 3.0, np.nan])
    assert_same(lambda t, _: t.jit(lambda x: x.at[0:1].divide(2.0)), x)


@pytest.mark.parametrize("algorithm", ["fast", "stable"])
def test_standardizing_equal_elements_gives_zeros(algorithm: str) -> None:
    x = jnp.full(7, 1234.567)
    ours = tracer.jit(lambda x: tracer.nn.standardize(x, algorithm=algorithm))(x)
    np.testing.assert_allclose(ours, jnp.zeros(7), atol=0.1)


def test_checkpointed_custom_rules_differentiate_under_jax() -> None:
    def program(t: Any) -> Any:
        same = _scaled_by_jvp(t)
        return t.checkpoint(lambda w: same(w) * w)

    np.testing.assert_allclose(jax.grad(tracer.jit(program(tracer)))(X), jax.grad(program(jax))(X))


@pytest.mark.parametrize("name", ["log2", "log10"])
def test_complex_logarithms_of_zero_have_a_phase(name: str) -> None:
    x = jnp.array([1 + 2j, -1 - 0.5j, 0j])
    assert_same(lambda t, n: t.jit(getattr(n, name)), x)


@pytest.mark.parametrize("name", ["maximum", "minimum", "hypot"])
def test_extrema_of_values_that_xla_computes_twice(name: str) -> None:
    """XLA rounds the operand in the result and the operand beside it differently; one of them is taken."""

    def gradient(t: Any) -> Any:
        def f(x: Any) -> Any:
            n = t.numpy
            y = 1.025 + 0.8863636363636362 * n.sin(x)
            return n.sum(getattr(n, name)(y / n.sqrt(1 + y * y), y + 0.1))

        return t.grad(f)

    x = np.linspace(-2, 2, 97)
    with jax.enable_x64(True):
        ours = gradient(tracer)(jnp.asarray(x))
        np.testing.assert_allclose(ours, jax.jit(gradient(jax))(x), rtol=1e-12)


def test_extremum_of_values_that_xla_computes_twice() -> None:
    """Compiled as one program, no element equals the maximum; in JAX the gradient is zero then."""
    x = np.array([[[-1.2757285748952185]], [[-0.9026566712127815]], [[-0.9806545863736988]]])

    def f(x: Any) -> Any:
        return (0.55 + 1.3181818181818181 * tnp.sin(x)).max(axis=(0, 2)).sum()

    want = np.where(x == x.max(), 1.3181818181818181 * np.cos(x), 0)
    with jax.enable_x64(True):
        np.testing.assert_allclose(tracer.jit(tracer.grad(f))(x), want, rtol=1e-12)
        negated = tracer.grad(lambda x: -(-0.55 - 1.3181818181818181 * tnp.sin(x)).min())
        np.testing.assert_allclose(tracer.jit(negated)(x), want, rtol=1e-12)


def test_ties_of_an_extremum_share_its_derivative() -> None:
    for x in (
        jnp.array([1.0, 3.0, 3.0, 3.0]),
        jnp.array([[2.0, -0.0], [0.0, 2.0]]),
        jnp.array([-np.inf] * 3),
    ):
        assert_same(lambda t, n: t.grad(lambda x: n.max(x)), x)
        assert_same(lambda t, n: t.jit(t.grad(lambda x: n.min(-x, axis=0).sum())), x)
    x = jnp.array([1.0, np.nan, 3.0])
    assert_same(lambda t, n: lambda x: t.jvp(lambda x: n.max(x), (x,), (x,)), x)


def test_acosh_left_of_the_imaginary_axis() -> None:
    """The root of x**2 - 1 has the other sign there than the product of the roots of x - 1 and x + 1."""
    z = np.array([-1.5 + 0.5j, -0.3 - 2j, 2 + 1j, 0.5 - 0.5j, -3 + 1e-3j])
    h = 1e-6
    want = (np.arccosh(z + h) - np.arccosh(z - h)) / (2 * h)
    with jax.enable_x64(True):
        _, got = tracer.jvp(tnp.arccosh, (jnp.asarray(z),), (jnp.ones(len(z), complex),))
    np.testing.assert_allclose(got, want, rtol=1e-8)
