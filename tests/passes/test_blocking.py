"""Parts of programs in blocks: every axis of every op, every plan of whole programs, and what becomes of attention."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ir
import ir.passes.blocking.plan as plan_module
import tracer as tr
import tracer.numpy as tnp
from ir.core import Function, Value, inner_first
from ir.machine import CPU, Machine
from ir.op import build
from ir.ops.elementwise import add
from ir.ops.random import threefry2x32
from ir.ops.scatter import scatter_add
from ir.passes.blocking import blocked
from ir.passes.blocking.axes import Axis, axes
from ir.passes.blocking.loops import written
from ir.passes.blocking.region import Program, Region, regions
from ir.passes.dce import dce
from ir.passes.pipeline import optimize, pipeline
from ir.passes.squeeze import squeeze_inside
from ir.remarks import remarks
from ir.types import TensorType, f32, u32
from tests.ops.harness import BY_NAME, as_tuple, case, primary
from tests.passes.test_products import programs

# Memory so slow, and a cache so small, that everything is worth a loop.
SLOW = Machine(flops=1e12, bandwidth=1e6, launch=0.0, caches=((4000, 2e7),))
TINY = Machine(flops=1e12, bandwidth=1e3, launch=0.0, caches=((16, 2e7),))


# Axes of ops -----------------------------------------------------------------------------------------------


def _taken(x: Any, dim: int | None, at: slice) -> Any:
    return x if dim is None else x[(slice(None),) * dim + (at,)]


BLOCKED = [name for name in BY_NAME if axes(case(name, primary(name)).function.eqns[-1])]
JOINS: dict[str, Callable[..., Any]] = {
    "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum,
    "and": np.bitwise_and, "or": np.bitwise_or,
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKED)
def test_blocks_of_an_op_are_those_of_its_result(name: str) -> None:
    c = case(name, primary(name))
    (eqn,) = c.function.eqns
    whole = as_tuple(ir.evaluate(c.function, *c.operands))
    for axis in axes(eqn):
        size = _size(eqn, axis)
        # What a scatter adds to counts once.
        again = (np.zeros_like(c.operands[0]), *c.operands[1:]) if eqn.op is scatter_add else c.operands
        if axis.combine is None:
            again = c.operands
        parts = [
            _evaluated(eqn, axis, operands, slice(a, b))
            for operands, a, b in ((c.operands, 0, size // 2), (again, size // 2, size))
        ]
        for k, (want, d) in enumerate(zip(whole, axis.results, strict=True)):
            if d is None:
                assert axis.combine is not None
                got = JOINS[axis.combine.name](parts[0][k], parts[1][k])
            else:
                got = np.concatenate([p[k] for p in parts], d)
            assert got.dtype == want.dtype
            np.testing.assert_allclose(
                got.astype(np.complex128),
                want.astype(np.complex128),
                rtol=1e-3 if want.itemsize < 8 else 1e-10,
            )


def _size(eqn: ir.Eqn, axis: Axis) -> int:
    pairs = zip((*eqn.operands, *eqn.results), (*axis.operands, *axis.results), strict=True)
    (size,) = {v.type.shape[d] for v, d in pairs if d is not None}
    return size


def _evaluated(eqn: ir.Eqn, axis: Axis, operands: Any, at: slice) -> tuple[Any, ...]:
    count = at.stop - at.start
    attrs = eqn.attrs if axis.resized is None else axis.resized(count)
    taken = [_taken(x, d, at) for x, d in zip(operands, axis.operands, strict=True)]
    types = []
    for v, d in zip(eqn.operands, axis.operands, strict=True):
        shape = list(v.type.shape)
        if d is not None:
            shape[d] = count
        types.append(v.type.with_shape(tuple(shape)))
    out = as_tuple(ir.evaluate(build(types, lambda *xs: eqn.op(*xs, **attrs)), *taken))
    return tuple([x + np.asarray(at.start, x.dtype) for x in out]) if axis.counts else out


def test_most_ops_have_axes() -> None:
    assert len({BY_NAME[name].op for name in BLOCKED}) > 90


# Whole programs --------------------------------------------------------------------------------------------


def plans(function: Function) -> Iterator[tuple[Program, Region]]:
    """All ways to part a function at one of its largest arrays."""
    program = Program(function)
    computed = sorted(program.definitions, key=lambda v: -v.type.size)
    for seed in computed[:2]:
        for region in regions(program, seed):
            yield program, region


def assert_equal(before: Function, after: Function, args: Any, tol: float = 1e-9) -> None:
    ir.verify(after)
    for a, b in zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True):
        assert a.dtype == b.dtype
        finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind in "fc" else np.zeros(0)
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol * (1 + np.max(finite, initial=0)))


def check_all_plans(function: Function, args: Any, tol: float = 1e-9) -> int:
    count = 0
    for program, region in plans(function):
        for block in sorted({1, 2, 3, region.size - 1} - {0, region.size}):
            if block < region.size:
                assert_equal(function, dce(written(program, region, block, squeeze_inside)), args, tol)
                count += 1
    return count


@given(programs())
def test_every_plan_of_random_programs(program: Any) -> None:
    f, args = program
    total = lambda *args: f(*args)[1]
    with jax.enable_x64(True):
        for each in (f, tr.grad(total, argnums=tuple(range(len(args))))):
            function = optimize(tr.trace(each)(*args), pipeline()[:-1])
            check_all_plans(function, args, 1e-8)
            assert_equal(function, blocked(function, TINY), args, 1e-8)


@given(programs())
def test_squeezed_programs_are_equal(program: Any) -> None:
    f, args = program
    thin = [np.expand_dims(x, (0, x.ndim + 1)) if x.ndim else x for x in args]
    g = lambda *xs: f(*[x.reshape(x.shape[1:-1]) if x.ndim else x for x in xs])[1]
    with jax.enable_x64(True):
        before = optimize(tr.trace(tr.grad(g, argnums=tuple(range(len(args)))))(*thin))
        assert_equal(before, squeeze_inside(before), thin, 1e-8)


def _largest(function: Function) -> int:
    """Elements of the largest array that any equation makes."""
    return max(v.type.size for each in inner_first(function) for eqn in each.eqns for v in eqn.results)


def softmax(s: Any) -> Any:
    e = tnp.exp(s - tnp.max(s, axis=-1, keepdims=True))
    return e / tnp.sum(e, axis=-1, keepdims=True)


def einsum(q: Any, k: Any, v: Any) -> Any:
    s = tnp.einsum("bhqd,bhkd->bhqk", q, k) / np.sqrt(q.shape[-1])
    return tnp.einsum("bhqk,bhkd->bhqd", tr.nn.softmax(s, axis=-1), v)


def by_hand(q: Any, k: Any, v: Any) -> Any:
    return softmax((q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)) @ v


def causal(q: Any, k: Any, v: Any) -> Any:
    t = q.shape[-2]
    s = q @ tnp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5
    return tr.nn.softmax(tnp.where(tnp.tril(tnp.ones((t, t), dtype=bool)), s, -1e9), axis=-1) @ v


def grouped(q: Any, k: Any, v: Any) -> Any:
    """Two heads of queries to one of keys."""
    s = tnp.einsum("bghqd,bhkd->bghqk", q.reshape(q.shape[0], 2, -1, *q.shape[2:]), k[:, ::2])
    o = tnp.einsum("bghqk,bhkd->bghqd", tr.nn.softmax(s), v[:, ::2])
    return o.reshape(q.shape)


def self_attention(q: Any, k: Any, v: Any) -> Any:
    """Queries and keys are rows of one array."""
    return tr.nn.softmax(q @ q.swapaxes(-1, -2) + k[..., :1]) @ v


def projected(q: Any, k: Any, v: Any) -> Any:
    """What comes after mixes rows, so that the way back needs loops of its own."""
    return tnp.cumsum(causal(q, k, v), axis=-2) @ k[0, 0, :4].T


ATTENTION = [einsum, by_hand, causal, grouped, self_attention, projected]


def test_squeezed_equations_of_several_results() -> None:
    words = np.random.default_rng(0).integers(0, 1 << 32, (4, 1, 5, 1), dtype=np.uint32)
    types = [TensorType((1, 5, 1), u32)] * 4
    before = build(types, lambda *xs: threefry2x32(*[add(x, x) for x in xs]))
    after = squeeze_inside(before)
    assert_equal(before, after, tuple(words))
    assert all(v.type.shape == (5,) for e in after.eqns if e.op is threefry2x32 for v in e.results)


@pytest.mark.parametrize("f", ATTENTION, ids=lambda f: f.__name__)
def test_every_plan_of_attention(f: Any) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 2, 41, 4)) for _ in range(3))
    with jax.enable_x64(True):
        for each in (f, tr.grad(lambda *xs: tnp.mean(f(*xs) ** 2), argnums=(0, 1, 2))):
            function = optimize(tr.trace(each)(q, k, v), pipeline()[:-1])
            assert check_all_plans(function, (q, k, v)) > 4


@pytest.mark.parametrize("f", ATTENTION, ids=lambda f: f.__name__)
def test_no_array_of_all_scores_is_left(f: Any) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 2, 96, 4)).astype(np.float32) for _ in range(3))
    gradient = tr.grad(lambda *xs: tnp.mean(f(*xs) ** 2), argnums=(0, 1, 2))
    before = optimize(tr.trace(gradient)(q, k, v))
    after = dce(blocked(before, SLOW))
    assert _largest(before) >= 2 * 96 * 96
    assert _largest(after) < 96 * 96 / 2, after
    assert_equal(before, after, (q, k, v), 2e-5)


def test_what_a_later_loop_needs_is_computed_again() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 2, 32, 4)).astype(np.float32) for _ in range(3))
    function = optimize(tr.trace(tr.grad(lambda *xs: tnp.sum(projected(*xs) ** 2)))(q, k, v))
    found = [r for _, r in plans(function) if r.size == 32 and not r.parallel]
    for region in found:
        computed = [eqn for loop in region.loops for eqn in loop.eqns]
        assert len(set(computed)) < len(computed)
    assert found
    # Row maxima and sums are kept, so that only the scores are computed twice.
    assert any(len([loop for loop in region.loops if loop.eqns]) == 2 for _, region in plans(function))


def test_sums_of_half_precision_are_rounded_once() -> None:
    x = jnp.asarray(np.random.default_rng(0).uniform(size=(512, 8)), jnp.bfloat16)
    function = tr.trace(lambda x: (tnp.exp(x).T @ x, tnp.sum(tnp.exp(x), 0)))(x)
    want = [np.exp(np.asarray(x, np.float64)).T @ np.asarray(x, np.float64)]
    for program, region in plans(function):
        if region.size == 512:
            after = dce(written(program, region, 1, lambda body: body))
            ir.verify(after)
            got = ir.evaluate(after, np.asarray(x))[0]
            np.testing.assert_allclose(np.asarray(got, np.float64), want[0], rtol=1e-2)
            return
    raise AssertionError("no region along the rows")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_blocks_scatter_is_added_up(dtype: str) -> None:
    """The gradient of a bias of positions, as it is and added to what is there."""
    rng = np.random.default_rng(0)
    x, table = (jnp.asarray(rng.uniform(size=n), dtype) for n in ((2, 48, 40), (2, 87)))
    places = lambda: tnp.arange(48)[:, None] - tnp.arange(40) + 39

    def f(x: Any, table: Any) -> Any:
        y, table = tnp.exp(x) * tnp.exp(-x / 2), tnp.asarray(table)
        return tnp.zeros_like(table).at[:, places()].add(y), table.at[:, places()].add(y)

    function = optimize(tr.trace(f)(x, table), pipeline()[:-5])
    args = [np.asarray(x), np.asarray(table)]
    want = [np.asarray(a, np.float64) for a in f(*[a.astype(np.float64) for a in args])]
    found = [(p, r) for p, r in plans(function) if r.size == 48]
    assert found
    for program, region in found:
        after = dce(written(program, region, 5, squeeze_inside))
        ir.verify(after)
        for a, b in zip(ir.evaluate(after, *args), want, strict=True):
            np.testing.assert_allclose(
                np.asarray(a, np.float64), b, rtol=1e-5 if dtype == "float32" else 2e-2
            )


def test_rows_of_a_batch_count_together() -> None:
    """A few tokens of each of several sentences are as good as many of one."""
    h, w = np.ones((4, 256, 256), np.float32), np.ones((256, 32000), np.float32)
    y = np.zeros((4, 256), np.int32)
    f = lambda h, w, y: -tnp.mean(tnp.take_along_axis(tr.nn.log_softmax(h @ w), y[..., None], -1))
    types = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in (h, w, y)]
    before = optimize(tr.trace(tr.grad(f, argnums=(0, 1)))(*types), pipeline()[:-6])
    assert _largest(blocked(before, CPU)) <= w.size < _largest(before)


def test_loops_that_wait_for_others_have_loops_inside() -> None:
    """Heads one after the other, each in blocks of rows, though the derivative has to wait for all heads."""
    q, w = jax.ShapeDtypeStruct((4, 4096, 64), np.float32), jax.ShapeDtypeStruct((4, 64, 64), np.float32)

    def f(q: Any, k: Any, v: Any, w: Any) -> Any:
        o = tr.nn.softmax(q @ k.swapaxes(-1, -2)) @ v
        return tnp.sum(tnp.tanh(tnp.einsum("htd,hde->te", o, w)))

    before = optimize(tr.trace(tr.grad(f, argnums=(0, 1, 2)))(q, q, q, w), pipeline()[:-6])
    assert _largest(blocked(before, CPU)) <= 4096 * 4 * 64


def test_effects_keep_their_order() -> None:
    seen: list[str] = []

    def f(x: Any) -> Any:
        s = tnp.exp(x[:, None] * x)
        jax.debug.callback(lambda _: seen.append("first"), tnp.sum(s), ordered=True)
        jax.debug.callback(lambda _: seen.append("second"), x[0], ordered=True)
        return tnp.sum(s @ s)

    x = np.linspace(0, 1, 16, dtype=np.float32)
    function = tr.trace(f)(x)
    after = blocked(function, SLOW)
    names = [eqn.source.line for eqn in after.eqns if eqn.op.effect]
    assert names == sorted(names)
    assert len(names) == 2
    tr.jit(f)(x)
    jax.effects_barrier()
    assert seen == ["first", "second"]


def test_small_programs_are_left_as_they_are() -> None:
    x = np.ones((64, 64), np.float32)
    function = optimize(tr.trace(tr.grad(lambda x: tnp.sum(tr.nn.softmax(x @ x) @ x)))(x))
    assert blocked(function, CPU) is function


def test_it_says_what_it_did() -> None:
    x = np.ones((128, 4), np.float32)
    function = optimize(tr.trace(lambda x: tr.nn.softmax(x @ x.T) @ x)(x))
    with remarks() as found:
        blocked(function, SLOW)
    assert found
    assert "in blocks of" in found[0].text
    assert "test_blocking" in str(found[0].source)


def test_what_cannot_be_parted_is_reduced() -> None:
    """A region of sums only, of arrays that come whole."""
    x = np.random.default_rng(0).normal(size=(64, 96)).astype(np.float32)
    for f in (lambda x: tnp.sum(tnp.cumsum(x, 0), 0), lambda x: tnp.max(tnp.sort(x, axis=0), 0)):
        before = tr.trace(f)(x)
        assert_equal(before, blocked(before, SLOW), (x,), 1e-5)


JOINED = {
    "uint8": "and or max min sum prod", "int8": "and or max min sum prod", "uint32": "and or max min sum prod",
    "float32": "max min sum prod", "bfloat16": "max min sum prod", "bool": "and or max min",
}  # fmt: skip


@pytest.mark.parametrize("dtype", JOINED)
def test_joins_of_every_type(dtype: str) -> None:
    x = np.asarray(jnp.asarray(np.random.default_rng(0).integers(0, 3, (90, 96)), dtype))
    for name in JOINED[dtype].split():
        reduction = ir.op.op_named(f"reduce_{name}")
        types = [TensorType(x.shape, ir.types.from_numpy(x.dtype))]
        function = build(types, lambda x, of=reduction: of(ir.ops.elementwise.max(x, x), axes=(0,)))
        (want,) = ir.evaluate(function, x)
        (found,) = [(p, r) for p, r in plans(function) if r.size == 90][:1]
        after = dce(written(*found, 32, lambda body: body))
        ir.verify(after)
        np.testing.assert_array_equal(ir.evaluate(after, x)[0], want)


def test_a_program_with_many_large_arrays_is_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers for which nothing is gained: plans are not made for each of their arrays."""
    counted: list[int] = []
    real = plan_module.regions

    def regions_of(*args: Any) -> Any:
        counted.append(1)
        return real(*args)

    monkeypatch.setattr(plan_module, "regions", regions_of)

    def loss(ws: Any, x: Any) -> Any:
        for w in ws:
            x = tnp.tanh(x @ w)
        return tnp.sum(x)

    ws = [np.broadcast_to(np.float32(0), (1024, 1024))] * 20
    x = np.broadcast_to(np.float32(0), (8192, 1024))
    function = optimize(tr.trace(tr.grad(loss))(ws, x), pipeline()[:-4])
    counted.clear()
    blocked(function, CPU)
    assert 0 < len(counted) < 10


