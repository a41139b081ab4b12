"""Tracer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import tracer as tr
import tracer.numpy as tnp
from benchmarks.peers.jax_like import JaxLike, channels_last
from benchmarks.suites.case import Case


class Library:
    """As `benchmarks.suites.case.Library`."""

    np, nn = tnp, tr.nn
    scan, while_loop = staticmethod(tr.scan), staticmethod(tr.while_loop)
    vmap, grad, value_and_grad = staticmethod(tr.vmap), staticmethod(tr.grad), staticmethod(tr.value_and_grad)
    jvp, hvp = staticmethod(tr.jvp), staticmethod(tr.hvp)
    max_pool = staticmethod(tr.nn.max_pool)

    @staticmethod
    def conv(x: Any, w: Any, strides: Sequence[int] | None = None, padding: Any = "SAME") -> Any:
        return tr.nn.conv(x, w, strides, padding, dimension_numbers=channels_last(x.ndim))

    @staticmethod
    def segment_sum(data: Any, ids: Any, count: int) -> Any:
        return tnp.zeros((count, *data.shape[1:]), data.dtype).at[ids].add(data)


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
