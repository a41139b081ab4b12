"""Reading at the points of a grid: by slices, with the same values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import ir
import tracer as tr
import tracer.numpy as tnp
from ir.core import Dense
from ir.op import build
from ir.ops.indexing import gather
from ir.ops.loops import scan
from ir.ops.shape import constant, reshape
from ir.passes.rolling import roll, roll_exact
from ir.passes.rolling.grids import digit, pieces, slice_grids, sliced
from ir.types import TensorType, bool_, f32, i32
from tests.tracer.helpers import assert_close


def ops(function: ir.Function) -> Counter[str]:
    return Counter(eqn.op.name for eqn in function.eqns)


def table(rows: Any) -> Any:
    rows = np.asarray(rows, np.int32)
    return constant(value=Dense(rows, i32), shape=rows.shape)


def elements(x: Any, rows: Any, sizes: tuple[int, ...] | None = None, **attrs: Any) -> Any:
    """Windows of these sizes along the first axes, single elements by default, and all of the axes after them."""
    rows = np.asarray(rows)
    k, outer = rows.shape[-1], rows.ndim - 1
    sizes = sizes or (1,) * k
    collapsed = tuple([d for d in range(k) if sizes[d] == 1])
    rest = x.type.rank - len(collapsed)
    return gather(
        x,
        table(rows),
        offset_dims=tuple(range(outer, outer + rest)),
        collapsed_slice_dims=collapsed,
        start_index_map=tuple(range(k)),
        slice_sizes=(*sizes, *x.type.shape[k:]),
        **{"mode": "promise_in_bounds"} | attrs,
    )


def grid_of(*columns: Any) -> Any:
    return np.stack(np.meshgrid(*columns, indexing="ij"), -1).reshape(-1, len(columns))


def same_values(before: ir.Function, after: ir.Function, *args: Any) -> None:
    ir.verify(after)
    assert [v.type for v in after.results] == [v.type for v in before.results]
    for want, got in zip(ir.evaluate(before, *args), ir.evaluate(after, *args), strict=True):
        assert np.asarray(got).tobytes() == np.asarray(want).tobytes()


X = np.random.default_rng(0).normal(size=(6, 8, 3)).astype(np.float32)
I, J = np.arange(6), np.arange(8)

# Rows of a table, sizes of windows, and the ops that are left besides reshapes.
GRIDS = {
    "all": (grid_of(I, J), None, set()),
    "part": (grid_of(I[1:4], J[2:8:3]), None, {"slice"}),
    "back": (grid_of(I[::-1], J[::-2]), None, {"slice", "rev"}),
    "around": (grid_of((I + 1) % 6, (J - 1) % 8), None, {"slice", "concatenate"}),
    "turned": (grid_of(J, I)[:, ::-1], None, {"transpose"}),
    "held": (grid_of(np.clip(np.arange(-1, 8), 0, 5), J), None, {"slice", "concatenate", "broadcast_in_dim"}),
    "fixed": (grid_of([2], J), None, {"slice"}),
    "in turn": (np.tile(grid_of(I, J), (2, 1)), None, {"broadcast_in_dim"}),
    "runs": (np.repeat(grid_of(I, J), 2, axis=0), None, {"broadcast_in_dim"}),
    "between": (np.repeat(I, 16)[:, None] * [1, 0] + np.tile(J, 12)[:, None] * [0, 1], None, {"broadcast_in_dim"}),
    "shaped": (grid_of(I, J).reshape(3, 16, 2), None, set()),
    "one": ([[3, 4]], None, {"slice"}),
    "tiles": (grid_of(I[::2], J[::4]), (2, 4), {"transpose"}),
    "windows once": (grid_of([1], J), (4, 1), {"slice", "transpose"}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_grids_are_slices(name: str) -> None:
    rows, sizes, left = GRIDS[name]
    function = build([TensorType(X.shape, f32)], lambda x: elements(x, rows, sizes))
    new = slice_grids(function)
    assert set(ops(new)) - {"reshape"} == left
    same_values(function, new, X)


@pytest.mark.parametrize(
    ("rows", "attrs"),
    [
        ([[k, k] for k in range(6)], {}),  # a diagonal
        ([[i, j] for i in range(6) for j in range(i + 1)], {}),  # a triangle
        ([[i, j] for i in range(6) for j in range(6) if i != j], {}),
        (grid_of([3, 1, 5, 0, 2, 4], J), {}),  # an order of no kind
        (grid_of([0, 1, 3], J), {}),  # pieces of one and two elements
        (grid_of(I + 1, J), {"mode": "clip"}),
        (grid_of(I - 1, J), {"mode": "fill"}),
        (np.zeros((0, 2), np.int32), {}),
    ],
)
def test_others_are_gathers(rows: Any, attrs: Any) -> None:
    function = build([TensorType(X.shape, f32)], lambda x: elements(x, rows, **attrs))
    assert slice_grids(function) is function


def test_overlapping_windows_are_no_grid() -> None:
    function = build([TensorType(X.shape, f32)], lambda x: elements(x, I[:5, None], (2,)))
    assert slice_grids(function) is function


def test_indices_that_are_no_constant_are_left() -> None:
    function = build(
        [TensorType((6,), f32), TensorType((4, 1), i32)],
        lambda x, at: gather(x, at, collapsed_slice_dims=(0,), start_index_map=(0,), slice_sizes=(1,)),
    )
    assert sliced(function) is function


@st.composite
def axis_tables(draw: st.DrawFn) -> tuple[int, int, list[int]]:
    """The size of an axis, that of a window, and where windows start."""
    size, window = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 1, 2]))
    window = min(window, size)
    room, count = size - window + 1, draw(st.integers(1, 9))
    start, step = draw(st.integers(0, room - 1)), draw(st.integers(-3, 3))
    numbers = start + step * np.arange(count)
    return size, window, list((numbers % room if draw(st.booleans()) else numbers.clip(0, room - 1)).tolist())


@given(st.lists(axis_tables(), min_size=1, max_size=3), st.data())
def test_any_grid(axes: list[tuple[int, int, list[int]]], data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([f32, i32, bool_]))
    order = data.draw(st.permutations(range(len(axes))))
    rest = data.draw(st.sampled_from([(), (2,), (0,), (1,)]))
    rows = np.stack(np.meshgrid(*[axes[d][2] for d in order], indexing="ij"), -1).reshape(-1, len(axes))
    rows = np.repeat(
        np.tile(rows[:, np.argsort(order)], (data.draw(st.integers(1, 2)), 1)),
        data.draw(st.integers(1, 2)),
        0,
    )
    shape = (*[size for size, _, _ in axes], *rest)
    windows = tuple([window for _, window, _ in axes])
    mode = data.draw(st.sampled_from(["clip", "fill", "promise_in_bounds"]))
    function = build([TensorType(shape, dtype)], lambda x: elements(x, rows, windows, mode=mode))
    new = slice_grids(function)
    x = np.random.default_rng(len(rows)).integers(-9, 9, shape).astype(dtype.np)
    same_values(function, new, x)
    if (
        all(len(set(np.diff(numbers).tolist())) < 2 and window == 1 for _, window, numbers in axes)
        and 0 not in shape
    ):
        assert "gather" not in ops(new)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(1, 4), st.integers(1, 4))
def test_digits(short: list[int], run: int, times: int) -> None:
    numbers = np.tile(np.repeat(short, run), times)
    found = digit(numbers)
    assert np.array_equal(found.table[np.arange(len(numbers)) // found.run % len(found.table)], numbers)
    assert len(found.table) <= len(short)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-2, 2), st.integers(1, 5)), min_size=1, max_size=3))
def test_pieces(counts: list[tuple[int, int, int]]) -> None:
    numbers = np.concatenate([start + step * np.arange(count) for start, step, count in counts])
    found = pieces(numbers, 2 * len(counts))
    assume(found is not None)
    assert found is not None
    assert len(found) <= 2 * len(counts)
    made = np.concatenate([each.start + each.step * np.arange(each.count) for each in found])
    assert np.array_equal(made, numbers)


def test_pieces_of_a_turn() -> None:
    assert [(p.start, p.step, p.count) for p in pieces((np.arange(5) + 2) % 5, 2) or ()] == [
        (2, 1, 3),
        (0, 1, 2),
    ]
    assert pieces((np.arange(5) + 2) % 5, 1) is None


def test_tables_of_loops() -> None:
    """A scan that is given its table has slices inside, and no table any more."""
    rows = grid_of((I + 1) % 6, J)
    body = build([TensorType((48, 2), i32), TensorType((6, 8), f32)], lambda at, x: _next(x, at))
    function = build(
        [TensorType((6, 8), f32)],
        lambda x: scan(table(rows), x, function=body, num_consts=1, num_carry=1, length=3),
    )
    new = sliced(function)
    (loop,) = [eqn for eqn in new.eqns if eqn.op is scan]
    assert len(loop.operands) == 1 and ops(loop.attrs["function"])["concatenate"] == 1
    assert "gather" not in ops(loop.attrs["function"])
    same_values(function, new, X[..., 0].copy())


def _next(x: Any, at: Any) -> Any:
    out = gather(
        x,
        at,
        collapsed_slice_dims=(0, 1),
        start_index_map=(0, 1),
        slice_sizes=(1, 1),
        mode="promise_in_bounds",
    )
    return reshape(out, shape=(6, 8))


# Whole programs ----------------------------------------------------------------------------------------


def torus(xp: Any, x: Any, w: Any) -> Any:
    rows, columns = x.shape
    energy = 0.0
    for i in range(rows):
        for j in range(columns):
            beside = xp.tanh(x[(i + 1) % rows, j]) + xp.sin(x[i, (j - 1) % columns]) * w[0]
            energy = energy - xp.tanh(x[rows - 1 - i, j]) * beside
    return energy


def test_a_torus_is_read_by_slices() -> None:
    """No gathers are left, nor their transposes."""
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(14, 30)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    gradient = tr.jit(tr.value_and_grad(lambda x, w: torus(tnp, x, w), (0, 1)))
    left = ops(gradient.ir(x, w))
    assert not left["gather"] and not left["scatter_add"]
    want = jax.value_and_grad(lambda x, w: torus(jnp, x, w), (0, 1))(x, w)
    for a, b in zip(jax.tree.leaves(gradient(x, w)), jax.tree.leaves(want), strict=True):
        assert_close(a, b, 1e-5)


@pytest.mark.parametrize("rolling", [roll, roll_exact])
def test_values_of_a_torus_stay(rolling: Any) -> None:
    x = np.random.default_rng(1).normal(size=(6, 7)).astype(np.float32)
    w = np.ones(1, np.float32)
    function = tr.trace(lambda x, w: torus(tnp, x, w))(x, w)
    new = rolling(function)
    ir.verify(new)
    assert rolling is roll_exact or "gather" not in ops(new)
    np.testing.assert_allclose(ir.evaluate(new, x, w), ir.evaluate(function, x, w), rtol=1e-5)
