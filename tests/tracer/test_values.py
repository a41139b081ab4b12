"""`Tensor`: looks and behaves like a `jax.Array` while it is traced; eager functions are JAX's own."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_same, both, raises
from tracer.value import Tensor

V = array(4)
A = array(3, 4, seed=1)


def inspect(x: Any) -> Any:
    seen: dict[str, Any] = {}
    tr.trace(lambda t: (seen.update(look(t)), t)[1])(x)
    return seen


def look(x: Any) -> dict[str, Any]:
    return {
        "shape": x.shape,
        "dtype": x.dtype,
        "ndim": x.ndim,
        "size": x.size,
        "nbytes": x.nbytes,
        "itemsize": x.itemsize,
        "weak_type": x.weak_type,
        "len": len(x) if x.ndim else None,
    }


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "float32", "complex64"])
def test_attributes(dtype: str) -> None:
    for shape in ((3, 4), (), (0, 2)):
        x = array(*shape, dtype=jnp.dtype(dtype))
        assert inspect(x) == look(x)
    assert inspect(2.0)["weak_type"]
    assert inspect(np.float32(2))["weak_type"] is False


def test_repr_names_the_type() -> None:
    shown: list[str] = []
    tr.trace(lambda x: (shown.append(repr(x)), x)[1])(A)
    assert shown == ["Traced<f32[3,4]>"]


def test_keys() -> None:
    key = jax.random.key(0)
    seen = inspect_key(key)
    assert seen["shape"] == ()
    assert seen["dtype"] == key.dtype
    out = tr.jit(lambda k: k)(key)
    assert out.dtype == key.dtype
    assert tr.jit(lambda k: k[1])(jax.random.split(key, 3)).dtype == key.dtype
    with raises(tr.errors.ArgumentTypeError, "key"):
        tr.grad(lambda k: 1.0)(key)
    assert_same(tr.grad(lambda x, k: x**2)(2.0, key), jnp.asarray(4.0))
    with pytest.raises(tr.errors.TracerError):
        tr.jit(lambda k: k + 1)(key)


def inspect_key(key: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    tr.trace(lambda k: (seen.update(shape=k.shape, dtype=k.dtype), k)[1])(key)
    return seen


def test_methods() -> None:
    methods = lambda x: (
        x.sum(), x.sum(0), x.prod(1), x.mean(), x.var(0), x.std(1), x.max(), x.min(0), x.max() - x.min(),
        x.all(), x.any(1), x.argmax(), x.argmin(1), x.cumsum(0), x.cumprod(1), x.round(1), x.clip(-1, 1), x.conj(),
        x.conjugate(), x.astype(np.float16), x.dot(x.T), x.trace(), x.diagonal(), x.ravel(), x.flatten(),
        x[None].squeeze(0), x.swapaxes(0, 1), x.repeat(2, 0), x.take(np.array([0, 1]), 1), x.reshape(2, 6),
        x.reshape((4, 3)),
        x.reshape(-1), x.transpose(), x.transpose(1, 0), x.transpose((0, 1)), x.T, x.mT, x.real, x.imag, x.copy(),
    )  # fmt: skip
    both(lambda xp, t: t.jit(methods)(A))
    assert_same(tr.jit(lambda x: x.block_until_ready())(V), V)


def test_properties_chain_with_gradients() -> None:
    both(lambda xp, t: t.grad(lambda x: (x.T @ x).trace() + x.mT.ravel()[2] + x.real.sum() + x.imag.sum())(A))
    both(lambda xp, t: t.grad(lambda z: (z.real**2 * z.imag).sum())(array(3, dtype=np.complex64)))


def test_objects_that_turn_into_arrays() -> None:
    class Parameter:
        def __init__(self, value: Any) -> None:
            self.value = value

        def __jax_array__(self) -> Any:
            return self.value

    p = Parameter(V)
    both(lambda xp, t: t.grad(lambda x: (x * V).sum())(V))
    assert_same(tr.grad(lambda x: (x * p).sum())(V), V)
    assert_same(tr.grad(lambda x: (p * x).sum())(V), V)
    assert_same(tr.jit(lambda x: tnp.sin(p) * x)(V), jnp.sin(V) * V)
    assert_same(tr.grad(lambda x: tnp.dot(Parameter(x * 2), V))(V), 2 * V)


def test_subclasses_of_numbers() -> None:
    class Scale(float):
        pass

    class Count(int):
        pass

    assert_same(tr.jit(lambda x: x * Scale(2.0))(V), 2 * V)
    assert_same(tr.jit(lambda x: x * Count(2))(V), 2 * V)
    assert_same(tr.jit(lambda x: x * 2)(Scale(1.5)), jnp.asarray(3.0))


def test_outside_a_trace_functions_are_those_of_jax() -> None:
    assert isinstance(tnp.sin(1.0), jax.Array)
    assert_same(tnp.multiply(2, V), 2 * V)
    assert_same(tnp.where(V > 0, V, 0), jnp.where(V > 0, V, 0))
    assert_same(tr.nn.softmax(V), jax.nn.softmax(V))
    for name in tnp.__all__:
        f = getattr(tnp, name)
        if hasattr(f, "eager"):
            assert f.eager in (getattr(jnp, name), getattr(jnp, f.__name__)), name
            assert f.__doc__, name
    for name in ("pi", "e", "inf", "newaxis", "float32", "int8", "bool_", "finfo", "iinfo", "dtype"):
        assert getattr(tnp, name) is getattr(jnp, name)


def test_eager_functions_under_jax_traces() -> None:
    assert_same(jax.jit(lambda x: tnp.sin(x) * tnp.sum(x))(V), jax.jit(lambda x: jnp.sin(x) * jnp.sum(x))(V))
    assert_same(
        jax.grad(lambda x: tr.nn.logsumexp(tnp.cumsum(x)))(V),
        jax.grad(lambda x: jax.nn.logsumexp(jnp.cumsum(x)))(V),
    )


def test_equality_is_elementwise_and_hash_is_refused() -> None:
    kinds: list[Any] = []
    tr.trace(lambda x: (kinds.append(type(x == x)), x)[1])(V)
    assert kinds == [Tensor]
    with raises(tr.errors.ArgumentTypeError):
        tr.trace(lambda x: hash(x))(V)


def test_mutable_arrays_are_read_when_they_are_used() -> None:
    small = np.ones(3, np.float32)

    def f(x: Any) -> Any:
        y = x * small
        small[:] = 5
        return y.sum()

    assert_same(tr.jit(f)(np.ones(3, np.float32)), jnp.float32(3))
    small[:] = 1
    assert_same(tr.grad(f)(np.ones(3, np.float32)), jnp.ones(3))


def test_constants_of_every_kind() -> None:
    for c in (
        True,
        2,
        2.5,
        1j,
        np.int8(3),
        np.array([1.5, 2]),
        np.zeros((0, 3)),
        np.array(7, np.uint8),
        V,
        jnp.arange(3),
    ):
        both(lambda xp, t, c=c: t.jit(lambda x: (x * 1, c))(2.0))


def test_traced_values_are_arrays_of_jax_to_those_who_ask() -> None:
    """As its tracers are; JAX itself must not take them for such, and leaves `array * x` to them."""

    def scaled(p: Any) -> Any:
        return jax.tree.map(lambda a: a * 10 if isinstance(a, jax.Array) else a, p)

    def f(x: Any, n: Any) -> Any:
        return scaled({"x": x, "n": n, "fixed": 3})

    x, n = jnp.arange(3.0), jnp.int32(2)
    for transform in (lambda t, f: t.jit(f), lambda t, f: t.vmap(f, in_axes=(0, None))):
        assert_same(transform(tr, f)(x, n), transform(jax, f)(x, n))
    assert_same(tr.jit(f, autograph=True)(x, n), jax.jit(f)(x, n))
    assert_same(*[t.grad(lambda x: f(x, x)["x"].sum())(x) for t in (tr, jax)])

    @functools.singledispatch
    def kind(x: Any) -> int:
        return 0

    @kind.register(jax.Array)
    def _(x: Any) -> int:
        return 1

    seen = []

    def asks(x: Any) -> Any:
        seen.append(
            (kind(x), isinstance(x, (int, float)), isinstance(x, np.ndarray), isinstance(x, jax.core.Tracer))
        )
        return x

    tr.jit(asks)(1.0)
    assert seen == [(1, False, False, False)]
