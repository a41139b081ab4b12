"""PyTorch, eager and compiled. May import: PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.peers import eager
from benchmarks.peers.peer import Defaults, Unsupported, not_zero, program_of, static_of, wanted_device
from benchmarks.peers.torch_numpy import NN, Namespace
from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import leaves, mapped, rebuilt

func = torch.func


class Library:
    """As `benchmarks.suites.case.Library`. Loops are Python's, as PyTorch's users write them."""

    np, nn = Namespace(), NN()
    scan, while_loop = partial(eager.scan, torch.stack), staticmethod(eager.while_loop)

    @staticmethod
    def vmap(f: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
        return func.vmap(f, in_dims=in_axes)  # type: ignore[no-any-return]

    @staticmethod
    def grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return func.grad(f, argnums)  # type: ignore[no-any-return]

    @staticmethod
    def value_and_grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return lambda *args: func.grad_and_value(f, argnums)(*args)[::-1]

    @staticmethod
    def jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
        return func.jvp(f, tuple(primals), tuple(tangents))

    @staticmethod
    def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
        """Forward over reverse."""
        return func.jvp(func.grad(f), tuple(primals), tuple(vectors))[1]


class Torch(Defaults):
    """A peer.

    Args:
      compiled: by `torch.compile`.
    """

    def __init__(self, name: str, compiled: bool) -> None:
        self.name = name
        self.compile: Callable[..., Any] = partial(torch.compile, dynamic=False) if compiled else lambda f: f
        self.where = {"cpu": "cpu", "gpu": "cuda"}[wanted_device()]
        torch.set_default_device(self.where)
        self.sparse = False

    def versions(self) -> Mapping[str, str]:
        return {"torch": torch.__version__}

    def device(self) -> str:
        return torch.cuda.get_device_name() if self.where == "cuda" else "cpu"

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        torch.compiler.reset()  # it compiles one function for so many programs only
        dtype = getattr(torch, case.dtype)
        # Of arrays that the program makes, as JAX has it.
        torch.set_default_dtype(torch.float64 if case.dtype == "float64" else torch.float32)
        program, static = program_of(case, self.name, "torch"), static_of(case, size)
        self.sparse = case.quantity is Quantity.SPARSE_JACOBIAN

        def tensor(leaf: Any) -> Any:
            made = torch.as_tensor(np.array(leaf), device=self.where)
            return made.to(dtype) if made.is_floating_point() else made

        args = mapped(tensor, case.inputs(**case.sizes[size]))
        fn = self.derived(case, lambda *a: program(Library, *a, **static), args)
        if self.where == "cpu":
            return lambda: fn(*args)

        def call() -> Any:
            made = fn(*args)
            torch.cuda.synchronize()
            return made

        return call

    def arrays(self, results: Any) -> list[Any]:
        found = [torch.as_tensor(leaf).detach().cpu() for leaf in leaves(results)]
        made = [leaf.float().numpy() if leaf.dtype is torch.bfloat16 else leaf.numpy() for leaf in found]
        return [not_zero(leaf) for leaf in made] if self.sparse else made

    def derived(self, case: Case, f: Callable[..., Any], args: tuple[Any, ...]) -> Callable[..., Any]:
        """The quantity of the case."""
        match case.quantity:
            case Quantity.VALUE:
                return torch.no_grad()(self.compile(f))  # type: ignore[no-any-return]
            case Quantity.CALL:
                return self.compile(f)  # type: ignore[no-any-return]
            case Quantity.GRADIENT | Quantity.VALUE_AND_GRADIENT:
                both = self.value_and_gradient(f, case.argnums, args)
                return both if case.quantity is Quantity.VALUE_AND_GRADIENT else lambda *a: both(*a)[1]
            case Quantity.JACOBIAN | Quantity.SPARSE_JACOBIAN:
                return self.compile(func.jacrev(f, case.argnums))  # type: ignore[no-any-return]
            case Quantity.HESSIAN:
                return self.compile(func.hessian(f, case.argnums))  # type: ignore[no-any-return]
            case Quantity.HESSIAN_VECTOR_PRODUCT:
                return self.compile(  # type: ignore[no-any-return]
                    lambda *a: Library.hvp(lambda x: f(x, *a[1:-1]), (a[0],), (a[-1],))
                )
        raise Unsupported(f"PyTorch has no {case.quantity.value}")

    def value_and_gradient(
        self, f: Callable[..., Any], argnums: int | tuple[int, ...], args: tuple[Any, ...]
    ) -> Callable[..., Any]:
        """By a tape, as training loops have it: cheaper to call than `torch.func`."""
        forward = self.compile(f)
        chosen = args[argnums] if isinstance(argnums, int) else tuple(args[k] for k in argnums)
        for leaf in leaves(chosen):
            leaf.requires_grad_()

        def call(*a: Any) -> Any:
            wrt = a[argnums] if isinstance(argnums, int) else tuple(a[k] for k in argnums)
            value = forward(*a)
            gradients = torch.autograd.grad(value, leaves(wrt), materialize_grads=True)
            return value.detach(), rebuilt(wrt, gradients)

        return call


__all__ = ["Library", "Torch"]
