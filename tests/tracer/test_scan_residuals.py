"""What the gradient of a scan stacks and where it sums, seen in the program; values are in test_scan.py."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, x64

XS = array(6, 4, 3)


def loops(function: ir.Function) -> list[ir.Eqn]:
    return [e for e in function.eqns if e.op.name == "scan"]


def recurrent(xp: Any, scan: Any) -> Any:
    def loss(w: Any, b: Any, h: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            new = xp.tanh(x @ w + h @ w.T + b)
            return new, new * x

        h, ys = scan(step, h, XS)
        return (h**2).sum() + ys.sum()

    return loss


def test_gradients_of_weights_are_summed_after_the_loop() -> None:
    w, b, h = array(3, 3), array(3), array(4, 3)
    big = recurrent(tnp, tr.scan)
    got = tr.jit(tr.grad(big, (0, 1, 2)))(w, b, h)
    want = jax.jit(jax.grad(recurrent(jnp, jax.lax.scan), (0, 1, 2)))(w, b, h)
    for x, y in zip(got, want, strict=True):
        assert_close(x, y, 1e-5)


def test_a_large_total_is_not_carried() -> None:
    w, xs = array(32, 32), array(6, 2, 32)

    def loss(w: Any) -> Any:
        return tr.scan(lambda h, x: (tnp.tanh(h @ w + x), None), xs[0], xs)[0].sum()

    function = tr.jit(tr.grad(loss)).ir(w)
    back = loops(function)[-1]
    assert back.attrs["num_carry"] == 1
    assert all(v.type.shape != (32, 32) for v in back.results)
    want = jax.grad(lambda w: jax.lax.scan(lambda h, x: (jnp.tanh(h @ w + x), None), xs[0], xs)[0].sum())(w)
    assert_close(tr.jit(tr.grad(loss))(w), want, 1e-5)


def test_a_small_total_stays_in_the_loop() -> None:
    """The sum of a large product would cost a stack of it."""
    xs = array(6, 50, 50)

    def loss(a: Any) -> Any:
        return tr.scan(lambda h, x: (tnp.sin(h * a + x), None), xs[0], xs)[0].sum()

    back = loops(tr.jit(tr.grad(loss)).ir(tnp.float32(1.5)))[-1]
    assert back.attrs["num_carry"] == 2
    assert len(back.results) == 2


def test_cheap_residuals_are_computed_again() -> None:
    def loss(h: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            gate = tr.nn.sigmoid(h)
            return gate * (1 - gate) * x + h, None

        return tr.scan(step, h, XS)[0].sum()

    forward = loops(tr.jit(tr.grad(loss)).ir(XS[0]))[0]
    assert len(forward.results) == 2  # the last carry and the gates


def test_no_steps() -> None:
    w = array(32, 32)

    def loss(w: Any) -> Any:
        return tr.scan(lambda h, x: (tnp.tanh(h @ w + x), None), w[0], w[:0])[0].sum()

    assert_close(tr.jit(tr.grad(loss))(w)[1:], jnp.zeros((31, 32)))


def test_second_order_through_deferred_sums() -> None:
    with x64():
        w, xs = array(3, 3, dtype="float64"), array(4, 1, 3, dtype="float64")

        def loss(xp: Any, scan: Any) -> Any:
            return lambda w: scan(lambda h, x: (xp.tanh(h @ w + x * h), h), xs[0], xs)[0].sum()

        got = tr.jit(tr.jacrev(tr.jacrev(loss(tnp, tr.scan))))(w)
        want = jax.jit(jax.hessian(loss(jnp, jax.lax.scan)))(w)
        assert_close(got, want, 1e-11)
        batch = jnp.stack([w, 2 * w])
        assert_close(
            tr.vmap(tr.grad(loss(tnp, tr.scan)))(batch),
            jax.vmap(jax.grad(loss(jnp, jax.lax.scan)))(batch),
            1e-11,
        )
