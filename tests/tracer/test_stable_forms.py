"""Formulas as they are first written, where they overflow, underflow or cancel, against stable forms in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp

FAR = np.array([-1e4, -200, -90, -30, -8, -1, -1e-3, 0, 1e-3, 1, 8, 30, 60, 88, 200, 1e4], np.float32)
ROWS = np.array([[1e4, -1e4, 0], [-1e4, -10001, -9997], [90, 89, -100], [0, 0, 0], [1e-20, 0, 3]], np.float32)


def _logistic(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _slope_of_tanh(x: Any) -> Any:
    return 1 / np.cosh(np.clip(x, -300, 300)) ** 2


def _log_sum_exp(x: Any) -> Any:
    m = x.max(-1, keepdims=True)
    return (m + np.log(np.exp(x - m).sum(-1, keepdims=True)))[..., 0]


def _softmax(x: Any) -> Any:
    return np.exp(x - _log_sum_exp(x)[..., None])


Function = Callable[[Any], Any]
# As written; in a stable form; its derivative.
ELEMENTWISE: dict[str, tuple[Function, Function, Function]] = {
    "1 - logistic": (
        lambda x: 1 - tr.nn.sigmoid(x), lambda x: _logistic(-x), lambda x: -_logistic(x) * _logistic(-x),
    ),
    "1 - 1 / (1 + exp(-x))": (
        lambda x: 1 - 1 / (1 + tnp.exp(-x)), lambda x: _logistic(-x), lambda x: -_logistic(x) * _logistic(-x),
    ),
    "x / (1 + exp(-x))": (
        lambda x: x / (1 + tnp.exp(-x)), lambda x: x * _logistic(x),
        lambda x: _logistic(x) * (1 + x * _logistic(-x)),
    ),
    "tanh by exponentials": (
        lambda x: (tnp.exp(x) - tnp.exp(-x)) / (tnp.exp(x) + tnp.exp(-x)), np.tanh, _slope_of_tanh,
    ),
    "tanh by one exponential": (
        lambda x: (1 - tnp.exp(-2 * x)) / (1 + tnp.exp(-2 * x)), np.tanh, _slope_of_tanh,
    ),
    "log(exp(x) + exp(2 - x))": (
        lambda x: tnp.log(tnp.exp(x) + tnp.exp(2 - x)), lambda x: np.logaddexp(x, 2 - x), lambda x: np.tanh(x - 1),
    ),
    "exp(x) - 1, below": (
        lambda x: tnp.exp(tnp.minimum(x, 8)) - 1, lambda x: np.expm1(np.minimum(x, 8)),
        lambda x: np.where(x < 8, np.exp(np.minimum(x, 8)), np.where(x == 8, np.exp(8) / 2, 0)),
    ),
    "log(1 - exp(x))": (
        lambda x: tnp.log(1 - tnp.exp(-1e-6 - tnp.abs(x))),
        lambda x: np.log(-np.expm1(-1e-6 - np.abs(x))),
        lambda x: np.where(x >= 0, 1, -1) / np.expm1(np.minimum(1e-6 + np.abs(x), 300)),
    ),
}  # fmt: skip
OF_ROWS: dict[str, tuple[Function, Function, Function]] = {
    "log-sum-exp": (lambda x: tnp.log(tnp.sum(tnp.exp(x), axis=1)), _log_sum_exp, _softmax),
    "log-mean-exp": (
        lambda x: tnp.log(tnp.mean(tnp.exp(x), axis=1)), lambda x: _log_sum_exp(x) - np.log(3), _softmax,
    ),
    "softmax": (
        lambda x: (tnp.exp(x) / tnp.sum(tnp.exp(x), axis=1, keepdims=True))[:, 0],
        lambda x: _softmax(x)[:, 0],
        lambda x: _softmax(x)[:, :1] * (np.eye(3)[0] - _softmax(x)),
    ),
    "log-softmax": (
        lambda x: tnp.log(tnp.exp(x) / tnp.sum(tnp.exp(x), axis=1)[:, None])[:, 1],
        lambda x: x[:, 1] - _log_sum_exp(x), lambda x: np.eye(3)[1] - _softmax(x),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*ELEMENTWISE, *OF_ROWS])
def test_naive_formulas_keep_digits_and_range(name: str) -> None:
    x = FAR if name in ELEMENTWISE else ROWS
    f, value, slope = (ELEMENTWISE | OF_ROWS)[name]
    exact = x.astype(np.float64)
    with np.errstate(over="ignore"):
        values, slopes = value(exact), slope(exact)
    np.testing.assert_allclose(tr.jit(f)(x), values, rtol=2e-5, atol=2e-7)
    gradient = tr.jit(tr.grad(lambda x: tnp.sum(f(x))))(x)
    np.testing.assert_allclose(gradient, slopes, rtol=2e-5, atol=1e-37)


def test_infinite_exponents() -> None:
    inf = np.inf
    x = np.array([[-inf, -inf, -inf], [inf, 0, 1], [-inf, 0, 0], [inf, inf, -inf]], np.float32)
    got = tr.jit(lambda x: tnp.log(tnp.sum(tnp.exp(x), axis=1)))(x)
    np.testing.assert_allclose(got, [-inf, inf, np.log(2), inf], rtol=1e-6)
    pairs = tr.jit(lambda x: tnp.log(tnp.exp(x[:, 0]) + tnp.exp(x[:, 1])))(x)
    np.testing.assert_allclose(pairs, [-inf, inf, 0, inf])
