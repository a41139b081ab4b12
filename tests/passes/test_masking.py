"""Loops that compute only the columns that a mask lets through: bounds of masks, every spelling, and special values."""

from __future__ import annotations

import itertools
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
from ir.core import Function, inner_first
from ir.machine import CPU, Machine
from ir.passes.blocking import blocked
from ir.passes.dce import dce
from ir.passes.masking import skipping
from ir.passes.masking.ranges import Ranges
from ir.passes.masking.spans import Spans, groups, spans
from ir.passes.pipeline import optimize, pipeline
from ir.passes.simplify import simplify

# Memory so slow, and a cache so small, that everything is worth a loop.
SLOW = Machine(flops=1e12, bandwidth=1e6, launch=0.0, caches=((4000, 2e7),))
BEFORE = pipeline()[: [p.__name__ for p in pipeline()].index("block")]

Loss = Callable[..., Any]


def in_blocks(f: Loss, *args: Any) -> Function:
    """The optimised program in blocks, nothing skipped."""
    return dce(simplify(blocked(optimize(tr.trace(f)(*args), BEFORE), SLOW)))


def skipped(function: Function) -> Function:
    after = dce(simplify(skipping(function, CPU, 0.0)))
    ir.verify(after)
    return after


def narrowed(function: Function) -> int:
    """How many loops were narrowed."""
    return sum(eqn.attrs.get("rare", False) for each in inner_first(function) for eqn in each.eqns)


def work(function: Function) -> int:
    return ir.cost.flops(function)


def assert_same(before: Function, after: Function, args: Any, tol: float) -> None:
    with np.errstate(all="ignore"):
        pairs = zip(ir.evaluate(after, *args), ir.evaluate(before, *args), strict=True)
    for got, want in pairs:
        scale = np.max(np.abs(want[np.isfinite(want)]), initial=1e-30)
        np.testing.assert_allclose(got, want, rtol=tol, atol=tol * scale)


def assert_narrowed(f: Loss, args: Any, tol: float) -> Function:
    """Columns are skipped, and the results are what they were; the program without them."""
    before = in_blocks(f, *args)
    after = skipped(before)
    assert narrowed(after)
    assert_same(before, after, args, tol)
    return after


# Spellings of masks ----------------------------------------------------------------------------------------


def rows(s: Any, offset: int = 0) -> Any:
    return tnp.arange(s.shape[-2])[:, None] + offset


def columns(s: Any) -> Any:
    return tnp.arange(s.shape[-1])


def tril(s: Any) -> Any:
    return tnp.tril(tnp.ones(s.shape[-2:]))


def constant(s: Any) -> Any:
    return np.tril(np.ones(s.shape[-2:], dtype=bool))


