"""Sorting, selection by order and cumulative reductions agree with `jax.lax`."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from ir.numerics import sorting
from tests.ir.arrays import DTYPES, NARROW, assert_close, assert_same, dtype_of, integers, normal, special

# The same examples every time: on some odd ones XLA itself fails.
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
SHAPES = st.lists(st.integers(0, 6), min_size=1, max_size=3).map(tuple)
REAL = [d for d in DTYPES if d != "complex64"]


@EXAMPLES
@given(SHAPES, st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3), st.integers(0, 99), st.data())
def test_sort(shape: tuple[int, ...], dtypes: list[str], seed: int, data: Any) -> None:
    rng = np.random.default_rng(seed)
    operands = [special(rng, shape, dtype) for dtype in dtypes]
    operands.append(np.arange(np.prod(shape)).reshape(shape))  # shows whether the sort is stable
    operands[-1] = operands[-1].astype(np.int32)
    dimension = data.draw(st.integers(0, len(shape) - 1))
    num_keys = data.draw(st.integers(1, len(operands)))
    expected = lax.sort(operands, dimension=dimension, num_keys=num_keys, is_stable=True)
    actual = sorting.sort(operands, dimension=dimension, num_keys=num_keys, is_stable=True)
    for one, other in zip(actual, expected, strict=True):
        assert_same(one, other)
        if one.dtype == np.float32:
            np.testing.assert_array_equal(np.signbit(one), np.signbit(other))


@EXAMPLES
@given(SHAPES, st.sampled_from(REAL), st.integers(0, 99), st.data())
def test_top_k(shape: tuple[int, ...], dtype: str, seed: int, data: Any) -> None:
    operand = special(np.random.default_rng(seed), shape, dtype)
    axis = data.draw(st.integers(0, len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    for one, other in zip(sorting.top_k(operand, k, axis), lax.top_k(operand, k, axis=axis), strict=True):
        assert_same(one, other)


def test_top_k_orders_zeros_and_nan_by_sign() -> None:
    x = np.array([1, np.nan, np.inf, -0.0, 0.0, -np.nan, -np.inf], np.float32)
    values, indices = sorting.top_k(x, 7)
    assert indices.tolist() == [1, 2, 0, 4, 3, 6, 5]
    assert_same(values, x[indices])


@EXAMPLES
@given(SHAPES, st.sampled_from(REAL), st.integers(0, 99), st.sampled_from(["int32", "uint8"]), st.data())
def test_argmax_and_argmin(
    shape: tuple[int, ...], dtype: str, seed: int, index_dtype: str, data: Any
) -> None:
    operand = special(np.random.default_rng(seed), shape, dtype)
    axis = data.draw(st.integers(0, len(shape) - 1))
    pairs = [(sorting.argmax, lax.argmax), (sorting.argmin, lax.argmin)]
    for function, reference in pairs:
        if shape[axis] == 0:
            with pytest.raises(ValueError, match="at least one element"):
                function(operand, axis, index_dtype)
        else:
            expected = reference(operand, axis, dtype_of(index_dtype))
            assert_same(function(operand, axis, index_dtype), expected)


CUMULATIVE = {"sum": lax.cumsum, "prod": lax.cumprod, "max": lax.cummax, "min": lax.cummin}


@EXAMPLES
@given(SHAPES, st.sampled_from(sorted(CUMULATIVE)), st.booleans(), st.data())
def test_cumulative(shape: tuple[int, ...], combine: str, reverse: bool, data: Any) -> None:
    dtype = data.draw(st.sampled_from([d for d in DTYPES if d != "bool"]))
    axis = data.draw(st.integers(0, len(shape) - 1))
    operand = integers(np.random.default_rng(0), shape, dtype)
    expected = CUMULATIVE[combine](operand, axis, reverse)
    assert_same(sorting.cumulative(operand, axis, reverse, combine), expected)


@pytest.mark.parametrize("combine", sorted(CUMULATIVE))
@pytest.mark.parametrize("dtype", ["float32", *NARROW])
def test_cumulative_of_special_values(combine: str, dtype: str) -> None:
    operand = special(np.random.default_rng(1), (30, 4), dtype)
    for reverse in (False, True):
        expected = CUMULATIVE[combine](operand, 1, reverse)
        compare = assert_same if combine in ("max", "min") else assert_close  # XLA rounds more often
        compare(sorting.cumulative(operand, 1, reverse, combine), expected)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16", "float16"])
@pytest.mark.parametrize("shape", [(0, 2), (1, 2), (9, 2)])
def test_cumulative_logsumexp(shape: tuple[int, ...], dtype: str) -> None:
    operand = normal(np.random.default_rng(0), shape, dtype)
    for reverse in (False, True):
        expected = lax.cumlogsumexp(operand, 0, reverse)
        assert_close(sorting.cumulative(operand, 0, reverse, "logsumexp"), expected, steps=4)


def test_cumulative_logsumexp_of_infinities() -> None:
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, -inf, 1], [-inf, inf, inf], [1000, inf, -inf], [1, nan, 2], [1, -inf, nan]], np.float32
    )
    assert_close(sorting.cumulative(x, 1, False, "logsumexp"), lax.cumlogsumexp(x, 1))
    assert sorting.cumulative(np.array([1000.0, 1000.0]), 0, False, "logsumexp")[1] == 1000 + np.log(2)


def test_what_has_no_order_is_refused() -> None:
    z = np.zeros(3, np.complex64)
    for function in (sorting.argmax, sorting.argmin):
        with pytest.raises(TypeError, match="real numbers"):
            function(z, 0, np.int32)
    with pytest.raises(TypeError, match="real numbers"):
        sorting.top_k(z, 1)
    with pytest.raises(ValueError, match="k in"):
        sorting.top_k(z.real, 4)
    with pytest.raises(TypeError, match="floats"):
        sorting.cumulative(np.zeros(3, np.int32), 0, False, "logsumexp")
    with pytest.raises(TypeError, match="numbers"):
        sorting.cumulative(np.zeros(3, np.bool_), 0, False, "sum")
    with pytest.raises(ValueError, match="combine"):
        sorting.cumulative(z, 0, False, "mean")
