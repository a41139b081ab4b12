"""`tracer.random` against `jax.random`: words and integers bit for bit, real numbers to the last bits."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from tests.conformance.draw import Draw
from tests.conformance.families import Recipes
from tests.tracer.cases import Case

RANDOM: Recipes = {}
IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")

# How XLA rounds a logarithm depends on the program around it and on the machine, so that the results of
# `jax.jit` of ten calls differ from those of each by the last bits, in JAX alone as well.
LAST_BITS = 4 * float(np.finfo(np.float32).eps)


def sampler(name: str, call: Any) -> None:
    """A function of (module, key, shape, draw's parameters); compared to the last bits."""

    def recipe(d: Draw) -> Case:
        shape, seed, impl = d.shape(), int(d.rng.integers(2**31)), d.one(IMPLEMENTATIONS)
        a, b = (d.array(shape, "float32", 0.5, 2) for _ in range(2))
        dtype = d.one(["float32", "float16", "bfloat16", *(["float64"] if d.wide else [])])
        word = jax.random.key_data(jax.random.key(seed, impl=impl))
        run = lambda np, w, a, b: call(np, np.wrap_key_data(w, impl=impl), shape, dtype, a, b)
        return Case(name, run, (word, a, b), False, LAST_BITS)

    RANDOM.setdefault(name, []).append(recipe)


for _name in "uniform normal gumbel laplace logistic cauchy exponential maxwell".split():
    sampler(_name, lambda r, k, s, t, a, b, _n=_name: getattr(r, _n)(k, s, t))
for _name in "chisquare gamma loggamma t pareto rayleigh wald".split():
    sampler(_name, lambda r, k, s, t, a, b, _n=_name: getattr(r, _n)(k, a, s))
for _name in ("beta", "f"):
    sampler(_name, lambda r, k, s, t, a, b, _n=_name: getattr(r, _n)(k, a, b, s))
sampler("ball", lambda r, k, s, t, a, b: r.ball(k, 3, 2.0, s[:1]))
sampler("bernoulli", lambda r, k, s, t, a, b: (r.bernoulli(k, 0.3, s), r.bernoulli(k, a / 2)))
sampler("binomial", lambda r, k, s, t, a, b: r.binomial(k, 9, 0.3, s))
sampler("bits", lambda r, k, s, t, a, b: (r.bits(k, s), r.bits(k, s, "uint8"), r.bits(k, s, "uint16")))
sampler("categorical", lambda r, k, s, t, a, b: r.categorical(k, a.reshape(-1, 1), axis=1))
sampler("choice", lambda r, k, s, t, a, b: (r.choice(k, 9, (4,), replace=False), r.choice(k, 5, s)))
sampler("clone", lambda r, k, s, t, a, b: r.bits(r.clone(k), s))
sampler("dirichlet", lambda r, k, s, t, a, b: r.dirichlet(k, 1 + a.reshape(-1)[:1].repeat(3)))
sampler("double_sided_maxwell", lambda r, k, s, t, a, b: r.double_sided_maxwell(k, 0.5, 2.0, s))
sampler("fold_in", lambda r, k, s, t, a, b: r.bits(r.fold_in(k, 17), s))
sampler("generalized_normal", lambda r, k, s, t, a, b: r.generalized_normal(k, 1.5, s))
sampler("geometric", lambda r, k, s, t, a, b: r.geometric(k, 0.3, s))
sampler("lognormal", lambda r, k, s, t, a, b: r.lognormal(k, 0.5, s))
sampler(
    "multinomial", lambda r, k, s, t, a, b: r.multinomial(k, 12, 0.0 * a.reshape(-1)[:1].repeat(4) + 0.25)
)
MEAN, COVARIANCE = np.ones(2, np.float32), np.float32([[1.5, 0.5], [0.5, 1.5]])
sampler("multivariate_normal", lambda r, k, s, t, a, b: r.multivariate_normal(k, MEAN, COVARIANCE))
sampler("orthogonal", lambda r, k, s, t, a, b: r.orthogonal(k, 3))
sampler("permutation", lambda r, k, s, t, a, b: (r.permutation(k, 8), r.permutation(k, a.reshape(-1))))
sampler("poisson", lambda r, k, s, t, a, b: r.poisson(r.key(3), 3.0, s))
sampler("rademacher", lambda r, k, s, t, a, b: r.rademacher(k, s))
sampler("randint", lambda r, k, s, t, a, b: (r.randint(k, s, -3, 9), r.randint(k, s, 0, 200, "uint8")))
sampler("split", lambda r, k, s, t, a, b: (r.key_data(r.split(k, 3)), r.key_data(r.split(k, (2, 2)))))
sampler("triangular", lambda r, k, s, t, a, b: r.triangular(k, 0.0, 0.3, 1.0, s))
sampler("truncated_normal", lambda r, k, s, t, a, b: r.truncated_normal(k, -1.0, 2.0, s, t))
sampler("weibull_min", lambda r, k, s, t, a, b: r.weibull_min(k, 1.5, 2.0, s))
sampler("key", lambda r, k, s, t, a, b: r.key_data(r.key(len(s))))
sampler("PRNGKey", lambda r, k, s, t, a, b: r.PRNGKey(len(s)))
sampler("key_data", lambda r, k, s, t, a, b: r.key_data(k))
sampler("wrap_key_data", lambda r, k, s, t, a, b: r.bits(k, s))
