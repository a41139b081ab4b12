"""Functions of plain NumPy on traced values: the same results as on arrays, or a typed error."""

from __future__ import annotations

import copy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import raises
from tracer.errors import ArgumentTypeError, ConcretizationError, EscapedValueError

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3) / 3
V, MASK, N = X[0], np.array([True, False, True]), np.array([[1, 2, 0], [2, 1, 0]])

# Written for NumPy alone; the reference is NumPy itself.
CALLS: dict[str, Any] = {
    "sin": lambda x: np.sin(x),
    "binary": lambda x: np.add(np.multiply(x, 2), np.subtract(1, x)),
    "scalar first": lambda x: np.float32(2) * x + np.float32(1) / x - np.float32(3) ** x,
    "array first": lambda x: X * x - X / x + (X.T @ x).sum(),
    "list operand": lambda x: np.add(x, [1, 2, 3]) * np.multiply([[1], [2]], x),
    "comparison": lambda x: (x > X) | (np.float32(1) >= x) & np.logical_not(x == V),
    "sum": lambda x: np.sum(x, axis=0) + np.sum(x, 1, keepdims=True),
    "mean": lambda x: (np.mean(x, axis=1), np.var(x, ddof=1), np.std(x, axis=0), np.median(x)),
    "extrema": lambda x: (np.max(x, axis=1), np.min(x), np.amax(x), np.argmax(x, axis=1), np.ptp(x)),
    "concatenate": lambda x: (np.concatenate([x, X]), np.stack([x, X], axis=-1), np.hstack([x, x])),
    "where": lambda x: np.where(x > 0.5, x, 0),
    "select": lambda x: np.select([x < 0.5, x > 1], [x, -x], default=0.0),
    "clip": lambda x: (np.clip(x, 0.5, 1), np.clip(x, a_min=0.5, a_max=None)),
    "shapes": lambda x: x * np.shape(x)[0] * np.ndim(x) * np.size(x, 1),
    "reshape": lambda x: (np.reshape(x, (3, 2)), np.transpose(x), np.ravel(x), np.expand_dims(x, 0)),
    "likes": lambda x: (np.zeros_like(x, subok=False), np.full_like(x, 2.0, order="K"), np.ones_like(x)),
    "broadcast": lambda x: (np.broadcast_to(x, (4, 2, 3)), np.broadcast_arrays(x, V)),
    "split": lambda x: (np.split(x, 3, axis=1), np.array_split(x, 2)),
    **({"unstack": np.unstack} if hasattr(np, "unstack") else {}),  # new in NumPy 2.1
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "products": lambda x: (
        np.dot(x, x.T),
        np.matmul(x, x.T),
        np.outer(x, x),
        np.tensordot(x, x, 2),
        np.kron(x, V),
    ),
    "linalg": lambda x: (np.linalg.norm(x, axis=1), np.linalg.inv(x @ x.T + np.eye(2, dtype=np.float32))),
    "fft": lambda x: np.fft.fft(x),
    "sort": lambda x: (np.sort(-x, axis=0), np.argsort(-x), np.searchsorted(x[0], [0.5, 0.7])),
    "cumulative": lambda x: (np.cumsum(x), np.cumprod(x, axis=1), np.diff(x), np.gradient(x)),
    "interp": lambda x: np.interp(x, [0.5, 1, 2], [0, 1, 0]),
    "take": lambda x: (
        np.take(x, [0, 1], axis=1),
        np.take_along_axis(x, N, axis=1),
        np.compress(MASK, x, axis=1),
    ),
    "quantile": lambda x: (np.quantile(x, [0.3, 0.6], axis=0), np.percentile(x, 30)),
    "pad": lambda x: (np.pad(x, 1), np.roll(x, 1, axis=0), np.flip(x, 0), np.tile(x, 2), np.repeat(x, 2)),
    "several results": lambda x: (np.divmod(x, 0.4), np.modf(x), np.meshgrid(x[0], x[1])),
    "types": lambda x: (
        np.astype(x, np.float16),
        x.astype(np.result_type(x, np.float16)),
        np.iscomplexobj(x),
    ),
    "reduce": lambda x: (
        np.add.reduce(x),
        np.maximum.reduce(x, axis=1, keepdims=True),
        np.multiply.reduce(x, 1),
    ),
    "reduce others": lambda x: np.logaddexp.reduce(x, axis=1),
    "accumulate": lambda x: (
        np.add.accumulate(x, axis=1),
        np.multiply.accumulate(x),
        np.maximum.accumulate(x),
    ),
    "outer": lambda x: (np.multiply.outer(x, V), np.subtract.outer(V, x)),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda row: np.sum(np.sin(row)) * row, 1, x),
    "piecewise": lambda x: np.piecewise(x, [x < 0.5, x >= 0.5], [lambda a: -a, lambda a: a * a]),
    "rounding": lambda x: (np.round(x, 1), np.floor(x), np.trunc(x), np.nan_to_num(x)),
    "operators": lambda x: (abs(-x), divmod(x, 0.4), round(x[0, 0], 1), x // 0.4, x % 0.4, -x),
    "copies": lambda x: (np.copy(x), copy.copy(x), copy.deepcopy(x), x.copy()),
    "statistics": lambda x: (np.average(x, weights=X), np.cov(x), np.histogram(x, bins=4, range=(0, 2))),
    "iteration": lambda x: sum(row for row in x),
}


