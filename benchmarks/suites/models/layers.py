"""Parameters drawn as they usually are, and the few functions that several models share, in both spellings."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.suites.case import Library

Rng = np.random.Generator


def weights(rng: Rng, *shape: int) -> Any:
    """Normal with variance 1 / fan-in (LeCun); the last axis is the output's."""
    return rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))


def dense(rng: Rng, *sizes: int) -> list[dict[str, Any]]:
    """Layers of a perceptron, one between each two sizes."""
    return [{"w": weights(rng, m, n), "b": 0.1 * rng.standard_normal(n)} for m, n in pairwise(sizes)]


def kernel(rng: Rng, size: int, features: int, out: int) -> dict[str, Any]:
    """A square convolution with its bias: (height, width, features, out)."""
    return {"w": weights(rng, size, size, features, out), "b": 0.1 * rng.standard_normal(out)}


def norm(rng: Rng, n: int) -> dict[str, Any]:
    """Scale and shift of a normalisation."""
    return {"scale": 1 + 0.1 * rng.standard_normal(n), "shift": 0.1 * rng.standard_normal(n)}


def wide(lib: Library, x: Any) -> Any:
    """At least float32, as losses of bfloat16 are summed."""
    return x.astype(lib.np.promote_types(x.dtype, np.float32))


def normalized(lib: Library, x: Any, p: Any, axes: tuple[int, ...]) -> Any:
    """Mean 0 and variance 1 over the axes, then the scale and shift of the last; in float32 for bfloat16."""
    y = wide(lib, x)
    mean, variance = lib.np.mean(y, axis=axes, keepdims=True), lib.np.var(y, axis=axes, keepdims=True)
    return ((y - mean) / lib.np.sqrt(variance + 1e-5) * p["scale"] + p["shift"]).astype(x.dtype)


def cross_entropy(lib: Library, logits: Any, labels: Any) -> Any:
    """Mean of -log softmax at the labels, which are those of the last axis."""
    logits = wide(lib, logits)
    chosen = lib.np.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    return lib.np.mean(lib.nn.logsumexp(logits, axis=-1) - chosen)


def torch_wide(x: Any) -> Any:
    """As `wide`."""
    import torch

    return x.to(torch.promote_types(x.dtype, torch.float32))


def torch_conv(x: Any, p: Any, stride: int = 1) -> Any:
    """A 3 x 3 convolution of (batch, features, height, width) by a kernel (height, width, features, out).

    Images come as (batch, height, width, features) and are seen through a permutation: PyTorch's `channels_last`.
    """
    import torch.nn.functional as F

    # (PyTorch's code for small images takes kernels in their own order only.)
    return F.conv2d(x, p["w"].permute(3, 2, 0, 1).contiguous(), p["b"], stride=stride, padding=1)


__all__ = [
    "Rng",
    "cross_entropy",
    "dense",
    "kernel",
    "norm",
    "normalized",
    "torch_conv",
    "torch_wide",
    "weights",
    "wide",
]
