"""TensorFlow: `tf.experimental.numpy` in `tf.function(jit_compile=True)`, gradients by tapes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow.experimental.numpy as tnp

from benchmarks.peers.nn import Functions
from benchmarks.peers.peer import Defaults, Unsupported, not_zero, program_of, static_of, wanted_device
from benchmarks.suites.case import Case, Quantity
from benchmarks.trees import leaves, mapped, rebuilt

tnp.experimental_enable_numpy_behavior()


class _Linalg:
    """`numpy.linalg`."""

    inv, cholesky, det = (
        staticmethod(tf.linalg.inv),
        staticmethod(tf.linalg.cholesky),
        staticmethod(tf.linalg.det),
    )
    slogdet, norm, qr = (
        staticmethod(tf.linalg.slogdet),
        staticmethod(tf.linalg.norm),
        staticmethod(tf.linalg.qr),
    )
    eigh = staticmethod(tf.linalg.eigh)

    @staticmethod
    def solve(a: Any, b: Any) -> Any:
        """TensorFlow has no vectors on the right."""
        return tf.linalg.solve(a, b[..., None])[..., 0] if b.ndim == a.ndim - 1 else tf.linalg.solve(a, b)

    @staticmethod
    def multi_dot(arrays: Any) -> Any:
        """TensorFlow has none: from the left."""
        return functools.reduce(tnp.matmul, arrays)


class Namespace:
    """TensorFlow's NumPy, and what it lacks."""

    linalg = _Linalg()
    bfloat16 = tf.bfloat16

    def __getattr__(self, name: str) -> Any:
        return getattr(tnp, name)

    @staticmethod
    def concat(arrays: Any, axis: int = 0) -> Any:
        return tnp.concatenate(arrays, axis=axis)

    @staticmethod
    def column_stack(arrays: Any) -> Any:
        return tnp.stack(arrays, axis=1)


def _chosen(args: Any, argnums: Any) -> Any:
    return args[argnums] if isinstance(argnums, int) else tuple(args[k] for k in argnums)


