"""Log-sum-exp and softmax written by hand: the maximum loses its derivative and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.evaluate import evaluate
from ir.ops.calls import stop_gradient
from ir.passes.shifts import stop_shifts

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 5)) * 30


def lse(np_: Any, x: Any) -> Any:
    m = np_.max(x)
    return np_.log(np_.sum(np_.exp(x - m))) + m


def lse_rows(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=1, keepdims=True)
    return np_.sin(np_.log(np_.sum(np_.exp(x - m), axis=1)) + np_.squeeze(m, axis=1))


def lse_columns(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=0)
    return np_.sin(m + np_.log(np_.sum(np_.exp(x - m), axis=0)))


def lse_at_temperature(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=1)
    return 0.1 * np_.log(np_.sum(np_.exp((x - m[:, None]) / 0.1), axis=1)) + m


def lse_where_finite(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=1, keepdims=True)
    m = np_.where(np_.isfinite(m), m, 0.0)
    return np_.log(np_.sum(np_.exp(x - m), axis=1, keepdims=True)) + m


def of_two(np_: Any, x: Any) -> Any:
    a, b = x[0], x[1]
    m = np_.maximum(a, b)
    return np_.sin(np_.log(np_.exp(a - m) + np_.exp(b - m)) + m)


def softmax(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return np_.sin(e / np_.sum(e, axis=-1, keepdims=True))


def log_softmax(np_: Any, x: Any) -> Any:
    z = x - np_.max(x, axis=-1, keepdims=True)
    return np_.sin(z - np_.log(np_.sum(np_.exp(z), axis=-1, keepdims=True)))


def averaged(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return np_.sin((e @ np_.cos(x.T)) / np_.sum(e, axis=-1)[:, None])


def normalised(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return np_.sin(e / np_.sqrt(np_.sum(e**2, axis=-1, keepdims=True)))


def distribution(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return np_.sin(np_.cumsum(e, axis=-1) / np_.sum(e, axis=-1, keepdims=True))


def maximum_too(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=1)
    return np_.sin(np_.log(np_.sum(np_.exp(x - m[:, None]), axis=1)) + m) * np_.cos(m)


INVARIANT = [
    lse, lse_rows, lse_columns, lse_at_temperature, lse_where_finite, of_two, softmax, log_softmax, averaged,
    normalised, distribution,
]  # fmt: skip


def exponential_too(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return e / np_.sum(e, axis=-1, keepdims=True) * np_.sin(e)


def not_added(np_: Any, x: Any) -> Any:
    return np_.log(np_.sum(np_.exp(x - np_.max(x, axis=1, keepdims=True)), axis=1))


def added_twice(np_: Any, x: Any) -> Any:
    m = np_.max(x, axis=1)
    return np_.log(np_.sum(np_.exp(x - m[:, None]), axis=1)) + 2 * m


def squares(np_: Any, x: Any) -> Any:
    e = np_.exp(x - np_.max(x, axis=-1, keepdims=True))
    return e**2 / np_.sum(e, axis=-1, keepdims=True)


def across(np_: Any, x: Any) -> Any:
    """Rows of one maximum each are added up: another number for each term."""
    m = np_.max(x, axis=1, keepdims=True)
    return np_.log(np_.sum(np_.exp(x - m), axis=0)) + m


def of_other_axis(np_: Any, x: Any) -> Any:
    """The maxima of the rows, subtracted along the columns: exponentials may overflow."""
    x = x[:5]
    m = np_.max(x, axis=1)
    return np_.log(np_.sum(np_.exp(x - m), axis=0)) + m


def of_minimum(np_: Any, x: Any) -> Any:
    m = np_.min(x)
    return np_.log(np_.sum(np_.exp(x - m))) + m


DEPENDENT = [exponential_too, not_added, added_twice, squares, across, of_other_axis, of_minimum]


def total(f: Callable[..., Any], np_: Any) -> Callable[[Any], Any]:
    return lambda x: np_.sum(f(np_, x))


def stops(f: Callable[..., Any], x: np.ndarray) -> int:
    x = x.astype(np.float32)
    function = tr.trace(total(f, tnp))(x)
    stopped = stop_shifts(function)
    ir.verify(stopped)
    for a, b in zip(evaluate(function, x), evaluate(stopped, x), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    return sum(eqn.op is stop_gradient for eqn in stopped.eqns)


@pytest.mark.parametrize("f", [*INVARIANT, maximum_too], ids=lambda f: f.__name__)
def test_maxima_without_effect_are_stopped(f: Callable[..., Any]) -> None:
    assert stops(f, X) == 1


@pytest.mark.parametrize("f", DEPENDENT, ids=lambda f: f.__name__)
def test_maxima_with_effect_are_not(f: Callable[..., Any]) -> None:
    assert stops(f, X) == 0


@pytest.mark.parametrize("f", [*INVARIANT, maximum_too, *DEPENDENT], ids=lambda f: f.__name__)
def test_derivatives(f: Callable[..., Any]) -> None:
    """Of two orders, against JAX."""
    with jax.enable_x64(True):
        x = X / 30
        v = np.cos(np.arange(x.size)).reshape(x.shape)

        def derivatives(lib: Any, np_: Any) -> Any:
            g = total(f, np_)
            return lib.jit(lambda x: (g(x), lib.grad(g)(x), *lib.jvp(lib.grad(g), (x,), (v,))))

        for got, expected in zip(derivatives(tr, tnp)(x), derivatives(jax, jnp)(x), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_the_gradient_looks_for_no_maximum_again() -> None:
    for f in INVARIANT:
        program = tr.jit(tr.grad(total(f, tnp))).ir(X)
        assert not [eqn for eqn in program.eqns if eqn.op.name in ("reduce", "argmax")], f.__name__


@pytest.mark.parametrize("f", [lse_rows, softmax, log_softmax], ids=lambda f: f.__name__)
def test_special_values(f: Callable[..., Any]) -> None:
    """Rows of nothing but -inf, with one, with inf, with nan, and of numbers whose differences overflow."""
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, -inf, -inf], [-inf, 1.0, 2.0], [inf, 1.0, 2.0], [inf, inf, 2.0], [nan, 1.0, 2.0],
         [1e300, -1e300, 0.0], [1e308, -1e308, -1e308], [3.0, 3.0, 3.0], [0.0, -0.0, -800.0]]
    )  # fmt: skip
    with jax.enable_x64(True):
        got, expected = tr.jit(tr.grad(total(f, tnp)))(x), jax.grad(total(f, jnp))(x)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(
            tr.jit(lambda x: f(tnp, x))(x), tr.jit(lambda x: f(tnp, x), exact=True)(x), strict=True
        )


def test_exact_leaves_the_maximum_its_derivative() -> None:
    program = tr.jit(tr.grad(total(lse, tnp)), exact=True).ir(X)
    assert [eqn for eqn in program.eqns if eqn.op.name == "reduce"]
