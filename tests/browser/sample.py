"""A program whose report is opened in the tests."""

from __future__ import annotations

from typing import Any

import tracer as tr
import tracer.numpy as tnp

SHAPES = {"x": (16, 32), "h": (32, 32), "b": (32,), "o": (32, 4)}


def step(p: Any, h: Any, x: Any) -> Any:
    return tnp.tanh(x @ p["x"] + h @ p["h"] + p["b"])


def loss(p: Any, xs: Any) -> Any:
    h = tnp.zeros((xs.shape[1], 32), xs.dtype)
    h, _ = tr.scan(lambda h, x: (step(p, h, x), None), h, xs)
    logits = h @ p["o"] + 0.0
    return -tnp.mean(tr.nn.log_softmax(logits)[:, 0])


LSTM = {"x": (64, 512), "h": (128, 512), "b": (512,), "o": (128, 64)}


def lstm(p: Any, xs: Any, ys: Any) -> Any:
    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = tnp.split(x @ p["x"] + h @ p["h"] + p["b"], 4, axis=-1)
        c = tr.nn.sigmoid(f) * c + tr.nn.sigmoid(i) * tnp.tanh(g)
        h = tr.nn.sigmoid(o) * tnp.tanh(c)
        return (h, c), h

    zero = tnp.zeros((xs.shape[1], p["h"].shape[0]), xs.dtype)
    _, hs = tr.scan(cell, (zero, zero), xs)
    return tnp.mean((hs @ p["o"] - ys) ** 2)
