"""Products of rows that are chosen or repeated: of what they come from, where that is less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, Value
from ir.cost import flops
from ir.machine import ACCELERATOR, CPU, Machine
from ir.op import build
from ir.ops.contraction import dot_general
from ir.ops.indexing import gather
from ir.ops.shape import broadcast_in_dim
from ir.passes.products import blocks, multiply_blocks, multiply_rows
from ir.types import TensorType, f64, i32
from tests.tracer.helpers import x64

NODES, EDGES, WIDTH, OUT = 6, 50, 4, 3
RNG = np.random.default_rng(0)
H = RNG.normal(size=(NODES, WIDTH))
W = RNG.normal(size=(2 * WIDTH + 1, OUT))
LENGTH = RNG.normal(size=(EDGES, 1))
FROM, TO = RNG.integers(0, NODES, (2, EDGES))
# Operations are all that takes time.
EAGER = Machine(flops=1e3, bandwidth=1e12, launch=0.0)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "current", lambda: EAGER)


# Name: program of nodes and weights, and whether rows are multiplied before they are chosen.
PROGRAMS: dict[str, tuple[Callable[[Any, Any, Any], Any], bool]] = {
    "rows": (lambda xp, h, w: h[FROM] @ w[:WIDTH], True),
    "rows on the right": (lambda xp, h, w: w[:WIDTH].T @ h[FROM].T, True),
    "columns": (lambda xp, h, w: w[:WIDTH].T @ h.T[:, FROM], True),
    "messages": (lambda xp, h, w: xp.concatenate([h[FROM], h[TO], LENGTH], axis=-1) @ w, True),
    "an index of two axes": (lambda xp, h, w: h[FROM.reshape(5, 10)] @ w[:WIDTH], True),
    "clipped": (lambda xp, h, w: xp.take(h, FROM + 2, axis=0, mode="clip") @ w[:WIDTH], True),
    "with nan for what is outside": (lambda xp, h, w: xp.take(h, FROM + 2, axis=0, mode="fill") @ w[:WIDTH], True),
    "with zeros for what is outside": (
        lambda xp, h, w: xp.take(h, FROM + 2, axis=0, mode="fill", fill_value=0.0) @ w[:WIDTH], True
    ),
    "repeated": (lambda xp, h, w: xp.broadcast_to(h[:, None], (NODES, 9, WIDTH)) @ w[:WIDTH], True),
    "repeated beside others": (
        lambda xp, h, w: xp.concatenate([xp.broadcast_to(h[0], (EDGES, WIDTH)), h[TO], LENGTH], 1) @ w, True
    ),
    "repeated along two axes": (
        lambda xp, h, w: xp.broadcast_to(h[:, None, :, None], (NODES, 9, WIDTH, 5)).swapaxes(2, 3) @ w[:WIDTH], True
    ),
    "filled with ones": (
        lambda xp, h, w: xp.take(h, FROM + 2, axis=0, mode="fill", fill_value=1.0) @ w[:WIDTH], False
    ),
    "what is summed over": (lambda xp, h, w: h[FROM].T @ xp.broadcast_to(w[0], (EDGES, OUT)), False),
    "few rows": (lambda xp, h, w: h[FROM[:2]] @ w[:WIDTH], False),
    "elements": (lambda xp, h, w: h[FROM, FROM % WIDTH] @ xp.broadcast_to(w[0], (EDGES, OUT)), False),
}  # fmt: skip


def longest(function: Function) -> int:
    """Rows of the longest matrix that is multiplied and has as many columns as nodes have."""
    products = [e for e in function.eqns if e.op is dot_general]
    return max(
        (v.type.size // WIDTH for e in products for v in e.operands if WIDTH in v.type.shape), default=0
    )


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_are_multiplied_before(name: str) -> None:
    f, is_before = PROGRAMS[name]
    with x64():
        before = tr.trace(lambda h, w: f(tnp, h, w))(H, W)
        want = f(jnp, H, W)
        for each in (multiply_blocks, multiply_rows):
            after = each(before)
            ir.verify(after)
            (got,) = ir.evaluate(after, H, W)
            np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-11)
            assert (flops(after) < 0.6 * flops(before)) == is_before
            assert is_before or after is before


@pytest.mark.parametrize("name", PROGRAMS)
def test_derivatives(name: str) -> None:
    f = PROGRAMS[name][0]
    with x64():
        ours = lambda h, w: tnp.sum(tnp.sin(tnp.nan_to_num(f(tnp, h, w))))
        theirs = lambda h, w: jnp.sum(jnp.sin(jnp.nan_to_num(f(jnp, h, w))))
        for lib in (tr.jit(tr.grad(ours, (0, 1))), tr.grad(ours, (0, 1))):
            for got, want in zip(lib(H, W), jax.grad(theirs, (0, 1))(H, W), strict=True):
                np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_any_axes(seed: int) -> None:
    """A table of some axes, rows of it along any, and a product over any other, from either side."""
    rng = np.random.default_rng(seed)
    rank, side = int(rng.integers(2, 5)), int(rng.integers(2))
    shape = tuple(int(n) for n in rng.integers(1, 4, rank))
    axis, *others = (int(d) for d in rng.permutation(rank))
    index_shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 3)))
    is_repeated = bool(rng.integers(2))
    # The rows: the index in place of the axis, or repetition before it.
    own = (7,) if is_repeated else index_shape
    rows = shape[:axis] + own + (shape[axis:] if is_repeated else shape[axis + 1 :])
    at = {d: d if d < axis else d + len(own) - (0 if is_repeated else 1) for d in range(rank)}
    has_batch = len(others) > 1 and bool(rng.integers(2))
    summed, batch = others[0], others[1] if has_batch else None
    weights = (shape[summed], *((shape[batch],) if batch is not None else ()), 2)
    mine = {"contract": (at[summed],), "batch": () if batch is None else (at[batch],)}
    theirs = {"contract": (0,), "batch": () if batch is None else (1,)}
    names = ("lhs", "rhs") if side == 0 else ("rhs", "lhs")
    attrs = {f"{n}_{k}": v for n, dims in zip(names, (mine, theirs), strict=True) for k, v in dims.items()}

    def f(x: Value, w: Value, index: Value) -> Any:
        if is_repeated:
            made = broadcast_in_dim(x, shape=rows, dims=tuple(at[d] for d in range(rank)))
        else:
            made = gather(
                x, index, offset_dims=tuple(at[d] for d in range(rank) if d != axis), collapsed_slice_dims=(axis,),
                start_index_map=(axis,), slice_sizes=tuple(1 if d == axis else n for d, n in enumerate(shape)),
                mode="clip",
            )  # fmt: skip
        return dot_general(*((made, w) if side == 0 else (w, made)), **attrs)

    types = [TensorType(shape, f64), TensorType(weights, f64), TensorType((*index_shape, 1), i32)]
    before = build(types, f)
    args = (
        rng.normal(size=shape),
        rng.normal(size=weights),
        rng.integers(0, 4, (*index_shape, 1)).astype(np.int32),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "current", lambda: EAGER)
        after = multiply_blocks(before)
    ir.verify(after)
    taken, there = np.prod(rows), np.prod(shape)
    assert (after is not before) == bool(0.9 * taken > there)
    for got, want in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("machine", [CPU, ACCELERATOR])
def test_the_model_decides(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages along 8 edges a node, and rows of a large table of which few are taken."""
    monkeypatch.setattr(blocks, "current", lambda: machine)
    f = lambda h, w, i: h[i] @ w
    array: Any = jax.ShapeDtypeStruct
    w, index = array((256, 256), np.float32), array((80_000,), np.int32)
    graph = tr.trace(f)(array((10_000, 256), np.float32), w, index)
    words = tr.trace(f)(array((400_000, 256), np.float32), w, index)
    assert flops(multiply_rows(graph)) < 0.2 * flops(graph)
    assert multiply_rows(words) is words


