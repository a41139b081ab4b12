"""`x[...]`, `x.at[...]` against JAX: every kind of entry, modes, gradients, batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_same, both

X = array(3, 4, 5)
I = np.array([2, 0, -1], np.int32)
J = np.array([[1, 3], [0, -2]], np.int32)

INDICES: dict[str, Any] = {
    "int": 1,
    "negative int": -1,
    "ints": (0, -1, 2),
    "numpy int": np.int64(2),
    "jax int": jnp.int32(1),
    "slice": slice(1, None),
    "slices": (slice(None, 2), slice(-3, -1), slice(None)),
    "steps": (slice(None, None, 2), slice(3, None, -1), slice(None, None, -2)),
    "out of range slice": slice(1, 99),
    "empty slice": (slice(None), slice(3, 1)),
    "empty negative slice": slice(0, 2, -1),
    "ellipsis": (..., 0),
    "ellipsis in the middle": (0, ..., slice(1, 3)),
    "all": ...,
    "nothing": (),
    "new axis": (None, slice(None), None, 1),
    "new axes and ellipsis": (None, ..., None),
    "array": I,
    "matrix of indices": (slice(None), J),
    "arrays": (I, I),
    "arrays that broadcast": (I[:, None], np.arange(2)),
    "arrays apart": (I, slice(None), I),
    "array after slice": (slice(None), I, slice(1, 3)),
    "arrays after slice": (slice(None), I, I),
    "array and int": (I, 1),
    "int and array": (1, slice(None), I),
    "ints around an array": (1, I, 2),
    "array with step": (slice(None, None, -1), J, slice(None, None, 2)),
    "array and new axis": (I, None, slice(None), 0),
    "new axis between arrays": (I, None, I),
    "array and ellipsis": (..., I),
    "mask": np.array([True, False, True]),
    "mask of two axes": np.asarray(X[..., 0] > 0),
    "mask of all axes": np.asarray(X > 0),
    "mask and slice": (np.array([True, False, True]), slice(1, 3)),
    "mask later": (slice(None), np.array([True, False, True, True])),
    "mask and array": (np.array([True, True, True]), I),
    "empty mask": np.zeros(3, bool),
    "unsigned": I.astype(np.uint8) % 3,
    "small ints": I.astype(np.int8),
    "scalar arrays": (np.array(1), np.array(-1)),
    "no rows": np.zeros((0,), np.int32),
}


@pytest.mark.parametrize("name", INDICES)
def test_getitem(name: str) -> None:
    index = INDICES[name]
    shape = jax.eval_shape(lambda x: x[index], X).shape
    weight = array(*shape, seed=3)
    both(lambda xp, t: t.jit(lambda x: x[index])(X))
    both(lambda xp, t: t.grad(lambda x: (x[index] * weight).sum())(X))


@pytest.mark.parametrize("name", INDICES)
def test_updates(name: str) -> None:
    index = INDICES[name]
    shape = jax.eval_shape(lambda x: x[index], X).shape
    values = array(*shape, seed=4)
    repeats = name in ("arrays", "array", "matrix of indices") and False

    def program(xp: Any, t: Any) -> Any:
        def run(x: Any, v: Any) -> Any:
            at = x.at[index]
            return at.set(v), at.set(2.0), at.add(v), at.multiply(v), at.min(v), at.max(v), at.get()

        def loss(x: Any, v: Any) -> Any:
            at = x.at[index]
            return (at.set(v) * X**2).sum() + (at.add(v * 2) * X).sum()

        return t.jit(run)(X, values), t.jit(t.grad(loss, (0, 1)))(X, values)

    assert not repeats
    both(program)


def test_other_updates() -> None:
    for index in (
        0,
        (slice(1, 3), I[:, None] % 3),
        ...,
        (slice(None), 1, slice(None, None, 2)),
    ):
        for how in (
            lambda at: at.subtract(1.5),
            lambda at: at.divide(2.0),
            lambda at: at.power(2),
            lambda at: at.mul(3),
            lambda at: at.apply(jnp.abs) if not isinstance(at.x, tr.value.Tensor) else at.apply(tnp.abs),
        ):
            both(lambda xp, t, i=index, h=how: t.jit(lambda x: _apply(x, i, h, xp))(abs(X)))


def _apply(x: Any, index: Any, how: Callable[..., Any], xp: Any) -> Any:
    at = x.at[index]
    if how.__code__.co_names and "apply" in how.__code__.co_names:
        return at.apply(xp.abs)
    return how(at)


def test_lists_are_arrays_of_indices_as_in_numpy() -> None:
    assert_same(
        tr.jit(lambda x: (x[[0, 2]], x[[]], x[:, [1, -1]]))(X), (X[I[[1, 0]]], X[:0], X[:, np.array([1, -1])])
    )


def test_updates_keep_other_elements_whatever_they_are() -> None:
    x = np.array([np.inf, np.nan, 2.0, -np.inf], np.float32)
    both(
        lambda xp, t: t.jit(lambda x: (x.at[2].divide(4.0), x.at[2].power(3), x.at[2].multiply(2)))(
            jnp.asarray(x)
        )
    )


def test_repeated_indices() -> None:
    i = np.array([1, 1, 1, 0])
    both(
        lambda xp, t: t.jit(
            lambda x: (x.at[i].add(1.0), x.at[i].multiply(2.0), x.at[i].min(0.0), x.at[i].max(0.5))
        )(X)
    )
    both(lambda xp, t: t.grad(lambda x: (x.at[i].add(x[i] ** 2) * X).sum())(X))
    both(
        lambda xp, t: t.grad(lambda v: (X.at[i].add(v) if t is jax else tnp.asarray(X).at[i].add(v)).sum())(
            array(4, 4, 5)
        )
    )


def test_values_are_broadcast_and_converted() -> None:
    both(lambda xp, t: t.jit(lambda x: x.at[1].set(np.arange(5)))(X))
    both(lambda xp, t: t.jit(lambda x: x.at[:, 1].set(np.arange(15.0).reshape(3, 5)))(X))
    both(lambda xp, t: t.jit(lambda x: x.at[0].set(7))(X.astype(np.int32)))
    both(
        lambda xp, t: (
            t.jit(lambda x: x.at[0].add(1))(X > 0) if False else t.jit(lambda x: x.at[0].set(True))(X > 0)
        )
    )
    both(lambda xp, t: t.jit(lambda x: x.at[0, 0].set(x[1, 1] * 2))(X))


@pytest.mark.parametrize("mode", [None, "drop", "fill", "clip", "promise_in_bounds"])
def test_modes(mode: Any) -> None:
    out = np.array([0, 7, -9, 2]) if mode != "promise_in_bounds" else np.array([0, 1, -1, 2])
    both(lambda xp, t: t.jit(lambda x: (x.at[out].set(1.0, mode=mode), x.at[out, 0].add(2.0, mode=mode)))(X))
    if mode != "drop":
        both(lambda xp, t: t.jit(lambda x: x.at[out].get(mode=mode))(X))
    both(lambda xp, t: t.jit(lambda x: x.at[out].get(mode="fill", fill_value=-1.0))(X))
    both(lambda xp, t: t.grad(lambda x: xp.nan_to_num(x.at[out].get(mode="fill") * X[0, 0, 0]).sum())(X))


def test_plain_indexing_out_of_range_is_as_in_jax() -> None:
    out = np.array([0, 7, -9, 2])
    both(lambda xp, t: t.jit(lambda x, i: x[i])(X, out))
    both(lambda xp, t: t.jit(lambda x, i: x[0, i])(X, out))


def test_traced_indices() -> None:
    for i in (np.int32(1), np.int32(-1), I, J % 3):
        both(lambda xp, t, i=i: t.jit(lambda x, i: (x[i], x[:, i], x[0, i], x[i, 1], x.at[i].set(0.0)))(X, i))
        both(lambda xp, t, i=i: t.jit(t.grad(lambda x, i: (x[i] ** 2).sum() + x[0, i].sum()))(X, i))
    both(lambda xp, t: t.jit(lambda x, i, j: x[i, j])(X, np.int32(1), np.int32(2)))
    both(lambda xp, t: t.vmap(lambda x, i: x[i])(X, I))
    both(lambda xp, t: t.vmap(lambda i: tnp.asarray(X)[i] if t is tr else X[i])(I))
    both(lambda xp, t: t.vmap(lambda x, i, v: x.at[i].set(v))(X, I, array(3, 5)))


def test_second_order() -> None:
    both(lambda xp, t: t.hessian(lambda x: (x[I] ** 3 * x[0]).sum())(array(3)))
    both(lambda xp, t: t.hessian(lambda x: (x.at[1].set(x[0] ** 2) ** 2).prod())(array(3)))
    both(lambda xp, t: t.hessian(lambda x: (x.at[np.array([0, 0])].add(x[1:] ** 2) ** 2).sum())(array(3)))


def test_iteration_and_unpacking() -> None:
    both(lambda xp, t: t.jit(lambda x: [r * 2 for r in x])(X))
    both(lambda xp, t: t.grad(lambda x: (lambda a, b, c: (a * b - c).sum())(*x))(X))
    both(lambda xp, t: t.jit(lambda x: list(reversed(list(x))))(X))
    assert tr.jit(lambda x: len(x))(X) == 3


entry = st.one_of(
    st.integers(-4, 3),
    st.slices(4),
    st.none(),
    st.just(...),
    st.lists(st.integers(-4, 3), max_size=3).map(lambda v: np.array(v, np.int32)),
)


@settings(max_examples=25)
@given(entries=st.lists(entry, max_size=4), seed=st.integers(0, 9))
def test_random_indices(entries: list[Any], seed: int) -> None:
    x = array(4, 4, 4, seed=seed)
    index = tuple(entries)
    sizes = {len(e) for e in entries if isinstance(e, np.ndarray)} - {1}
    used = sum(e is not None and e is not Ellipsis for e in entries)
    if sum(e is Ellipsis for e in entries) > 1 or used > 3 or len(sizes) > 1:
        with pytest.raises((tr.errors.TracerError,)):
            tr.trace(lambda x: x[index])(x)
        return
    assert_same(tr.jit(lambda x: x[index])(x), x[index])
    assert_same(tr.jit(lambda x: x.at[index].add(1.0))(x), x.at[index].add(1.0))


def test_an_ellipsis_of_no_axes_separates_arrays() -> None:
    """As in NumPy: the axes of the index arrays then come first."""
    x = array(4, 3, 2)
    for index in (
        (slice(None), 0, ..., np.array([1, 0, 1])),
        (slice(None), np.array([1, 0]), ..., np.array([1, 0])),
        (slice(None), ..., np.array([1, 0]), np.array([1, 0])),
        (slice(None), np.array([1, 0]), np.array([1, 0]), ...),
    ):
        np.testing.assert_array_equal(tr.jit(lambda x, i=index: x[i])(x), x[index])
        np.testing.assert_array_equal(
            tr.jit(lambda x, i=index: x.at[i].set(0.0))(x), jnp.asarray(x).at[index].set(0)
        )


BOOLS: dict[str, Any] = {
    "true": True,
    "false": False,
    "numpy": np.bool_(True),
    "array": np.array(True),
    "false array": np.array(False),
    "after an axis": (slice(None), True),
    "before a new axis": (True, None, 1),
    "after a new axis": (None, True),
    "after an ellipsis": (..., True),
    "twice": (True, True),
    "both": (True, slice(None), False),
    "with an array": (1, True, np.array([0, 2])),
    "apart from an array": (True, slice(None), np.array([0, 2])),
}


@pytest.mark.parametrize("name", BOOLS)
def test_bool_scalars(name: str) -> None:
    """Against NumPy: JAX asserts where one is a false NumPy scalar, and drops axes after a new one."""
    index, x = BOOLS[name], np.asarray(X)
    np.testing.assert_array_equal(tr.jit(lambda x: x[index])(X), x[index])
    want = x.copy()
    want[index] = 7
    np.testing.assert_array_equal(tr.jit(lambda x: x.at[index].set(7.0))(X), want)
    np.add.at(added := x.copy(), index, 2)
    np.testing.assert_array_equal(tr.jit(lambda x: x.at[index].add(2.0))(X), added)
    np.testing.assert_array_equal(tr.grad(lambda x: x[index].sum())(X), np.add.at(g := 0 * x, index, 1) or g)
