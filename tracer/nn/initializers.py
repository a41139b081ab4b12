"""Initial weights: the initializers of `jax.nn.initializers`, which draw from `jax.random`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax.nn.initializers as jinit
from jax.nn.initializers import Initializer

from tracer.numpy.borrowing import borrowed

F = TypeVar("F", bound=Callable[..., Any])


def _making(factory: F) -> F:
    """`factory`, whose initializer takes traced keys, too.

    An initializer is one object for equal arguments, so that its program is imported once.
    """

    @functools.lru_cache(maxsize=256)
    def made(*args: Any, **kwargs: Any) -> Any:
        return borrowed(factory(*args, **kwargs), name=factory.__name__)

    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Any:
        try:
            hash((args, tuple(kwargs.values())))
        except TypeError:  # an array among the arguments
            return borrowed(factory(*args, **kwargs), name=factory.__name__)
        return made(*args, **kwargs)

    return cast(F, make)


constant = _making(jinit.constant)
delta_orthogonal = _making(jinit.delta_orthogonal)
glorot_normal = _making(jinit.glorot_normal)
glorot_uniform = _making(jinit.glorot_uniform)
he_normal = _making(jinit.he_normal)
he_uniform = _making(jinit.he_uniform)
kaiming_normal = _making(jinit.kaiming_normal)
kaiming_uniform = _making(jinit.kaiming_uniform)
lecun_normal = _making(jinit.lecun_normal)
lecun_uniform = _making(jinit.lecun_uniform)
normal = _making(jinit.normal)
ones = borrowed(jinit.ones)
orthogonal = _making(jinit.orthogonal)
truncated_normal = _making(jinit.truncated_normal)
uniform = _making(jinit.uniform)
variance_scaling = _making(jinit.variance_scaling)
xavier_normal = _making(jinit.xavier_normal)
xavier_uniform = _making(jinit.xavier_uniform)
zeros = borrowed(jinit.zeros)

__all__ = [
    "Initializer", "constant", "delta_orthogonal", "glorot_normal", "glorot_uniform", "he_normal",
    "he_uniform", "kaiming_normal", "kaiming_uniform", "lecun_normal", "lecun_uniform", "normal", "ones",
    "orthogonal", "truncated_normal", "uniform", "variance_scaling", "xavier_normal", "xavier_uniform",
    "zeros",
]  # fmt: skip
