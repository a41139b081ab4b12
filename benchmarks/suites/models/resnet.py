"""Residual blocks with batch normalisation over the batch (He et al. 2016), two resolutions."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import (
    Rng,
    cross_entropy,
    dense,
    kernel,
    norm,
    normalized,
    torch_conv,
    torch_wide,
    weights,
)
from benchmarks.suites.models.training import training_cases

AROUND = ((1, 1), (1, 1))


def _block(rng: Rng, features: int, out: int) -> dict[str, Any]:
    first, second = kernel(rng, 3, features, out), kernel(rng, 3, out, out)
    block = {"conv1": first["w"], "norm1": norm(rng, out), "conv2": second["w"], "norm2": norm(rng, out)}
    return block if features == out else {**block, "skip": weights(rng, features, out)}


def inputs(rng: Rng, side: int, features: int, blocks: int, classes: int, batch: int) -> tuple[Any, ...]:
    params = {
        "stem": kernel(rng, 3, 3, features),
        "fine": [_block(rng, features, features) for _ in range(blocks)],
        "coarse": [_block(rng, features if k == 0 else 2 * features, 2 * features) for k in range(blocks)],
        "head": dense(rng, 2 * features, classes)[0],
    }
    return params, rng.standard_normal((batch, side, side, 3)), rng.integers(0, classes, batch)


def _batch_norm(lib: Library, x: Any, p: Any) -> Any:
    return normalized(lib, x, p, (0, 1, 2))


def _residual(lib: Library, x: Any, p: Any) -> Any:
    stride = 2 if "skip" in p else 1
    y = lib.nn.relu(_batch_norm(lib, lib.conv(x, p["conv1"], (stride, stride), AROUND), p["norm1"]))
    y = _batch_norm(lib, lib.conv(y, p["conv2"]), p["norm2"])
    if "skip" in p:
        x = x[:, ::2, ::2] @ p["skip"]
    return lib.nn.relu(x + y)


def loss(lib: Library, params: Any, x: Any, labels: Any) -> Any:
    x = lib.nn.relu(lib.conv(x, params["stem"]["w"]) + params["stem"]["b"])
    for p in (*params["fine"], *params["coarse"]):
        x = _residual(lib, x, p)
    head = params["head"]
    return cross_entropy(lib, lib.np.mean(x, axis=(1, 2)) @ head["w"] + head["b"], labels)


def torch_loss(params: Any, x: Any, labels: Any) -> Any:
    import torch
    import torch.nn.functional as F

    def normal(x: Any, p: Any) -> Any:
        return F.batch_norm(x, None, None, p["scale"], p["shift"], training=True, eps=1e-5)

    def residual(x: Any, p: Any) -> Any:
        stride = 2 if "skip" in p else 1
        y = F.relu(normal(torch_conv(x, {"w": p["conv1"], "b": None}, stride), p["norm1"]))
        y = normal(torch_conv(y, {"w": p["conv2"], "b": None}), p["norm2"])
        if "skip" in p:
            x = F.conv2d(x, p["skip"].T[..., None, None], stride=2)
        return F.relu(x + y)

    x = F.relu(torch_conv(x.permute(0, 3, 1, 2), params["stem"]))
    for p in (*params["fine"], *params["coarse"]):
        x = residual(x, p)
    head = params["head"]
    return F.cross_entropy(torch_wide(torch.addmm(head["b"], x.mean((2, 3)), head["w"])), labels.long())


CASES = training_cases(
    "resnet",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"side": 6, "features": 3, "blocks": 1, "classes": 4, "batch": 3},
        "small": {"side": 16, "features": 16, "blocks": 1, "classes": 10, "batch": 8},
        "middle": {"side": 32, "features": 32, "blocks": 2, "classes": 10, "batch": 8},
        "large": {"side": 32, "features": 64, "blocks": 3, "classes": 10, "batch": 32},
    },
    optimizer="momentum",
    rate=0.05,
    source="He et al. 2016, Deep residual learning for image recognition; inputs drawn at random",
    seed=1,
)
