"""Tracer."""

from __future__ import annotations

import tracer as tr
import tracer.numpy as tnp
from benchmarks.peers.jax_like import JaxLike


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = tnp, tr.nn
    scan, while_loop = staticmethod(tr.scan), staticmethod(tr.while_loop)
    vmap, grad, value_and_grad = staticmethod(tr.vmap), staticmethod(tr.grad), staticmethod(tr.value_and_grad)
    jvp, hvp = staticmethod(tr.jvp), staticmethod(tr.hvp)


def peer() -> JaxLike:
    return JaxLike("tracer", Library, tr)


__all__ = ["peer"]
