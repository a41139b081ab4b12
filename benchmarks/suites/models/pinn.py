"""A physics-informed network for Burgers' equation: its loss holds derivatives of the network by its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, dense, torch_wide, wide
from benchmarks.suites.models.training import training_cases

VISCOSITY = 0.01 / np.pi


def inputs(rng: Rng, hidden: int, layers: int, points: int, edge: int) -> tuple[Any, ...]:
    params = dense(rng, 2, *[hidden] * layers, 1)
    inside = rng.uniform(0, 1, points), rng.uniform(-1, 1, points)
    border = np.zeros(edge), rng.uniform(-1, 1, edge)
    return params, *inside, *border, -np.sin(np.pi * border[1])


def loss(lib: Library, params: Any, t: Any, x: Any, t_border: Any, x_border: Any, u_border: Any) -> Any:
    *hidden, last = params

    def u(t: Any, x: Any) -> Any:
        y = lib.np.stack([t, x])
        for p in hidden:
            y = lib.np.tanh(y @ p["w"] + p["b"])
        return (y @ last["w"] + last["b"])[0]

    def residual(t: Any, x: Any) -> Any:
        by_x = lib.grad(u, 1)
        return lib.grad(u, 0)(t, x) + u(t, x) * by_x(t, x) - VISCOSITY * lib.grad(by_x, 1)(t, x)

    inside = lib.vmap(residual)(t, x)
    border = lib.vmap(u)(t_border, x_border) - u_border
    return lib.np.mean(wide(lib, inside) ** 2) + lib.np.mean(wide(lib, border) ** 2)


def torch_loss(params: Any, t: Any, x: Any, t_border: Any, x_border: Any, u_border: Any) -> Any:
    import torch

    *hidden, last = params

    def u(t: Any, x: Any) -> Any:
        y = torch.stack([t, x], dim=-1)
        for p in hidden:
            y = torch.tanh(y @ p["w"] + p["b"])
        return (y @ last["w"] + last["b"])[..., 0]

    if torch.compiler.is_compiling():
        by_x = torch.func.grad(u, 1)

        def terms(t: Any, x: Any) -> Any:
            return u(t, x), torch.func.grad(u, 0)(t, x), by_x(t, x), torch.func.grad(by_x, 1)(t, x)

        value, u_t, u_x, u_xx = torch.func.vmap(terms)(t, x)
    else:
        t, x = t.detach().requires_grad_(), x.detach().requires_grad_()
        value = u(t, x)
        u_t, u_x = torch.autograd.grad(value.sum(), (t, x), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
    inside = u_t + value * u_x - VISCOSITY * u_xx
    border = u(t_border, x_border) - u_border
    return torch_wide(inside).square().mean() + torch_wide(border).square().mean()


CASES = training_cases(
    "pinn",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"hidden": 5, "layers": 2, "points": 4, "edge": 3},
        "small": {"hidden": 20, "layers": 4, "points": 100, "edge": 50},
        "middle": {"hidden": 64, "layers": 4, "points": 1000, "edge": 200},
        "large": {"hidden": 128, "layers": 6, "points": 5000, "edge": 500},
    },
    optimizer="adam",
    rate=1e-3,
    source="Raissi et al. 2019, Physics-informed neural networks, the example of Burgers' equation",
)