def compare(got: Any, want: Any) -> None:
    for a, b in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
        assert np.shape(a) == np.shape(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=1e-5)


@pytest.mark.parametrize("name", CALLS)
def test_as_numpy(name: str) -> None:
    f = CALLS[name]
    compare(tr.jit(f)(X), f(X))


def test_functions_of_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    f = lambda x: special.erf(x) + special.gammaln(x + 1)
    compare(tr.jit(f)(X), f(X))
    with raises(ArgumentTypeError, "airy"):
        tr.jit(lambda x: special.airy(x))(X)


def test_gradients_through_numpy() -> None:
    def f(n: Any) -> Any:
        def g(x: Any) -> Any:
            y = n.concatenate([n.sin(x), n.where(x > 0.7, x, -x)])
            return (
                n.sum(n.square(y))
                + n.linalg.norm(x)
                + n.einsum("ij,ij->", x, x)
                + n.sum(n.sort(x, axis=1)[:, 1])
            )

        return g

    compare(tr.grad(f(np))(X), jax.grad(f(jnp))(X))
    compare(tr.jit(tr.grad(f(np)))(X), jax.grad(f(jnp))(X))
    batch = np.stack([X, X + 1])
    compare(tr.vmap(tr.grad(f(np)))(batch), jax.vmap(jax.grad(f(jnp)))(batch))


@settings(max_examples=15)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=3), st.sampled_from(["sum", "sort", "cumsum", "max"]))
def test_any_shape(shape: list[int], name: str) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    f = lambda x: getattr(np, name)(x, axis=-1)
    if name == "max" and not shape[-1]:
        with pytest.raises((TypeError, ValueError)):
            tr.jit(f)(x)
    else:
        compare(tr.jit(f)(x), f(x))


def test_array_namespace() -> None:
    def f(x: Any) -> Any:
        xp = x.__array_namespace__()
        assert xp is x.__array_namespace__(api_version=tnp.__array_api_version__) is tnp
        return xp.permute_dims(x, (1, 0)) + xp.asarray(1.0)

    compare(tr.jit(f)(X), X.T + 1)
    with raises(ValueError, "api_version", "1999"):
        tr.jit(lambda x: x.__array_namespace__(api_version="1999"))(X)


def test_writing_is_an_error() -> None:
    for f in (
        lambda x: np.add(x, 1, out=np.zeros_like(X)),
        lambda x: np.sum(x, axis=0, out=np.zeros(3)),
        lambda x: np.add.reduce(x, 0, None, np.zeros(3)),
        lambda x: np.copyto(np.zeros_like(X), x),
        lambda x: np.fill_diagonal(x, 0),
        lambda x: np.add.at(X.copy(), (0,), x),
        lambda x: np.ones_like(X).__iadd__(x),
    ):
        with raises(ArgumentTypeError, "write into", ".at[index].set"):
            tr.jit(f)(X)
    with raises(ArgumentTypeError, "x.at[index].set(value)"):
        tr.jit(lambda x: x.__setitem__(0, 1))(X)


def test_what_numpy_can_and_we_cannot_is_an_error() -> None:
    for f, word in (
        (lambda x: np.add(x, 1, where=X > 1), "where="),
        (lambda x: np.add(x, 1, dtype=np.float16), "dtype="),
        (lambda x: np.isnat(x), "isnat"),
        (lambda x: np.min_scalar_type(x), "min_scalar_type"),
        (lambda x: np.maximum.reduce(x, dtype=np.float16), "dtype="),
        (lambda x: np.arctan2.reduce(x), "arctan2.reduce"),
    ):
        with raises(ArgumentTypeError, word):
            tr.jit(f)(X)
    with raises(ConcretizationError, "size="):
        tr.jit(lambda x: np.nonzero(x))(X)
    with raises(ConcretizationError, "NumPy array"):
        tr.jit(lambda x: np.asarray(x))(X)


def test_values_that_outlived_their_trace() -> None:
    kept: list[Any] = []
    tr.jit(lambda x: kept.append(x) or x)(X)
    for f in (np.sin, np.sum, lambda x: np.concatenate([x, X]), lambda x: X * x):
        with pytest.raises(EscapedValueError):
            f(kept[0])


def test_suspended_traces() -> None:
    """Inside a function that JAX traces, NumPy's functions of a value of ours are JAX's."""

    def f(x: Any) -> Any:
        inner = lambda z: z * jnp.sum(np.sin(x)) + np.concatenate([x, x])[0, 0] + x.sort(axis=0)[0, 0]
        return tr.from_jax(jax.jit(inner))(x).sum()

    reference = lambda x: (x * jnp.sum(jnp.sin(x)) + x[0, 0] + jnp.sort(x, axis=0)[0, 0]).sum()
    compare(tr.jit(tr.grad(f))(X), jax.grad(reference)(X))


def test_membership_and_order() -> None:
    compare(tr.grad(lambda x: np.sum(x * 2) if 1.0 in x else np.sum(x))(X), 2 * np.ones_like(X))
    compare(tr.jit(lambda x: sorted([x[0, 0], x[0, 0]], key=lambda _: 0))(X), [X[0, 0]] * 2)
