"""Networks and their training."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.loop_programs.core import Program, f32, normal


def rnn(xp: Any, n: int, weights: Any, inputs: Any) -> Any:
    """A recurrent network over a list of inputs."""
    w, u, b = weights
    h = 0.0 * (inputs[0] @ w)
    for x in inputs:
        h = xp.tanh(x @ w + h @ u + b)
    return xp.mean(h * h)


def rnn_expert(n: int, weights: Any, inputs: Any) -> Any:
    w, u, b = weights
    given = jnp.stack(inputs) @ w + b
    h, _ = jax.lax.scan(lambda h, x: (jnp.tanh(x + h @ u), None), jnp.zeros_like(given[0]), given)
    return jnp.mean(h * h)


def layers(xp: Any, n: int, weights: Any, x: Any) -> Any:
    """A deep network over a list of weights."""
    for w, b in weights:
        x = x + xp.tanh(x @ w + b)
    return xp.mean(x * x)


def layers_expert(n: int, weights: Any, x: Any) -> Any:
    # A scan over stacked weights takes half as long again: they have to be copied.
    return layers(jnp, n, weights, x)


def gradient_descent(xp: Any, n: int, w: Any, rate: Any, x: Any, y: Any) -> Any:
    """Logistic regression by gradient descent; how its loss depends on start and step size."""
    for _ in range(n):
        error = 1.0 / (1.0 + xp.exp(-(x @ w))) - y
        w = w - rate * (x.T @ error) / x.shape[0]
    return xp.mean((1.0 / (1.0 + xp.exp(-(x @ w))) - y) ** 2)


def gradient_descent_expert(n: int, w: Any, rate: Any, x: Any, y: Any) -> Any:
    def step(w: Any, _: Any) -> Any:
        return w - rate * ((jax.nn.sigmoid(x @ w) - y) @ x) / x.shape[0], None

    w, _ = jax.lax.scan(step, w, None, length=n)
    return jnp.mean((jax.nn.sigmoid(x @ w) - y) ** 2)


def epochs(xp: Any, n: int, w: Any, x: Any, y: Any) -> Any:
    """Stochastic gradient descent: batches in epochs, and the loss after each."""
    batches = x.shape[0] // 8
    loss = 0.0
    for _ in range(n):
        for k in range(batches):
            rows = slice(8 * k, 8 * k + 8)
            w = w - 0.1 * x[rows].T @ (x[rows] @ w - y[rows])
        loss = loss + xp.mean((x @ w - y) ** 2)
    return loss


def epochs_expert(n: int, w: Any, x: Any, y: Any) -> Any:
    batches = x.reshape(-1, 8, x.shape[1]), y.reshape(-1, 8)

    def epoch(w: Any, _: Any) -> Any:
        w, _ = jax.lax.scan(lambda w, b: (w - 0.1 * b[0].T @ (b[0] @ w - b[1]), None), w, batches)
        return w, jnp.mean((x @ w - y) ** 2)

    return jnp.sum(jax.lax.scan(epoch, w, None, length=n)[1])


PROGRAMS = (
    Program(
        "RNN over a list", 100, rnn, rnn_expert,
        lambda n: (
            (0.3 * normal(0, 16, 16), 0.2 * normal(1, 16, 16), normal(2, 16)), list(normal(3, n, 8, 16)),
        ),
    ),
    Program(
        "layers of a list", 100, layers, layers_expert,
        lambda n: ([(0.05 * w, 0.05 * b) for w, b in zip(normal(0, n, 32, 32), normal(1, n, 32), strict=True)],
                   normal(2, 16, 32)),
    ),
    Program(
        "gradient descent", 60, gradient_descent, gradient_descent_expert,
        lambda n: (0.1 * normal(0, 16), f32(0.05), normal(1, 64, 16), f32(normal(2, 64) > 0.0)),
    ),
    Program("epochs of batches", 8, epochs, epochs_expert,
            lambda n: (0.1 * normal(0, 16), 0.3 * normal(1, 64, 16), normal(2, 64))),
)  # fmt: skip
