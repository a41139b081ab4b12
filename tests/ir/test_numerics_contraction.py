"""Products summed over dimensions agree with `jax.lax`."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from ir.numerics import contraction
from tests.ir.arrays import DTYPES, assert_close, assert_same, dtype_of, integers, normal

# The same examples every time: on some odd ones XLA itself fails.
EXAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
SIZES = st.sampled_from([0, 1, 2, 3])


@EXAMPLES
@given(
    st.tuples(*[st.lists(SIZES, max_size=2)] * 4),
    st.sampled_from(DTYPES),
    st.data(),
)
def test_dot_general(dims: tuple[list[int], ...], dtype: str, data: Any) -> None:
    rng = np.random.default_rng(0)
    batch, inner, rows, columns = dims
    tags = [("batch", i) for i in range(len(batch))] + [("inner", i) for i in range(len(inner))]
    sizes = dict(zip(tags, batch + inner, strict=True))

    def side(free: list[int]) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        sizes.update({("free", i): size for i, size in enumerate(free)})
        order = data.draw(st.permutations(tags + [("free", i) for i in range(len(free))]))
        at = [[order.index(tag) for tag in tags if tag[0] == kind] for kind in ("inner", "batch")]
        return integers(rng, tuple(sizes[tag] for tag in order), dtype), tuple(at[0]), tuple(at[1])

    lhs, lhs_contract, lhs_batch = side(rows)
    rhs, rhs_contract, rhs_batch = side(columns)
    preferred = {"int8": "int32", "bfloat16": "float32", "float32": None}.get(dtype)
    preferred_type = None if preferred is None or data.draw(st.booleans()) else np.dtype(preferred)
    expected = lax.dot_general(
        lhs,
        rhs,
        ((lhs_contract, rhs_contract), (lhs_batch, rhs_batch)),
        preferred_element_type=preferred_type,
    )
    actual = contraction.dot_general(
        lhs,
        rhs,
        lhs_contract=lhs_contract,
        rhs_contract=rhs_contract,
        lhs_batch=lhs_batch,
        rhs_batch=rhs_batch,
        preferred_type=preferred_type,
    )
    assert_same(actual, expected)


@pytest.mark.parametrize("dtype", ["float32", "complex64", "bfloat16", "float16", "float8_e5m2"])
def test_dot_general_rounds_once(dtype: str) -> None:
    rng = np.random.default_rng(1)
    lhs, rhs = normal(rng, (7, 50), dtype), normal(rng, (50, 3), dtype)
    actual = contraction.dot_general(lhs, rhs, lhs_contract=(1,), rhs_contract=(0,))
    assert_close(actual, lax.dot_general(lhs, rhs, (((1,), (0,)), ((), ()))), steps=4)


@pytest.mark.parametrize(
    ("lhs", "rhs"), [("float8_e4m3fn", "float8_e5m2"), ("bfloat16", "float32"), ("int8", "float32")]
)
def test_dot_general_of_two_dtypes(lhs: str, rhs: str) -> None:
    rng = np.random.default_rng(1)
    x, y = integers(rng, (2, 3), lhs), integers(rng, (3, 2), rhs)
    actual = contraction.dot_general(x, y, lhs_contract=(1,), rhs_contract=(0,))
    assert_same(actual, lax.dot_general(x, y, (((1,), (0,)), ((), ()))))


def test_dot_general_keeps_infinities_and_nan() -> None:
    x = np.array([[np.inf, 0.0], [np.nan, 1.0], [1.0, -np.inf]], np.float32)
    y = np.array([[0.0, 1.0], [np.inf, 1.0]], np.float32)
    actual = contraction.dot_general(x, y, lhs_contract=(1,), rhs_contract=(0,))
    assert_same(actual, lax.dot_general(x, y, (((1,), (0,)), ((), ()))))


def test_dot_general_wraps_64_bit_integers() -> None:
    x = np.array([2**62, 2**62, 2**62 + 1, 2**62 + 1], np.int64)
    assert int(contraction.dot_general(x, x, lhs_contract=(0,), rhs_contract=(0,))) == int((x * x).sum())
    with jax.enable_x64(True):
        expected = jnp.dot(jnp.asarray(x), jnp.asarray(x))
        assert_same(contraction.dot_general(x, x, lhs_contract=(0,), rhs_contract=(0,)), expected)


@st.composite
def convolutions(draw: Any) -> dict[str, Any]:
    spatial = draw(st.integers(0, 3))
    feature_groups, batch_groups = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (3, 1), (1, 2)]))
    groups = feature_groups * batch_groups
    batch = draw(st.integers(1, 2)) * batch_groups
    features_in, features_out = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    sizes = [draw(st.integers(1, 5)) for _ in range(spatial)]
    taps = [draw(st.integers(1, 3)) for _ in range(spatial)]
    specs = [tuple(draw(st.permutations(range(spatial + 2)))) for _ in range(3)]
    return {
        "lhs": place((batch, features_in * feature_groups, *sizes), specs[0]),
        "rhs": place((features_out, features_in, *taps), specs[1]),
        "specs": specs,
        "window_strides": tuple(draw(st.integers(1, 3)) for _ in range(spatial)),
        "padding": tuple((draw(st.integers(-1, 2)), draw(st.integers(0, 2))) for _ in range(spatial)),
        "lhs_dilation": tuple(draw(st.integers(1, 3)) for _ in range(spatial)),
        "rhs_dilation": tuple(draw(st.integers(1, 2)) for _ in range(spatial)),
        "feature_group_count": feature_groups,
        "batch_group_count": batch_groups,
    }


def place(shape: tuple[int, ...], spec: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that has `shape[i]` at dimension `spec[i]`."""
    return tuple(shape[i] for i in np.argsort(spec))


