"""Random bits that are made of positions, so that blocks of them can be made."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, inner_first
from ir.machine import Machine
from ir.passes.blocking import blocked
from ir.passes.blocking.bits import counted
from ir.passes.dce import dce
from ir.passes.pipeline import optimize, pipeline
from lowering.device import machine

SLOW = Machine(flops=1e12, bandwidth=1e6, launch=0.0, caches=((4000, 2e7),))
PASSES = pipeline()
BEFORE = PASSES[: [p.__name__ for p in PASSES].index("block")]


def names(function: Function) -> set[str]:
    return {eqn.op.name for each in inner_first(function) for eqn in each.eqns}


@pytest.mark.parametrize("width", [8, 16, 32, 64])
@pytest.mark.parametrize("shape", [(), (7,), (3, 1, 5), (2, 3, 4)])
def test_bits_are_those_of_jax(width: int, shape: tuple[int, ...]) -> None:
    with jax.enable_x64(True):
        key = jax.random.key(7)
        function = tr.trace(lambda k: tr.random.bits(k, shape, f"uint{width}"))(key)
        after = counted(function, 0.0)
        ir.verify(after)
        assert "random_bits" not in names(after)
        (got,) = jax.tree.leaves(tr.to_jax(after)(key))
        np.testing.assert_array_equal(got, jax.random.bits(key, shape, f"uint{width}"))


def test_a_batch_of_keys() -> None:
    keys = jax.random.split(jax.random.key(3), 4)
    function = tr.trace(tr.vmap(lambda k: tr.random.bits(k, (5, 6))))(keys)
    after = counted(function, 0.0)
    ir.verify(after)
    (got,) = jax.tree.leaves(tr.to_jax(after)(keys))
    np.testing.assert_array_equal(got, jax.vmap(lambda k: jax.random.bits(k, (5, 6)))(keys))


def test_other_keys_are_left() -> None:
    function = tr.trace(lambda k: tr.random.bits(k, (50,)))(jax.random.key(0, impl="rbg"))
    assert counted(function, 0.0) is function


def test_bits_of_another_kind_are_left() -> None:
    assert machine().counted_bits
    with jax.threefry_partitionable(False):
        assert not machine().counted_bits


def test_dropout_runs_in_blocks() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 96, 4)).astype(np.float32) for _ in range(3))
    key = jax.random.key(1)

    def f(xp: Any, nn: Any, random: Any, key: Any, q: Any, k: Any, v: Any) -> Any:
        p = nn.softmax(q @ xp.swapaxes(k, -1, -2))
        return xp.mean((xp.where(random.bernoulli(key, 0.8, p.shape), p / 0.8, 0) @ v) ** 2)

    ours = tr.grad(lambda *xs: f(tnp, tr.nn, tr.random, *xs), argnums=(1, 2, 3))
    theirs = jax.grad(lambda *xs: f(jnp, jax.nn, jax.random, *xs), argnums=(1, 2, 3))
    after = dce(blocked(optimize(tr.trace(ours)(key, q, k, v), BEFORE), SLOW))
    ir.verify(after)
    assert max(v.type.size for each in inner_first(after) for e in each.eqns for v in e.results) < 96 * 96 / 2
    for got, want in zip(tr.to_jax(after)(key, q, k, v), theirs(key, q, k, v), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)
