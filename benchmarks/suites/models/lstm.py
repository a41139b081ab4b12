"""A language model of characters: an LSTM over time, one step at a time."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, cross_entropy, dense, torch_wide, weights
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, vocabulary: int, hidden: int, steps: int, batch: int) -> tuple[Any, ...]:
    params = {
        "embed": rng.standard_normal((vocabulary, hidden)),
        "input": weights(rng, hidden, 4 * hidden),
        "state": weights(rng, hidden, 4 * hidden),
        "bias": 0.1 * rng.standard_normal(4 * hidden),
        "head": dense(rng, hidden, vocabulary)[0],
    }
    tokens = rng.integers(0, vocabulary, (steps + 1, batch))
    return params, tokens[:-1], tokens[1:]


def loss(lib: Library, params: Any, tokens: Any, targets: Any) -> Any:
    x = params["embed"][tokens] @ params["input"] + params["bias"]
    _, batch, wide = x.shape

    def cell(carry: Any, x: Any) -> Any:
        h, c = carry
        i, f, g, o = lib.np.split(x + h @ params["state"], 4, axis=-1)
        c = lib.nn.sigmoid(f) * c + lib.nn.sigmoid(i) * lib.np.tanh(g)
        h = lib.nn.sigmoid(o) * lib.np.tanh(c)
        return (h, c), h

    start = lib.np.zeros((batch, wide // 4), x.dtype)
    _, h = lib.scan(cell, (start, start), x)
    return cross_entropy(lib, h @ params["head"]["w"] + params["head"]["b"], targets)


def torch_loss(params: Any, tokens: Any, targets: Any) -> Any:
    import torch
    import torch.nn.functional as F

    x = F.embedding(tokens, params["embed"])
    start = x.new_zeros(1, x.shape[1], x.shape[2])
    # What `torch.nn.LSTM` calls; its second bias is the same parameter again, and counts once.
    bias = params["bias"]
    flat = [params["input"].T, params["state"].T, bias, torch.zeros_like(bias)]
    h, _, _ = torch.lstm(x, (start, start), flat, True, 1, 0.0, True, False, False)
    logits = h @ params["head"]["w"] + params["head"]["b"]
    return F.cross_entropy(torch_wide(logits).flatten(0, 1), targets.flatten().long())


CASES = training_cases(
    "lstm",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"vocabulary": 7, "hidden": 5, "steps": 4, "batch": 3},
        "small": {"vocabulary": 64, "hidden": 64, "steps": 32, "batch": 16},
        "middle": {"vocabulary": 64, "hidden": 128, "steps": 64, "batch": 32},
        "large": {"vocabulary": 96, "hidden": 512, "steps": 128, "batch": 32},
    },
    optimizer="adam",
    rate=1e-3,
    source="Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; inputs drawn at random",
)
