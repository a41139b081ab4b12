"""Ordinary training steps, as people write them, for tests of what is said about whole programs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import tracer as tr
import tracer.numpy as tnp

NHWC = ("NHWC", "HWIO", "NHWC")
_rng = np.random.default_rng(0)


@dataclass(frozen=True)
class Program:
    """A function and arguments for it."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]


def normal(*shape: int) -> Any:
    return jnp.asarray(0.1 * _rng.normal(size=shape), jnp.float32)


def labels(classes: int, *shape: int) -> Any:
    return jnp.asarray(_rng.integers(0, classes, shape))


def dense(p: Any, x: Any) -> Any:
    for w, b in p[:-1]:
        x = tr.nn.gelu(x @ w + b)
    w, b = p[-1]
    return x @ w + b


def crossentropy(logits: Any, y: Any) -> Any:
    return -tnp.mean(tnp.sum(tr.nn.one_hot(y, logits.shape[-1]) * tr.nn.log_softmax(logits), axis=-1))


def conv(x: Any, k: Any, stride: int = 1) -> Any:
    return tr.nn.conv(x, k, strides=(stride, stride), padding="SAME", dimension_numbers=NHWC)


def norm(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / tnp.sqrt(x.var(-1, keepdims=True) + 1e-5)


def layers(*sizes: int) -> Any:
    return [(normal(a, b), normal(b)) for a, b in itertools.pairwise(sizes)]


def classifier(p: Any, x: Any, y: Any) -> Any:
    return crossentropy(dense(p, x), y)


_optimizer = optax.adam(1e-3)


def adam(p: Any, state: Any, x: Any, y: Any) -> Any:
    value, grads = tr.value_and_grad(classifier)(p, x, y)
    updates, state = _optimizer.update(grads, state, p)
    return optax.apply_updates(p, updates), state, value


def cnn(p: Any, x: Any, y: Any) -> Any:
    for k in p["kernels"]:
        x = tr.nn.relu(conv(x, k, 2))
    return crossentropy(x.mean((1, 2)) @ p["w"], y)


def resnet(p: Any, x: Any, y: Any) -> Any:
    x = conv(x, p["first"])
    for k in p["kernels"]:
        h = conv(x, k)
        mean = h.mean((0, 1, 2))
        x = x + tr.nn.relu((h - mean) / tnp.sqrt(((h - mean) ** 2).mean((0, 1, 2)) + 1e-5))
    return crossentropy(x.mean((1, 2)) @ p["w"], y)


def autoencoder(p: Any, x: Any) -> Any:
    def larger(h: Any) -> Any:
        return tnp.repeat(tnp.repeat(h, 2, 1), 2, 2)

    h = tr.nn.relu(conv(x, p[0], 2))
    h = tr.nn.relu(conv(h, p[1], 2))
    h = tr.nn.relu(conv(larger(h), p[2]))
    return tnp.mean((conv(larger(h), p[3]) - x) ** 2)


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


def gru(p: Any, xs: Any, ys: Any) -> Any:
    def cell(h: Any, x: Any) -> Any:
        z = tr.nn.sigmoid(x @ p["xz"] + h @ p["hz"])
        r = tr.nn.sigmoid(x @ p["xr"] + h @ p["hr"])
        h = (1 - z) * h + z * tnp.tanh(x @ p["xn"] + r * (h @ p["hn"]))
        return h, h

    _, hs = tr.scan(cell, tnp.zeros((xs.shape[1], p["hz"].shape[0]), xs.dtype), xs)
    return tnp.mean((hs @ p["o"] - ys) ** 2)


def unrolled(p: Any, xs: Any, y: Any) -> Any:
    """A loop in plain Python."""
    h = tnp.zeros((xs.shape[1], p["h"].shape[0]), xs.dtype)
    for t in range(xs.shape[0]):
        h = tnp.tanh(xs[t] @ p["x"] + h @ p["h"])
    return tnp.mean((h - y) ** 2)


def transformer(p: Any, x: Any, y: Any) -> Any:
    heads = 4
    x = p["embedding"][x]
    b, t, d = x.shape
    mask = tnp.tril(tnp.ones((t, t), dtype=bool))
    for q in p["layers"]:
        h = norm(x)

        def split(w: Any, h: Any = h) -> Any:
            return (h @ w).reshape(b, t, heads, d // heads).transpose(0, 2, 1, 3)

        scores = split(q["q"]) @ split(q["k"]).swapaxes(-1, -2) / (d // heads) ** 0.5
        a = tr.nn.softmax(tnp.where(mask, scores, -1e9), axis=-1) @ split(q["v"])
        x = x + a.transpose(0, 2, 1, 3).reshape(b, t, d) @ q["o"]
        x = x + tr.nn.gelu(norm(x) @ q["u"]) @ q["w"]
    logits = tr.nn.log_softmax(norm(x) @ p["embedding"].T)
    return -tnp.mean(tnp.take_along_axis(logits, y[..., None], axis=-1))


def vae(p: Any, x: Any, noise: Any) -> Any:
    h = tnp.tanh(x @ p["a"])
    mean, log_var = h @ p["m"], h @ p["s"]
    z = mean + tnp.exp(log_var / 2) * noise
    y = tr.nn.sigmoid(tnp.tanh(z @ p["b"]) @ p["o"])
    return tnp.mean((y - x) ** 2) - tnp.mean(1 + log_var - mean**2 - tnp.exp(log_var)) / 2


def newton(a: Any) -> Any:
    """A loop of as many trips as it takes."""
    x = tr.while_loop(lambda x: tnp.abs(x * x - a).max() > 1e-3, lambda x: (x + a / x) / 2, a)
    return x.sum()


def gaussian_process(p: Any, x: Any, y: Any) -> Any:
    squares = ((x[:, None] - x[None]) ** 2).sum(-1)
    k = tnp.exp(-squares / p["length"] ** 2) + p["noise"] * tnp.eye(x.shape[0])
    lower = tnp.linalg.cholesky(k)
    return y @ tnp.linalg.solve(k, y) / 2 + tnp.log(tnp.diagonal(lower)).sum()


def training_steps() -> Iterator[Program]:
    """Value and gradient, or a step of Adam."""

    def step(name: str, loss: Callable[..., Any], *args: Any) -> Program:
        return Program(name, tr.value_and_grad(loss), args)

    p = layers(64, 256, 256, 10)
    yield step("mlp", classifier, p, normal(128, 64), labels(10, 128))
    deep = layers(128, 512, 512, 512, 32)
    yield Program("adam", adam, (deep, _optimizer.init(deep), normal(256, 128), labels(32, 256)))
    kernels = [normal(3, 3, a, b) for a, b in ((3, 16), (16, 32), (32, 64))]
    yield step("cnn", cnn, {"kernels": kernels, "w": normal(64, 10)}, normal(32, 32, 32, 3), labels(10, 32))
    same = {
        "first": normal(3, 3, 3, 16),
        "kernels": [normal(3, 3, 16, 16) for _ in range(4)],
        "w": normal(16, 10),
    }
    yield step("resnet", resnet, same, normal(16, 24, 24, 3), labels(10, 16))
    both = [normal(3, 3, a, b) for a, b in ((1, 16), (16, 32), (32, 16), (16, 1))]
    yield step("autoencoder", autoencoder, both, normal(32, 28, 28, 1))
    p = {"x": normal(64, 512), "h": normal(128, 512), "b": normal(512), "o": normal(128, 64)}
    yield step("lstm", lstm, p, normal(64, 16, 64), normal(64, 16, 64))
    p = {f"{a}{g}": normal(n, 96) for a, n in (("x", 48), ("h", 96)) for g in "zrn"} | {"o": normal(96, 32)}
    yield step("gru", gru, p, normal(40, 32, 48), normal(40, 32, 32))
    yield step(
        "unrolled rnn",
        unrolled,
        {"x": normal(32, 64), "h": normal(64, 64)},
        normal(50, 128, 32),
        normal(128, 64),
    )
    for name, count, d, tokens, words in (
        ("transformer", 6, 128, (4, 64), 256),
        ("wide transformer", 2, 64, (8, 96), 500),
    ):
        block = lambda d=d: {k: normal(d, d) for k in "qkvo"} | {"u": normal(d, 4 * d), "w": normal(4 * d, d)}
        p = {"embedding": normal(words, d), "layers": [block() for _ in range(count)]}
        yield step(name, transformer, p, labels(words, *tokens), labels(words, *tokens))
    p = {
        "a": normal(784, 256),
        "m": normal(256, 32),
        "s": normal(256, 32),
        "b": normal(32, 256),
        "o": normal(256, 784),
    }
    yield step("vae", vae, p, normal(128, 784), normal(128, 32))
    p = {"length": np.float32(1), "noise": np.float32(0.1)}
    yield step("gaussian process", gaussian_process, p, normal(200, 5), normal(200))
    yield step("while loop", newton, jnp.abs(normal(256, 16)) + 1)
