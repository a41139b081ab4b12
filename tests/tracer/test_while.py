"""`while_loop` against JAX, and in reverse mode, which JAX lacks, against loops that JAX can differentiate."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, count_ops, x64

LENGTH = 80


def bounded(cond: Any, body: Any, init: Any) -> Any:
    """`while_loop` of at most LENGTH trips, which JAX differentiates in reverse; no trip beyond the end."""

    def step(s: Any, _: Any) -> Any:
        return jax.lax.cond(cond(s), body, lambda s: s, s), None

    return jax.lax.scan(step, init, length=LENGTH)[0]


def dynamics(xp: Any, loop: Any, n: Any, w: Any, x: Any, **kwargs: Any) -> Any:
    """Carries of all kinds: an integer, a vector, a running sum, an invariant, a bool."""

    def body(s: Any) -> Any:
        i, x, total, fixed, flag = s
        x = xp.tanh(w @ x + fixed) + xp.where(flag, 0.1, 0.2) * x[::-1] / (i + 1)
        return i + 1, x, total + (x**2).sum(), fixed, ~flag

    init = (0, x, xp.sum(x) * 0.5, x * 0.25, np.bool_(True))
    out = loop(lambda s: s[0] < n, body, init, **kwargs)
    return xp.sum(xp.sin(out[1])) + out[2] * 0.1 + out[3].sum()


@pytest.mark.parametrize("slots", [1, 2, 5, 18, None])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 16, 33, 77])
def test_gradient_whatever_the_slots(n: int, slots: int | None) -> None:
    with x64():
        w, x = array(3, 3, dtype="float64"), array(3, dtype="float64")
        got = _gradients(slots)(w, x, n)
        want = jax.jit(jax.value_and_grad(lambda w, x: dynamics(jnp, bounded, n, w, x), (0, 1)))(w, x)
        assert_close(got[0], want[0], 1e-12)
        for a, b in zip(got[1], want[1], strict=True):
            assert_close(a, b, 1e-10)


def _gradients(slots: int | None, cache: dict[Any, Any] = {}) -> Any:  # noqa: B006 (compiled once)
    if slots not in cache:
        cache[slots] = tr.jit(
            tr.value_and_grad(
                lambda w, x, n: dynamics(tnp, tr.while_loop, n, w, x, checkpoints=slots), argnums=(0, 1)
            )
        )
    return cache[slots]


@pytest.mark.parametrize("slots", [2, None])
def test_second_order(slots: int | None) -> None:
    with x64():
        w, x, n = array(2, 2, dtype="float64"), array(2, dtype="float64"), 9

        def ours(w: Any, x: Any) -> Any:
            return dynamics(tnp, tr.while_loop, n, w, x, checkpoints=slots)

        theirs = lambda w, x: dynamics(jnp, bounded, n, w, x)
        want = jax.jit(jax.hessian(theirs, (0, 1)))(w, x)
        for outer, inner in (
            (tr.jacfwd, tr.jacrev),
            (tr.jacrev, tr.jacrev),
            (tr.jacrev, tr.jacfwd),
            (tr.jacfwd, tr.jacfwd),
        ):
            got = tr.jit(outer(inner(ours, (0, 1)), (0, 1)))(w, x)
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
                assert_close(a, b, 1e-9)


def test_third_order_in_reverse() -> None:
    with x64():

        def f(t: Any, loop: Any) -> Any:
            return lambda a: loop(lambda s: s[1] < 5, lambda s: (s[0] * a + t.sin(s[0]), s[1] + 1), (a, 0))[0]

        ours, theirs = f(tnp, tr.while_loop), f(jnp, bounded)
        for _ in range(3):
            ours, theirs = tr.grad(ours), jax.grad(theirs)
            assert_close(ours(0.7), theirs(0.7), 1e-10)


def newton(xp: Any, loop: Any, a: Any) -> Any:
    return loop(
        lambda s: xp.abs(s[0] * s[0] - a) > 1e-9 * a, lambda s: (0.5 * (s[0] + a / s[0]), s[1] + 1), (a, 0)
    )[0]


def test_modes_agree_with_mathematics() -> None:
    with x64():
        f = lambda a: newton(tnp, tr.while_loop, a)
        a = 7.0
        slope = 0.5 / np.sqrt(a)
        assert_close(tr.jvp(f, (a,), (1.0,))[1], slope, 1e-6)
        assert_close(tr.linearize(f, a)[1](1.0), slope, 1e-6)
        assert_close(tr.grad(f)(a), slope, 1e-6)
        assert_close(tr.vjp(f, a)[1](1.0)[0], slope, 1e-6)
        assert_close(tr.grad(tr.grad(f))(a), -0.25 * a**-1.5, 1e-5)
        xs = jnp.asarray([0.3, 2.0, 900.0, 5e7])
        assert_close(tr.vmap(f)(xs), jnp.sqrt(xs), 1e-8)
        assert_close(tr.vmap(tr.grad(f))(xs), 0.5 / jnp.sqrt(xs), 1e-6)
        assert_close(tr.grad(lambda xs: tr.vmap(f)(xs).sum())(xs), 0.5 / jnp.sqrt(xs), 1e-6)
        assert_close(tr.jit(tr.vmap(tr.grad(tr.grad(f))))(xs), -0.25 * xs**-1.5, 1e-5)


@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0), (0, None, 0)])
def test_lanes_with_trips_of_their_own(axes: Any) -> None:
    with x64():
        ns, ws, xs = np.asarray([0, 5, 1, 9]), array(4, 2, 2, dtype="float64"), array(4, 2, dtype="float64")
        args = tuple(x if axis == 0 else x[1] for x, axis in zip((ns, ws, xs), axes, strict=True))
        ours = lambda n, w, x: dynamics(tnp, tr.while_loop, n, w, x)
        theirs = lambda n, w, x: dynamics(jnp, bounded, n, w, x)
        assert_close(tr.vmap(ours, axes)(*args), jax.vmap(theirs, axes)(*args), 1e-12)
        got = tr.jit(tr.vmap(tr.grad(ours, argnums=(1, 2)), axes))(*args)
        want = jax.jit(jax.vmap(jax.grad(theirs, argnums=(1, 2)), axes))(*args)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-10)
        got = tr.jit(tr.grad(lambda n, w, x: tr.vmap(ours, axes)(n, w, x).sum(), argnums=(1, 2)))(*args)
        want = jax.jit(jax.grad(lambda n, w, x: jax.vmap(theirs, axes)(n, w, x).sum(), argnums=(1, 2)))(*args)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-10)


def test_lanes_of_lanes() -> None:
    with x64():
        ns, xs = np.asarray([[0, 3, 1], [2, 0, 6]]), array(2, 3, dtype="float64")
        w = array(2, dtype="float64")

        def f(xp: Any, loop: Any) -> Any:
            return lambda n, w, x: loop(
                lambda s: s[0] < n, lambda s: (s[0] + 1, xp.sin(s[1]) * w + 0.3), (0, x)
            )[1]

        def twice(t: Any, f: Any) -> Any:
            return t.vmap(t.vmap(f, (0, None, 0)), (0, 0, 0))

        ours, theirs = f(tnp, tr.while_loop), f(jnp, bounded)
        assert_close(twice(tr, ours)(ns, w, xs), twice(jax, theirs)(ns, w, xs), 1e-12)
        got = tr.jit(twice(tr, tr.grad(ours, (1, 2))))(ns, w, xs)
        want = twice(jax, jax.grad(theirs, (1, 2)))(ns, w, xs)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-10)
        got = tr.grad(lambda w, x: twice(tr, ours)(ns, w, x).sum(), (0, 1))(w, xs)
        want = jax.grad(lambda w, x: twice(jax, theirs)(ns, w, x).sum(), (0, 1))(w, xs)
        for a, b in zip(got, want, strict=True):
            assert_close(a, b, 1e-10)


def test_resting_lanes_leave_gradients_alone() -> None:
    """What the body does to a lane that is done, sqrt of zero and of less, must not reach a gradient."""

    def f(xp: Any, loop: Any) -> Any:
        return lambda x: loop(lambda x: x > 0.5, lambda x: xp.sqrt(x - 0.5) * 0.9, x)

    with x64():
        xs = jnp.asarray([0.5, 0.4, 3.0, 40.0, -7.0])
        ours = f(tnp, tr.while_loop)
        want = jnp.stack([jax.grad(f(jnp, bounded))(x) for x in xs])
        assert jnp.isfinite(want).all()
        assert_close(tr.vmap(tr.grad(ours))(xs), want, 1e-10)
        assert_close(tr.grad(lambda xs: tr.vmap(ours)(xs).sum())(xs), want, 1e-10)
        second = jnp.stack([jax.grad(jax.grad(f(jnp, bounded)))(x) for x in xs])
        assert_close(tr.vmap(tr.grad(tr.grad(ours)))(xs), second, 1e-9)
        assert_close(
            tr.grad(lambda xs: tr.grad(lambda xs: tr.vmap(ours)(xs).sum())(xs).sum())(xs), second, 1e-9
        )


def nested(xp: Any, loop: Any, n: Any, x: Any) -> Any:
    """A loop in a loop, of trips that both depend on values."""

    def body(s: Any) -> Any:
        i, x = s
        y = loop(lambda y: xp.abs(y) > 0.3, lambda y: y * xp.cos(x) * 0.5, x * 2)
        return i + 1, xp.sin(x) + y

    return loop(lambda s: s[0] < n, body, (0, x))[1]


def test_loop_in_a_loop() -> None:
    with x64():
        ours, theirs = lambda n, x: nested(tnp, tr.while_loop, n, x), lambda n, x: nested(jnp, bounded, n, x)
        assert_close(ours(5, 1.3), theirs(5, 1.3), 1e-12)
        assert_close(tr.grad(ours, 1)(5, 1.3), jax.grad(theirs, 1)(5, 1.3), 1e-10)
        assert_close(tr.grad(tr.grad(ours, 1), 1)(5, 1.3), jax.grad(jax.grad(theirs, 1), 1)(5, 1.3), 1e-9)
        ns, xs = np.asarray([0, 4, 2]), array(3, dtype="float64")
        assert_close(
            tr.jit(tr.vmap(tr.grad(ours, 1)))(ns, xs), jax.jit(jax.vmap(jax.grad(theirs, 1)))(ns, xs), 1e-10
        )
        assert_close(
            tr.jit(tr.grad(lambda xs: tr.vmap(ours)(ns, xs).sum()))(xs),
            jax.jit(jax.grad(lambda xs: jax.vmap(theirs)(ns, xs).sum()))(xs),
            1e-10,
        )


def test_loop_in_a_scan_and_scan_in_a_loop() -> None:
    with x64():
        xs = array(4, dtype="float64")

        def inside(xp: Any, scan: Any, loop: Any) -> Any:
            def cell(c: Any, x: Any) -> Any:
                c = loop(lambda c: xp.abs(c) > 0.2, lambda c: c * xp.sin(x + 1), c + x)
                return c + x, c

            return lambda xs: (lambda out: out[0] + (out[1] ** 2).sum())(scan(cell, 1.5, xs))

        def outside(xp: Any, scan: Any, loop: Any) -> Any:
            def body(s: Any) -> Any:
                i, xs = s
                return i + 1, scan(lambda c, x: (c + x, xp.sin(c) * x), 0.1, xs)[1]

            return lambda xs: loop(lambda s: s[0] < 6, body, (0, xs))[1].sum()

        for make in (inside, outside):
            ours, theirs = make(tnp, tr.scan, tr.while_loop), make(jnp, jax.lax.scan, bounded)
            assert_close(tr.jvp(ours, (xs,), (xs,))[1], jax.jvp(theirs, (xs,), (xs,))[1], 1e-10)
            assert_close(tr.grad(ours)(xs), jax.grad(theirs)(xs), 1e-10)
            assert_close(tr.jit(tr.hessian(ours))(xs), jax.jit(jax.hessian(theirs))(xs), 1e-9)


def test_gradient_of_what_is_closed_over() -> None:
    with x64():

        def f(loop: Any) -> Any:
            return lambda w, a: loop(lambda x: (x * a).sum() < 50.0, lambda x: x * w + a, a)

        w, a = jnp.asarray([1.1, 1.4]), jnp.asarray([0.5, 2.0])
        got = tr.jacrev(f(tr.while_loop), (0, 1))(w, a)
        want = jax.jacrev(f(bounded), (0, 1))(w, a)
        for x, y in zip(got, want, strict=True):
            assert_close(x, y, 1e-10)


def test_keys_as_carries() -> None:
    def f(xp: Any, loop: Any, split: Any, uniform: Any) -> Any:
        def body(s: Any) -> Any:
            i, key, x = s
            key, sub = split(key)
            return i + 1, key, x * uniform(sub)

        return lambda x: loop(lambda s: s[0] < 7, body, (0, jax.random.key(3), x))[2]

    def split(key: Any) -> Any:
        from ir.ops.random import random_split
        from tracer.numpy.dispatch import lift, record

        both = record(random_split, lift(key), shape=(2,))
        return both[0], both[1]

    def uniform(key: Any) -> Any:
        from ir.ops.random import random_bits
        from tracer.numpy.dispatch import lift, record

        return record(random_bits, lift(key), bit_width=32, shape=()).astype("float32") / 2.0**32

    ours = f(tnp, tr.while_loop, split, uniform)
    theirs = f(
        jnp,
        bounded,
        lambda key: tuple(jax.random.split(key)),
        lambda key: jax.random.bits(key, (), "uint32").astype("float32") / 2.0**32,
    )
    assert_close(ours(2.0), theirs(2.0), 1e-6)
    assert_close(tr.grad(ours)(2.0), jax.grad(theirs)(2.0), 1e-6)


def test_complex_carries() -> None:
    def f(loop: Any) -> Any:
        return lambda z: abs(loop(lambda s: abs(s[0]) < 4.0, lambda s: (s[0] ** 2 + z, s[1]), (z, z))[0])

    z = np.complex64(0.4 + 0.9j)
    assert_close(tr.grad(f(tr.while_loop))(z), jax.grad(f(bounded))(z), 1e-5)


def test_a_million_trips_in_little_memory() -> None:
    def f(q: Any, n: Any) -> Any:
        return tr.while_loop(
            lambda s: s[0] < n, lambda s: (s[0] + 1, s[1] + 1e-6 * tnp.sin(s[1][::-1])), (0, q)
        )[1].sum()

    q, n = jnp.linspace(0, 1, 64), 1_000_000
    compiled = tr.jit(tr.value_and_grad(f)).lower(q, n).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 2_000_000
    value, gradient = compiled(q, n)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_memory_is_what_was_asked_for() -> None:
    q = jnp.linspace(0, 1, 4096)

    def temporaries(slots: int | None) -> float:
        def f(q: Any, n: Any) -> Any:
            loop = lambda s: (s[0] + 1, s[1] + 0.001 * tnp.sin(s[1]))
            return tr.while_loop(lambda s: s[0] < n, loop, (0, q), checkpoints=slots)[1].sum()

        compiled = tr.jit(tr.grad(f)).lower(q, 10).compile()
        return compiled.memory_analysis().temp_size_in_bytes / q.nbytes

    assert temporaries(20) < 28
    assert temporaries(None) < 300


def test_unused_carries_are_not_kept() -> None:
    """A running sum that no derivative reads, an invariant: neither is among the checkpoints."""
    w, x = array(3, 3), array(3)
    function = tr.jit(tr.grad(lambda w, x: dynamics(tnp, tr.while_loop, 9, w, x), (0, 1))).ir(w, x)
    (record,) = [e for e in function.eqns if e.op.name == "while_record"]
    kept = [record.results[k].type.shape for k in record.attrs["kept"]]
    assert sorted(kept) == [(), (), (3,)]  # i, flag, x
    assert count_ops(function, "replay") == 1


def test_the_program_prints_and_parses() -> None:
    w, x = array(3, 3), array(3)
    gradient = tr.grad(lambda w, x: dynamics(tnp, tr.while_loop, 9, w, x))
    lanes = tr.vmap(tr.grad(lambda x: newton(tnp, tr.while_loop, x)))
    for function in (tr.jit(gradient).ir(w, x), tr.jit(lanes).ir(x)):
        ir.verify(function)
        assert ir.parse(str(function)) == function


def test_forward_programs_keep_no_record() -> None:
    function = tr.jit(lambda x: tr.jvp(lambda x: newton(tnp, tr.while_loop, x), (x,), (1.0,))).ir(2.0)
    assert count_ops(function, "while_record") == count_ops(function, "replay") == 0
    assert count_ops(function, "while_loop") == 1


def test_same_as_jax_forwards() -> None:
    for init in ((0, jnp.ones(2)), (np.int16(0), 1.0), (0.0, 1)):

        def run(t: Any, init: Any = init) -> Any:
            return t(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * 2), init)

        assert_same(run(tr.while_loop), run(jax.lax.while_loop))
    # a weakly typed first carry takes the type of the body's
    run = lambda t: t(lambda s: s < 3, lambda s: s + np.float16(1), 0.0)
    assert_same(run(tr.while_loop), run(jax.lax.while_loop))
    assert_same(
        jax.jit(lambda x: tr.while_loop(lambda s: s < 9, lambda s: s * x, x))(2.0),
        jax.jit(lambda x: jax.lax.while_loop(lambda s: s < 9, lambda s: s * x, x))(2.0),
    )


def test_jax_differentiates_it_from_outside() -> None:
    """JAX has no reverse mode through loops of unknown length; through one of ours it has."""

    def root(a: Any) -> Any:
        return tr.while_loop(lambda s: tnp.abs(s * s - a) > 1e-6 * a, lambda s: 0.5 * (s + a / s), a)

    f = tr.jit(root)
    xs = jnp.array([0.5, 2.0, 50.0])
    slope = 0.5 / jnp.sqrt(xs)
    close = lambda got, want: np.testing.assert_allclose(got, want, rtol=1e-5)
    close(jax.vmap(jax.grad(f))(xs), slope)
    close(jax.jit(jax.grad(lambda x: jax.vmap(f)(x).sum()))(xs), slope)
    close(jax.vmap(lambda x: jax.jvp(f, (x,), (1.0,))[1])(xs), slope)
    close(jax.grad(lambda x: jax.lax.scan(lambda c, y: (c + f(y), None), 0.0, x)[0])(xs), slope)
    for second in (jax.hessian(f), jax.grad(jax.grad(f)), jax.jacfwd(jax.jacfwd(f))):
        close(second(2.0), -0.25 * 2.0**-1.5)