MASKS: dict[str, Callable[[Any], Any]] = {
    "rows >= columns": lambda s: tnp.where(rows(s) >= columns(s), s, -1e9),
    "columns > rows": lambda s: tnp.where(columns(s) > rows(s), -np.inf, s),
    "shifted": lambda s: tnp.where(rows(s, 9) - columns(s) >= 0, s, -np.inf),
    "cached": lambda s: tnp.where(rows(s, s.shape[-1] - s.shape[-2]) >= columns(s), s, -1e30),
    "tril of booleans": lambda s: tnp.where(tnp.tril(tnp.ones(s.shape[-2:], dtype=bool)), s, -1e9),
    "tril of numbers": lambda s: tnp.where(tril(s) == 0, -np.inf, s),
    "added": lambda s: s + (1 - tril(s)) * -1e9,
    "subtracted": lambda s: s - (1 - tril(s)) * 1e9,
    "added infinity": lambda s: s + tnp.where(rows(s) >= columns(s), 0.0, -np.inf),
    "triu added": lambda s: s + tnp.triu(tnp.full(s.shape[-2:], -1e9), 1),
    "constant": lambda s: tnp.where(constant(s), s, -np.inf),
    "constant added": lambda s: s + np.where(constant(s), 0, -1e9).astype(s.dtype),
    "window": lambda s: tnp.where(abs(rows(s) - columns(s)) < 13, s, -1e9),
    "causal window": lambda s: tnp.where(
        (rows(s) >= columns(s)) & (rows(s) - columns(s) < 20), s, -np.inf
    ),
    "prefix": lambda s: tnp.where(columns(s) < 31, s, -1e9),
    "prefix and triangle": lambda s: tnp.where((columns(s) < 8) | (rows(s) >= columns(s)), s, -1e9),
    "blocks": lambda s: tnp.where(rows(s) // 16 == columns(s) // 16, s, -1e9),
    "blocks by shift": lambda s: tnp.where((rows(s) >> 4) >= (columns(s) >> 4), s, -1e9),
    "then scaled": lambda s: tnp.where(rows(s) >= columns(s), s, -1e9) * 0.5,
    "capped": lambda s: tnp.where(rows(s) >= columns(s), 20 * tnp.tanh(s / 20), -1e9),
}  # fmt: skip


def by_hand(s: Any) -> Any:
    e = tnp.exp(s - tnp.max(s, axis=-1, keepdims=True))
    return e / tnp.sum(e, axis=-1, keepdims=True)


def attention(mask: Callable[[Any], Any], softmax: Callable[[Any], Any] = tr.nn.softmax) -> Loss:
    def out(q: Any, k: Any, v: Any) -> Any:
        return softmax(mask(q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5)) @ v

    return out


def gradient(f: Loss) -> Loss:
    return tr.grad(lambda *xs: tnp.mean(f(*xs) ** 2), argnums=(0, 1, 2))


def operands(t: int = 96, u: int = 96, d: int = 4, heads: int = 2, dtype: Any = np.float64) -> Any:
    rng = np.random.default_rng(t + u)
    return tuple([rng.normal(size=(1, heads, n, d)).astype(dtype) for n in (t, u, u)])


@pytest.mark.parametrize("name", MASKS)
def test_every_spelling_is_skipped(name: str) -> None:
    args = operands()
    with jax.enable_x64(True):
        for f in (attention(MASKS[name]), gradient(attention(MASKS[name]))):
            before = in_blocks(f, *args)
            after = skipped(before)
            assert narrowed(after), before
            assert work(after) < 0.8 * work(before)
            assert_same(before, after, args, 1e-11)


@pytest.mark.parametrize("softmax", [by_hand, lambda s: tnp.exp(tr.nn.log_softmax(s))])
@pytest.mark.parametrize("name", ["rows >= columns", "added", "causal window"])
def test_other_ways_to_normalise(name: str, softmax: Any) -> None:
    args = operands()
    f = attention(MASKS[name], softmax)
    with jax.enable_x64(True):
        for each in (f, gradient(f)):
            assert_narrowed(each, args, 1e-11)


@pytest.mark.parametrize("name", ["rows >= columns", "added", "window"])
def test_second_derivatives(name: str) -> None:
    args = operands(64, 64)
    total = lambda *xs: tnp.mean(attention(MASKS[name])(*xs) ** 2)

    def f(q: Any, k: Any, v: Any) -> Any:
        return tr.jvp(tr.grad(total, argnums=(0, 1)), (q, k, v), (q, k, v))[1]

    with jax.enable_x64(True):
        assert_narrowed(f, args, 1e-10)


@given(
    st.sampled_from(sorted(MASKS)), st.integers(30, 90), st.integers(30, 90), st.sampled_from([1, 2, 4]),
)  # fmt: skip
def test_lengths_of_any_size(name: str, t: int, u: int, heads: int) -> None:
    args = operands(t, u, 3, heads)
    with jax.enable_x64(True):
        before = in_blocks(gradient(attention(MASKS[name])), *args)
        assert_same(before, skipped(before), args, 1e-10)


def test_products_without_softmax() -> None:
    """Linear attention: what the mask excludes is multiplied by 0."""

    def f(q: Any, k: Any, v: Any) -> Any:
        s = tnp.tanh(q @ k.swapaxes(-1, -2))
        return (s * tril(s)) @ v

    args = operands()
    with jax.enable_x64(True):
        for each in (f, gradient(f)):
            assert_narrowed(each, args, 1e-11)


def test_weights_that_are_returned() -> None:
    def f(q: Any, k: Any, v: Any) -> Any:
        p = tr.nn.softmax(MASKS["rows >= columns"](q @ k.swapaxes(-1, -2)))
        return p @ v, tnp.sum(p[..., :, :3], axis=-1), tnp.cumsum(p, axis=-1)[..., 5]

    args = operands()
    with jax.enable_x64(True):
        before = in_blocks(f, *args)
        assert_same(before, skipped(before), args, 1e-11)


# What must stay as it was ----------------------------------------------------------------------------------


def decays(q: Any, k: Any, v: Any) -> Any:
    """Excluded decays overflow, and 0 times infinity is NaN."""
    c = tnp.cumsum(-30 * tnp.abs(q[..., 0]), axis=-1)
    s = tril(q @ k.swapaxes(-1, -2)) * tnp.exp(c[..., :, None] - c[..., None, :])
    return (s * (q @ k.swapaxes(-1, -2))) @ v


def reciprocals(q: Any, k: Any, v: Any) -> Any:
    s = q @ (k * (tnp.arange(k.shape[-2])[:, None] != 60)).swapaxes(-1, -2)
    return (tril(s) * (1 / s)) @ v


def energies(q: Any, k: Any, v: Any) -> Any:
    """Of excluded scores, which are infinite, times weights of 0."""
    s = q @ k.swapaxes(-1, -2)
    s = s + tnp.where(rows(s) >= columns(s), 0.0, -np.inf)
    return tnp.sum(tr.nn.softmax(s) * s, axis=-1)


def small_numbers(q: Any, k: Any, v: Any) -> Any:
    """Excluded scores that are large although the squares of what they are products of are 0."""
    q = tnp.abs(q) * 1e-25
    s = q @ (k + 40 * (tnp.arange(k.shape[-2])[:, None] == 60)).swapaxes(-1, -2)
    s = s / tnp.sum(q, axis=-1, keepdims=True) * 1e3
    return tr.nn.softmax(s + (1 - tril(s)) * -2e3) @ v


def counts(q: Any, k: Any, v: Any) -> Any:
    """More columns than the type of a sum counts."""
    s = tnp.tanh(q @ k.swapaxes(-1, -2)) * 9
    return tnp.sum(tnp.where(rows(s) >= columns(s), s, -100), axis=-1, dtype=np.int8)


@pytest.mark.parametrize("f", [decays, reciprocals, energies, small_numbers, counts])
def test_what_is_excluded_matters(f: Loss) -> None:
    """As it did before, in numbers and in what is no number; derivatives too."""
    rng = np.random.default_rng(4)
    q, k, v = [rng.normal(size=(1, 2, 300 if f is counts else 96, 8)).astype(np.float32) for _ in range(3)]
    for each in (f,) if f is counts else (f, gradient(f)):
        before = in_blocks(each, q, k, v)
        assert_same(before, skipped(before), (q, k, v), 1e-5)


def test_ranges_leave_room_for_another_rounding() -> None:
    """9 / 0.3 is 30 or the number below, by a quotient or by a product with 1 / 0.3."""
    function = tr.trace(lambda: tnp.arange(16) / np.float32(0.3))()
    (out,) = function.results
    low, high = Ranges(function.eqns, {}, {}, 1).get(out) or (None, None)
    exact = np.arange(16, dtype=np.float32) / np.float32(0.3)
    product = np.arange(16, dtype=np.float32) * (1 / np.float32(0.3))
    for each in (exact, product):
        assert (low <= each).all() and (each <= high).all()


@pytest.mark.parametrize("low", [-1e9, -np.inf])
def test_rows_with_nothing_allowed(low: float) -> None:
    """Queries before all keys, blocks of rows at the beginning: NaN with -inf, all columns alike with -1e9."""
    f = attention(lambda s: tnp.where(rows(s, -30) >= columns(s), s, low))
    args = operands(90, 60)
    with jax.enable_x64(True):
        for each in (f, gradient(f)):
            after = assert_narrowed(each, args, 1e-11)
            if each is f:
                assert np.isnan(ir.evaluate(after, *args)[0]).any() == (low == -np.inf)


@pytest.mark.parametrize("name", ["rows >= columns", "columns > rows", "added", "added infinity"])
def test_lengths_that_are_known_when_it_runs(name: str) -> None:
    """Of some examples nothing is allowed, which shows when the program runs."""

    def f(q: Any, k: Any, v: Any, lengths: Any) -> Any:
        s = MASKS[name](q @ k.swapaxes(-1, -2))
        inside = columns(s) < lengths[:, None, None, None]
        return tr.nn.softmax(tnp.where(inside, s, -1e9 if "inf" not in name else -np.inf)) @ v

    q, k, v = operands()
    total = lambda q, k, v, lengths: tnp.mean(f(q, k, v, lengths) ** 2)
    with jax.enable_x64(True):
        for each in (f, tr.grad(total, argnums=(0, 1, 2))):
            before = in_blocks(each, q, k, v, np.array([50], np.int32))
            after = skipped(before)
            for n in (50, 1, 0):
                assert_same(before, after, (q, k, v, np.array([n], np.int32)), 1e-11)


@pytest.mark.parametrize("name", ["rows >= columns", "added", "columns > rows", "constant added"])
@pytest.mark.parametrize("where", ["scores as low as the mask", "nan", "inf", "all inf"])
def test_special_values(name: str, where: str) -> None:
    q, k, v = operands()
    if where == "scores as low as the mask":
        q, k = q - 3e4, k + 3e4
    elif where == "all inf":
        q = q * np.inf
    else:
        v[..., -1, :] = k[..., 40, 0] = np.nan if where == "nan" else np.inf
    with jax.enable_x64(True):
        for f in (attention(MASKS[name]), gradient(attention(MASKS[name]))):
            before = in_blocks(f, q, k, v)
            assert_same(before, skipped(before), (q, k, v), 1e-6)


def test_masks_that_do_not_exclude() -> None:
    """What is multiplied by 0 before the softmax still counts in it."""
    f = attention(lambda s: s * tril(s))
    args = operands()
    with jax.enable_x64(True):
        before = in_blocks(f, *args)
        after = skipped(before)
        assert not narrowed(after)
        assert_same(before, after, args, 1e-11)


def test_a_second_run_changes_nothing_that_counts() -> None:
    args = operands()
    with jax.enable_x64(True):
        before = in_blocks(gradient(attention(MASKS["rows >= columns"])), *args)
        once = skipped(before)
        assert_same(before, skipped(once), args, 1e-11)


def test_small_programs_are_left() -> None:
    args = operands()
    before = in_blocks(attention(MASKS["rows >= columns"]), *args)
    assert skipping(before, CPU) is before


# The whole way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows >= columns", "added", "causal window", "constant"])
def test_compiled_programs_agree_with_jax(name: str) -> None:
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(2, 2600, 32)).astype(np.float32) for _ in range(3))

    def loss(q: Any, k: Any, v: Any) -> Any:
        return tnp.mean(attention(MASKS[name])(q, k, v) ** 2)

    def theirs(q: Any, k: Any, v: Any) -> Any:
        i, j = jnp.arange(q.shape[1])[:, None], jnp.arange(q.shape[1])
        allowed = (i >= j) & ((i - j < 20) if name == "causal window" else True)
        s = jnp.where(allowed, q @ k.swapaxes(-1, -2) * q.shape[-1] ** -0.5, -jnp.inf)
        return jnp.mean((jax.nn.softmax(s) @ v) ** 2)

    ours = tr.jit(tr.grad(loss, argnums=(0, 1, 2)))
    assert narrowed(ours.ir(q, k, v))
    want = jax.jit(jax.grad(theirs, argnums=(0, 1, 2)))(q, k, v)
    # From outside, JAX differentiates what it cannot look into.
    for got in (ours(q, k, v), jax.grad(tr.jit(loss), argnums=(0, 1, 2))(q, k, v)):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5 * float(jnp.max(jnp.abs(b))))