def test_a_chain_of_large_arrays_takes_linear_time() -> None:
    def chain(n: int) -> Function:
        x = Value(TensorType((8, 8), f32), "x")

        def body(x: Value) -> Value:
            for _ in range(n):
                x = ir.ops.elementwise.exp(
                    ir.ops.contraction.dot_general(x, x, lhs_contract=(1,), rhs_contract=(0,))
                )
            return x

        return build([x.type], body)

    # Every product needs all rows of the last one: there is nothing to part, and it must be found out quickly.
    assert len(dce(blocked(chain(400), SLOW)).eqns) >= 400


@st.composite
def _sizes(draw: Any) -> tuple[int, int, int]:
    return draw(st.integers(2, 40)), draw(st.integers(1, 8)), draw(st.integers(1, 3))


@given(_sizes())
def test_attention_runs_in_blocks_of_any_size(sizes: tuple[int, int, int]) -> None:
    t, d, heads = sizes
    rng = np.random.default_rng(t)
    q, k, v = (rng.normal(size=(heads, t, d)).astype(np.float32) for _ in range(3))
    f = lambda q, k, v: tnp.mean((tr.nn.softmax(q @ k.swapaxes(-1, -2)) @ v) ** 2)
    before = optimize(tr.trace(tr.grad(f, argnums=(0, 1, 2)))(q, k, v))
    assert_equal(before, dce(blocked(before, SLOW)), (q, k, v), 2e-5)
