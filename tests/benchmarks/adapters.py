"""A suite that no one times: what programs may use of a `Library`, so that an adapter of a peer can be checked.

`python -m benchmarks run --check --suite tests.benchmarks.adapters --peer P`. References are NumPy's or derivatives by
complex steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.suites.case import Case, Library, Quantity

SIZES = {"tiny": {"n": 4}, "middle": {"n": 40}}


def _vector(n: int) -> tuple[Any, ...]:
    return (np.random.default_rng(0).uniform(0.2, 1.2, n),)


def _matrix(n: int) -> tuple[Any, ...]:
    return (np.random.default_rng(1).uniform(0.2, 1.2, (n, n)),)


def gradient(f: Callable[[Any], Any], x: Any) -> Any:
    """By complex steps."""
    out = np.zeros_like(x)
    for k in np.ndindex(x.shape):
        moved = x.astype(complex)
        moved[k] += 1e-30j
        out[k] = f(moved).imag / 1e-30
    return out


class _NumPy:
    """For references: programs are NumPy's, with what has no complex step left out."""

    np = np


def arrays(lib: Library, a: Any) -> Any:
    """Functions that change shapes, and contractions, in NumPy's spelling."""
    np = lib.np
    n = a.shape[0]
    b = np.concatenate([a, np.transpose(a)], axis=1)
    c = np.stack([a, a * 2.0], axis=0)
    d = np.einsum("ij,kj->ik", a, b[:, :n])
    e = np.tensordot(a, a, axes=([0], [0])) + np.swapaxes(a, 0, 1)
    f = np.sum(c, axis=(0, 2), keepdims=True)
    g = np.reshape(np.expand_dims(a, 0), (n * n,))[: n * 2]
    h = np.cumsum(g, axis=0) + np.roll(g, 1)
    k = np.tril(a) @ np.diag(np.mean(a, axis=1)) + np.outer(a[0], a[:, 1])
    m = np.where(np.abs(a) > 0.7, a**2, 3.0 * a)
    total = np.sum(d) + np.sum(np.log(e)) + np.sum(f * f) + np.sum(np.sqrt(h)) + np.sum(k) + np.sum(m)
    return total + np.trace(a) + np.prod(a[0]) + np.dot(a[0], a[1]) + np.sum(np.flip(a, 0) * a)


def reductions(lib: Library, a: Any) -> Any:
    """Largest and smallest, variance, clipping, sorting, numbers as operands."""
    np = lib.np
    total = (
        np.max(a) + np.min(a[0]) + np.sum(np.max(a, axis=1)) + np.sum(np.min(a, axis=0, keepdims=True) * a)
    )
    total = total + np.var(a) + np.sum(np.std(a, axis=0)) + np.sum(np.clip(a, 0.4, 0.9))
    total = total + np.sum(np.maximum(a, 0.5)) + np.sum(np.minimum(0.8, a)) + np.exp(np.asarray(0.5))
    total = total + np.sum(np.sort(a[0]) * np.arange(a.shape[1])) + np.sum(np.abs(a - 0.7))
    return (
        total
        + np.sum(a[:, np.asarray([0, 2, 0])])
        + np.sum(np.linspace(0.0, 1.0, 5))
        + np.sum(np.zeros((2, 3)))
    )


def _largest_only(a: Any) -> Any:
    return reductions(_NumPy, a)  # type: ignore[arg-type]


def solves(lib: Library, a: Any) -> Any:
    np = lib.np
    n = a.shape[0]
    s = a @ np.transpose(a) + n * np.eye(n)
    return np.sum(np.linalg.solve(s, a)) + np.log(np.linalg.det(s)) + np.sum(np.linalg.inv(s))


def functions(lib: Library, a: Any) -> Any:
    nn, np = lib.nn, lib.np
    total = (
        np.sum(nn.softmax(a, axis=-1) * a)
        + np.sum(nn.log_softmax(a, axis=0))
        + np.sum(nn.logsumexp(a, axis=1))
    )
    total = total + nn.logsumexp(a) + np.sum(nn.relu(a - 0.5)) + np.sum(nn.gelu(a)) + np.sum(nn.sigmoid(a))
    return total + np.sum(nn.one_hot(np.asarray([0, 2]), a.shape[1]) @ a)


def _functions(a: Any) -> Any:
    raised = np.exp(a)
    soft = raised / raised.sum(-1, keepdims=True)
    log_soft = a - np.log(raised.sum(0, keepdims=True))
    total = np.sum(soft * a) + np.sum(log_soft) + np.sum(np.log(raised.sum(1))) + np.log(raised.sum())
    gelu = 0.5 * a * (1 + np.tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3)))
    relu = np.where(a.real > 0.5, a - 0.5, 0)
    return total + np.sum(relu) + np.sum(gelu) + np.sum(1 / (1 + np.exp(-a))) + np.sum(a[[0, 2]])