# Bounds and groups -----------------------------------------------------------------------------------------

Mask = Callable[[Any, Any], Any]
LEAVES: list[Mask] = [
    lambda i, j: i >= j,
    lambda i, j: i - j < 5,
    lambda i, j: abs(i - 2 * j) > 7,
    lambda i, j: i // 4 == j // 4,
    lambda i, j: i % 6 < j % 4,
    lambda i, j: tnp.minimum(i, j) * 3 > 20,
    lambda i, j: tnp.sign(i - j) * 2.5 < 1.0,
    lambda i, j: tnp.clip(i - j, -3, 8) != 8,
    lambda i, j: tnp.square(i - j) / 3.0 <= tnp.maximum(i, 9),
    lambda i, j: tnp.floor(i / 5.0) + tnp.ceil(j / 7.0) > 4,
    lambda i, j: (i >> 2) > (j >> 3),
]
TREES = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: lambda i, j: p[0](i, j) & p[1](i, j)),
        st.tuples(inner, inner).map(lambda p: lambda i, j: p[0](i, j) | p[1](i, j)),
        st.tuples(inner, inner).map(lambda p: lambda i, j: p[0](i, j) ^ p[1](i, j)),
        inner.map(lambda p: lambda i, j: ~p(i, j)),
        st.tuples(inner, inner).map(lambda p: lambda i, j: tnp.where(p[0](i, j), -1.0, i * 1.0) > p[1](i, j)),
    ),
    max_leaves=4,
)


