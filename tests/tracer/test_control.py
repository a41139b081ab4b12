"""`cond`, `switch`, `fori_loop`, `map`, `associative_scan` against JAX; loops in branches; errors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, count_ops, raises, x64
from tracer.errors import ArgumentError, ArgumentTypeError

JAX = SimpleNamespace(
    **{name: getattr(jax, name) for name in ("grad", "vmap", "jit", "jvp", "hessian", "jacfwd", "jacrev")},
    **{
        name: getattr(jax.lax, name)
        for name in ("cond", "switch", "while_loop", "fori_loop", "map", "associative_scan", "scan")
    },
)
V = array(3)


def check(f: Any, tol: float | None = None) -> None:
    assert_same(f(tnp, tr), f(jnp, JAX), tol)


# cond and switch ------------------------------------------------------------------------------------


def test_values_and_operands() -> None:
    for pred in (True, False, 1, 0, 0.5, np.bool_(False), jnp.asarray(True)):
        check(lambda xp, t, pred=pred: t.cond(pred, lambda x: x + 1, lambda x: x * 2, V))
    check(lambda xp, t: t.cond(True, lambda: 1.0, lambda: 2.0))
    check(lambda xp, t: t.cond(False, lambda a, b: {"s": a + b["c"]}, lambda a, b: {"s": a}, V, {"c": V}))
    check(lambda xp, t: t.cond(True, lambda x: x, lambda x: -x, operand=V))
    check(lambda xp, t: t.cond(V[0] > 0, lambda x: (x, 1), lambda x: (x * V, 2), V))
    for index in (-5, 0, 1, 2, 9, np.uint8(200), np.int8(-3)):
        check(
            lambda xp, t, index=index: t.switch(index, [lambda x: x, lambda x: x * 2, lambda x: xp.sin(x)], V)
        )
    check(lambda xp, t: t.switch(3, [lambda x: x + 1], V))


def piecewise(xp: Any, t: Any) -> Any:
    return lambda x: t.cond(
        x > 0.5,
        lambda y: xp.sin(y) * xp.exp(y) + x * y,
        lambda y: t.switch((y * 3).astype("int32"), [lambda z: z**2, lambda z: xp.log1p(z * x)], y),
        x,
    )


@pytest.mark.parametrize("x", [0.2, 0.4, 0.9])
def test_derivatives(x: float) -> None:
    for change in (
        lambda t, f: t.grad(f)(x),
        lambda t, f: t.grad(t.grad(f))(x),
        lambda t, f: t.jvp(f, (x,), (2.0,)),
        lambda t, f: t.hessian(f)(x),
        lambda t, f: t.jit(t.jacfwd(t.grad(f)))(x),
    ):
        assert_close(
            *[jax.tree.leaves(change(t, piecewise(xp, t)))[-1] for xp, t in ((tnp, tr), (jnp, JAX))], 1e-5
        )


def test_batches() -> None:
    xs = jnp.linspace(0.05, 0.95, 7)
    for change in (
        lambda t, f: t.vmap(f)(xs),
        lambda t, f: t.vmap(t.grad(f))(xs),
        lambda t, f: t.grad(lambda xs: t.vmap(f)(xs).sum())(xs),
        lambda t, f: t.vmap(t.grad(t.grad(f)))(xs),
    ):
        assert_close(*[change(t, piecewise(xp, t)) for xp, t in ((tnp, tr), (jnp, JAX))], 1e-5)
    check(lambda xp, t: t.vmap(lambda x: t.cond(True, lambda y: (y, 1.0), lambda y: (-y, 2.0), x))(xs))
    check(lambda xp, t: t.vmap(lambda i: t.switch(i, [lambda: V, lambda: 2 * V]))(np.arange(-1, 4)))


def test_one_branch_runs_unless_the_choice_is_batched() -> None:
    f = lambda p, x: tr.cond(p, tnp.sin, tnp.cos, x)
    function = tr.jit(tr.vmap(f, (None, 0))).ir(True, V)
    assert count_ops(function, "cond") == 1
    assert function.eqns[-1].attrs["lanes"] == ()


def test_untaken_branches_leave_gradients_alone() -> None:
    f = lambda x: tr.cond(x > 0, lambda x: tnp.sqrt(x), lambda x: x * 2, x)
    xs = jnp.asarray([4.0, 0.0, -1.0])
    assert_close(tr.vmap(tr.grad(f))(xs), np.asarray([0.25, 2.0, 2.0]))
    assert_close(tr.grad(lambda xs: tr.vmap(f)(xs).sum())(xs), np.asarray([0.25, 2.0, 2.0]))


def endless(xp: Any, t: Any) -> Any:
    """A loop that ends for positive x only, in a branch that only positive x take."""
    return lambda x: t.cond(
        x > 0, lambda x: t.while_loop(lambda y: y < 10.0, lambda y: y * (1 + x), x), lambda x: x - 1, x
    )


@pytest.mark.parametrize("xs", [[0.5, -1.0, 2.0, -3.0], [-1.0, -2.0, -0.5, -3.0], [1.0, 2.0, 3.0, 0.25]])
def test_a_loop_in_a_branch_runs_for_those_who_take_it(xs: Any) -> None:
    with x64():
        xs = jnp.asarray(xs)
        f = endless(tnp, tr)
        assert_close(tr.vmap(f)(xs), jnp.stack([endless(jnp, JAX)(x) for x in xs]), 1e-12)
        want = jnp.stack([tr.grad(f)(x) for x in xs])
        h = 1e-6
        slope = jnp.stack([(endless(jnp, JAX)(x + h) - endless(jnp, JAX)(x - h)) / (2 * h) for x in xs])
        assert_close(want, slope, 1e-6)
        assert_close(tr.vmap(tr.grad(f))(xs), want, 1e-12)
        assert_close(tr.grad(lambda xs: tr.vmap(f)(xs).sum())(xs), want, 1e-12)
        assert_close(tr.vmap(tr.vmap(f))(xs.reshape(2, 2)).ravel(), tr.vmap(f)(xs), 1e-12)


def test_a_branch_in_a_loop_under_vmap() -> None:
    """Resting lanes of the outer loop must not start an inner one that does not end for them."""

    def f(x: Any) -> Any:
        def body(x: Any) -> Any:
            return tr.while_loop(lambda y: y > 1.0, lambda y: y * 0.5 * (x > 2.0), x) + 0.1

        return tr.while_loop(lambda x: x > 2.0, body, x)

    xs = jnp.asarray([1.5, 3.0, 100.0])
    assert_close(tr.vmap(f)(xs), jnp.stack([f(x) for x in xs]), 1e-6)
    assert_close(tr.vmap(tr.grad(f))(xs), jnp.stack([tr.grad(f)(x) for x in xs]), 1e-6)


def test_residuals_share_slots() -> None:
    f = lambda x: tr.switch(1, [lambda x: tnp.sin(x) ** 2, lambda x: tnp.exp(x) ** 3, lambda x: x], x).sum()
    function = tr.jit(tr.grad(f)).ir(V)
    forward = next(e for e in function.eqns if e.op.name == "cond")
    assert len(forward.results) <= 3


def test_inside_jax() -> None:
    f = lambda x: tr.cond(x > 0, lambda x: x * 2, lambda x: x * 3, x)
    assert jax.jit(f)(2.0) == 4.0
    assert jax.grad(f)(-1.0) == 3.0
    assert_close(jax.vmap(f)(jnp.asarray([1.0, -1.0])), np.asarray([2.0, -3.0]))
    assert "cond" in str(jax.make_jaxpr(f)(1.0))


def test_errors_of_cond() -> None:
    with raises(ArgumentTypeError, "true_fun", "f32[3]", "f32[]"):
        tr.cond(True, lambda x: x, lambda x: x.sum(), V)
    with raises(ArgumentTypeError, "['b'][1]", "i32[]", "f32[]"):
        tr.cond(True, lambda: {"b": (1, 2)}, lambda: {"b": (1, 2.0)})
    with raises(ArgumentTypeError, "structure"):
        tr.cond(True, lambda: (1,), lambda: [1])
    with raises(ArgumentTypeError, "scalar predicate", "f32[3]"):
        tr.cond(V, lambda: 1, lambda: 2)
    with raises(ArgumentTypeError, "functions"):
        tr.cond(True, 1, lambda: 2)
    with raises(ArgumentError, "at least one branch"):
        tr.switch(0, [])
    with raises(ArgumentTypeError, "integer scalar", "f32[]"):
        tr.switch(0.5, [lambda: 1, lambda: 2])
    with raises(ArgumentTypeError, "branch 2", "branch 0"):
        tr.switch(0, [lambda: 1, lambda: 2, lambda: 3.0])


def test_errors_of_while() -> None:
    with raises(ArgumentTypeError, "carry[1]", "f32[3]", "f32[]"):
        tr.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1].sum()), (0, V))
    with raises(ArgumentTypeError, "structure"):
        tr.while_loop(lambda s: s[0] < 3, lambda s: [*s], (0, V))
    with raises(ArgumentTypeError, "bool scalar", "bool[3]"):
        tr.while_loop(lambda x: x < 3, lambda x: x, V)
    with raises(ArgumentTypeError, "bool scalar", "i32[]"):
        tr.while_loop(lambda x: 1, lambda x: x, V)
    with raises(ArgumentTypeError, "function as body_fun"):
        tr.while_loop(lambda x: True, V, V)
    with raises(ArgumentError, "positive int"):
        tr.while_loop(lambda x: x < 1, lambda x: x, 0.0, checkpoints=0)
    with raises(ArgumentTypeError, "one type", "i16[]"):
        tr.fori_loop(np.int16(0), np.int32(3), lambda i, x: x, 0.0)
    with raises(ArgumentTypeError, "integer scalars"):
        tr.fori_loop(0, 2.5, lambda i, x: x, 0.0)
    with raises(ArgumentError, "known for unroll"):
        tr.jit(lambda n: tr.fori_loop(0, n, lambda i, x: x + i, 0, unroll=2))(3)
    with raises(ArgumentError, "batch_size"):
        tr.map(lambda x: x, V, batch_size=-1)
    with raises(ArgumentTypeError, "structure"):
        tr.associative_scan(lambda a, b: (a, b), V)


# fori_loop, map, associative_scan -------------------------------------------------------------------


def test_fori_loop() -> None:
    for bounds in ((0, 5), (3, 3), (4, 1), (np.int16(1), np.int16(4)), (np.int8(0), 3)):
        check(lambda xp, t, b=bounds: t.fori_loop(*b, lambda i, x: x * 2 + i, V))
    check(lambda xp, t: t.fori_loop(0, 5, lambda i, x: x * 2, V, unroll=2))
    check(lambda xp, t: t.jit(lambda n: t.fori_loop(0, n, lambda i, x: x * 2 + i, V))(4))
    check(lambda xp, t: t.jit(lambda n: t.fori_loop(np.int16(1), n, lambda i, x: x + i, V))(np.int16(4)))
    check(lambda xp, t: t.grad(lambda x: t.fori_loop(0, 4, lambda i, y: y * x + i, 1.0))(0.9))
    f = lambda t: lambda x, n: t.fori_loop(0, n, lambda i, y: y * x + i, 1.0)
    assert_close(tr.jit(tr.grad(f(tr)))(0.9, 4), jax.grad(lambda x: f(JAX)(x, 4))(0.9), 1e-6)
    static = tr.jit(lambda x: tr.fori_loop(0, 4, lambda i, y: y * x, 1.0)).ir(2.0)
    assert count_ops(static, "scan") == 1


def test_the_index_of_fori_loop_is_as_weakly_typed_as_in_jax() -> None:
    starts = (0, 0.0, np.uint8(0), np.float16(0), jnp.int32(0))
    for lower, n, first in (
        *((0, 4, s) for s in starts),
        *((0, np.int32(4), s) for s in starts),
        (0, np.int8(4), np.int8(0)),
        (np.int32(0), 4, 0),
        (np.uint32(0), np.uint32(4), 0),
    ):
        for body in (lambda i, s: s + i, lambda i, s: s * 2 + i * 3):
            for known in (False, True):

                def run(
                    xp: Any, t: Any, lower: Any = lower, n: Any = n, s: Any = first, body: Any = body
                ) -> Any:
                    if known:
                        return t.jit(lambda s: t.fori_loop(lower, n, body, s))(s)
                    return t.jit(lambda n: t.fori_loop(lower, n, body, s))(n)

                check(run)
    check(lambda xp, t: t.jit(lambda n: t.fori_loop(0, n, lambda i, s: i, 0))(4))
    check(lambda xp, t: t.jit(lambda n, s: t.fori_loop(0, n, lambda i, s: s + i, s))(4, np.uint8(0)))


def test_errors_of_fori_loop_name_it() -> None:
    def body(i: Any, s: Any) -> Any:
        return {"a": s["a"] + 0.5}

    for n in (3, np.int32(3)):
        for run in (
            lambda f, n: tr.jit(lambda n: f(n))(n),
            lambda f, n: tr.jit(lambda x: f(n))(0.0),
            lambda f, n: f(n),
        ):
            with raises(ArgumentTypeError, "fori_loop: expected body", "val['a']", "i32[]", "f32[]"):
                run(lambda n: tr.fori_loop(0, n, body, {"a": np.int32(0)}), n)
            with raises(ArgumentTypeError, "fori_loop: expected body", "structure"):
                run(lambda n: tr.fori_loop(0, n, body, {"a": 1.0, "b": 2.0}), n)


def test_map() -> None:
    xs = {"a": array(7, 2), "b": array(7)}
    f = lambda xp: lambda x: (xp.sin(x["a"]) * x["b"], x["b"])
    check(lambda xp, t: t.map(f(xp), xs))
    for size in (0, 1, 2, 3, 7, 100):
        check(lambda xp, t, size=size: t.map(f(xp), xs, batch_size=size))
    check(lambda xp, t: t.map(f(xp), {"a": array(6, 2), "b": array(6)}, batch_size=3))
    check(lambda xp, t: t.grad(lambda x: t.map(lambda v: xp.sin(v) * v, x, batch_size=3).sum())(array(7)))


def test_associative_scan() -> None:
    for n in (0, 1, 2, 3, 8, 13):
        x = array(n, 2)
        check(lambda xp, t, x=x: t.associative_scan(xp.add, x))
        check(lambda xp, t, x=x: t.associative_scan(xp.multiply, x, reverse=True))
        check(lambda xp, t, x=x: t.associative_scan(xp.maximum, x.T, axis=-1))
    pairs = (array(5, 2, 2), array(5, 2))

    def compose(xp: Any) -> Any:
        return lambda a, b: (b[0] @ a[0], (b[0] @ a[1][..., None])[..., 0] + b[1])

    check(lambda xp, t: t.associative_scan(compose(xp), pairs), 1e-5)
    check(lambda xp, t: t.grad(lambda x: t.associative_scan(xp.multiply, x)[-1])(array(6)), 1e-5)
    check(lambda xp, t: t.associative_scan(xp.logical_or, array(6, dtype="bool")))