ALSO_READ = """
def f(a: f64[400,6], b: i32[6,1], c: f64[], x: f64[6]) -> (f64[2,6], f64[400]):
  d: f64[2,400] = broadcast_in_dim(c) {shape=(2, 400), dims=()}
  e: f64[400,6] = gather(a, b) {offset_dims=(0,), collapsed_slice_dims=(1,), start_index_map=(1,), slice_sizes=(400, 1)}
  f: f64[2,6] = dot_general(d, e) {lhs_contract=(1,), rhs_contract=(0,)}
  g: f64[400] = dot_general(e, x) {lhs_contract=(1,), rhs_contract=(0,)}
  return f, g
"""


def test_as_many_rows_that_are_there_are_multiplied() -> None:
    """They are chosen for another product, too, and what they are multiplied with is written either way."""
    function = ir.parse(ALSO_READ)
    assert multiply_blocks(function) is function


def test_a_step_of_message_passing_multiplies_nodes() -> None:
    """Forward and backward: products have rows for nodes, and none has rows for edges."""
    nodes, edges, width = 1000, 8000, 64
    rng = np.random.default_rng(0)
    h, w = rng.normal(size=(nodes, width)), rng.normal(size=(2 * width, width)) / width
    i, j = rng.integers(0, nodes, (2, edges))

    def loss(xp: Any, h: Any, w: Any) -> Any:
        m = xp.tanh(xp.concatenate([h[i], h[j]], axis=-1) @ w)
        return xp.sum(xp.zeros_like(h).at[j].add(m) ** 2)

    with x64():
        step = tr.jit(tr.grad(lambda h, w: loss(tnp, h, w), (0, 1)))
        for got, want in zip(step(h, w), jax.grad(lambda h, w: loss(jnp, h, w), (0, 1))(h, w), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
        program = step.stages(h, w)[-1][1]
        products = [e for e in program.eqns if e.op is dot_general]
        assert len(products) == 6
        assert all(edges not in v.type.shape for e in products for v in e.operands)


SQUARE, MANY = RNG.normal(size=(8, 8)), np.full(400, 1, np.int32)
OUTSIDE = np.where(np.arange(400) % 7 == 3, 999, MANY).astype(np.int32)
ODD: dict[str, Callable[[Any, Any], Any]] = {
    "integers, by default filled with the smallest": lambda t, w: (
        tnp.take(t.astype(np.int32), OUTSIDE, 0, mode="fill") @ w.astype(np.int32)
    ),
    "unsigned, the largest": lambda t, w: (
        tnp.abs(t).astype(np.uint8).at[OUTSIDE].get(mode="fill") @ tnp.abs(w).astype(np.uint8)
    ),
    "integers filled with zeros": lambda t, w: (
        t.astype(np.int32).at[OUTSIDE].get(mode="fill", fill_value=0) @ w.astype(np.int32)
    ),
    "complex": lambda t, w: t.astype(np.complex64).at[OUTSIDE].get(mode="fill", fill_value=0) @ w,
    "complex, by default": lambda t, w: t.astype(np.complex64).at[OUTSIDE].get(mode="fill") @ w,
    "zeros in half precision, a wider product": lambda t, w: tnp.matmul(
        t.astype(np.float16).at[OUTSIDE].get(mode="fill", fill_value=0), w.astype(np.float16),
        preferred_element_type=np.float32,
    ),
    "nan in half precision, a wider product": lambda t, w: tnp.matmul(
        t.astype(np.float16).at[OUTSIDE].get(mode="fill", fill_value=np.nan), w.astype(np.float16),
        preferred_element_type=np.float32,
    ),
    "no indices": lambda t, w: t[np.zeros(0, np.int32)] @ w,
    "no columns": lambda t, w: t[:, :0][MANY] @ w[:0],
    "repeated never": lambda t, w: tnp.broadcast_to(t[None], (0, 8, 8)) @ w,
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_fills_types_and_empty_arrays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "current", lambda: EAGER)
    f, (t, w) = ODD[name], (5 * SQUARE, 3 * SQUARE.T)
    got, want = tr.jit(lambda t, w: f(t, w))(t, w), tr.jit(lambda t, w: f(t, w), opt=0)(t, w)
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


def test_rows_that_are_not_chosen_have_no_part_in_derivatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be infinite: the exponential of row 0 is, which no index is."""
    monkeypatch.setattr(blocks, "current", lambda: EAGER)
    t = SQUARE.copy()
    t[0] = 1e4
    for mode, index in (("clip", MANY), ("fill", OUTSIDE), ("promise_in_bounds", MANY)):
        loss = lambda xp, t, w: xp.sum(xp.tanh(xp.take(xp.exp(t), index, 0, mode=mode, fill_value=0.0) @ w))
        if mode == "promise_in_bounds":
            loss = lambda xp, t, w: xp.sum(xp.tanh(xp.exp(t)[MANY] @ w))
        with x64():
            got = tr.jit(tr.grad(lambda t, w: loss(tnp, t, w), (0, 1)))(t, SQUARE)
            want: Any = jax.grad(lambda t, w: loss(jnp, t, w), (0, 1))(t, SQUARE)
            np.testing.assert_allclose(got[1], want[1], rtol=1e-9, atol=1e-12)
            # (The derivative of what is infinite is nan where its cotangent is zero, with or without rows chosen.)
            np.testing.assert_allclose(got[0][1:], want[0][1:], rtol=1e-9, atol=1e-12)
