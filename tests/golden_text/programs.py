"""The programs whose views are kept. Their lines are in the files: whoever moves them updates those."""

from __future__ import annotations

from typing import Any

import numpy as np

import tracer as tr
import tracer.numpy as tnp

MATRIX = np.ones((8, 8), np.float32)
ROWS = np.ones((4, 8), np.float32)
VECTOR = np.ones(8, np.float32)


def attention(x: Any, wq: Any, wk: Any, wv: Any) -> Any:
    query, key = x @ wq, x @ wk
    scores = query @ key.T / np.float32(2.5)
    weights = tr.nn.softmax(scores)
    out = weights @ (x @ wv)
    return tnp.mean(out**2)


def recurrent(w: Any, start: Any, inputs: Any) -> Any:
    def step(state: Any, row: Any) -> Any:
        z = w @ state + row
        state = tnp.tanh(z)
        return state, state.sum()

    last, sums = tr.scan(step, start, inputs)
    return last.sum() + sums.sum()


def recurrent_differently(w: Any, start: Any, inputs: Any) -> Any:
    def step(state: Any, row: Any) -> Any:
        z = w @ state - row
        state = tnp.tanh(z)
        return state, state.sum()

    last, sums = tr.scan(step, start, inputs)
    return 2 * last.sum() + sums.sum()


def unrolled(x: Any, w: Any, steps: int = 40) -> Any:
    for _ in range(steps):
        hidden = x @ w
        x = tnp.tanh(hidden) + 0.5 * tnp.sin(x)
    return tnp.sum(x)


def many(*xs: Any) -> Any:
    table = np.arange(20, dtype=np.float32)
    return tnp.concatenate(xs)[:20] * table


def attention_program() -> Any:
    return tr.trace(attention)(ROWS, MATRIX, MATRIX, MATRIX)


def gradient_program() -> Any:
    return tr.trace(tr.grad(recurrent))(MATRIX, VECTOR, ROWS)


def recurrent_program() -> Any:
    return tr.trace(recurrent)(MATRIX, VECTOR, ROWS)


def unrolled_program(steps: int = 40) -> Any:
    return tr.trace(lambda x, w: unrolled(x, w, steps))(VECTOR, MATRIX).replace(name="unrolled")
