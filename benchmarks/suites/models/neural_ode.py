"""A neural differential equation, fitted to trajectories: Runge-Kutta steps of order 4, differentiated through."""

from __future__ import annotations

from typing import Any

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, dense, torch_wide, wide
from benchmarks.suites.models.training import training_cases

STEP = 0.05


def inputs(rng: Rng, state: int, hidden: int, steps: int, batch: int) -> tuple[Any, ...]:
    params = dense(rng, state, hidden, hidden, state)
    return params, rng.standard_normal((batch, state)), rng.standard_normal((steps, batch, state))


def loss(lib: Library, params: Any, start: Any, observed: Any) -> Any:
    *hidden, last = params

    def slope(y: Any) -> Any:
        for p in hidden:
            y = lib.np.tanh(y @ p["w"] + p["b"])
        return y @ last["w"] + last["b"]

    def step(y: Any, _: Any) -> Any:
        k1 = slope(y)
        k2 = slope(y + STEP / 2 * k1)
        k3 = slope(y + STEP / 2 * k2)
        k4 = slope(y + STEP * k3)
        y = y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return y, y

    _, path = lib.scan(step, start, None, observed.shape[0])
    return lib.np.mean(wide(lib, path - observed) ** 2)


def torch_loss(params: Any, start: Any, observed: Any) -> Any:
    import torch

    *hidden, last = params

    def slope(y: Any) -> Any:
        for p in hidden:
            y = torch.addmm(p["b"], y, p["w"]).tanh()
        return torch.addmm(last["b"], y, last["w"])

    y, path = start, []
    for _ in range(observed.shape[0]):
        k1 = slope(y)
        k2 = slope(y + STEP / 2 * k1)
        k3 = slope(y + STEP / 2 * k2)
        k4 = slope(y + STEP * k3)
        y = y + STEP / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        path.append(y)
    return torch_wide(torch.stack(path) - observed).square().mean()


CASES = training_cases(
    "neural ode",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"state": 2, "hidden": 5, "steps": 3, "batch": 3},
        "small": {"state": 4, "hidden": 32, "steps": 20, "batch": 32},
        "middle": {"state": 8, "hidden": 64, "steps": 40, "batch": 128},
        "large": {"state": 16, "hidden": 128, "steps": 100, "batch": 512},
    },
    optimizer="adam",
    rate=1e-3,
    source="Chen et al. 2018, Neural ordinary differential equations; trajectories drawn at random",
)
