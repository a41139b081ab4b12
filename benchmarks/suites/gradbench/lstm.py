"""lstm: the gradient of a network of long short-term memory, all of whose matrices are diagonal."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity
from benchmarks.suites.gradbench.adbench import complex_step, sentence


def sigmoid(lib: Library, x: Any) -> Any:
    return 1 / (1 + lib.np.exp(-x))


def predicted(lib: Library, main: Any, extra: Any, state: Any, x: Any) -> tuple[Any, Any]:
    """Scores of the next character, and the state after this one.

    Args:
      main: f64[l, 2, 4, b]: of each layer, weights and biases of the gates forget, in, out and change.
      extra: f64[3, b]: weights in, weights out, bias out.
      state: f64[l, 2, b]: of each layer, hidden and cell.
      x: f64[b], the character.
    """
    xp = lib.np
    x = x * extra[0]
    states = []
    for layer in range(main.shape[0]):
        (w, b), (hidden, cell) = (main[layer, 0], main[layer, 1]), (state[layer, 0], state[layer, 1])
        forget = sigmoid(lib, x * w[0] + b[0])
        into = sigmoid(lib, hidden * w[1] + b[1])
        out = sigmoid(lib, x * w[2] + b[2])
        change = xp.tanh(hidden * w[3] + b[3])
        cell = cell * forget + into * change
        x = out * xp.tanh(cell)
        states.append(xp.stack([x, cell]))
    return x * extra[1] + extra[2], xp.stack(states)


def loss(lib: Library, main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    """Mean cross-entropy of the characters after the first, their bits being normalised by log(2 + sum(exp)).

    Args:
      main: f64[2 l, 4 b]; extra: f64[3, b]; state: f64[2 l, b]; sequence: f64[c, b].
    """
    xp = lib.np
    bits = sequence.shape[1]
    main = xp.reshape(main, (-1, 2, 4, bits))

    def step(state: Any, characters: tuple[Any, Any]) -> tuple[Any, Any]:
        now, wanted = characters
        scores, state = predicted(lib, main, extra, state, now)
        return state, xp.sum(wanted * (scores - xp.log(xp.sum(xp.exp(scores)) + 2)))

    _, terms = lib.scan(step, xp.reshape(state, (-1, 2, bits)), (sequence[:-1], sequence[1:]))
    return -xp.sum(terms) / (bits * (sequence.shape[0] - 1))


def inputs(file: str, kept: int | None = None) -> tuple[Any, ...]:
    """A file of ADBench, the first `kept` of its characters."""
    *parameters, sequence = sentence(file)
    return (*parameters, sequence[:kept])


def reference(
    main: np.ndarray, extra: np.ndarray, state: np.ndarray, sequence: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The complex step, for all parameters side by side."""
    bits, layers = sequence.shape[1], main.shape[0] // 2

    def logistic(x: np.ndarray) -> Any:
        return 1 / (1 + np.exp(-x))

    def losses(parameters: np.ndarray) -> Any:
        rows = parameters.reshape(parameters.shape[0], -1, bits)
        weights, (w_in, w_out, b_out) = rows[:, :-3], np.moveaxis(rows[:, -3:], 1, 0)
        hidden = [np.broadcast_to(state[2 * i], w_in.shape) for i in range(layers)]
        cell = [np.broadcast_to(state[2 * i + 1], w_in.shape) for i in range(layers)]
        total = np.zeros(parameters.shape[0], complex)
        for now, wanted in pairwise(sequence):
            x = now * w_in
            for i in range(layers):
                w, b = weights[:, 8 * i : 8 * i + 4], weights[:, 8 * i + 4 : 8 * i + 8]
                forget, out = (logistic(x * w[:, j] + b[:, j]) for j in (0, 2))
                into = logistic(hidden[i] * w[:, 1] + b[:, 1])
                cell[i] = cell[i] * forget + into * np.tanh(hidden[i] * w[:, 3] + b[:, 3])
                hidden[i] = x = out * np.tanh(cell[i])
            scores = x * w_out + b_out
            total += ((scores - np.log(np.exp(scores).sum(axis=1) + 2)[:, None]) * wanted).sum(axis=1)
        return -total / (bits * (sequence.shape[0] - 1))

    gradient = complex_step(losses, np.concatenate([main.reshape(-1), extra.reshape(-1)]))
    return gradient[: main.size].reshape(main.shape), gradient[main.size :].reshape(extra.shape)


CASES = (
    Case(
        "gradbench", "lstm", loss, inputs,
        {
            "tiny": {"file": "lstm_l2_c1024", "kept": 20}, "small": {"file": "lstm_l2_c1024"},
            "middle": {"file": "lstm_l4_c1024"}, "large": {"file": "lstm_l4_c4096"},
        },
        Quantity.GRADIENT, (0, 1), reference, source="ADBench; GradBench, evals/lstm",
    ),
)  # fmt: skip

__all__ = ["CASES", "loss"]
