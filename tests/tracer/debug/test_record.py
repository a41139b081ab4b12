"""`watch` and `record`: named values and their cotangents, without a trace elsewhere."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tracer.errors import ArgumentError

f32 = np.float32
W, X = np.full((3, 2), 0.1, f32), np.ones((4, 3), f32)


def loss(w, x):
    h = tr.debug.watch("h", tnp.tanh(x @ w))
    return tr.debug.watch("loss", tnp.sum(h**2))


def plain(w, x):
    return tnp.sum(tnp.tanh(x @ w) ** 2)


@pytest.mark.parametrize(
    "transform", [tr.jit, lambda f: f, lambda f: tr.jit(f, opt=0), lambda f: tr.jit(tr.jit(f))]
)
def test_values(transform) -> None:
    f = transform(loss)
    with tr.debug.record() as values:
        out = f(W, X)
    np.testing.assert_allclose(values["h"], [np.tanh(X @ W)], rtol=1e-6)
    np.testing.assert_allclose(values["loss"], [out], rtol=1e-6)
    assert set(values) == {"h", "loss"}


@pytest.mark.parametrize("transform", [tr.grad, tr.value_and_grad, lambda f: tr.jit(tr.grad(f))])
def test_cotangents(transform) -> None:
    with tr.debug.record() as values:
        got = transform(loss)(W, X)
    np.testing.assert_allclose(values["h"], [np.tanh(X @ W)], rtol=1e-6)
    np.testing.assert_allclose(values.gradients["h"], [2 * np.tanh(X @ W)], rtol=1e-6)
    np.testing.assert_allclose(values.gradients["loss"], [1.0])
    jax.tree_util.tree_map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), got, transform(plain)(W, X)
    )


def test_forward_mode() -> None:
    with tr.debug.record() as values:
        slope = tr.jacfwd(loss)(W, X)
    np.testing.assert_allclose(slope, tr.jacrev(plain)(W, X), rtol=1e-6)
    assert len(values["h"]) >= 1


def test_outside_nothing_is_left() -> None:
    f = tr.jit(loss)
    assert str(f.ir(W, X)) == str(tr.jit(plain).ir(W, X)).replace("plain", "loss")
    f(W, X)
    with tr.debug.record() as values:
        f(W, X)
    f(W, X)
    assert len(values["h"]) == 1
    with tr.debug.record() as values:
        f(W, X)
        f(W, X)
    assert len(values["h"]) == 2


def test_loops() -> None:
    def f(x):
        def step(carry, row):
            return tr.debug.watch("carry", carry * row), None

        return tr.scan(step, x, f32([1, 2, 3]))[0]

    with tr.debug.record() as values:
        tr.jit(tr.grad(f))(f32(2))
    assert values["carry"] == [2, 4, 12]
    assert values.gradients["carry"] == [1, 3, 6]  # backwards


def test_vmap() -> None:
    with tr.debug.record() as values:
        tr.jit(tr.vmap(lambda x: tr.debug.watch("y", x * 2)))(f32([1, 2]))
    assert sorted(float(y) for y in values["y"]) == [2, 4]


def test_pytrees_and_integers() -> None:
    def f(x, n):
        state = tr.debug.watch("state", {"x": x * 2, "n": n + 1})
        return state["x"] * state["n"]

    with tr.debug.record() as values:
        slope = tr.jit(tr.grad(f))(f32(3), 4)
    assert slope == 10
    assert values["state"] == [{"x": 6, "n": 5}]
    assert values.gradients["state"] == [{"x": 5, "n": None}]  # integers have none


def test_at_once_outside_traces() -> None:
    assert tr.debug.watch("x", 3) == 3
    with tr.debug.record() as values:
        assert tr.debug.watch("x", 3) == 3
    assert values["x"] == [3]


def test_nested() -> None:
    f = tr.jit(lambda x: tr.debug.watch("x", x))
    with tr.debug.record() as outer:
        f(1.0)
        with tr.debug.record() as inner:
            f(2.0)
        f(3.0)
    assert (outer["x"], inner["x"]) == ([1.0, 3.0], [2.0])


def test_a_name_is_a_string() -> None:
    with pytest.raises(ArgumentError, match="got int for the name"):
        tr.debug.watch(3, "x")


def test_left_in_another_order() -> None:
    outer, inner = tr.debug.record(), tr.debug.record()
    first, second = outer.__enter__(), inner.__enter__()
    outer.__exit__(None, None, None)
    tr.jit(lambda x: tr.debug.watch("y", 2 * x))(np.float32(3))
    inner.__exit__(None, None, None)
    tr.jit(lambda x: tr.debug.watch("y", 3 * x))(np.float32(3))
    assert first == {} and [float(y) for y in second["y"]] == [6.0]


def _twice(x):
    return tr.debug.watch("y", 2 * x)


def _scanned(f):
    return lambda x: tr.scan(lambda c, _: (f(c), None), x, None, length=2)[0]


def _looped(f):
    return lambda x: tr.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, f(s[1])), (0, x))[1]


def _once(f):
    return lambda x: tr.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, f(s[1])), (0, x))[1]


@pytest.mark.parametrize(
    "f",
    [
        _looped(_twice),
        _scanned(tr.checkpoint(_twice)),
        tr.checkpoint(_scanned(_twice)),
        tr.checkpoint(_looped(_twice)),
        _looped(tr.checkpoint(_twice)),
        _looped(_once(_twice)),
        tr.checkpoint(lambda x: tr.checkpoint(_twice)(tr.checkpoint(_twice)(x))),
    ],
)
def test_cotangents_where_values_are_computed_again(f) -> None:
    """Of 2 x and then 4 x: each value and each cotangent once, the cotangents from the end."""
    x = np.full(3, 1.0, f32)
    with tr.debug.record() as values:
        got = tr.jit(tr.grad(lambda x: tnp.sum(f(x) ** 2)))(x)
    np.testing.assert_allclose(got, 32 * x)
    np.testing.assert_allclose(values["y"], [2 * x, 4 * x])
    np.testing.assert_allclose(values.gradients["y"], [8 * x, 16 * x])


def test_second_derivatives_through_a_loop() -> None:
    x = np.full(3, 1.0, f32)
    f = _looped(lambda c: tr.debug.watch("y", tnp.sin(c)))
    total = lambda x: tnp.sum(f(x))
    slope = lambda x: tnp.sum(tr.grad(total)(x))
    want = tr.grad(slope)(x)
    with tr.debug.record() as values:
        got = tr.jit(tr.grad(slope))(x)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    np.testing.assert_allclose(values["y"], [np.sin(x), np.sin(np.sin(x))], rtol=1e-6)
    np.testing.assert_allclose(values.gradients["y"][:1], [np.ones(3)], rtol=1e-6)
