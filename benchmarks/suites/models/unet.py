"""A U-Net that segments images: two levels down by pooling, two up by repetition, joined across."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, kernel, torch_conv, torch_wide, wide
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, side: int, features: int, batch: int) -> tuple[Any, ...]:
    a, b, c = features, 2 * features, 4 * features

    def twice(m: int, n: int) -> list[dict[str, Any]]:
        return [kernel(rng, 3, m, n), kernel(rng, 3, n, n)]

    params = {
        "down": [twice(3, a), twice(a, b)],
        "bottom": twice(b, c),
        "up": [twice(b + c, b), twice(a + b, a)],
        "head": kernel(rng, 3, a, 1),
    }
    mask = rng.integers(0, 2, (batch, side, side, 1)).astype(float)
    return params, rng.standard_normal((batch, side, side, 3)), mask


def _twice(lib: Library, x: Any, layers: Any) -> Any:
    for p in layers:
        x = lib.nn.relu(lib.conv(x, p["w"]) + p["b"])
    return x


def loss(lib: Library, params: Any, x: Any, mask: Any) -> Any:
    across = []
    for layers in params["down"]:
        x = _twice(lib, x, layers)
        across.append(x)
        x = lib.max_pool(x, (2, 2), (2, 2))
    x = _twice(lib, x, params["bottom"])
    for layers in params["up"]:
        x = lib.np.repeat(lib.np.repeat(x, 2, axis=1), 2, axis=2)
        x = _twice(lib, lib.np.concatenate([across.pop(), x], axis=-1), layers)
    logits = wide(lib, lib.conv(x, params["head"]["w"]) + params["head"]["b"])
    # Binary cross-entropy with logits.
    return lib.np.mean(
        lib.np.maximum(logits, 0) - logits * mask + lib.np.log1p(lib.np.exp(-lib.np.abs(logits)))
    )


def torch_loss(params: Any, x: Any, mask: Any) -> Any:
    import torch
    import torch.nn.functional as F

    def twice(x: Any, layers: Any) -> Any:
        for p in layers:
            x = F.relu(torch_conv(x, p))
        return x

    x, mask = x.permute(0, 3, 1, 2), mask.permute(0, 3, 1, 2)
    across = []
    for layers in params["down"]:
        x = twice(x, layers)
        across.append(x)
        x = F.max_pool2d(x, 2)
    x = twice(x, params["bottom"])
    for layers in params["up"]:
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = twice(torch.cat([across.pop(), x], dim=1), layers)
    logits = torch_wide(torch_conv(x, params["head"]))
    return F.binary_cross_entropy_with_logits(logits, mask.to(logits.dtype))


CASES = training_cases(
    "unet",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"side": 8, "features": 2, "batch": 1},
        "small": {"side": 16, "features": 8, "batch": 4},
        "middle": {"side": 48, "features": 16, "batch": 4},
        "large": {"side": 96, "features": 32, "batch": 8},
    },
    optimizer="momentum",
    rate=0.05,
    source="Ronneberger et al. 2015, U-Net, with padded convolutions; inputs drawn at random",
)