def _value_and_grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        wrt = _chosen(args, argnums)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(leaves(wrt))
            value = f(*args)
        found = tape.gradient(value, leaves(wrt), unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return value, rebuilt(wrt, [tf.convert_to_tensor(each) for each in found])

    return call


def _grad(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    return lambda *args: _value_and_grad(f, argnums)(*args)[1]


def _jacobian(f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        wrt = _chosen(args, argnums)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(leaves(wrt))
            value = f(*args)
        zero = tf.UnconnectedGradients.ZERO
        return rebuilt(wrt, tape.jacobian(value, leaves(wrt), unconnected_gradients=zero))

    return call


def _jvp(f: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    with tf.autodiff.ForwardAccumulator(leaves(tuple(primals)), leaves(tuple(tangents))) as forward:
        value = f(*primals)
    return value, mapped(lambda v: forward.jvp(v, unconnected_gradients=tf.UnconnectedGradients.ZERO), value)


def _scan(f: Callable[..., Any], init: Any, xs: Any, length: int | None = None) -> Any:
    """The first trip apart: it says what the outputs are."""
    xs = tf.range(length) if xs is None else xs
    carry, first = f(init, mapped(lambda x: x[0], xs))
    rest = mapped(lambda x: x[1:], xs)
    if leaves(rest)[0].shape[0] == 0:
        return carry, mapped(lambda y: y[None], first)
    start = (carry, 0 if first is None else first)
    carries, ys = tf.scan(lambda state, x: _with_output(f(state[0], x)), rest, initializer=start)
    last = mapped(lambda c: c[-1], carries)
    if first is None:
        return last, None
    return last, mapped(lambda y0, y: tf.concat([tf.convert_to_tensor(y0)[None], y], 0), first, ys)


def _with_output(result: Any) -> Any:
    carry, y = result
    return carry, 0 if y is None else y


def _while_loop(cond: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    flat = tf.while_loop(
        lambda *s: cond(rebuilt(init, s)),
        lambda *s: tuple(leaves(body(rebuilt(init, s)))),
        tuple(leaves(init)),
    )
    return rebuilt(init, flat)


def _vmap(f: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if any(axis not in (0, None) for axis in axes):
            raise Unsupported(f"tf.vectorized_map maps over the first axis, not {in_axes}")
        along = tuple(arg for arg, axis in zip(args, axes, strict=True) if axis == 0)

        def example(chosen: Any) -> Any:
            remaining = iter(chosen)
            return f(*[next(remaining) if axis == 0 else a for a, axis in zip(args, axes, strict=True)])

        return tf.vectorized_map(example, along)

    return call


class Library:
    """As `benchmarks.suites.case.Library`."""

    np = Namespace()
    nn = Functions(np)
    scan, while_loop, vmap = staticmethod(_scan), staticmethod(_while_loop), staticmethod(_vmap)
    grad, value_and_grad, jvp = staticmethod(_grad), staticmethod(_value_and_grad), staticmethod(_jvp)

    @staticmethod
    def hvp(f: Callable[..., Any], primals: Any, vectors: Any) -> Any:
        """Forward over reverse."""
        return _jvp(_grad(f), primals, vectors)[1]


class TensorFlow(Defaults):
    """A peer."""

    name = "tensorflow"

    def __init__(self) -> None:
        kind = wanted_device().upper()
        if not tf.config.list_physical_devices(kind):
            raise RuntimeError(f"TensorFlow sees no {kind}")
        self.where, self.sparse = f"/{kind}:0", False

    def versions(self) -> Mapping[str, str]:
        return {"tensorflow": tf.__version__}

    def device(self) -> str:
        details = tf.config.experimental.get_device_details(
            tf.config.list_physical_devices(self.where[1:4])[0]
        )
        return str(details.get("device_name", self.where[1:4].lower()))

    def prepare(self, case: Case, size: str) -> Callable[[], Any]:
        program, static = program_of(case, self.name), static_of(case, size)
        tnp.experimental_enable_numpy_behavior(prefer_float32=case.dtype != "float64")
        self.sparse = case.quantity is Quantity.SPARSE_JACOBIAN

        def tensor(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            return tf.constant(leaf, getattr(tf, case.dtype) if leaf.dtype.kind == "f" else None)

        with tf.device(self.where):
            args = mapped(tensor, case.inputs(**case.sizes[size]))
        fn = tf.function(
            self.derived(case, lambda *a: program(Library, *a, **static)), jit_compile=True, autograph=False
        )

        def call() -> Any:
            with tf.device(self.where):
                made = fn(*args)
            if self.where != "/CPU:0":
                for leaf in leaves(made):
                    leaf.numpy()
            return made

        return call

    def arrays(self, results: Any) -> list[Any]:
        made = [np.asarray(leaf) for leaf in leaves(results)]
        return [not_zero(leaf) for leaf in made] if self.sparse else made

    def derived(self, case: Case, f: Callable[..., Any]) -> Callable[..., Any]:
        """The quantity of the case."""
        match case.quantity:
            case Quantity.VALUE | Quantity.CALL:
                return f
            case Quantity.GRADIENT:
                return _grad(f, case.argnums)
            case Quantity.VALUE_AND_GRADIENT:
                return _value_and_grad(f, case.argnums)
            case Quantity.JACOBIAN | Quantity.SPARSE_JACOBIAN:
                return _jacobian(f, case.argnums)
            case Quantity.HESSIAN_VECTOR_PRODUCT:
                return lambda *a: Library.hvp(lambda x: f(x, *a[1:-1]), (a[0],), (a[-1],))
            case Quantity.HESSIAN if isinstance(case.argnums, int):
                return _jacobian(_grad(f, case.argnums), case.argnums)
        raise Unsupported(f"TensorFlow has no {case.quantity.value} by several arguments")


def peer() -> TensorFlow:
    return TensorFlow()


__all__ = ["peer"]
