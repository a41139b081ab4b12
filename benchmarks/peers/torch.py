"""PyTorch, eager."""

from __future__ import annotations

from benchmarks.peers.torch_like import Torch


def peer() -> Torch:
    return Torch("torch", compiled=False)


__all__ = ["peer"]
