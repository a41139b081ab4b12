"""Large arrays that loops stack for their derivatives, computed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function
from ir.machine import Machine
from ir.passes.again import computed_again
from ir.passes.pipeline import optimize, pipeline
from ir.remarks import remarks

# Arrays of 3200 bytes are large, and memory is slow.
SLOW = Machine(flops=1e12, bandwidth=1e6, launch=0.0, caches=((400, 2e7),))
QUICK = Machine(flops=1e3, bandwidth=1e12, launch=0.0, caches=((400, 2e7),))
PASSES = pipeline()
BEFORE = PASSES[: [p.__name__ for p in PASSES].index("compute_again")]


def layer(x: Any, w: Any) -> tuple[Any, None]:
    p = tr.nn.softmax((x @ w) @ x.T)
    return x + p @ x, None


def layers(x: Any, w: Any) -> Any:
    return tnp.sum(tr.scan(layer, x, w)[0] ** 2)


def backwards(x: Any, w: Any) -> Any:
    return tnp.sum(tr.scan(layer, x, w, reverse=True)[0] ** 2)


def of_a_carry(x: Any, w: Any) -> Any:
    def body(carry: Any, w: Any) -> Any:
        x, total = carry
        scores = tnp.exp(x @ w @ x.T / 9)
        return (tnp.tanh(scores @ x), total + tnp.sum(scores**2)), None

    (x, total), _ = tr.scan(body, (x, tnp.zeros((), x.dtype)), w)
    return tnp.sum(x) + total


def of_batches(x: Any, w: Any) -> Any:
    """Gradients of batches, added up."""
    body = lambda total, w: (total + tnp.mean(tr.nn.logsumexp(x @ w @ x.T, axis=-1)), None)
    return tr.scan(body, tnp.zeros((), x.dtype), w)[0]


PROGRAMS: list[Callable[..., Any]] = [layers, backwards, of_a_carry, of_batches]


def drawn() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 3)), rng.normal(size=(5, 3, 3)) / 3


def gradient(f: Callable[..., Any], args: Any) -> Function:
    return optimize(tr.trace(tr.value_and_grad(f, argnums=(0, 1)))(*args), BEFORE)


def largest(function: Function) -> int:
    """Bytes of the largest array outside loops."""
    return max(v.type.nbytes for eqn in function.eqns for v in eqn.results)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_no_large_array_is_stacked(f: Callable[..., Any]) -> None:
    args = drawn()
    with jax.enable_x64(True):
        before = gradient(f, args)
        with remarks() as said:
            after = computed_again(before, SLOW)
        ir.verify(after)
        assert largest(before) >= 5 * 40 * 40 * 8
        assert largest(after) < 40 * 40 * 8, after
        assert [each.by for each in said] == ["compute_again"]
        for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
        numbers = tr.grad(lambda s: f(args[0] + s * np.cos(args[0]), args[1]))(0.0)
        at = lambda s: float(f(args[0] + s * np.cos(args[0]), args[1]))
        np.testing.assert_allclose(numbers, (at(1e-5) - at(-1e-5)) / 2e-5, rtol=1e-5)


def test_what_takes_longer_is_stacked() -> None:
    before = gradient(layers, drawn())
    assert computed_again(before, QUICK) is before


def test_what_is_a_result_is_stacked() -> None:
    def f(x: Any, w: Any) -> Any:
        def body(x: Any, w: Any) -> Any:
            p = tr.nn.softmax((x @ w) @ x.T)
            return x + p @ x, p

        x, weights = tr.scan(body, x, w)
        return tnp.sum(x**2), weights

    args = drawn()
    with jax.enable_x64(True):
        before = optimize(tr.trace(tr.value_and_grad(f, argnums=(0, 1), has_aux=True))(*args), BEFORE)
        after = computed_again(before, SLOW)
        ir.verify(after)
        for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_second_derivatives() -> None:
    args = drawn()
    with jax.enable_x64(True):
        f = lambda x, w: tr.hvp(lambda x: layers(x, w), (x,), (tnp.cos(x),))
        before = optimize(tr.trace(f)(*args), BEFORE)
        after = computed_again(before, SLOW)
        ir.verify(after)
        for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def chain(x: Any, w: Any) -> Any:
    """A loop that stacks for a second, which stacks for a third."""

    def first(c: Any, w: Any) -> tuple[Any, Any]:
        scores = tnp.exp(c @ w @ x.T / 9)
        return tnp.tanh(scores @ c), scores

    def second(c: Any, s: Any) -> tuple[Any, Any]:
        u = tnp.sin(s * s) + tnp.outer(c[:, 0], c[:, 1])
        return tnp.tanh(c + u @ x), u

    c, scores = tr.scan(first, x, w)
    c, others = tr.scan(second, c, scores)
    return tr.scan(lambda c, u: (tnp.tanh(c + u @ x), None), c, others)[0]


REVERSE: dict[str, Callable[..., Any]] = {
    "chain": chain,
    "its gradient": tr.grad(lambda x, w: tnp.sum(chain(x, w) ** 2)),
    "second by the first argument": tr.grad(lambda x, w: tnp.sum(tr.grad(layers)(x, w) * tnp.cos(x))),
    "second by the second": tr.grad(lambda x, w: tnp.sum(tr.grad(layers, 1)(x, w) * tnp.cos(w)), 1),
    "third": tr.grad(
        lambda x, w: tnp.sum(tr.grad(lambda x: tnp.sum(tr.grad(layers)(x, w) * tnp.cos(x)))(x) ** 2)
    ),
}


@pytest.mark.parametrize("name", REVERSE)
def test_loops_that_stack_for_loops_that_stack(name: str) -> None:
    args = drawn()
    with jax.enable_x64(True):
        before = optimize(tr.trace(REVERSE[name])(*args), BEFORE)
        with remarks() as said:
            after = computed_again(before, SLOW)
        ir.verify(after)
        assert len(said) > 1
        for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)


def test_a_loop_without_results_is_left() -> None:
    """One that only checks, say."""

    def f(x: Any, w: Any) -> Any:
        def body(c: Any, w: Any) -> tuple[tuple[()], None]:
            tr.check(tnp.all(w < 100), "small")
            return (), None

        tr.scan(body, (), w)
        return layers(x, w)

    args = drawn()
    with jax.enable_x64(True):
        before = optimize(tr.trace(tr.grad(f))(*args), BEFORE)
        assert any(not e.results for e in before.eqns if e.op.name == "scan")
        ir.verify(computed_again(before, SLOW))
