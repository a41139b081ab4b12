"""Message passing on a graph: messages of edges by a perceptron, added up at their target, residual updates."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.suites.case import Library
from benchmarks.suites.models.layers import Rng, dense, torch_wide, wide
from benchmarks.suites.models.training import training_cases


def inputs(rng: Rng, nodes: int, edges: int, width: int, rounds: int, graphs: int) -> tuple[Any, ...]:
    params = {
        "message": [dense(rng, 2 * width + 1, width, width) for _ in range(rounds)],
        "update": [dense(rng, 2 * width, width, width) for _ in range(rounds)],
        "readout": dense(rng, width, width, 1),
    }
    return (
        params,
        rng.standard_normal((nodes, width)),
        rng.uniform(0, 1, (edges, 1)),
        rng.integers(0, nodes, edges),
        rng.integers(0, nodes, edges),
        np.sort(rng.integers(0, graphs, nodes)),
        rng.standard_normal(graphs),
    )


def _mlp(lib: Library, x: Any, layers: Any) -> Any:
    first, last = layers
    return lib.nn.silu(x @ first["w"] + first["b"]) @ last["w"] + last["b"]


def loss(lib: Library, params: Any, h: Any, length: Any, source: Any, target: Any, graph: Any, y: Any) -> Any:
    for message, update in zip(params["message"], params["update"], strict=True):
        m = _mlp(lib, lib.np.concatenate([h[source], h[target], length], axis=-1), message)
        total = lib.segment_sum(m, target, h.shape[0])
        h = h + _mlp(lib, lib.np.concatenate([h, total], axis=-1), update)
    energy = lib.segment_sum(_mlp(lib, h, params["readout"])[:, 0], graph, y.shape[0])
    return lib.np.mean(wide(lib, energy - y) ** 2)


def torch_loss(params: Any, h: Any, length: Any, source: Any, target: Any, graph: Any, y: Any) -> Any:
    import torch
    import torch.nn.functional as F

    def mlp(x: Any, layers: Any) -> Any:
        first, last = layers
        return torch.addmm(last["b"], F.silu(torch.addmm(first["b"], x, first["w"])), last["w"])

    for message, update in zip(params["message"], params["update"], strict=True):
        m = mlp(torch.cat([h.index_select(0, source), h.index_select(0, target), length], dim=-1), message)
        total = torch.zeros_like(h).index_add(0, target, m)
        h = h + mlp(torch.cat([h, total], dim=-1), update)
    energy = torch.zeros_like(y).index_add(0, graph, mlp(h, params["readout"])[:, 0])
    return torch_wide(energy - y).square().mean()


CASES = training_cases(
    "gnn",
    loss,
    torch_loss,
    inputs,
    {
        "tiny": {"nodes": 6, "edges": 14, "width": 4, "rounds": 2, "graphs": 2},
        "small": {"nodes": 128, "edges": 1000, "width": 32, "rounds": 2, "graphs": 8},
        "middle": {"nodes": 1000, "edges": 8000, "width": 64, "rounds": 3, "graphs": 32},
        "large": {"nodes": 8000, "edges": 64000, "width": 128, "rounds": 3, "graphs": 256},
    },
    optimizer="adam",
    rate=1e-3,
    source="Gilmer et al. 2017, Neural message passing for quantum chemistry; graphs drawn at random",
)
