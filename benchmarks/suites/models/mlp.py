"""A perceptron that classifies images: products of matrices, and nothing else of weight."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, cross_entropy, dense, torch_wide
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, features: int, hidden: int, classes: int, batch: int) -> tuple[Any, ...]:
    params = dense(rng, features, hidden, hidden, classes)
    return params, rng.standard_normal((batch, features)), rng.integers(0, classes, batch)


def loss(lib: Library, params: Any, x: Any, labels: Any) -> Any:
    *hidden, last = params
    for p in hidden:
        x = lib.nn.relu(x @ p["w"] + p["b"])
    return cross_entropy(lib, x @ last["w"] + last["b"], labels)


def torch_loss(params: Any, x: Any, labels: Any) -> Any:
    import torch
    import torch.nn.functional as F

    *hidden, last = params
    for p in hidden:
        x = F.relu(torch.addmm(p["b"], x, p["w"]))
    return F.cross_entropy(torch_wide(torch.addmm(last["b"], x, last["w"])), labels.long())


CASES = training_cases(
    "mlp",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"features": 12, "hidden": 16, "classes": 4, "batch": 6},
        "small": {"features": 196, "hidden": 128, "classes": 10, "batch": 64},
        "middle": {"features": 784, "hidden": 512, "classes": 10, "batch": 256},
        "large": {"features": 784, "hidden": 1024, "classes": 10, "batch": 1024},
    },
    optimizer="momentum",
    rate=0.1,
    source="the sizes of MNIST; inputs drawn at random",
)
