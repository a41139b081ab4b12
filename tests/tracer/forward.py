"""Programs without derivatives, of many kinds, for tests of what is said about memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.programs import Program, classifier, conv, dense, labels, layers, norm, normal


def attention(x: Any, wq: Any, wk: Any, wv: Any) -> Any:
    q, k, v = x @ wq, x @ wk, x @ wv
    return tr.nn.softmax(q @ k.T / 8.0) @ v


def heads(x: Any, wq: Any, wk: Any, wv: Any, wo: Any) -> Any:
    b, t, d = x.shape

    def split(y: Any) -> Any:
        return y.reshape(b, t, 4, d // 4).transpose(0, 2, 1, 3)

    q, k, v = split(x @ wq), split(x @ wk), split(x @ wv)
    scores = tnp.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(d // 4)
    scores = tnp.where(np.tril(np.ones((t, t), bool)), scores, -1e9)
    y = tnp.einsum("bhqk,bhkd->bhqd", tr.nn.softmax(scores), v)
    return x + y.transpose(0, 2, 1, 3).reshape(b, t, d) @ wo


def transformer(p: Any, x: Any) -> Any:
    for q in p:
        x = heads(norm(x), *q["attention"]) + x
        x = x + tr.nn.gelu(norm(x) @ q["up"]) @ q["down"]
    return x


def rnn(p: Any, h: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = tnp.tanh(x @ p["x"] + h @ p["h"])
        return h, h

    return tr.scan(step, h, xs)


def lstm(p: Any, carry: Any, xs: Any) -> Any:
    def step(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = tnp.split(x @ p["x"] + h @ p["h"], 4, -1)
        c = tr.nn.sigmoid(f) * c + tr.nn.sigmoid(i) * tnp.tanh(g)
        h = tr.nn.sigmoid(o) * tnp.tanh(c)
        return (h, c), h

    return tr.scan(step, carry, xs)[1]


def convolutions(p: Any, x: Any) -> Any:
    for k in p[:-1]:
        x = tr.nn.relu(conv(x, k, 1))
    return conv(x, p[-1], 1)


def dropout(key: Any, x: Any) -> Any:
    return tnp.where(tr.random.bernoulli(key, 0.5, x.shape), x / 0.5, 0)


def covariance(xs: Any) -> Any:
    zero = tnp.zeros((256, 256), np.float32)
    return tr.scan(lambda c, v: (c + tnp.outer(v, v), None), zero, xs)[0]


def kalman(f: Any, p: Any, xs: Any) -> Any:
    return tr.scan(lambda p, x: (f @ p @ f.T + x * tnp.eye(64), tnp.trace(p)), p, xs)


def definite(a: Any) -> Any:
    return a @ a.T + 10 * np.eye(a.shape[0], dtype=np.float32)


def _gradient(f: Any) -> Any:
    return tr.grad(lambda *args: tnp.sum(f(*args) ** 2))


def forward_programs() -> Iterator[Program]:
    """All of them."""
    key, n = jax.random.key(0), normal
    sizes = layers(784, 512, 256, 10)
    narrow = jax.tree.map(lambda x: x.astype(jnp.float16), (sizes, n(256, 784)))
    blocks = [{"attention": [n(64, 64) for _ in range(4)], "up": n(64, 256), "down": n(256, 64)}] * 2
    steps = n(100, 32, 64)
    yield Program("mlp", dense, (sizes, n(256, 784)))
    yield Program("wide mlp", dense, (layers(64, 64, 64, 64, 64), n(4096, 64)))
    yield Program("float16 mlp", dense, narrow)
    yield Program("loss", classifier, (sizes, n(256, 784), labels(10, 256)))
    yield Program("convolutions", convolutions, ([n(3, 3, 16, 16), n(3, 3, 16, 8)], n(8, 32, 32, 16)))
    yield Program("attention", attention, (n(512, 64), n(64, 64), n(64, 64), n(64, 64)))
    yield Program("long attention", attention, (n(4096, 64), n(64, 64), n(64, 64), n(64, 64)))
    yield Program("heads", heads, (n(8, 128, 64), *[n(64, 64) for _ in range(4)]))
    yield Program("transformer", transformer, (blocks, n(8, 64, 64)))
    yield Program("rnn", rnn, ({"x": n(64, 128), "h": n(128, 128)}, n(32, 128), steps))
    yield Program("lstm", lstm, ({"x": n(64, 512), "h": n(128, 512)}, (n(32, 128), n(32, 128)), steps))
    yield Program("covariance", covariance, (n(512, 256),))
    yield Program("kalman", kalman, (n(64, 64), n(64, 64), n(100)))
    yield Program(
        "while",
        lambda x: tr.while_loop(lambda s: tnp.sum(s) > 1.0, lambda s: 0.9 * tnp.sin(s), x),
        (n(1024, 256),),
    )
    yield Program("fori", lambda x: tr.fori_loop(0, 10, lambda _, c: tnp.tanh(c @ c), x), (n(256, 256),))
    yield Program(
        "cond",
        lambda x: tr.cond(tnp.sum(x) > 0, lambda x: tnp.tanh(x @ x @ x), lambda x: x + 1, x),
        (n(256, 256),),
    )
    yield Program("sums", lambda x: (x.mean(0), x.var(1), x.max(), tnp.exp(x).sum()), (n(1024, 1024),))
    yield Program("sums of norms", lambda x: tnp.sum(norm(x) ** 2, axis=0), (n(1024, 1024),))
    yield Program("sums of choices", lambda x: tnp.where(x > 0, tnp.exp(x), x * x).sum(1), (n(2048, 512),))
    yield Program("softmax", tr.nn.softmax, (n(2048, 512),))
    yield Program("fft", lambda x: tnp.abs(tnp.fft.fft(x)) ** 2, (n(256, 1024),))
    yield Program("rfft", lambda x: tnp.fft.irfft(tnp.fft.rfft(x) * 2.0), (n(256, 1024),))
    yield Program("sort", lambda x: tnp.sort(x * 2 + 1, axis=-1), (n(256, 1024),))
    yield Program("median", lambda x: tnp.median(x, axis=0), (n(256, 1024),))
    yield Program("cumsum", lambda x: tnp.cumsum(x, 0), (n(1024, 256),))
    yield Program("cumsum in runs", lambda x: tnp.cumsum(x, 1), (n(256, 1000),))
    yield Program("cumsum of a vector", tnp.cumsum, (n(2**18),))
    yield Program("gradient of cumsum", _gradient(lambda x: tnp.cumsum(x, 0)), (n(1000, 256),))
    yield Program("gradient of cumsum of a vector", _gradient(tnp.cumsum), (n(2**18),))
    yield Program("argsort", lambda x: tnp.argsort(x, axis=0), (n(1024, 256),))
    yield Program("gradient of sort", _gradient(lambda x: tnp.sort(x, axis=0)), (n(1024, 256),))
    yield Program("inverse", lambda a: tnp.linalg.inv(definite(a)), (n(256, 256),))
    yield Program("columns", tnp.linalg.solve, (n(256, 256), n(256, 64)))
    yield Program("gradient of solve", _gradient(tnp.linalg.solve), (n(256, 256), n(256, 256)))
    yield Program("gradient of inverse", _gradient(tnp.linalg.inv), (n(256, 256),))
    yield Program("gradient of slogdet", tr.grad(lambda a: tnp.linalg.slogdet(a)[1]), (n(256, 256),))
    yield Program("cholesky", lambda a: tnp.linalg.cholesky(definite(a)), (n(512, 512),))
    yield Program("solve", lambda a, b: tnp.linalg.solve(definite(a), b), (n(512, 512), n(512)))
    yield Program("svd", lambda a: tnp.linalg.svd(a, full_matrices=False), (n(256, 128),))
    yield Program("eigh", lambda a: tnp.linalg.eigh(a + a.T), (n(256, 256),))
    yield Program("qr", tnp.linalg.qr, (n(512, 256),))
    yield Program("lstsq", lambda a, b: tnp.linalg.lstsq(a, b)[0], (n(512, 64), n(512)))
    yield Program("rows", lambda e, i: e[i].mean(1), (n(10000, 64), labels(10000, 64, 32)))
    yield Program("scatter", lambda x, i, v: x.at[i].add(v), (n(10000, 64), labels(10000, 4096), n(4096, 64)))
    yield Program("random", lambda k: tnp.sum(tr.random.normal(k, (1024, 1024)) ** 2, 0), (key,))
    yield Program("dropout", dropout, (key, n(1024, 1024)))
    yield Program("pool", lambda x: tr.nn.max_pool(x, (2, 2), strides=(2, 2)), (n(16, 64, 64, 16),))
