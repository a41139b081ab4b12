"""`reduce`, `accumulate`, `outer`, `reduceat` and `at` of the elementwise functions that JAX has them for."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from tracer.numpy.borrowed import METHODS
from tracer.numpy.borrowing import borrowed


def attach(functions: dict[str, Any]) -> None:
    """Attach the methods of every `jax.numpy.ufunc` to the function of its name."""
    for name, fn in functions.items():
        ufunc = getattr(jnp, name, None)
        if isinstance(ufunc, jnp.ufunc):
            fn.nin, fn.nout, fn.identity = ufunc.nin, ufunc.nout, ufunc.identity
            for method in METHODS:
                setattr(fn, method, borrowed(getattr(ufunc, method), name=f"{name}.{method}"))
