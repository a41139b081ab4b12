"""A small convolutional network: two convolutions with pooling, two dense layers."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, cross_entropy, dense, kernel, torch_conv, torch_wide
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, side: int, features: int, hidden: int, classes: int, batch: int) -> tuple[Any, ...]:
    flat = (side // 4) ** 2 * 2 * features
    params = {
        "conv": [kernel(rng, 3, 1, features), kernel(rng, 3, features, 2 * features)],
        "dense": dense(rng, flat, hidden, classes),
    }
    return params, rng.standard_normal((batch, side, side, 1)), rng.integers(0, classes, batch)


def loss(lib: Library, params: Any, x: Any, labels: Any) -> Any:
    for p in params["conv"]:
        x = lib.nn.relu(lib.conv(x, p["w"]) + p["b"])
        x = lib.max_pool(x, (2, 2), (2, 2))
    first, last = params["dense"]
    x = lib.nn.relu(x.reshape(x.shape[0], -1) @ first["w"] + first["b"])
    return cross_entropy(lib, x @ last["w"] + last["b"], labels)


def torch_loss(params: Any, x: Any, labels: Any) -> Any:
    import torch
    import torch.nn.functional as F

    x = x.permute(0, 3, 1, 2)
    for p in params["conv"]:
        x = F.max_pool2d(F.relu(torch_conv(x, p)), 2)
    first, last = params["dense"]
    x = F.relu(torch.addmm(first["b"], x.permute(0, 2, 3, 1).flatten(1), first["w"]))
    return F.cross_entropy(torch_wide(torch.addmm(last["b"], x, last["w"])), labels.long())


CASES = training_cases(
    "cnn",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"side": 8, "features": 3, "hidden": 8, "classes": 4, "batch": 2},
        "small": {"side": 16, "features": 16, "hidden": 64, "classes": 10, "batch": 16},
        "middle": {"side": 28, "features": 32, "hidden": 128, "classes": 10, "batch": 32},
        "large": {"side": 28, "features": 32, "hidden": 128, "classes": 10, "batch": 128},
    },
    optimizer="momentum",
    rate=0.05,
    source="the sizes of MNIST and of its usual example network; inputs drawn at random",
)
