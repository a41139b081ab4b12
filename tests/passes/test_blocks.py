"""Products of matrices put together from blocks: block by block where that is quicker, and equal to the products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function
from ir.machine import Machine
from ir.passes.cse import cse
from ir.passes.fold import fold
from ir.passes.products import blocks, multiply_blocks
from ir.passes.simplify import simplify
from tests.tracer.helpers import assert_close, x64

N = 40
RNG = np.random.default_rng(0)
A, B, C, D = RNG.normal(size=(4, N, N))
X, Y = RNG.normal(size=(2, N))
# Nothing takes time but bytes and operations: every block of zeros counts.
EAGER = Machine(flops=1e6, bandwidth=1e6, launch=0.0)


def zeros(xp: Any, *shape: int) -> Any:
    return xp.zeros(shape or (N, N), np.float64)


# Name: program of A to D, X and Y; and the products of blocks that are left.
PROGRAMS: dict[str, tuple[Callable[..., Any], int]] = {
    "columns and a vector": (
        lambda xp, a, b, c, d, x, y: xp.concatenate([a, b], 1) @ xp.concatenate([x, y]),
        2,
    ),
    "diagonal blocks": (
        lambda xp, a, b, c, d, x, y: xp.block([[a, zeros(xp)], [zeros(xp), b]]) @ xp.concatenate([c, d]),
        2,
    ),
    "triangular blocks": (
        lambda xp, a, b, c, d, x, y: xp.block([[a, b], [zeros(xp), c]]) @ xp.concatenate([d, a]),
        3,
    ),
    "on the right": (
        lambda xp, a, b, c, d, x, y: xp.concatenate([c, d], 1) @ xp.block([[a, zeros(xp)], [b, zeros(xp)]]),
        2,
    ),
    "two by two blocks": (
        lambda xp, a, b, c, d, x, y: (
            xp.block([[a, zeros(xp)], [zeros(xp), b]]) @ xp.block([[c, zeros(xp)], [zeros(xp), d]])
        ),
        2,
    ),
    "zeros below": (lambda xp, a, b, c, d, x, y: xp.concatenate([a, zeros(xp)]) @ b, 1),
    "transposed": (
        lambda xp, a, b, c, d, x, y: xp.block([[a, zeros(xp)], [zeros(xp), b]]).T @ xp.concatenate([x, y]),
        2,
    ),
}


def products(function: Function) -> int:
    return sum(e.op.name == "dot_general" for e in function.eqns)


@pytest.mark.parametrize("name", PROGRAMS)
def test_block_by_block(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    f, count = PROGRAMS[name]
    args = (A, B, C, D, X, Y)
    with x64():
        before = simplify(fold(cse(tr.trace(lambda *args: f(tnp, *args))(*args))))
        monkeypatch.setattr(blocks, "current", lambda: EAGER)
        after = multiply_blocks(before)
        ir.verify(after)
        assert products(after) == count and ir.flops(after) < ir.flops(before) + 4 * N * N
        want = f(np, *args)
        assert_close(ir.evaluate(after, *args)[0], want, 1e-12)
        got = jax.tree_util.tree_leaves(
            tr.jit(tr.grad(lambda *args: tnp.sum(tnp.sin(f(tnp, *args))), tuple(range(6))))(*args)
        )
        by_jax = jax.grad(lambda *args: jnp.sum(jnp.sin(f(jnp, *args))), tuple(range(6)))(
            *map(jnp.asarray, args)
        )
        for p, q in zip(got, by_jax, strict=True):
            assert_close(p, q, 1e-10)


def test_small_ones_stay() -> None:
    """What a program of some products more takes to start is more than what the copies take."""
    a, x = A[:4, :4], X[:4]
    before = tr.trace(lambda a, x: tnp.concatenate([a, a + 1.0], 1) @ tnp.concatenate([x, x]))(a, x)
    assert multiply_blocks(before) is before


def test_what_others_read_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A concatenation that is there anyway is multiplied whole."""
    monkeypatch.setattr(blocks, "current", lambda: EAGER)
    before = tr.trace(lambda a, b, x: (lambda m: (m @ x, m))(tnp.concatenate([a, b])))(A, B, X)
    assert multiply_blocks(before) is before


@given(st.data())
def test_random_blocks(data: st.DataObject) -> None:
    """Matrices of random blocks, zeros among them, and batches of them."""
    sizes = st.lists(st.integers(1, 4), min_size=1, max_size=3)
    rows, inner, columns = (data.draw(sizes) for _ in range(3))
    other = data.draw(st.sampled_from([inner, [sum(inner)]]))
    batch = data.draw(st.sampled_from([(), (2,)]))
    shapes = (
        [[(*batch, r, k) for k in inner] for r in rows],
        [[(*batch, k, c) for c in columns] for k in other],
    )
    is_zero = [[[data.draw(st.booleans()) for _ in line] for line in part] for part in shapes]
    rng = np.random.default_rng(0)
    arrays = [[[rng.normal(size=s) for s in line] for line in part] for part in shapes]

    def program(xp: Any, arrays: Any) -> Any:
        parts = [
            xp.concatenate(
                [
                    xp.concatenate(
                        [xp.zeros(v.shape) if z else v for v, z in zip(line, zero, strict=True)], -1
                    )
                    for line, zero in zip(part, zeros, strict=True)
                ],
                -2,
            )
            for part, zeros in zip(arrays, is_zero, strict=True)
        ]
        return xp.matmul(*parts)

    with x64(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "current", lambda: EAGER)
        before = fold(cse(tr.trace(lambda arrays: program(tnp, arrays))(arrays)))
        after = multiply_blocks(before)
        ir.verify(after)
        leaves = jax.tree_util.tree_leaves(arrays)
        assert_close(ir.evaluate(after, *leaves)[0], program(np, arrays), 1e-12)


def test_sums_of_half_precision_are_rounded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "current", lambda: EAGER)
    rng = np.random.default_rng(1)
    a, b, x = (jnp.asarray(rng.normal(size=(N, N)), jnp.bfloat16) for _ in range(3))
    f = lambda a, b, x: tnp.concatenate([a, b], 1) @ tnp.concatenate([x, x])
    before = simplify(fold(cse(tr.trace(f)(a, b, x))))
    assert multiply_blocks(before) is before