@given(TREES, st.integers(1, 9), st.integers(1, 24))
def test_bounds_hold(mask: Mask, block: int, granule: int) -> None:
    """Of every value on the way to a mask, at every element of every granule."""
    size = 24

    def body(start: Any) -> Any:
        return mask(start + tnp.arange(block)[:, None], tnp.arange(size)) * 1.0

    function = dce(tr.trace(body)(np.int32(0)))
    function = optimize(function, pipeline(0))
    starts = np.array([0, 3, 17], np.int32)
    every = function.replace(results=tuple([v for eqn in function.eqns for v in eqn.results]))
    for dim in (0, 1):
        labelled = {v: dim for v in every.results if v.type.shape == (block, size)}
        # Without labels on what they are made of, only whole axes can be read off.
        found = Ranges(function.eqns, {function.params[0]: starts}, labelled if granule > 1 else {}, granule)
        for n, start in enumerate(starts):
            for v, array in zip(every.results, ir.evaluate(every, start), strict=True):
                bounds = found.get(v)
                if bounds is None or (dim == 0 and v in labelled):
                    continue
                low, high = (b[n if len(b) > 1 else 0] for b in bounds)
                if v in labelled and granule > 1 and low.shape[-1] not in (1, size):
                    low, high = (np.repeat(b, granule, axis=-1)[..., :size] for b in (low, high))
                assert (low <= array).all() and (array <= high).all(), (v, low, array, high)


