"""Tracer and JAX: the same functions under two names. May import: JAX; the module of either peer gives the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.peer import Defaults, Unsupported, not_zero, program_of, static_of, wanted_device
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


class JaxLike(Defaults):
    """A peer that has `jit`, `grad`, ... as JAX names them.

    Args:
      library: what programs use.
      module: `tracer` or `jax`.
      spelled: names under which cases have this peer's way of writing a program, the first found wins.
    """

    def __init__(self, name: str, library: Any, module: Any, spelled: tuple[str, ...] = ()) -> None:
        self.name, self.library, self.module = name, library, module
        self.spelled = spelled or (name,)
        self.prepared: tuple[Any, tuple[Any, ...]] | None = None
        self.sparse = False

    def versions(self) -> Mapping[str, str]:
        return {"jax": jax.__version__, "jaxlib": version("jaxlib")}

    def device(self) -> str:
        try:
            return str(jax.devices()[0].device_kind)
        except (RuntimeError, AssertionError) as error:  # the second without a plugin for the device
            raise RuntimeError(f"JAX finds no {wanted_device().upper()}. {error}") from error

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        program, static = program_of(case, *self.spelled), static_of(case, size)
        args = jax.block_until_ready(converted(case.inputs(**case.sizes[size]), case.dtype))  # type: ignore[no-untyped-call]
        fn = self.derived(case, lambda *a: program(self.library, *a, **static))
        self.prepared, self.sparse = (fn, args), case.quantity is Quantity.SPARSE_JACOBIAN
        return lambda: jax.block_until_ready(fn(*args))  # type: ignore[no-untyped-call]

    def arrays(self, results: Any) -> list[Any]:
        return [not_zero(v) if self.sparse else np.asarray(v) for v in jax.tree_util.tree_leaves(results)]

    def temporaries(self) -> int | None:
        assert self.prepared is not None
        fn, args = self.prepared
        analysis = fn.lower(*args).compile().memory_analysis()
        return None if analysis is None else int(analysis.temp_size_in_bytes)

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
            case Quantity.SPARSE_JACOBIAN:
                return self.sparse_jacobian(f, argnums)
        raise Unsupported(f"{self.name} has no {case.quantity.value}")

    def sparse_jacobian(self, f: Callable[..., Any], argnums: Any) -> Callable[..., Any]:
        """The dense one, unless the library has better."""
        return self.module.jit(self.module.jacrev(f, argnums))  # type: ignore[no-any-return]


__all__ = ["JaxLike", "channels_last", "converted"]
