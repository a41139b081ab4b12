"""`tracer.random` gives the very bits of `jax.random`: at once, compiled, and from every kind of key."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, raises, x64
from tracer.errors import EscapedValueError

A, B = array(3, low=0.5, high=2.0), array(3, seed=1, low=0.5, high=2.0)
LOGITS = array(4, seed=2)
COVARIANCE = jnp.eye(3) + 0.5

DRAWS: dict[str, Any] = {
    "ball": lambda r, k: r.ball(k, 3, 2.0, (2,)),
    "bernoulli": lambda r, k: r.bernoulli(k, 0.3, (7,)),
    "beta": lambda r, k: r.beta(k, A, B),
    "binomial": lambda r, k: r.binomial(k, 9, 0.3, (5,)),
    "bits": lambda r, k: r.bits(k, (5,), "uint32"),
    "categorical": lambda r, k: r.categorical(k, LOGITS, shape=(6,)),
    "cauchy": lambda r, k: r.cauchy(k, (4,)),
    "chisquare": lambda r, k: r.chisquare(k, A),
    "choice": lambda r, k: r.choice(k, 9, (4,), replace=False),
    "clone": lambda r, k: r.normal(r.clone(k), (3,)),
    "dirichlet": lambda r, k: r.dirichlet(k, A),
    "double_sided_maxwell": lambda r, k: r.double_sided_maxwell(k, 0.5, 2.0, (4,)),
    "exponential": lambda r, k: r.exponential(k, (4,)),
    "f": lambda r, k: r.f(k, A, B),
    "fold_in": lambda r, k: r.normal(r.fold_in(k, 17), (3,)),
    "gamma": lambda r, k: r.gamma(k, A),
    "generalized_normal": lambda r, k: r.generalized_normal(k, 1.5, (4,)),
    "geometric": lambda r, k: r.geometric(k, 0.3, (4,)),
    "gumbel": lambda r, k: r.gumbel(k, (4,)),
    "laplace": lambda r, k: r.laplace(k, (4,)),
    "loggamma": lambda r, k: r.loggamma(k, A),
    "logistic": lambda r, k: r.logistic(k, (4,)),
    "lognormal": lambda r, k: r.lognormal(k, 0.5, (4,)),
    "maxwell": lambda r, k: r.maxwell(k, (4,)),
    "multinomial": lambda r, k: r.multinomial(k, 12, jax.nn.softmax(LOGITS)),
    "multivariate_normal": lambda r, k: r.multivariate_normal(k, A, COVARIANCE),
    "normal": lambda r, k: (r.normal(k, (4,)), r.normal(k, (0, 2)), r.normal(k, (2,), "complex64")),
    "orthogonal": lambda r, k: r.orthogonal(k, 3),
    "pareto": lambda r, k: r.pareto(k, A),
    "permutation": lambda r, k: (r.permutation(k, 8), r.permutation(k, LOGITS)),
    "poisson": lambda r, k: r.poisson(k, 3.0, (5,)),
    "rademacher": lambda r, k: r.rademacher(k, (5,)),
    "randint": lambda r, k: r.randint(k, (5,), -3, 9),
    "rayleigh": lambda r, k: r.rayleigh(k, A),
    "split": lambda r, k: r.key_data(r.split(k, 3)),
    "t": lambda r, k: r.t(k, 3.0, (4,)),
    "triangular": lambda r, k: r.triangular(k, 0.0, 0.3, 1.0, (4,)),
    "truncated_normal": lambda r, k: r.truncated_normal(k, -1.0, 2.0, (4,)),
    "uniform": lambda r, k: (r.uniform(k, (4,)), r.uniform(k, (3,), "float16", 1.0, 2.0)),
    "wald": lambda r, k: r.wald(k, A),
    "weibull_min": lambda r, k: r.weibull_min(k, 1.5, 2.0, (4,)),
}
# Names that make and open keys.
KEYS = {"PRNGKey", "key", "key_data", "key_impl", "wrap_key_data", "key_dtype", "Key"}


def assert_bits(got: Any, want: Any, name: str) -> None:
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        assert a.dtype == b.dtype, name
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=name)


def test_every_name_is_drawn_from() -> None:
    assert set(tr.random.__all__) == set(DRAWS) | {n for n in KEYS if hasattr(tr.random, n)}


@pytest.mark.parametrize("at", range(0, len(DRAWS), 14))
def test_bits_are_those_of_jax(at: int) -> None:
    some = dict(list(DRAWS.items())[at : at + 14])
    key = jax.random.key(7)
    want = jax.jit(lambda k: {n: f(jax.random, k) for n, f in some.items()})(key)
    got = tr.jit(lambda k: {n: f(tr.random, k) for n, f in some.items()})(key)
    for name in some:
        assert_bits(got[name], want[name], name)
        if name in ("normal", "uniform", "bits", "categorical", "randint"):
            # Outside any trace the function of JAX runs itself.
            assert_bits(DRAWS[name](tr.random, key), DRAWS[name](jax.random, key), name)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_kinds_of_keys(impl: str) -> None:
    def f(r: Any) -> Any:
        def g(seed: Any) -> Any:
            a, b = r.split(r.key(seed, impl=impl))
            return r.uniform(a, (3,)), r.bits(r.fold_in(b, 2), (2,)), r.key_data(b)

        return g

    assert_bits(tr.jit(f(tr.random))(3), jax.jit(f(jax.random))(3), impl)
    key = jax.random.key(1, impl=impl)
    assert tr.random.key_impl(key) == jax.random.key_impl(key)
    kept: list[Any] = []
    tr.jit(lambda k: kept.append(tr.random.key_impl(k)) or 1.0)(key)
    assert kept == [jax.random.key_impl(key)]


def test_raw_keys_and_words() -> None:
    raw = jax.random.PRNGKey(5)
    assert_bits(tr.jit(lambda k: tr.random.normal(k, (3,)))(raw), jax.random.normal(raw, (3,)), "raw")
    assert_bits(tr.jit(lambda: tr.random.PRNGKey(5))(), raw, "PRNGKey")
    wrap = lambda r: lambda w: r.bits(r.wrap_key_data(w), (2,))
    assert_bits(tr.jit(wrap(tr.random))(raw), wrap(jax.random)(raw), "words")


def test_wide_types() -> None:
    with x64():
        key = jax.random.key(2)
        got = tr.jit(lambda k: tr.random.normal(k, (3,)))(key)
        assert got.dtype == np.float64
        assert_bits(got, jax.jit(lambda k: jax.random.normal(k, (3,)))(key), "normal")


def test_samples_have_derivatives() -> None:
    def f(r: Any, n: Any) -> Any:
        return lambda a, s: (
            n.sum(r.gamma(jax.random.key(3), a)) + n.sum(a * s * r.normal(jax.random.key(1), (3,)))
        )

    got = tr.jit(tr.grad(f(tr.random, tnp), argnums=(0, 1)))(A, B)
    want = jax.jit(jax.grad(f(jax.random, jnp), argnums=(0, 1)))(A, B)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-4)


def test_batches_of_keys() -> None:
    keys = jax.random.split(jax.random.key(4), 3)
    f = lambda r: lambda k: (r.normal(k, (2,)), r.randint(k, (2,), 0, 9))
    assert_bits(tr.vmap(f(tr.random))(keys), jax.vmap(f(jax.random))(keys), "vmap")


def test_errors() -> None:
    with raises(TypeError, "normal", located=True):
        tr.jit(lambda x: tr.random.normal(x, (2,)))(1.0)
    kept: list[Any] = []
    tr.jit(lambda k: kept.append(k) or 1.0)(jax.random.key(0))
    with pytest.raises(EscapedValueError):
        tr.random.normal(kept[0])