def test_spans_of_a_triangle() -> None:
    i, j = np.arange(12)[:, None], np.arange(12)
    excluded = (i < j).reshape(4, 3, 12)
    found = spans(excluded, 1, 1, 12)
    assert found.starts.tolist() == [0, 0, 0, 0] and found.stops.tolist() == [3, 6, 9, 12]
    made = groups(found, 2, 0.0)
    assert [(g.first, g.last, g.width) for g in made] == [(0, 2, 6), (2, 4, 12)]


def test_spans_of_rows_with_nothing() -> None:
    i, j = np.arange(12)[:, None], np.arange(12)
    found = spans((i - 4 < j).reshape(4, 3, 12), 1, 1, 12)
    assert found.stops.tolist() == [12, 12, 5, 8]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=1, max_size=90), st.integers(1, 6)
)
def test_groups_hold_what_is_needed(drawn: list[tuple[int, int]], most: int) -> None:
    starts = np.array([a for a, _ in drawn])
    stops = starts + np.array([n for _, n in drawn])
    size = int(stops.max())
    made = groups(Spans(starts, stops, size), most, 0.001)
    assert len(made) <= most and made[0].first == 0 and made[-1].last == len(drawn)
    for before, after in itertools.pairwise(made):
        assert before.last == after.first
    for g in made:
        for k, start in enumerate(g.starts):
            assert 0 <= start <= starts[g.first + k] and stops[g.first + k] <= start + g.width <= size
