"""A variational autoencoder of images (Kingma and Welling 2014); its noise is an input."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, dense, torch_wide, wide
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, features: int, hidden: int, latent: int, batch: int) -> tuple[Any, ...]:
    params = {
        "encoder": dense(rng, features, hidden, hidden, 2 * latent),
        "decoder": dense(rng, latent, hidden, hidden, features),
    }
    return params, rng.uniform(0, 1, (batch, features)), rng.standard_normal((batch, latent))


def _mlp(lib: Library, x: Any, layers: Any) -> Any:
    *hidden, last = layers
    for p in hidden:
        x = lib.nn.relu(x @ p["w"] + p["b"])
    return x @ last["w"] + last["b"]


def loss(lib: Library, params: Any, x: Any, noise: Any) -> Any:
    np = lib.np
    mean, log_variance = np.split(_mlp(lib, x, params["encoder"]), 2, axis=-1)
    z = mean + np.exp(0.5 * log_variance) * noise
    logits, x = wide(lib, _mlp(lib, z, params["decoder"])), wide(lib, x)
    reconstruction = np.sum(np.maximum(logits, 0) - logits * x + np.log1p(np.exp(-np.abs(logits))), axis=-1)
    mean, log_variance = wide(lib, mean), wide(lib, log_variance)
    divergence = 0.5 * np.sum(np.exp(log_variance) + mean**2 - 1 - log_variance, axis=-1)
    return np.mean(reconstruction + divergence)


def torch_loss(params: Any, x: Any, noise: Any) -> Any:
    import torch
    import torch.nn.functional as F

    def mlp(x: Any, layers: Any) -> Any:
        *hidden, last = layers
        for p in hidden:
            x = F.relu(torch.addmm(p["b"], x, p["w"]))
        return torch.addmm(last["b"], x, last["w"])

    mean, log_variance = mlp(x, params["encoder"]).chunk(2, dim=-1)
    z = mean + torch.exp(0.5 * log_variance) * noise
    logits, x = torch_wide(mlp(z, params["decoder"])), torch_wide(x)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    mean, log_variance = torch_wide(mean), torch_wide(log_variance)
    divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)
    return (reconstruction + divergence).mean()


CASES = training_cases(
    "vae",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"features": 9, "hidden": 7, "latent": 3, "batch": 4},
        "small": {"features": 196, "hidden": 64, "latent": 8, "batch": 64},
        "middle": {"features": 784, "hidden": 400, "latent": 20, "batch": 256},
        "large": {"features": 784, "hidden": 1024, "latent": 64, "batch": 1024},
    },
    optimizer="adam",
    rate=1e-3,
    source="Kingma and Welling 2014, Auto-encoding variational Bayes, the sizes of MNIST; inputs drawn at random",
)
