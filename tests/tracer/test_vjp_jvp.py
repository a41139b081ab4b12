"""`vjp`, `jvp` and `linearize`: values against JAX, reuse of what they return, and how they fit together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from lowering.execute import PROGRAMS
from tests.tracer.helpers import array, assert_close, assert_same, both, both_compiled, x64

V = array(4)
W = array(4, seed=1)
MATRIX = array(3, 4, seed=2)
float0 = lambda *shape: np.zeros(shape, jax.dtypes.float0)


def f(xp: Any) -> Any:
    return lambda p, n: {"y": xp.tanh(p["a"] * n) @ p["b"], "n": n + 1, "s": p["b"].sum()}


TREE = {"a": V, "b": W}


def test_vjp() -> None:
    both(lambda xp, t: t.vjp(lambda x: xp.cumsum(xp.exp(x)) * x, V)[0])
    both(lambda xp, t: t.vjp(lambda x: xp.cumsum(xp.exp(x)) * x, V)[1](W))
    both(lambda xp, t: t.vjp(lambda x, y: (x * y, x.sum()), V, W)[1]((W, 2.0)))
    n = np.arange(4)
    ct = {"y": 1.5, "n": float0(4), "s": -1.0}
    both(lambda xp, t: t.vjp(f(xp), TREE, n)[0])
    both(lambda xp, t: t.vjp(f(xp), TREE, n)[1]({**ct, "y": np.float32(1.5), "s": np.float32(-1)}))


def test_vjp_with_aux() -> None:
    def program(xp: Any, t: Any) -> Any:
        out, pull, aux = t.vjp(lambda x: (xp.sin(x), {"n": 3, "x": x, "none": None}), V, has_aux=True)
        return out, pull(W), aux

    both(program)


def test_jvp() -> None:
    both(lambda xp, t: t.jvp(lambda x: xp.cumsum(xp.exp(x)) * x, (V,), (W,)))
    both(lambda xp, t: t.jvp(f(xp), (TREE, np.arange(4)), ({"a": W, "b": V}, float0(4))))
    both(lambda xp, t: t.jvp(lambda x, y: x * y, [V, 2.0], [W, 1.0]))
    both(lambda xp, t: t.jvp(lambda x: (x, {"n": 2 * x}), (V,), (W,), has_aux=True))
    both(lambda xp, t: t.jvp(lambda x: 3.0, (1.0,), (1.0,)))
    both(lambda xp, t: t.jvp(lambda x: x > 0, (V,), (W,)))
    both(lambda xp, t: t.jvp(lambda n: n * 2, (3,), (float0(),)))


def test_linearize() -> None:
    def program(xp: Any, t: Any) -> Any:
        out, push = t.linearize(lambda x, y: {"a": xp.sin(x) * y, "b": x.sum()}, V, W)
        return out, push(W, V), push(V, V)

    both(program)
    both(
        lambda xp, t: (lambda out, push, aux: (out, push(W), aux))(
            *t.linearize(lambda x: (xp.sin(x), x), V, has_aux=True)
        )
    )
    both(lambda xp, t: t.linearize(lambda n, x: n * x, 3, V)[1](float0(), W))


def test_weak_tangents_and_cotangents_are_converted() -> None:
    with x64():
        x = np.float32(2)
        both(lambda xp, t: t.jvp(lambda x: x**3, (x,), (np.float32(1),)))
        assert_same(tr.jvp(lambda x: x**3, (x,), (1.0,)), tr.jvp(lambda x: x**3, (x,), (np.float32(1),)))
        assert_same(tr.vjp(lambda x: x**3, x)[1](1.0), tr.vjp(lambda x: x**3, x)[1](np.float32(1)))
        assert_same(
            tr.jit(lambda t: tr.vjp(lambda x: x**3, x)[1](t))(1.0),
            tr.vjp(lambda x: x**3, x)[1](np.float32(1)),
        )
        assert_same(
            jax.jit(lambda t: tr.jvp(lambda x: x**3, (x,), (t,)))(1.0), tr.jvp(lambda x: x**3, (x,), (1.0,))
        )


def test_pull_and_push_may_be_used_often_and_anywhere() -> None:
    g = lambda xp: lambda x, y: xp.sin(x) * y

    def program(xp: Any, t: Any) -> Any:
        _, pull = t.vjp(g(xp), V, W)
        _, push = t.linearize(g(xp), V, W)
        return (
            [pull(c * W) for c in (1.0, 2.0, -3.0)],
            [push(c * W, V) for c in (1.0, 2.0)],
            t.jit(pull)(W),
            t.vmap(pull)(MATRIX),
            t.vmap(push, (0, None))(MATRIX, V),
            t.grad(lambda c: pull(c)[0].sum())(W),
            t.jvp(pull, (W,), (V,)),
            t.jacfwd(lambda c: pull(c)[1])(W),
        )

    both_compiled(program)
    both_compiled(lambda xp, t: t.jit(lambda x: t.vjp(g(xp), x, W)[1](x))(V))
    both_compiled(lambda xp, t: t.vmap(lambda x, c: t.vjp(g(xp), x, W)[1](c))(MATRIX, MATRIX))


def test_a_pull_made_inside_a_trace_serves_there() -> None:
    def program(xp: Any, t: Any) -> Any:
        def outer(x: Any) -> Any:
            y, pull = t.vjp(lambda z: xp.exp(z) * x, x)
            first = t.vmap(lambda c: pull(c * y)[0])(xp.eye(4))
            second = t.grad(lambda c: (pull(c)[0] * x).sum())(y)
            return first.sum(0) + second

        return t.jit(outer)(V), t.jit(t.grad(lambda x: outer(x).sum()))(V)

    both(program)


def test_pull_runs_one_compiled_program() -> None:
    _, pull = tr.vjp(lambda x: tnp.sin(x) * 1.2345, V)
    pull(W)
    before = len(PROGRAMS)
    for c in (2.0, 3.0):
        pull(c * W)
    tr.vjp(lambda x: tnp.sin(x) * 1.2345, V)[1](W)
    assert len(PROGRAMS) == before


def test_jvp_of_vjp_and_vjp_of_jvp() -> None:
    g = lambda xp: lambda x: xp.sin(x) * xp.cumsum(x)
    both_compiled(lambda xp, t: t.jvp(lambda x: t.vjp(g(xp), x)[1](W)[0], (V,), (W,)))
    both_compiled(lambda xp, t: t.vjp(lambda x: t.jvp(g(xp), (x,), (W,))[1], V)[1](W))
    both_compiled(lambda xp, t: t.vjp(lambda x: t.linearize(g(xp), x)[1](W), V)[1](W))
    both_compiled(lambda xp, t: t.linearize(lambda x: t.vjp(g(xp), x)[1](x)[0], V)[1](W))


def test_outputs_that_are_inputs_or_constants() -> None:
    for g in (
        lambda x, y: (x, y, x),
        lambda x, y: (x, 1.0, np.arange(3)),
        lambda x, y: {"a": None, "b": y},
    ):
        shapes = jax.eval_shape(g, V, W)
        ct = jax.tree_util.tree_map(
            lambda s: array(*s.shape, dtype=s.dtype) if s.dtype.kind == "f" else float0(*s.shape), shapes
        )
        both(lambda xp, t, g=g, ct=ct: (t.vjp(g, V, W)[0], t.vjp(g, V, W)[1](ct)))
        both(lambda xp, t, g=g: t.jvp(g, (V, W), (W, V)))


def test_complex() -> None:
    z, w = array(3, dtype=np.complex64), array(3, dtype=np.complex64, seed=1)
    for g in (
        lambda xp: lambda z: xp.exp(z) * z,
        lambda xp: lambda z: xp.abs(z) * z.conj(),
        lambda xp: lambda z: z.real**2,
    ):
        ct = array(3, dtype=jnp.asarray(g(jnp)(z)).dtype, seed=2)
        both_compiled(lambda xp, t, g=g: t.jvp(g(xp), (z,), (w,)))
        both_compiled(lambda xp, t, g=g, ct=ct: t.vjp(g(xp), z)[1](ct))


shapes = st.tuples(st.integers(0, 3), st.integers(1, 3))


@settings(max_examples=8)
@given(shape=shapes, seed=st.integers(0, 99))
def test_the_pull_is_the_transpose_of_the_push(shape: tuple[int, ...], seed: int) -> None:
    with x64():
        x, t, c = (array(*shape, dtype=np.float64, seed=seed + k) for k in range(3))
        g = lambda x: tnp.cumsum(tnp.sin(x) * tnp.exp(x[::-1]), axis=0)
        push, pull = tr.linearize(g, x)[1], tr.vjp(g, x)[1]
        assert_close(np.vdot(c, push(t)), np.vdot(pull(c)[0], t), 1e-10)
        assert_close(push(2 * t - x), 2 * push(t) - push(x), 1e-10)
        assert_close(tr.jvp(g, (x,), (t,))[1], push(t), 1e-10)
