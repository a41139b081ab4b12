"""Tracer and JAX: the same functions under two names. May import: JAX; the module of either peer gives the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.suites.case import Case, Quantity


def converted(inputs: Any, dtype: str) -> Any:
    """On the device; floating arrays in that dtype."""
    return jax.tree_util.tree_map(
        lambda v: jnp.asarray(v, dtype) if np.asarray(v).dtype.kind == "f" else jnp.asarray(v), inputs
    )


def channels_last(rank: int) -> tuple[str, str, str]:
    """Dimension numbers of images (batch, *spatial, features) and kernels (*spatial, features, out)."""
    spatial = "DHW"[3 - (rank - 2) :]
    return f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"


class JaxLike:
    """A peer that has `jit`, `grad`, ... as JAX names them.

    Args:
      library: what programs use.
      module: `tracer` or `jax`.
    """

    def __init__(self, name: str, library: Any, module: Any) -> None:
        self.name, self.library, self.module = name, library, module

    def versions(self) -> Mapping[str, str]:
        return {"jax": jax.__version__}

    def device(self) -> str:
        return str(jax.devices()[0].device_kind)

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        sizes = case.sizes[size]
        static = case.static(**sizes) if case.static else {}
        program = case.spelled.get(self.name, case.program)
        args = converted(case.inputs(**sizes), case.dtype)
        fn = self.derived(case, lambda *a: program(self.library, *a, **static))
        return lambda: jax.block_until_ready(fn(*args))

    def arrays(self, results: Any) -> list[Any]:
        return [np.asarray(v) for v in jax.tree_util.tree_leaves(results)]

    def derived(self, case: Case, f: Callable[..., Any]) -> Callable[..., Any]:
        """The quantity of the case, compiled."""
        m, argnums = self.module, case.argnums
        match case.quantity:
            case Quantity.VALUE | Quantity.CALL:
                return m.jit(f)  # type: ignore[no-any-return]
            case Quantity.GRADIENT:
                return m.jit(m.grad(f, argnums))  # type: ignore[no-any-return]
            case Quantity.VALUE_AND_GRADIENT:
                return m.jit(m.value_and_grad(f, argnums))  # type: ignore[no-any-return]
            case Quantity.JACOBIAN:
                return m.jit(m.jacrev(f, argnums))  # type: ignore[no-any-return]
            case Quantity.HESSIAN:
                return m.jit(m.hessian(f, argnums))  # type: ignore[no-any-return]
            case Quantity.HESSIAN_VECTOR_PRODUCT:
                return m.jit(  # type: ignore[no-any-return]
                    lambda *a: self.library.hvp(lambda x: f(x, *a[1:-1]), (a[0],), (a[-1],))
                )
        raise NotImplementedError(f"{self.name}: {case.quantity.value}")


__all__ = ["JaxLike", "channels_last", "converted"]
