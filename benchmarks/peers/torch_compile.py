"""PyTorch by `torch.compile`."""

from __future__ import annotations

from benchmarks.peers.torch_like import Torch


def peer() -> Torch:
    return Torch("torch-compile", compiled=True)


__all__ = ["peer"]