def walk(lib: Library, x: Any) -> Any:
    """A scan whose carry and outputs are trees."""

    def step(carry: Any, x_k: Any) -> Any:
        carry = {"s": lib.np.sin(carry["s"]) + x_k, "p": carry["p"] * x_k}
        return carry, (carry["s"] * x_k, carry["p"])

    last, (a, b) = lib.scan(step, {"s": 0.0 * x[0], "p": 1.0 + 0.0 * x[0]}, x)
    return last["s"] + last["p"] + lib.np.sum(a * b)


def _walk(x: Any) -> Any:
    s, p, total = 0.0, 1.0, 0.0
    for each in x:
        s, p = np.sin(s) + each, p * each
        total = total + s * each * p
    return s + p + total


def doubled(lib: Library, x: Any) -> Any:
    """A loop whose trips depend on data."""
    return lib.while_loop(lambda s: lib.np.sum(s) < 100.0, lambda s: s * 2.0, x)


def _doubled(x: Any) -> Any:
    while np.sum(x) < 100:
        x = x * 2
    return x


def mapped(lib: Library, a: Any) -> Any:
    """Gradients of examples."""
    return lib.vmap(lib.grad(lambda row: lib.np.sum(lib.np.sin(row) ** 2)))(a)


def wave(lib: Library, x: Any) -> Any:
    return lib.np.sin(x) * lib.np.flip(x, 0)


def quartic(lib: Library, x: Any) -> Any:
    return lib.np.sum(x**4) + lib.np.sum(x) ** 2


def pairs(lib: Library, x: Any) -> Any:
    return x[1:] ** 2 * x[:-1]


def derivatives(lib: Library, x: Any) -> Any:
    """Of derivatives, inside the program."""
    f = lambda v: lib.np.sum(v**3)
    value, slope = lib.value_and_grad(f)(x)
    _, along = lib.jvp(f, (x,), (x,))
    return value, slope, along, lib.hvp(f, (x,), (x,))


def tree(lib: Library, parameters: Any, x: Any) -> Any:
    return lib.np.mean(lib.np.tanh(x @ parameters["w"] + parameters["b"][0]) ** 2)


def _tree_inputs(n: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(2)
    return {"w": rng.normal(size=(n, 3)), "b": (rng.normal(size=3),)}, rng.normal(size=(5, n))


def _tree(parameters: Any, x: Any) -> Any:
    w, b = parameters["w"], parameters["b"][0]
    t = np.tanh(x @ w + b)
    slope = 2 * t * (1 - t**2) / t.size
    return np.mean(t**2), {"w": x.T @ slope, "b": (slope.sum(0),)}


def _both(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: (f(x), gradient(f, x))


def _jacobian(x: Any) -> Any:
    return np.diag(np.cos(x) * x[::-1]) + np.diag(np.sin(x))[:, ::-1]


def _pairs(x: Any) -> Any:
    """Row by row: by x[k], by x[k + 1]."""
    return np.stack([x[1:] ** 2, 2 * x[1:] * x[:-1]], 1).ravel()


def _case(
    name: str, program: Any, inputs: Any, reference: Any, quantity: Any = Quantity.VALUE_AND_GRADIENT
) -> Case:
    return Case("adapters", name, program, inputs, SIZES, quantity, reference=reference)


CASES = (
    _case("arrays", arrays, _matrix, _both(lambda a: arrays(_NumPy, a))),  # type: ignore[arg-type]
    _case("reductions, value", reductions, _matrix, _largest_only, Quantity.VALUE),
    _case("reductions", reductions, _matrix, None),
    _case("solves", solves, _matrix, _both(lambda a: solves(_NumPy, a))),  # type: ignore[arg-type]
    _case("functions", functions, _matrix, _both(_functions)),
    _case("scan", walk, _vector, _both(_walk)),
    _case("while", doubled, _vector, _doubled, Quantity.VALUE),
    _case("vmap of grad", mapped, _matrix, lambda a: np.sin(2 * a), Quantity.CALL),
    _case("Jacobian", wave, _vector, _jacobian, Quantity.JACOBIAN),
    _case("sparse Jacobian", pairs, _vector, _pairs, Quantity.SPARSE_JACOBIAN),
    _case("Hessian", quartic, _vector, lambda x: np.diag(12 * x**2) + 2, Quantity.HESSIAN),
    Case(
        "adapters", "Hessian-vector product", quartic, lambda n: (*_vector(n), np.arange(1.0, n + 1)), SIZES,
        Quantity.HESSIAN_VECTOR_PRODUCT, reference=lambda x, v: 12 * x**2 * v + 2 * v.sum(),
    ),
    _case("gradient alone", quartic, _vector, lambda x: 4 * x**3 + 2 * x.sum(), Quantity.GRADIENT),
    _case(
        "derivatives", derivatives, _vector,
        lambda x: (np.sum(x**3), 3 * x**2, np.sum(3 * x**3), 6 * x**2), Quantity.CALL,
    ),
    _case("tree", tree, _tree_inputs, _tree),
)  # fmt: skip

__all__ = ["CASES"]
