"""Random numbers of `jax.random`: the same keys, the same bits."""

from __future__ import annotations

import jax

from tracer.numpy.borrowing import borrowed
from tracer.numpy.queries import answered

PRNGKey = borrowed(jax.random.PRNGKey)
ball = borrowed(jax.random.ball)
bernoulli = borrowed(jax.random.bernoulli)
beta = borrowed(jax.random.beta)
binomial = borrowed(jax.random.binomial)
bits = borrowed(jax.random.bits)
categorical = borrowed(jax.random.categorical)
cauchy = borrowed(jax.random.cauchy)
chisquare = borrowed(jax.random.chisquare)
choice = borrowed(jax.random.choice)
clone = borrowed(jax.random.clone)
dirichlet = borrowed(jax.random.dirichlet)
double_sided_maxwell = borrowed(jax.random.double_sided_maxwell)
exponential = borrowed(jax.random.exponential)
f = borrowed(jax.random.f)
fold_in = borrowed(jax.random.fold_in)
gamma = borrowed(jax.random.gamma)
generalized_normal = borrowed(jax.random.generalized_normal)
geometric = borrowed(jax.random.geometric)
gumbel = borrowed(jax.random.gumbel)
key = borrowed(jax.random.key)
key_data = borrowed(jax.random.key_data)
laplace = borrowed(jax.random.laplace)
loggamma = borrowed(jax.random.loggamma)
logistic = borrowed(jax.random.logistic)
lognormal = borrowed(jax.random.lognormal)
maxwell = borrowed(jax.random.maxwell)
multinomial = borrowed(jax.random.multinomial)
multivariate_normal = borrowed(jax.random.multivariate_normal)
normal = borrowed(jax.random.normal)
orthogonal = borrowed(jax.random.orthogonal)
pareto = borrowed(jax.random.pareto)
permutation = borrowed(jax.random.permutation)
poisson = borrowed(jax.random.poisson)
rademacher = borrowed(jax.random.rademacher)
randint = borrowed(jax.random.randint)
rayleigh = borrowed(jax.random.rayleigh)
split = borrowed(jax.random.split)
t = borrowed(jax.random.t)
triangular = borrowed(jax.random.triangular)
truncated_normal = borrowed(jax.random.truncated_normal)
uniform = borrowed(jax.random.uniform)
wald = borrowed(jax.random.wald)
weibull_min = borrowed(jax.random.weibull_min)
wrap_key_data = borrowed(jax.random.wrap_key_data)
key_impl = answered(jax.random.key_impl)

__all__ = [
    "PRNGKey", "ball", "bernoulli", "beta", "binomial", "bits", "categorical", "cauchy", "chisquare",
    "choice", "clone", "dirichlet", "double_sided_maxwell", "exponential", "f", "fold_in", "gamma",
    "generalized_normal", "geometric", "gumbel", "key", "key_data", "key_impl", "laplace", "loggamma",
    "logistic", "lognormal", "maxwell", "multinomial", "multivariate_normal", "normal", "orthogonal",
    "pareto", "permutation", "poisson", "rademacher", "randint", "rayleigh", "split", "t", "triangular",
    "truncated_normal", "uniform", "wald", "weibull_min", "wrap_key_data",
]  # fmt: skip

# What only some versions of JAX have: how to ask for the type of keys, and its name.
_BY_VERSION: dict[str, object] = {}
if hasattr(jax.random, "key_dtype"):
    _BY_VERSION["key_dtype"] = answered(jax.random.key_dtype)
if hasattr(jax.random, "Key"):
    _BY_VERSION["Key"] = jax.random.Key
globals().update(_BY_VERSION)
__all__ += list(_BY_VERSION)