@EXAMPLES
@given(convolutions(), st.sampled_from(["float32", "complex64", "int32", "int8", "bfloat16", "float8_e5m2"]))
def test_conv_general(case: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(2)
    lhs, rhs = integers(rng, case.pop("lhs"), dtype), integers(rng, case.pop("rhs"), dtype)
    specs = case.pop("specs")
    preferred = np.dtype(np.int32) if dtype == "int8" else None
    expected = lax.conv_general_dilated(
        lhs,
        rhs,
        dimension_numbers=lax.ConvDimensionNumbers(*specs),
        preferred_element_type=preferred,
        **case,
    )
    actual = contraction.conv_general(
        lhs, rhs, lhs_spec=specs[0], rhs_spec=specs[1], out_spec=specs[2], preferred_type=preferred, **case
    )
    assert_same(actual, expected)


@pytest.mark.parametrize(
    ("lhs", "rhs"),
    [((0, 2, 4), (3, 2, 2)), ((1, 2, 1), (3, 2, 2)), ((1, 0, 4), (3, 0, 2)), ((1, 2, 4), (0, 2, 2))],
)
def test_conv_general_of_nothing(lhs: tuple[int, ...], rhs: tuple[int, ...]) -> None:
    x, kernel = np.ones(lhs, np.float32), np.ones(rhs, np.float32)
    actual = contraction.conv_general(
        x,
        kernel,
        window_strides=(1,),
        padding=((0, 0),),
        lhs_dilation=(1,),
        rhs_dilation=(1,),
        lhs_spec=(0, 1, 2),
        rhs_spec=(0, 1, 2),
        out_spec=(0, 1, 2),
    )
    assert_same(actual, np.zeros((lhs[0], rhs[0], max(lhs[2] - rhs[2] + 1, 0)), np.float32))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_conv_general_rounds_once(dtype: str) -> None:
    rng = np.random.default_rng(3)
    x, kernel = normal(rng, (2, 4, 8, 8), dtype), normal(rng, (3, 4, 3, 3), dtype)
    expected = lax.conv_general_dilated(x, kernel, (1, 1), [(1, 1), (1, 1)])
    actual = contraction.conv_general(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((1, 1), (1, 1)),
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        lhs_spec=(0, 1, 2, 3),
        rhs_spec=(0, 1, 2, 3),
        out_spec=(0, 1, 2, 3),
    )
    assert actual.dtype == dtype_of(dtype)
    assert_close(actual, expected, steps=8)
