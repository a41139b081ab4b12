"""`scan` against `jax.lax.scan`: values, types, derivatives of both modes, batches, closures."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, both, count_ops, x64

V = array(4)
XS = array(5, 4, seed=1)
W = array(4, 4, seed=2)


def scan(t: Any) -> Any:
    return tr.scan if t is tr else jax.lax.scan


def body(xp: Any) -> Any:
    return lambda c, x: (xp.tanh(c @ W) + x, {"y": c * x, "s": c.sum(), "none": None})


@pytest.mark.parametrize(
    "options", [{}, {"reverse": True}, {"unroll": 2}, {"unroll": True}, {"length": 5}], ids=str
)
def test_values_and_gradients(options: dict[str, Any]) -> None:
    both(lambda xp, t: scan(t)(body(xp), V, XS, **options))
    both(lambda xp, t: t.jit(lambda c, xs: scan(t)(body(xp), c, xs, **options))(V, XS))

    def loss(xp: Any, t: Any) -> Any:
        def f(c: Any, xs: Any) -> Any:
            c, ys = scan(t)(body(xp), c, xs, **options)
            return (c**2).sum() + (ys["y"] * ys["s"][:, None]).sum()

        return f

    both(lambda xp, t: t.value_and_grad(loss(xp, t), (0, 1))(V, XS))
    both(lambda xp, t: t.jvp(loss(xp, t), (V, XS), (XS[0], XS)))


def test_forms_of_arguments() -> None:
    both(lambda xp, t: scan(t)(lambda c, _: (c * 2, c), V, None, length=3))
    both(lambda xp, t: scan(t)(lambda c, _: (c + 1, None), 0, None, 3))
    both(lambda xp, t: scan(t)(lambda c, x: (c, x["a"] * x["b"][0]), None, {"a": XS, "b": (XS, None)}))
    both(
        lambda xp, t: scan(t)(lambda c, x: ({"n": c["n"] + 1, "v": c["v"] * x}, c["n"]), {"n": 0, "v": V}, XS)
    )
    both(lambda xp, t: scan(t)(lambda c, x: (c, (c, x, 2.0, np.arange(2))), V, XS))
    assert_same(tr.scan(lambda c, x: [c + x, x], V, XS), jax.lax.scan(lambda c, x: (c + x, x), V, XS))
    both(lambda xp, t: scan(t)(lambda c, x: (c + x, x > 0), jnp.zeros(4), np.asarray(XS)))


def test_lengths_of_zero_and_one() -> None:
    for n in (0, 1):
        xs = array(n, 4)
        both(lambda xp, t, xs=xs: scan(t)(body(xp), V, xs))
        both(lambda xp, t, xs=xs: t.grad(lambda c: scan(t)(body(xp), c, xs)[0].sum())(V))
        both(lambda xp, t, xs=xs: t.grad(lambda xs: scan(t)(body(xp), V, xs)[1]["y"].sum())(xs))
    both(lambda xp, t: scan(t)(lambda c, x: (c, x), array(0), array(3, 0)))


def test_weak_carries_take_the_type_of_the_body() -> None:
    with x64():
        both(lambda xp, t: scan(t)(lambda c, x: (c + x, c), 0.0, XS[:, 0]))
        both(lambda xp, t: scan(t)(lambda c, x: (c * 2, c), 1.0, XS))
        both(lambda xp, t: scan(t)(lambda c, x: (c + 1, c), 1, XS))
        both(lambda xp, t: scan(t)(lambda c, x: (c + x[0], c), 0, XS))


def test_closures() -> None:
    both(lambda xp, t: t.grad(lambda w: scan(t)(lambda c, x: (xp.tanh(c * w) + x, c), V, XS)[1].sum())(V))
    both(lambda xp, t: t.vmap(lambda w: scan(t)(lambda c, x: (c * w + x, c), V, XS)[0])(XS))
    both(
        lambda xp, t: t.grad(
            lambda w: t.grad(lambda v: scan(t)(lambda c, x: (c * w * v + x, c), V, XS)[0].sum())(w).sum()
        )(V)
    )
    both(lambda xp, t: t.jit(lambda w: scan(t)(lambda c, x: (c * w + XS[0], w), V, XS))(V))
    both(lambda xp, t: scan(t)(lambda c, x: (c + np.asarray(V), jnp.ones(2)), V, XS))


def test_vmap() -> None:
    for in_axes, c, xs in (
        (0, array(3, 4), array(3, 5, 4)),
        ((0, None), array(3, 4), XS),
        ((None, 1), V, array(5, 3, 4)),
    ):
        both_compiled(
            lambda xp, t, i=in_axes, c=c, xs=xs: t.vmap(lambda c, xs: scan(t)(body(xp), c, xs), i)(c, xs)
        )
        both_compiled(
            lambda xp, t, i=in_axes, c=c, xs=xs: t.vmap(
                t.grad(lambda c, xs: scan(t)(body(xp), c, xs)[0].sum(), (0, 1)), i
            )(c, xs)
        )


def test_nested_scans_and_high_orders() -> None:
    def nested(xp: Any, t: Any) -> Any:
        inner = lambda c, x: (xp.sin(c * x), c)
        outer = lambda c, x: scan(t)(inner, c, xp.stack([x, x * 2]))
        return lambda c: scan(t)(lambda c, x: (lambda r: (r[0], r[1].sum()))(outer(c, x)), c, XS[:2])[0].sum()

    both_compiled(lambda xp, t: t.grad(nested(xp, t))(V))
    both_compiled(lambda xp, t: t.hessian(nested(xp, t))(V))
    power = lambda xp, t: lambda x: scan(t)(lambda c, _: (c * x, None), 1.0 * x, None, 3)[0]
    for order in range(5):

        def run(xp: Any, t: Any, order: int = order) -> Any:
            f = power(xp, t)
            for _ in range(order):
                f = t.grad(f)
            return f(0.7)

        both_compiled(run)


def test_integer_and_boolean_carries_have_no_derivative() -> None:
    def loss(xp: Any, t: Any) -> Any:
        def f(x: Any) -> Any:
            step = lambda c, _: ((c[0] * x, c[1] + 1, c[1] > 1), c[0] * c[1])
            (v, n, flag), ys = scan(t)(step, (x, 0, False), None, 4)
            return (v * n).sum() + ys.sum() + xp.where(flag, x, 0).sum()

        return f

    both(lambda xp, t: t.value_and_grad(loss(xp, t))(V))


def test_carries_that_do_not_depend_on_what_is_differentiated() -> None:
    f = lambda xp, t: (
        lambda x: scan(t)(lambda c, _: ((c[0] + c[1], c[1] * 2, c[2] * x), None), (x * 0, V, x), None, 3)[0]
    )
    both(lambda xp, t: t.grad(lambda x: sum(p.sum() for p in f(xp, t)(x)))(V))
    both(lambda xp, t: t.jvp(f(xp, t), (V,), (V,)))


def test_one_loop_in_the_program() -> None:
    program = tr.jit(lambda c: tr.scan(body(tnp), c, XS)[0]).ir(V)
    assert count_ops(program, "scan") == 1
    gradient = tr.jit(tr.grad(lambda c: tr.scan(body(tnp), c, XS)[0].sum())).ir(V)
    assert count_ops(gradient, "scan") == 2
    assert len(gradient.eqns) < 40


def test_inside_jax() -> None:
    f = lambda t: t.jit(lambda c: scan(t)(body(tnp if t is tr else jnp), c, XS)[0].sum())
    for use in (
        lambda g: jax.grad(g)(V),
        lambda g: jax.jit(g)(V),
        lambda g: jax.hessian(g)(V),
        lambda g: jax.vmap(jax.grad(g))(array(3, 4)),
        lambda g: jax.jvp(g, (V,), (V,)),
    ):
        assert_same(use(f(tr)), use(f(jax)))


@given(length=st.integers(0, 4), size=st.integers(0, 3), reverse=st.booleans(), seed=st.integers(0, 99))
def test_equals_a_python_loop(length: int, size: int, reverse: bool, seed: int) -> None:
    with x64():
        c, xs = array(size, dtype=np.float64, seed=seed), array(length, size, dtype=np.float64, seed=seed + 1)

        def looped(c: Any, xs: Any) -> Any:
            ys: list[Any] = [None] * length
            for i in reversed(range(length)) if reverse else range(length):
                c, ys[i] = jnp.sin(c * xs[i]) + c, c * xs[i]
            return c.sum() + (jnp.stack(ys).sum() if length else 0.0)

        def ours(c: Any, xs: Any) -> Any:
            c, ys = tr.scan(lambda c, x: (tnp.sin(c * x) + c, c * x), c, xs, reverse=reverse)
            return c.sum() + ys.sum()

        assert_close(ours(c, xs), looped(c, xs), 1e-11)
        for got, want in zip(tr.grad(ours, (0, 1))(c, xs), jax.grad(looped, (0, 1))(c, xs), strict=True):
            assert_close(got, want, 1e-11)
