"""Elements that windows select are found by comparisons on CPUs, where no element is in two windows."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.machine import ACCELERATOR, answer
from ir.op import build
from ir.ops.windows import select_and_scatter_add, window_shape
from ir.types import TensorType, bf16, f32
from lowering.device import machine
from tests.ir.arrays import special
from tests.tracer.helpers import x64


def pooled_gradient(window: Any, strides: Any, padding: Any = "VALID") -> Any:
    return tr.jit(tr.grad(lambda x: tnp.sum(tnp.sin(tr.nn.max_pool(x, window, strides, padding)))))


def is_scattered(f: Any, x: Any) -> bool:
    return "select_and_scatter" in f.lower(x).as_text()


@pytest.mark.parametrize(
    ("window", "strides", "padding", "scattered"),
    [
        ((2, 2), (2, 2), "VALID", False),
        ((2, 3), (2, 3), "SAME", False),
        ((4, 4), (4, 4), ((1, 2), (0, 3)), False),
        ((3, 3), (2, 2), "VALID", True),  # overlapping
        ((1, 2), (2, 2), "VALID", True),  # with gaps
        ((5, 5), (5, 5), "VALID", True),  # many elements
    ],
)
def test_gradients_are_those_of_jax(window: Any, strides: Any, padding: Any, scattered: bool) -> None:
    x = np.random.default_rng(0).standard_normal((2, 11, 10, 3)).astype(np.float32)

    def loss(x: Any) -> Any:
        pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
        out = lax.reduce_window(x, -jnp.inf, lax.max, (1, *window, 1), (1, *strides, 1), pads)
        return jnp.sum(jnp.sin(out))

    ours = pooled_gradient(window, strides, padding)
    assert is_scattered(ours, x) == scattered
    # Windows of padding alone do not occur, so that all numbers are finite.
    np.testing.assert_allclose(ours(x), jax.grad(loss)(x), rtol=1e-6)


def test_accelerators_scatter() -> None:
    x = np.ones((1, 4, 4, 1), np.float32)
    answer(lambda: ACCELERATOR)
    try:
        assert is_scattered(pooled_gradient((2, 2), (2, 2)), x)
    finally:
        answer(machine)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.data())
def test_selects_as_the_reference_does(data: Any) -> None:
    """Special values, equal elements and both signs of padding included."""
    rank = data.draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.integers(low, high)) for _ in range(rank))

    size, dtype = each(1, 3), data.draw(st.sampled_from([f32, bf16]))
    if np.prod(size) > 16:
        size = (*size[:-1], 1)
    x_type = TensorType(each(2, 6), dtype)
    window = {
        "window_dimensions": size,
        "window_strides": size,
        "padding": tuple(zip(each(-1, 2), each(-1, 2), strict=True)),
    }
    source_type = x_type.with_shape(window_shape("test", x_type, **window))
    select = data.draw(st.sampled_from(["ge", "le"]))
    function = build(
        (source_type, x_type), lambda s, x: select_and_scatter_add(s, x, select=select, **window), "fn"
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = special(rng, x_type.shape, np.dtype(dtype.np).name)
    source = np.asarray(rng.standard_normal(source_type.shape), dtype.np)
    lowered = jax.jit(tr.to_jax(function)).lower(source, x)
    assert ("select_and_scatter" in lowered.as_text()) == (0 in source_type.shape)
    (got,), (want,) = lowered.compile()(source, x), ir.evaluate(function, source, x)
    np.testing.assert_array_equal(np.asarray(got, np.float32), np.asarray(want, np.float32))


def test_derivatives_to_second_order_and_batches() -> None:
    with x64():
        x = np.random.default_rng(1).standard_normal((2, 4, 6, 2))
        gradient = pooled_gradient((2, 2), (2, 2))
        v = np.cos(np.arange(x.size)).reshape(x.shape)
        steps = [np.asarray(gradient(x + h * v)) for h in (1e-6, -1e-6)]
        want = (steps[0] - steps[1]) / 2e-6
        for product in (
            tr.jvp(gradient, (x,), (v,))[1],
            tr.vjp(gradient, x)[1](v)[0],
            jax.jvp(gradient, (x,), (v,))[1],  # from outside: through what was emitted
            jax.vjp(gradient, x)[1](v)[0],
        ):
            np.testing.assert_allclose(product, want, rtol=1e-5, atol=1e-8)
        batch = np.stack([x, 2 * x, -x])
        for k, row in itertools.product(range(3), [tr.vmap(gradient)(batch), jax.vmap(gradient)(batch)]):
            np.testing.assert_allclose(row[k], gradient(batch[k]), rtol=1e-12)
