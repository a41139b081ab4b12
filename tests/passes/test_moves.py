"""Large arrays that are reshaped, cut or padded on their way, so that no axis runs through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function
from ir.passes.blocking.moving import moved
from ir.passes.pipeline import optimize, pipeline

PASSES = pipeline()
BEFORE = PASSES[: [p.__name__ for p in PASSES].index("block")]
LEAST = 8.0 * 4 * 6 * 50  # bytes of logits, 4 sentences of 6 tokens, 50 classes


def _cross_entropy(logits: Any, labels: Any) -> Any:
    return -tnp.mean(tnp.take_along_axis(tr.nn.log_softmax(logits), labels[..., None], -1))


def flat(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy((h @ w).reshape(-1, w.shape[1]), y.reshape(-1))


def flat_with_bias(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy((h @ w + b).reshape(-1, w.shape[1]), y.reshape(-1))


def flat_with_bias_of_places(h: Any, w: Any, b: Any, y: Any) -> Any:
    places = tnp.arange(h.shape[1], dtype=h.dtype)[:, None]
    return _cross_entropy((h @ w + places * b).reshape(-1, w.shape[1]), y.reshape(-1))


def flat_and_capped(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy((3 * tnp.tanh(h @ w / 3)).reshape(-1, w.shape[1]), y.reshape(-1))


def flat_and_masked(h: Any, w: Any, b: Any, y: Any) -> Any:
    allowed = tnp.arange(w.shape[1]) < w.shape[1] - 3
    return _cross_entropy(tnp.where(allowed, h @ w, -1e9).reshape(-1, w.shape[1]), y.reshape(-1) % 40)


def the_next(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy((h @ w)[:, :-1], y[:, 1:])


def the_next_with_bias(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy((h @ w + b)[:, :-1], y[:, 1:])


def the_next_but_one(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy(tnp.einsum("btd,dv->btv", h, w)[:, 1:-2], y[:, 3:])


def of_a_transposed_matrix(h: Any, w: Any, b: Any, y: Any) -> Any:
    return _cross_entropy(tnp.einsum("btd,vd->btv", h, w.T).reshape(-1, w.shape[1]), y.reshape(-1))


MOVED: list[Callable[..., Any]] = [
    flat, flat_with_bias, flat_and_capped, flat_and_masked, the_next, the_next_with_bias,
    the_next_but_one, of_a_transposed_matrix,
]  # fmt: skip


def drawn(b: int = 4, t: int = 6, d: int = 3, v: int = 50) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(b, t, d)), rng.normal(size=(d, v)), rng.normal(size=v), rng.integers(0, v, (b, t))


def gradient(f: Callable[..., Any], args: Any) -> Function:
    return optimize(tr.trace(tr.value_and_grad(f, argnums=(0, 1, 2)))(*args), BEFORE)


def assert_same(before: Function, after: Function, args: Any) -> None:
    ir.verify(after)
    for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def rearranged(function: Function) -> list[str]:
    names = ("reshape", "slice", "pad")
    return [e.op.name for e in function.eqns if e.op.name in names and e.results[0].type.nbytes >= LEAST / 2]


@pytest.mark.parametrize("f", MOVED, ids=lambda f: f.__name__)
def test_no_large_array_is_rearranged(f: Callable[..., Any]) -> None:
    args = drawn()
    with jax.enable_x64(True):
        before = gradient(f, args)
        after = moved(before, LEAST / 4)
        assert rearranged(before)
        assert not rearranged(after), after
        assert_same(before, after, args)
        want = jax.grad(lambda *xs: f(*xs), argnums=(0, 1, 2))(*args)
        for got, each in zip(ir.evaluate(after, *args)[1:], want, strict=True):
            np.testing.assert_allclose(got, each, rtol=1e-9, atol=1e-12)


@given(
    st.integers(2, 5), st.integers(4, 7), st.sampled_from([*MOVED, flat_with_bias_of_places]), st.floats(0, 1)
)
def test_of_any_size(b: int, t: int, f: Callable[..., Any], share: float) -> None:
    args = drawn(b, t)
    with jax.enable_x64(True):
        before = gradient(f, args)
        assert_same(before, moved(before, share * 8 * b * t * 50), args)


def test_logits_that_are_needed_are_not_computed_twice() -> None:
    def f(h: Any, w: Any, b: Any, y: Any) -> Any:
        logits = h @ w
        return _cross_entropy(logits.reshape(-1, w.shape[1]), y.reshape(-1)), logits

    args = drawn()
    with jax.enable_x64(True):
        before = optimize(tr.trace(f)(*args), BEFORE)
        after = moved(before, LEAST / 4)
        assert [e.op.name for e in after.eqns].count("dot_general") == 1
        assert_same(before, after, args)


def test_axes_that_are_split_between_operands_stay() -> None:
    """Rows of one operand and columns of the other are no dimensions of one."""
    rng = np.random.default_rng(0)
    args = rng.normal(size=(30, 3)), rng.normal(size=(3, 40))
    f = lambda x, y: tnp.sum(tnp.sin((x @ y).reshape(-1)) * tnp.arange(1200))
    with jax.enable_x64(True):
        before = optimize(tr.trace(tr.grad(f, argnums=(0, 1)))(*args), BEFORE)
        assert_same(before, moved(before, 1000.0), args)


def test_small_programs_are_left_as_they_are() -> None:
    before = gradient(flat, drawn())
    assert moved(before, 1e9) is before
