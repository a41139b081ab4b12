"""A decoder of a language model as GPT-2: layers with normalisation first, causal attention, GELU."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, cross_entropy, dense, norm, normalized, torch_wide
from benchmarks.suites.models.training import training_cases


def inputs(
    rng: Rng, vocabulary: int, width: int, heads: int, layers: int, tokens: int, batch: int
) -> tuple[Any, ...]:
    def layer() -> dict[str, Any]:
        return {
            "norm1": norm(rng, width),
            "qkv": dense(rng, width, 3 * width)[0],
            "out": dense(rng, width, width)[0],
            "norm2": norm(rng, width),
            "up": dense(rng, width, 4 * width)[0],
            "down": dense(rng, 4 * width, width)[0],
        }

    params = {
        "embed": 0.3 * rng.standard_normal((vocabulary, width)),
        "position": 0.3 * rng.standard_normal((tokens, width)),
        "layers": [layer() for _ in range(layers)],
        "norm": norm(rng, width),
        "head": dense(rng, width, vocabulary)[0],
    }
    text = rng.integers(0, vocabulary, (batch, tokens + 1))
    return params, text[:, :-1], text[:, 1:]


def _layer_norm(lib: Library, x: Any, p: Any) -> Any:
    return normalized(lib, x, p, (-1,))


def _dense(x: Any, p: Any) -> Any:
    return x @ p["w"] + p["b"]


def _attention(lib: Library, x: Any, p: Any, heads: int) -> Any:
    batch, tokens, width = x.shape
    qkv = _dense(x, p["qkv"]).reshape(batch, tokens, 3, heads, width // heads)
    q, k, v = (lib.np.swapaxes(qkv[:, :, part], 1, 2) for part in range(3))
    scores = q @ lib.np.swapaxes(k, -1, -2) * float(1 / np.sqrt(width // heads))
    visible = lib.np.tril(lib.np.ones((tokens, tokens), bool))
    mixed = lib.nn.softmax(lib.np.where(visible, scores, -1e9), axis=-1) @ v
    return _dense(lib.np.swapaxes(mixed, 1, 2).reshape(batch, tokens, width), p["out"])


def loss(lib: Library, params: Any, text: Any, targets: Any, heads: int) -> Any:
    x = params["embed"][text] + params["position"]
    for p in params["layers"]:
        x = x + _attention(lib, _layer_norm(lib, x, p["norm1"]), p, heads)
        x = x + _dense(lib.nn.gelu(_dense(_layer_norm(lib, x, p["norm2"]), p["up"])), p["down"])
    return cross_entropy(lib, _dense(_layer_norm(lib, x, params["norm"]), params["head"]), targets)


def torch_loss(params: Any, text: Any, targets: Any, heads: int) -> Any:
    import torch.nn.functional as F

    def normal(x: Any, p: Any) -> Any:
        return F.layer_norm(x, x.shape[-1:], p["scale"], p["shift"], eps=1e-5)

    def linear(x: Any, p: Any) -> Any:
        return F.linear(x, p["w"].T, p["b"])

    def attention(x: Any, p: Any) -> Any:
        batch, tokens, width = x.shape
        q, k, v = linear(x, p["qkv"]).view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(mixed.transpose(1, 2).reshape(batch, tokens, width), p["out"])

    x = F.embedding(text, params["embed"]) + params["position"]
    for p in params["layers"]:
        x = x + attention(normal(x, p["norm1"]), p)
        x = x + linear(F.gelu(linear(normal(x, p["norm2"]), p["up"]), approximate="tanh"), p["down"])
    logits = linear(normal(x, params["norm"]), params["head"])
    return F.cross_entropy(torch_wide(logits).flatten(0, 1), targets.flatten().long())


CASES = training_cases(
    "gpt",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"vocabulary": 11, "width": 8, "heads": 2, "layers": 1, "tokens": 5, "batch": 2},
        "small": {"vocabulary": 96, "width": 64, "heads": 4, "layers": 2, "tokens": 64, "batch": 4},
        "middle": {"vocabulary": 256, "width": 128, "heads": 4, "layers": 4, "tokens": 128, "batch": 4},
        "large": {"vocabulary": 1024, "width": 256, "heads": 8, "layers": 6, "tokens": 256, "batch": 8},
    },
    optimizer="adam",
    rate=1e-3,
    static=("heads",),
    source="Radford et al. 2019, Language models are unsupervised multitask learners; inputs drawn at random",
)
