"""autograd (HIPS): NumPy with a tape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.differential_operators import make_jvp

from benchmarks.peers import eager
from benchmarks.peers.nn import Functions
from benchmarks.peers.peer import Defaults, Unsupported, not_zero, numpy_inputs, program_of, static_of
from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import leaves


class Namespace:
    """autograd's NumPy, and what it cannot differentiate."""

    def __getattr__(self, name: str) -> Any:
        return getattr(anp, name)

    @staticmethod
    def flip(x: Any, axis: Any = None) -> Any:
        axes = range(x.ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
        turned = {k % x.ndim for k in axes}
        return x[tuple(slice(None, None, -1 if k in turned else 1) for k in range(x.ndim))]


class Library:
    """As `benchmarks.suites.case.Library`."""

    np = Namespace()
    nn = Functions(np)
    scan, while_loop = partial(eager.scan, anp.stack), staticmethod(eager.while_loop)
    vmap = partial(eager.vmap, anp.stack)
    grad, value_and_grad = staticmethod(autograd.grad), staticmethod(autograd.value_and_grad)

    @staticmethod
    def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
        if len(primals) != 1:
            raise Unsupported("autograd has JVPs by one argument")
        return make_jvp(f)(*primals)(*tangents)

    @staticmethod
    def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
        if len(primals) != 1:
            raise Unsupported("autograd has Hessian-vector products by one argument")
        return autograd.hessian_vector_product(f)(*primals, *vectors)


class Autograd(Defaults):
    """A peer."""

    name = "autograd"

    def __init__(self) -> None:
        self.sparse = False

    def versions(self) -> Mapping[str, str]:
        return {"autograd": version("autograd")}

    def device(self) -> str:
        return "cpu"

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        program, static = program_of(case, self.name), static_of(case, size)
        args = numpy_inputs(case, size)
        self.sparse = case.quantity is Quantity.SPARSE_JACOBIAN
        fn = self.derived(case, lambda *a: program(Library, *a, **static))
        return lambda: fn(*args)

    def arrays(self, results: Any) -> list[Any]:
        return [not_zero(leaf) if self.sparse else np.asarray(leaf) for leaf in leaves(results)]

    def derived(self, case: Case, f: Callable[..., Any]) -> Callable[..., Any]:
        """The quantity of the case."""
        argnums, quantity = case.argnums, case.quantity
        match quantity:
            case Quantity.VALUE | Quantity.CALL:
                return f
            case Quantity.GRADIENT:
                return autograd.grad(f, argnums)  # type: ignore[no-any-return]
            case Quantity.VALUE_AND_GRADIENT:
                return autograd.value_and_grad(f, argnums)  # type: ignore[no-any-return]
            case Quantity.HESSIAN_VECTOR_PRODUCT:
                return lambda *a: Library.hvp(lambda x: f(x, *a[1:-1]), (a[0],), (a[-1],))
        if not isinstance(argnums, int):
            raise Unsupported(f"autograd has the {quantity.value} by one argument")
        made = autograd.hessian if quantity is Quantity.HESSIAN else autograd.jacobian
        return made(f, argnums)  # type: ignore[no-any-return]


def peer() -> Autograd:
    return Autograd()


__all__ = ["peer"]
