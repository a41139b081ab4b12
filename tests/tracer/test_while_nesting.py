"""`while_loop` among the other transforms: checkpoint, custom rules, Jacobians, batched cotangents, keys."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from ir.ops.random import random_bits, random_split
from tests.tracer.helpers import assert_close, x64
from tracer.numpy.dispatch import lift, record


def shrink(v: Any) -> Any:
    return tr.while_loop(lambda v: (v**2).sum() > 0.1, lambda v: tnp.sin(v) * 0.8, v)


def newton(a: Any) -> Any:
    return tr.while_loop(lambda x: tnp.abs(x * x - a) > 1e-10, lambda x: 0.5 * (x + a / x), a)


def test_under_checkpoint() -> None:
    with x64():
        assert_close(tr.grad(tr.checkpoint(newton))(7.0), 0.5 * 7**-0.5, 1e-9)
        assert_close(tr.grad(tr.grad(tr.checkpoint(newton)))(7.0), -0.25 * 7**-1.5, 1e-8)


@pytest.mark.parametrize("wrap", [tr.checkpoint, tr.jit])
def test_checkpoint_in_the_body(wrap: Any) -> None:
    """Its transpose computes all cotangents; a replay takes those of carries apart from those of constants."""

    def total(np: Any, loop: Any, wrap: Any, x: Any, w: Any) -> Any:
        step = wrap(lambda y, z, w: (np.sin(y) * w + z * z * 0.1, np.cos(z * y) + w * y))
        return loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, *step(*s[1:], w)), (0, x, x * 0.5))[1].sum()

    ours = lambda x, w: total(tnp, tr.while_loop, wrap, x, w)
    theirs = lambda x, w: total(
        jnp, lambda _, step, s: jax.lax.fori_loop(0, 4, lambda _, s: step(s), s), lambda f: f, x, w
    )
    third = lambda grad, f: grad(
        lambda x, w: (grad(lambda x, w: (grad(f)(x, w) ** 2).sum(), 1)(x, w) ** 2).sum()
    )
    with x64():
        x, w = jnp.asarray([0.3, 0.7]), jnp.asarray([1.1, 0.4])
        got, want = (m.hessian(f, (0, 1))(x, w) for m, f in ((tr, ours), (jax, theirs)))
        for g, t in zip(jax.tree_util.tree_leaves(got), jax.tree_util.tree_leaves(want), strict=True):
            assert_close(g, t, 1e-11)
        assert_close(third(tr.grad, ours)(x, w), third(jax.grad, theirs)(x, w), 1e-11)


def test_a_custom_rule_in_the_body_is_kept() -> None:
    @tr.custom_jvp
    def wave(x: Any) -> Any:
        return tnp.sin(x)

    wave.defjvp(lambda primals, tangents: (wave(*primals), 3 * tnp.cos(primals[0]) * tangents[0]))
    f = lambda x: tr.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, wave(s[1])), (0, x))[1]
    want, x = 1.0, 0.7
    for _ in range(4):
        want, x = want * 3 * np.cos(x), np.sin(x)
    with x64():
        assert_close(tr.grad(f)(0.7), want, 1e-12)
        assert_close(tr.jvp(f, (0.7,), (1.0,))[1], want, 1e-12)
        assert_close(tr.jit(tr.grad(f))(0.7), want, 1e-12)


def test_jacobians_and_batches_of_cotangents() -> None:
    with x64():
        v = jnp.asarray([0.5, 0.9, 1.3])
        want = tr.jacfwd(shrink)(v)
        assert_close(tr.jacrev(shrink)(v), want, 1e-12)
        pull = tr.vjp(shrink, v)[1]
        assert_close(tr.vmap(lambda ct: pull(ct)[0])(jnp.eye(3)), want, 1e-12)
        push = tr.linearize(shrink, v)[1]
        assert_close(tr.vmap(push)(jnp.eye(3)).T, want, 1e-12)


def test_keys_in_lanes() -> None:
    def uniform(key: Any) -> Any:
        return record(random_bits, lift(key), bit_width=32, shape=()).astype("float64") / 2.0**32

    def f(x: Any, n: Any) -> Any:
        def body(s: Any) -> Any:
            i, key, x = s
            both = record(random_split, lift(key), shape=(2,))
            return i + 1, both[0], x * uniform(both[1])

        return tr.while_loop(lambda s: s[0] < n, body, (0, jax.random.key(3), x))[2]

    with x64():
        xs, ns = jnp.asarray([1.0, 2.0, 3.0]), jnp.asarray([0, 4, 2])
        want = jnp.stack([tr.grad(f)(x, n) for x, n in zip(xs, ns, strict=True)])
        assert_close(tr.vmap(tr.grad(f))(xs, ns), want, 1e-14)
        assert_close(tr.grad(lambda xs: tr.vmap(f)(xs, ns).sum())(xs), want, 1e-14)

        def branch(p: Any, x: Any, key: Any) -> Any:
            return tr.cond(p, lambda x, key: x * uniform(key), lambda x, key: x, x, key)

        key = jax.random.key(0)
        got = tr.vmap(tr.grad(branch, 1), (0, None, None))(jnp.asarray([True, False]), 2.0, key)
        assert_close(got, jnp.stack([tr.grad(branch, 1)(p, 2.0, key) for p in (True, False)]), 1e-14)


def test_what_has_no_gradient() -> None:
    assert tr.grad(lambda x: x * tr.while_loop(lambda i: i < 5, lambda i: i + 1, 0))(2.0) == 5.0
    assert tr.grad(lambda x: tr.while_loop(lambda s: s < 0, lambda s: s * x, 1.0))(2.0) == 0.0
    loop = lambda x: tr.fori_loop(0, x.astype("int32") + 3, lambda i, y: y * x, 1.0)
    assert tr.jit(tr.grad(loop))(2.0) == 80.0


@pytest.mark.parametrize("wrap", ["branch", "branch in a branch", "checkpoint", "scan"])
def test_second_order_of_a_loop_with_branches(wrap: str) -> None:
    """The linear part of a branch is given more than each of its results needs."""

    def branch(v: Any) -> Any:
        return tr.cond((v * v).sum() > 0.4, lambda v: tnp.sin(v) * v, lambda v: tnp.cos(v) * v, v)

    step = {
        "branch": branch,
        "branch in a branch": lambda v: tr.cond(v[0] > 0, branch, branch, v),
        "checkpoint": tr.checkpoint(branch),
        "scan": lambda v: tr.scan(lambda s, _: (branch(s), None), v, None, length=1)[0],
    }[wrap]

    def f(v: Any, n: Any) -> Any:
        return (tr.fori_loop(0, n, lambda i, v: step(v) * (1 + 0.1 * i), v) ** 2).sum()

    def unrolled(v: Any) -> Any:
        for i in range(3):
            v = (jnp.sin(v) * v if (v * v).sum() > 0.4 else jnp.cos(v) * v) * (1 + 0.1 * i)
        return (v**2).sum()

    with x64():
        v = jnp.asarray([0.3, 0.4, 0.5])
        assert_close(tr.hessian(f)(v, 3), jax.hessian(unrolled)(v), 1e-12)
