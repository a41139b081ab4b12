"""`vmap` against JAX: axes, pytrees, nesting, empty batches, what is not mapped."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_same, both, both_compiled, raises

A = array(3, 4)
CUBE = array(2, 3, 4, seed=1)
V = array(3, seed=2)


def test_axes() -> None:
    f = lambda xp: lambda x, y: xp.sin(x) @ y
    for in_axes, x, y in (
        (0, CUBE, array(2, 4)),
        ((0, None), CUBE, array(4)),
        ((None, 0), A, array(5, 4)),
        ((1, 1), CUBE, array(4, 3)),
        ((-1, -1), array(3, 4, 2), array(4, 2)),
        ([2, None], array(3, 4, 2), array(4)),
    ):
        for out_axes in (0, 1, -1):
            both_compiled(lambda xp, t, i=in_axes, o=out_axes, x=x, y=y: t.vmap(f(xp), i, o)(x, y))


def test_pytrees_and_prefixes() -> None:
    f = lambda p, q: {"s": p["a"] * q[0], "t": q, "n": None, "u": (p["b"], 1.0)}
    tree = ({"a": array(3, 3), "b": V}, (array(3, 3, seed=3), {"c": V}))
    for in_axes in (
        0,
        (0, 0),
        ({"a": 1, "b": None}, (None, {"c": None})),
        ({"a": 0, "b": None}, (0, None)),
        ({"a": 0, "b": 0}, (None, 0)),
        (None, (1, 0)),
        (None, (None, {"c": 0})),
    ):
        both_compiled(lambda xp, t, i=in_axes: t.vmap(f, i)(*tree))
    both_compiled(
        lambda xp, t: t.vmap(
            lambda x: {"a": x, "b": 2.0, "c": x.sum()}, out_axes={"a": 1, "b": None, "c": 0}
        )(A)
    )
    both_compiled(lambda xp, t: t.vmap(lambda x: (x, (x, 1.0)), out_axes=(1, 0))(A))


def test_keyword_arguments_are_mapped() -> None:
    both(lambda xp, t: t.vmap(lambda x, *, y: x * y)(A, y=V))
    both(lambda xp, t: t.vmap(lambda x, *, p: x * p["a"], in_axes=(None,))(V, p={"a": V}))


def test_results_that_are_not_mapped() -> None:
    both(lambda xp, t: t.vmap(lambda x: 3.0)(V))
    both(lambda xp, t: t.vmap(lambda x: np.arange(4), out_axes=1)(V))
    both(lambda xp, t: t.vmap(lambda x, y: y, (0, None))(V, A))
    both(lambda xp, t: t.vmap(lambda x, y: y * 2, (0, None), None)(V, A))
    both(lambda xp, t: t.vmap(lambda x: A * V[:, None])(V))


def test_identity_and_same_result_twice() -> None:
    both(lambda xp, t: t.vmap(lambda x: x)(A))
    both(lambda xp, t: t.vmap(lambda x: x, 1, 0)(A))
    both(lambda xp, t: t.vmap(lambda x: (x, x), 1, (1, 0))(A))


def test_empty_and_unit_batches() -> None:
    for shape in ((0, 3), (1, 3), (1, 0), (0,), (1,)):
        x = array(*shape)
        both(lambda xp, t, x=x: t.vmap(lambda y: xp.sin(y).sum())(x))
        both(lambda xp, t, x=x: t.vmap(lambda y: y * 2, out_axes=-1)(x))
        both(lambda xp, t, x=x: t.vmap(t.grad(lambda y: (y**2).sum()))(x))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint32", "float16", "bfloat16", "complex64"])
def test_dtypes(dtype: str) -> None:
    x = array(3, 4, dtype=jnp.dtype(dtype))
    both(lambda xp, t: t.vmap(lambda y: (y.sum(), y[::-1], xp.where(y == y, y, y)))(x))


def test_nesting() -> None:
    both_compiled(lambda xp, t: t.vmap(t.vmap(lambda x: xp.sin(x) * 2))(A))
    both_compiled(lambda xp, t: t.vmap(t.vmap(lambda x, y: x * y, (None, 0)), (0, None))(V, array(4)))
    both_compiled(lambda xp, t: t.vmap(t.vmap(t.vmap(lambda x: x.sum()), 1), 1)(array(2, 3, 4, 5)))
    both_compiled(lambda xp, t: t.jit(t.vmap(t.jit(lambda x: x @ x)))(A))
    both_compiled(lambda xp, t: t.vmap(lambda x: t.vmap(lambda y: x @ y)(A))(A))
    both_compiled(lambda xp, t: t.grad(lambda x: t.vmap(lambda r: xp.tanh(r).prod())(x).sum())(A))
    both_compiled(lambda xp, t: t.jvp(t.vmap(lambda r: xp.tanh(r).prod()), (A,), (A,)))


def test_closures() -> None:
    both(lambda xp, t: t.vmap(lambda x: x @ A)(V[None] * xp.ones((2, 1))))
    both(lambda xp, t: t.jit(lambda y: t.vmap(lambda x: x * y)(A))(array(4)))
    both(lambda xp, t: t.vmap(lambda y: t.vmap(lambda x: x * y)(A))(A))


def test_what_is_not_mapped_stays_as_it_is() -> None:
    seen: list[Any] = []

    def f(x: Any, mode: str, n: int, flag: Any) -> Any:
        seen.append((mode, n))
        return x**n if mode == "power" and flag > 0 else -x

    both(lambda xp, t: t.vmap(f, (0, None, None, None))(V, "power", 3, 1.5))
    both(lambda xp, t: t.vmap(f, (0, None, None, None))(V, "power", 3, jnp.float32(-1.5)))
    assert set(seen) == {("power", 3)}


def test_indexing_sorting_and_reductions_under_a_batch() -> None:
    index = np.array([2, 0, 1])
    both(lambda xp, t: t.vmap(lambda x, i: x[i], (None, 0))(A, index))
    both(lambda xp, t: t.vmap(lambda x, i: x[i])(A, index))
    both(lambda xp, t: t.vmap(lambda x, i: x.at[i].set(0.0))(A, index))
    both(lambda xp, t: t.vmap(lambda x, i, v: x.at[i, 0].add(v), (None, 0, 0))(A, index, V))
    both(lambda xp, t: t.vmap(lambda x: (x.argmax(), x.cumsum(), x.prod(), x.var()))(A))
    both(lambda xp, t: t.vmap(lambda x: xp.take(x, index, axis=0))(CUBE))


def test_loops_and_convolutions_under_a_batch() -> None:
    def loop(xp: Any, t: Any) -> Any:
        scan = tr.scan if t is tr else jax.lax.scan
        return lambda h, xs: scan(lambda c, x: (xp.sin(c) * x, c + 1), h, xs)

    for in_axes, h, xs in (
        (0, A, array(3, 5, 4)),
        ((None, 0), A[0], array(3, 5, 4)),
        ((0, None), A, array(5, 4)),
    ):
        both_compiled(lambda xp, t, i=in_axes, h=h, xs=xs: t.vmap(loop(xp, t), i)(h, xs))

    def conv(t: Any) -> Any:
        if t is tr:
            return lambda x, k: tr.nn.conv(x, k, (1, 2), "SAME")
        return lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 2), "SAME")

    loss = lambda t: lambda x, k: (conv(t)(x, k) ** 2).sum()
    images, kernels = array(3, 2, 1, 5, 5), array(3, 2, 1, 3, 3)
    for in_axes, x, k in (
        (0, images, kernels),
        ((0, None), images, kernels[0]),
        ((None, 0), images[0], kernels),
    ):
        both_compiled(lambda xp, t, i=in_axes, x=x, k=k: t.vmap(conv(t), i)(x, k))
        both_compiled(lambda xp, t, i=in_axes, x=x, k=k: t.vmap(t.grad(loss(t), (0, 1)), i)(x, k))


def test_arguments_traced_by_jax() -> None:
    f = lambda xp: lambda x: xp.sin(x).sum()
    got = [
        jax.jit(tr.vmap(f(tnp)))(A),
        jax.vmap(tr.vmap(f(tnp)))(CUBE),
        jax.grad(lambda x: tr.vmap(f(tnp))(x).sum())(A),
    ]
    want = [
        jax.vmap(f(jnp))(A),
        jax.vmap(jax.vmap(f(jnp)))(CUBE),
        jax.grad(lambda x: jax.vmap(f(jnp))(x).sum())(A),
    ]
    assert_same(got, want)


def test_axes_that_are_no_integers() -> None:
    for axis in (True, 1.0, "a"):
        for axes in ({"in_axes": axis}, {"out_axes": axis}, {"in_axes": (axis,)}):
            with raises(tr.errors.ArgumentTypeError, "expected ints or None", repr(axis)):
                tr.vmap(lambda x: x * 2, **axes)(A)


@settings(max_examples=15)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)),
    axis=st.integers(-3, 2),
    out=st.integers(-2, 1),
)
def test_equals_a_python_loop(shape: tuple[int, ...], axis: int, out: int) -> None:
    x = array(*shape)
    f = lambda y: tnp.cumsum(y, 0).sum(1) * 2
    if x.shape[axis] == 0:
        assert tr.vmap(f, axis, out)(x).size == 0
        return
    rows = [jnp.cumsum(jnp.take(x, k, axis), 0).sum(1) * 2 for k in range(x.shape[axis])]
    assert_same(tr.vmap(f, axis, out)(x), jnp.stack(rows, out))
