"""PyTensor: symbolic inputs of static shapes, compiled by its default mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from pytensor.gradient import disconnected_grad, hessian, hessian_vector_product, jacobian
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.variable import TensorVariable

from benchmarks.peers.nn import Functions
from benchmarks.peers.peer import Defaults, Unsupported, not_zero, program_of, static_of
from benchmarks.peers.pytensor_numpy import Namespace
from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import leaves, mapped, rebuilt


@contextmanager
def static_shapes() -> Iterator[None]:
    """Within, `x.shape` is a tuple of integers where the shape is known, as programs in NumPy's style expect:
    `range(x.shape[0])`. PyTensor's own is symbolic.
    """
    symbolic = TensorVariable.shape

    def shape(x: Any) -> Any:
        known = x.type.shape
        return symbolic.fget(x) if None in known else known

    TensorVariable.shape = property(shape)
    try:
        yield
    finally:
        del TensorVariable.shape


def _chosen(args: Any, argnums: Any) -> Any:
    return args[argnums] if isinstance(argnums, int) else tuple(args[k] for k in argnums)


def _derivatives(value: Any, wrt: Any) -> Any:
    found = pytensor.grad(value, leaves(wrt), disconnected_inputs="ignore", return_disconnected="zero")
    return rebuilt(wrt, found)


def _value_and_grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        value = f(*args)
        return value, _derivatives(value, _chosen(args, argnums))

    return call


def _scan(f: Callable[..., Any], init: Any, xs: Any, length: int | None = None) -> Any:
    shape: dict[str, Any] = {}

    def step(*flat: Any) -> Any:
        x = rebuilt(xs, flat[: len(leaves(xs))])
        carry, y = f(rebuilt(init, flat[len(leaves(xs)) :]), x)
        shape["y"] = y
        # A carry keeps its type.
        kept = [pt.as_tensor(c).astype(i.dtype) for c, i in zip(leaves(carry), starts, strict=True)]
        return [*kept, *leaves(y)]

    starts = [pt.as_tensor(leaf) for leaf in leaves(init)]
    # The outputs are known only when the step is written down once, for what they are.
    first = [x[0] for x in leaves(xs)]
    step(*first, *starts)
    outputs = len(leaves(shape["y"]))
    found = pytensor.scan(
        step,
        sequences=leaves(xs),
        outputs_info=[*starts, *[None] * outputs],
        n_steps=length,
        return_updates=False,
        return_list=True,
    )
    carries, ys = found[: len(starts)], found[len(starts) :]
    return rebuilt(init, [c[-1] for c in carries]), rebuilt(shape["y"], ys)


def _vmap(f: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if any(axis not in (0, None) for axis in axes):
            raise Unsupported(f"vectorize_graph maps over the first axis, not {in_axes}")
        whole = leaves([arg for arg, axis in zip(args, axes, strict=True) if axis == 0])
        examples = [pt.tensor(dtype=w.dtype, shape=w.type.shape[1:]) for w in whole]
        remaining = iter(examples)
        chosen = [
            rebuilt(arg, [next(remaining) for _ in leaves(arg)]) if axis == 0 else arg
            for arg, axis in zip(args, axes, strict=True)
        ]
        out = f(*chosen)
        return rebuilt(out, vectorize_graph(leaves(out), dict(zip(examples, whole, strict=True))))

    return call


def _constants(tree: Any) -> list[Any]:
    """Of derivatives, though they may depend on what it is taken by."""
    return [disconnected_grad(leaf) for leaf in leaves(tree)]


def _no_while(*_: Any) -> Any:
    raise Unsupported("PyTensor's loops have a known number of steps at most")


def _jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    value, along = f(*primals), _constants(tangents)
    return value, mapped(lambda v: pytensor.gradient.pushforward(v, leaves(primals), along), value)


class Library:
    """As `benchmarks.suites.case.Library`."""

    np = Namespace()
    nn = Functions(np)
    scan, while_loop, vmap = staticmethod(_scan), staticmethod(_no_while), staticmethod(_vmap)
    value_and_grad, jvp = staticmethod(_value_and_grad), staticmethod(_jvp)

    @staticmethod
    def grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return lambda *args: _value_and_grad(f, argnums)(*args)[1]

    @staticmethod
    def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
        if len(leaves(primals)) != 1:
            raise Unsupported("PyTensor has Hessian-vector products by one array")
        product = hessian_vector_product(f(*primals), leaves(primals), _constants(vectors))
        return rebuilt(primals[0], leaves(product))


class PyTensor(Defaults):
    """A peer."""

    name = "pytensor"

    def __init__(self) -> None:
        self.structure: Any = None
        self.sparse = False

    def versions(self) -> Mapping[str, str]:
        return {"pytensor": pytensor.__version__}

    def device(self) -> str:
        return "cpu"

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        if case.dtype not in ("float32", "float64"):
            raise Unsupported(f"PyTensor has no {case.dtype}")
        pytensor.config.floatX = case.dtype
        self.sparse = case.quantity is Quantity.SPARSE_JACOBIAN
        program, static = program_of(case, self.name), static_of(case, size)
        args = mapped(
            lambda v: np.asarray(v, case.dtype if np.asarray(v).dtype.kind == "f" else None),
            case.inputs(**case.sizes[size]),
        )
        flat = leaves(args)
        compiled: list[Any] = []

        def call() -> Any:
            if not compiled:
                compiled.append(self.compiled(case, lambda *a: program(Library, *a, **static), args))
            return compiled[0](*flat)

        return call

    def compiled(self, case: Case, f: Callable[..., Any], args: Any) -> Callable[..., Any]:
        """Of the flat arrays to a flat list."""
        symbols = mapped(lambda v: pt.tensor(dtype=v.dtype, shape=v.shape), args)
        with static_shapes():
            results = self.derived(case, f)(*symbols)
        outputs = [pt.as_tensor(leaf) for leaf in leaves(results)]
        return pytensor.function(leaves(symbols), outputs, on_unused_input="ignore")  # type: ignore[no-any-return]

    def arrays(self, results: Any) -> list[Any]:
        return [not_zero(leaf) if self.sparse else np.asarray(leaf) for leaf in results]

    def derived(self, case: Case, f: Callable[..., Any]) -> Callable[..., Any]:
        """The quantity of the case."""
        argnums, quantity = case.argnums, case.quantity
        match quantity:
            case Quantity.VALUE | Quantity.CALL:
                return f
            case Quantity.GRADIENT:
                return Library.grad(f, argnums)
            case Quantity.VALUE_AND_GRADIENT:
                return _value_and_grad(f, argnums)
            case Quantity.HESSIAN_VECTOR_PRODUCT:
                return lambda *a: Library.hvp(lambda x: f(x, *a[1:-1]), (a[0],), (a[-1],))
            case Quantity.HESSIAN if isinstance(argnums, int):
                return lambda *a: hessian(f(*a), a[argnums])
            case Quantity.JACOBIAN | Quantity.SPARSE_JACOBIAN:
                return lambda *a: rebuilt(_chosen(a, argnums), jacobian(f(*a), leaves(_chosen(a, argnums))))
        raise Unsupported(f"PyTensor has no {quantity.value} by several arguments")


def peer() -> PyTensor:
    return PyTensor()


__all__ = ["peer"]
