"""Tracer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import tracer as tr
import tracer.numpy as tnp
from benchmarks.peers.jax_like import JaxLike
from benchmarks.suites.case import Case


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = tnp, tr.nn
    scan, while_loop = staticmethod(tr.scan), staticmethod(tr.while_loop)
    vmap, grad, value_and_grad = staticmethod(tr.vmap), staticmethod(tr.grad), staticmethod(tr.value_and_grad)
    jvp, hvp = staticmethod(tr.jvp), staticmethod(tr.hvp)


class Tracer(JaxLike):
    """Has sparse Jacobians."""

    def versions(self) -> Mapping[str, str]:
        return {"tracer": version("tracer-xla"), **super().versions()}

    def sparse_jacobian(self, f: Callable[..., Any], argnums: Any) -> Callable[..., Any]:
        made: Callable[..., Any] = tr.jit(lambda *a: tr.sparse_jacobian(f, argnums)(*a).data)
        return made

    def note(self, case: Case) -> str:
        return ""


def peer() -> JaxLike:
    return Tracer("tracer", Library, tr)


__all__ = ["Library", "peer"]
