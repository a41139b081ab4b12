"""`x.at[...]`: repeated indices of `apply`, modes for static indices, keywords, against JAX."""

from __future__ import annotations

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
from tests.tracer.helpers import array, assert_same, raises
from tracer.errors import ArgumentError, StaticIndexError

X = array(3, 4)
Y = jnp.arange(3.0)

REPEATED: dict[str, Any] = {
    "twice": np.array([1, 1]),
    "counted from the end": np.array([1, -2, 0, 1]),
    "nested": np.array([[0, 1], [1, 1]]),
    "some out of range": np.array([1, 7, 1, -9, 7]),
    "once": np.array([2, 0]),
    "two axes": (np.array([0, 0, 2]), np.array([1, -3, 3])),
    "two axes, one known": (np.array([0, 0, 2]), jnp.array([1, -3, 3])),
    "with a slice": (slice(None), np.array([1, 1, -3])),
    "mask": np.array([True, False, True]),
    "none": np.zeros(0, np.int32),
    "int": 1,
    "slice": slice(None, None, 2),
}


@pytest.mark.parametrize("mode", [None, "drop", "clip"])
@pytest.mark.parametrize("name", REPEATED)
def test_apply_as_often_as_an_index_occurs(name: str, mode: Any) -> None:
    def f(x: Any, index: Any = REPEATED[name]) -> Any:
        return x.at[index].apply(lambda v: v * 10 + 1, mode=mode)

    assert_same(tr.jit(f)(X), f(X))
    if isinstance(REPEATED[name], np.ndarray) and REPEATED[name].dtype != bool:
        assert_same(tr.jit(f)(X, REPEATED[name]), f(X))
        xs = jnp.stack([X, 2 * X])
        assert_same(tr.vmap(f, in_axes=(0, None))(xs, REPEATED[name]), jax.vmap(f)(xs))


def test_apply_takes_numbers() -> None:
    for f in (lambda v: v / v.sum(), lambda v: 7.0, jnp.sin):
        assert_same(tr.jit(lambda x, f=f: x.at[1:].apply(f))(X), X.at[1:].apply(f))
    n = jnp.arange(3)
    assert_same(tr.jit(lambda n: n.at[REPEATED["twice"]].apply(lambda v: 7))(n), n.at[1].set(7))


def test_derivatives_of_apply() -> None:
    def ours(x: Any, index: Any) -> Any:
        return (x.at[index].apply(lambda v: v * v + v) ** 2).sum()

    def theirs(x: Any) -> Any:
        square = lambda v: v * v + v
        return (x.at[1].set(square(square(square(x[1])))) ** 2).sum()

    index = np.array([1, 1, -2])
    want = jax.grad(theirs)(Y)
    assert_same(tr.grad(lambda x: ours(x, index))(Y), want)
    assert_same(tr.jit(tr.grad(ours))(Y, index), want)


OUT: dict[str, Any] = {
    "above": lambda x: x.at[3],
    "below": lambda x: x.at[-4],
    "another axis": lambda x: x.at[1, 4],
    "both": lambda x: x.at[-4, 9],
    "beside a slice": lambda x: x.at[5, 1:],
    "beside an array": lambda x: x.at[np.array([0, -1]), -5],
    "beside a new axis": lambda x: x.at[None, 3, ..., None],
    "in range": lambda x: x.at[-3, 1],
}


@pytest.mark.parametrize("mode", ["drop", "fill", "clip"])
@pytest.mark.parametrize("name", OUT)
def test_modes_hold_for_static_indices(name: str, mode: str) -> None:
    def f(x: Any) -> Any:
        at = OUT[name](x)
        return [
            at.set(9.0, mode=mode), at.add(2.0, mode=mode), at.multiply(3.0, mode=mode), at.divide(2.0, mode=mode),
            at.power(2.0, mode=mode), at.min(-1.0, mode=mode), at.max(1.0, mode=mode), at.subtract(1.0, mode=mode),
            at.apply(lambda v: v + 1, mode=mode), at.get(mode=mode), at.get(mode=mode, fill_value=-1.0),
        ]  # fmt: skip

    assert_same(tr.jit(f)(X), jax.jit(f)(X))
    assert_same(*[t.grad(lambda x: OUT[name](x).set(x[0, 0], mode=mode).sum())(X) for t in (tr, jax)])


@pytest.mark.parametrize("mode", ["drop", "clip"])
def test_static_indices_that_no_index_type_holds(mode: str) -> None:
    def f(x: Any, index: int) -> Any:
        return x.at[index].set(9.0, mode=mode), x.at[index].get(mode=mode, fill_value=-1.0)

    assert_same(tr.jit(lambda x: f(x, 2**40))(X), jax.jit(lambda x: f(x, 99))(X))


def test_static_indices_out_of_range_without_a_mode() -> None:
    for f in (
        lambda y: y.at[3].set(1.0),
        lambda y: y.at[-4].get(),
        lambda y: y.at[3].apply(abs),
        lambda y: y[3],
    ):
        with raises(StaticIndexError, "axis 0 of size 3"):
            tr.jit(f)(Y)


def test_negative_indices_that_do_not_count_from_the_end() -> None:
    index = np.array([-1, 0, 0])

    def f(x: Any, index: Any, n: Any) -> Any:
        out: list[Any] = [x.at[index].get(wrap_negative_indices=False, mode=m) for m in ("fill", "clip")]
        for mode in ("drop", "clip"):
            for i in (index, n):
                at, options = x.at[i], {"mode": mode, "wrap_negative_indices": False}
                out += [at.set(5.0, **options), at.add(2.0, **options), at.divide(2.0, **options)]
                out += [at.power(2.0, **options), at.apply(lambda v: v + 1, **options)]
        return out

    assert_same(tr.jit(lambda x: f(x, index, -1))(X), f(X, index, -1))
    assert_same(tr.jit(f)(X, index, np.int32(-1)), f(X, index, -1))
    with raises(StaticIndexError):
        tr.jit(lambda y: y.at[-1].set(5.0, wrap_negative_indices=False))(Y)


def test_keywords_are_those_of_jax() -> None:
    at = type(Y.at[0])
    ours: Any = None

    def look(y: Any) -> Any:
        nonlocal ours
        ours = y.at[0]
        return y

    tr.jit(look)(Y)
    for name in "set add subtract multiply mul divide power min max apply get".split():
        for keyword, given in inspect.signature(getattr(at, name)).parameters.items():
            if keyword in ("self", "values", "func"):
                continue

            def f(y: Any, name: str = name, keyword: str = keyword, given: Any = given) -> Any:
                args = () if name == "get" else (abs,) if name == "apply" else (2.0,)
                return getattr(y.at[np.array([1])], name)(*args, **{keyword: given.default})

            assert tr.jit(f).eval_shape(Y) == jax.eval_shape(f, Y)
    for f in (
        lambda y: y.at[0].set(1.0, modus="drop"),
        lambda y: y.at[0].get(modus="drop"),
        lambda y: y.at[0].add(1.0, out_sharding=1),
    ):
        with raises(ArgumentError):
            tr.jit(f)(Y)
