"""Threefry in NumPy is bit for bit the generator of jax.random."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir.numerics import threefry

WORDS = st.integers(0, 2**32 - 1)
SHAPES = [(), (1,), (0,), (5,), (2, 3), (3, 0, 2), (2, 1, 4)]
KEYS = [0, 1, 123456789, 2**31 - 1]


def jax_key(value: int) -> jax.Array:
    return jax.random.key(value, impl="threefry2x32")


def raw(key: jax.Array) -> np.ndarray:
    return np.asarray(jax.random.key_data(key))


def assert_same(got: np.ndarray, want: jax.Array) -> None:
    expected = np.asarray(want)
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(got, expected)


def test_published_vectors():
    """Known answers for 20 rounds from the Random123 distribution."""
    for key, counter, answer in [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ]:
        got = threefry.threefry2x32(*(np.array(word, np.uint32) for word in key + counter))
        assert tuple(int(word) for word in got) == answer


@given(st.lists(st.tuples(WORDS, WORDS, WORDS, WORDS), max_size=4))
@settings(max_examples=30, deadline=None)
def test_hash_is_that_of_jax(rows):
    words = np.array(rows, np.uint32).reshape(-1, 4).T
    want = jax.extend.random.threefry2x32_p.bind(*(jnp.asarray(word) for word in words))
    for got, expected in zip(threefry.threefry2x32(*words), want, strict=True):
        assert_same(got, expected)


def test_hash_broadcasts():
    got = threefry.threefry2x32(np.uint32([[1], [2]]), np.uint32(3), np.uint32([4, 5, 6]), np.uint32(7))
    assert got[0].shape == got[1].shape == (2, 3)
    alone = threefry.threefry2x32(np.uint32(2), np.uint32(3), np.uint32(6), np.uint32(7))
    assert (got[0][1, 2], got[1][1, 2]) == tuple(alone)


def test_hash_wants_uint32():
    with pytest.raises(TypeError, match="expected uint32 arguments, got int64"):
        threefry.threefry2x32(np.uint32(0), np.uint32(0), np.int64(0), np.uint32(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bit_width", [8, 16, 32, 64])
def test_random_bits(bit_width, shape):
    key = jax_key(42)
    with jax.enable_x64(True):
        want = jax.random.bits(key, shape, np.dtype(f"u{bit_width // 8}"))
    assert_same(threefry.random_bits(raw(key), bit_width, shape), want)


def test_random_bits_of_many_keys():
    keys = jax.random.split(jax_key(3), (2, 3))
    want = jax.vmap(jax.vmap(lambda key: jax.random.bits(key, (4,), jnp.uint32)))(keys)
    assert_same(threefry.random_bits(raw(keys), 32, (4,)), want)


def test_random_bits_wants_a_width_jax_has():
    with pytest.raises(ValueError, match="8, 16, 32 or 64, got 12"):
        threefry.random_bits(np.zeros(2, np.uint32), 12, ())


@pytest.mark.parametrize("shape", [*SHAPES, 7])
@pytest.mark.parametrize("value", KEYS)
def test_split(value, shape):
    key = jax_key(value)
    assert_same(threefry.split(raw(key), shape), raw(jax.random.split(key, shape)))


def test_split_of_many_keys():
    keys = jax.random.split(jax_key(3), 5)
    want = jax.vmap(lambda key: jax.random.split(key, (2, 3)))(keys)
    assert_same(threefry.split(raw(keys), (2, 3)), raw(want))


@given(st.integers(0, 2**31 - 1), WORDS)
@settings(max_examples=30, deadline=None)
def test_fold_in(value, data):
    key = jax_key(value)
    assert_same(threefry.fold_in(raw(key), data), raw(jax.random.fold_in(key, data)))


def test_fold_in_takes_negative_arrays_and_broadcasts():
    key = jax_key(9)
    data = np.array([-1, 0, 5], np.int32)
    want = jax.vmap(lambda value: jax.random.fold_in(key, value))(data)
    assert_same(threefry.fold_in(raw(key), data), raw(want))
    keys = jax.random.split(key, 3)
    assert_same(threefry.fold_in(raw(keys), data), raw(jax.vmap(jax.random.fold_in)(keys, data)))


@given(st.integers(-(2**63), 2**63 - 1))
@settings(max_examples=50, deadline=None)
def test_seed_of_a_64_bit_integer(value):
    with jax.enable_x64(True):
        assert_same(threefry.seed(value), raw(jax_key(value)))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32])
def test_seed_of_a_narrow_integer(dtype):
    for value in (np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max):
        for x64 in (False, True):
            with jax.enable_x64(x64):
                assert_same(threefry.seed(dtype(value)), raw(jax_key(dtype(value))))


def test_seed_of_an_array_and_of_a_float():
    seeds = np.array([[1, -1], [0, 7]], np.int32)
    assert_same(threefry.seed(seeds), raw(jax.vmap(jax.vmap(jax_key))(seeds)))
    with pytest.raises(TypeError, match="expected an integer, got float64"):
        threefry.seed(1.5)


@pytest.mark.parametrize("key", [np.zeros(3, np.uint32), np.zeros(2, np.int32), np.uint32(0)])
def test_a_malformed_key_is_refused(key):
    for call in (
        lambda: threefry.random_bits(key, 32, ()),
        lambda: threefry.split(key),
        lambda: threefry.fold_in(key, 1),
    ):
        with pytest.raises(TypeError, match="last axis of length 2"):
            call()
