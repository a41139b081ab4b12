"""Derivatives at kinks, ties, zeros and poles are those of JAX; docs/derivatives.md lists them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import assert_same

nan, inf = np.nan, np.inf
ZEROS = [0.0, -0.0]

# name: (function of (np, x), points)
SINGULAR: dict[str, tuple[Any, list[Any]]] = {
    "abs": (lambda np, x: np.abs(x), [*ZEROS, 1.0, -1.0]),
    "sign": (lambda np, x: np.sign(x), ZEROS),
    "sqrt": (lambda np, x: np.sqrt(x), [*ZEROS, -1.0, inf]),
    "cbrt": (lambda np, x: np.cbrt(x), [0.0, 8.0]),
    "log": (lambda np, x: np.log(x), [*ZEROS, -1.0, inf]),
    "log1p": (lambda np, x: np.log1p(x), [-1.0, -2.0]),
    "reciprocal": (lambda np, x: 1 / x, [*ZEROS, inf]),
    "arcsin": (lambda np, x: np.arcsin(x), [1.0, -1.0, 2.0]),
    "arccosh": (lambda np, x: np.arccosh(x), [1.0]),
    "arctanh": (lambda np, x: np.arctanh(x), [1.0, -1.0]),
    "half power": (lambda np, x: x**0.5, [0.0, 4.0]),
    "power of zero": (lambda np, x: x**0.0, [0.0]),
    "first power": (lambda np, x: x**1.0, [0.0]),
    "exponent": (lambda np, x: np.power(0.0, x), [0.0, 1.0, 2.0]),
    "maximum of a tie": (lambda np, x: np.maximum(x, 1.0), [1.0, 0.0]),
    "minimum of a tie": (lambda np, x: np.minimum(1.0, x), [1.0, 0.0]),
    "clip at its bounds": (lambda np, x: np.clip(x, -1.0, 1.0), [1.0, -1.0]),
    "floor": (lambda np, x: np.floor(x), [1.0]),
    "where at its border": (lambda np, x: np.where(x > 0, x, -3 * x), ZEROS),
    "logaddexp": (lambda np, x: np.logaddexp(x, x), [0.0, inf, -inf]),
    "arctan2": (lambda np, x: np.arctan2(x, 0.0), [0.0, 1.0]),
    "sinc": (lambda np, x: np.sinc(x), [0.0]),
}
VECTORS: dict[str, tuple[Any, list[Any]]] = {
    "max": (lambda np, x: np.max(x), [[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]),
    "min": (lambda np, x: np.min(x), [[1.0, 1.0, 3.0]]),
    "norm": (lambda np, x: np.linalg.norm(x), [[0.0, 0.0, 0.0], [3.0, 4.0, 0.0]]),
    "norm 1": (lambda np, x: np.linalg.norm(x, 1), [[0.0, 1.0, -1.0]]),
    "norm inf": (lambda np, x: np.linalg.norm(x, np.inf), [[1.0, -1.0, 0.5]]),
    "sort": (lambda np, x: np.sort(x) @ np.arange(3.0), [[1.0, 1.0, 0.0], [2.0, 2.0, 2.0]]),
    "median": (lambda np, x: np.median(x), [[1.0, 1.0, 0.0]]),
    "prod": (lambda np, x: np.prod(x), [[0.0, 2.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]),
    "cumprod": (lambda np, x: np.cumprod(x) @ np.arange(1.0, 4.0), [[0.0, 2.0, 3.0], [2.0, 0.0, 0.0]]),
    "std": (lambda np, x: np.std(x), [[1.0, 1.0, 1.0], [1.0, 2.0, 4.0]]),
    "var": (lambda np, x: np.var(x), [[1.0, 1.0, 1.0]]),
    "ptp": (lambda np, x: np.ptp(x), [[1.0, 1.0, 0.0]]),
}


@pytest.mark.parametrize("name", [*SINGULAR, *VECTORS])
def test_as_in_jax(name: str) -> None:
    f, points = (SINGULAR | VECTORS)[name]
    x = jnp.array(points, np.float32)

    def slopes(np: Any, t: Any) -> Any:
        one = lambda x: f(np, x)
        return t.jit(
            lambda x: (t.vmap(t.grad(one))(x), t.vmap(lambda x: t.jvp(one, (x,), (x * 0 + 1,))[1])(x))
        )(x)

    assert_same(slopes(tnp, tr), slopes(jnp, jax), weak=False)


def test_second_order_at_ties_and_zeros() -> None:
    for name in ("max", "prod", "sort", "var"):
        f, points = VECTORS[name]
        for point in points:
            x = jnp.array(point, np.float32)
            got = tr.jit(tr.hessian(lambda x, _f=f: _f(tnp, x)))(x)
            assert_same(got, jax.jit(jax.hessian(lambda x, _f=f: _f(jnp, x)))(x), weak=False)
