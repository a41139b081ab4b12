"""The elementwise helpers against jax.lax on every dtype, special values included."""

import itertools
import warnings

import jax
import ml_dtypes
import numpy as np
import pytest
from jax import lax

from ir.numerics import special

FLOATS = [np.float16, ml_dtypes.bfloat16, np.float32, np.float64]
INTEGERS = [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64]
INF, NAN = np.inf, np.nan
VALUES = [
    0.0,
    -0.0,
    1,
    -1,
    0.5,
    -0.5,
    1.5,
    -2.5,
    3.5,
    100,
    -100,
    20,
    1e-3,
    0.49999999999999994,
    INF,
    -INF,
    NAN,
]
AXIS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-9, 30.0, -800.0, INF, NAN]


@pytest.fixture(autouse=True)
def float64_and_no_warnings():
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def pairs(values):
    return [np.array(a) for a in np.meshgrid(values, values)]


def integers(dtype):
    info = np.iinfo(dtype)
    edges = [
        0,
        1,
        2,
        3,
        7,
        8,
        15,
        16,
        31,
        32,
        33,
        63,
        64,
        100,
        info.max,
        info.max - 1,
        info.min,
        info.min + 1,
    ]
    return np.array([*edges, *([-1, -2, -3, -7] if info.min else [])], dtype)


def assert_matches(got, want, ulps=4):
    """Same shape, dtype, nan, infinities and signs of zeros; values within `ulps` roundings."""
    want = np.asarray(want)
    assert isinstance(got, np.ndarray)
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if want.dtype.kind in "iub":
        np.testing.assert_array_equal(got, want)
        return
    eps = float(ml_dtypes.finfo(want.dtype).eps)
    g, w = got.astype(np.float64), want.astype(np.float64)
    subnormal = (w == 0) & (np.abs(g) < float(ml_dtypes.finfo(want.dtype).tiny))
    g = np.where(subnormal, np.copysign(0.0, g), g)  # XLA flushes these on CPU
    np.testing.assert_allclose(g, w, rtol=ulps * eps, atol=0)
    np.testing.assert_array_equal(np.signbit(g[w == 0]), np.signbit(w[w == 0]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name", ["sign", "rsqrt", "logistic", "sqrt", "log1p", "asin", "acos", "asinh", "acosh"]
)
def test_unary_floats(name, dtype):
    x = np.array(VALUES).astype(dtype)
    assert_matches(getattr(special, name)(x), getattr(lax, name)(x))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("method", ["away_from_zero", "to_nearest_even"])
def test_round(method, dtype):
    x = np.array([*VALUES, 2.5, -1.5, -3.5]).astype(dtype)
    assert_matches(special.round(x, method), lax.round(x, getattr(lax.RoundingMethod, method.upper())))


def test_round_wants_a_known_method():
    with pytest.raises(ValueError, match="got 'up'"):
        special.round(np.ones(2), "up")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["div", "rem", "nextafter", "pow"])
def test_binary_floats(name, dtype):
    x, y = pairs(np.array(VALUES).astype(dtype))
    assert_matches(getattr(special, name)(x, y), getattr(lax, name)(x, y))


@pytest.mark.parametrize("dtype", FLOATS)
def test_maximum_and_minimum_order_zeros_and_keep_nan(dtype):
    x, y = pairs(np.array(VALUES).astype(dtype))
    for ours, theirs, zero in ((special.maximum, lax.max, 0.0), (special.minimum, lax.min, -0.0)):
        np.testing.assert_array_equal(ours(x, y).astype(float), np.asarray(theirs(x, y)).astype(float))
        for a, b in ((0.0, -0.0), (-0.0, 0.0)):
            assert np.signbit(ours(np.array(a, dtype), np.array(b, dtype))) == np.signbit(zero)


@pytest.mark.parametrize("dtype", FLOATS)
def test_clamp(dtype):
    x = np.array(VALUES).astype(dtype)
    for low, high in itertools.product(np.array([-1, 1, -0.0, NAN, INF]).astype(dtype), repeat=2):
        got, want = special.clamp(np.asarray(low), x, np.asarray(high)), np.asarray(lax.clamp(low, x, high))
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_array_equal(got.astype(float), want.astype(float))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("y", [0, 1, 2, 3, -1, -2, 7])
def test_powers_of_floats(dtype, y):
    x = np.array(VALUES).astype(dtype)
    assert_matches(special.integer_pow(x, y), lax.integer_pow(x, y), 16)
    assert_matches(special.pow(x, np.full(x.shape, y, np.int32)), lax.pow(x, np.full(x.shape, y, np.int32)))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize(
    "name", ["div", "rem", "shift_right_logical", "shift_right_arithmetic", "maximum", "minimum"]
)
def test_binary_integers(name, dtype):
    x, y = pairs(integers(dtype))
    in_lax = {"maximum": "max", "minimum": "min"}.get(name, name)
    assert_matches(getattr(special, name)(x, y), getattr(lax, in_lax)(x, y))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_unary_integers(dtype):
    x = integers(dtype)
    assert_matches(special.population_count(x), lax.population_count(x))
    assert_matches(special.count_leading_zeros(x), lax.clz(x))
    assert_matches(special.sign(x), lax.sign(x))
    for y in (0, 1, 2, 5, 200):
        assert_matches(special.integer_pow(x, y), lax.integer_pow(x, y))
    with pytest.raises(ValueError, match=">= 0"):
        special.integer_pow(x, -1)


@pytest.mark.parametrize("name", ["div", "rem"])
def test_zero_dimensional_and_empty(name):
    function = getattr(special, name)
    for shape in [(), (0, 2)]:
        for dtype in (np.int32, np.float32):
            result = function(np.full(shape, 7, dtype), np.full(shape, 2, dtype))
            assert (result.shape, result.dtype) == (shape, dtype)


def complex_grid(dtype, axis=AXIS):
    return np.array([complex(a, b) for a, b in itertools.product(axis, axis)], dtype)


FINITE = [a for a in AXIS if np.isfinite(a)]


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize(
    "name", ["sqrt", "asin", "acos", "asinh", "acosh", "log1p", "rsqrt", "sign", "logistic"]
)
def test_complex_functions_take_the_side_of_a_cut_that_lax_takes(name, dtype):
    z = complex_grid(dtype, FINITE)
    got, want = getattr(special, name)(z), np.asarray(getattr(lax, name)(z))
    assert got.dtype == dtype
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    z, got, want = z[finite], got[finite], want[finite]
    worst = np.flatnonzero(np.abs(got - want) > 16 * np.finfo(dtype).eps * np.abs(want))
    assert not worst.size, [(z[i], got[i], want[i]) for i in worst[:6]]


def test_complex_sign_keeps_zeros():
    z = np.array([complex(a, b) for a in (0.0, -0.0) for b in (0.0, -0.0)])
    got = special.sign(z)
    np.testing.assert_array_equal(np.signbit([got.real, got.imag]), np.signbit([z.real, z.imag]))


@pytest.mark.parametrize("name", ["div", "maximum", "minimum"])
def test_binary_complex(name):
    x, y = pairs(complex_grid(np.complex128, FINITE))
    in_lax = {"maximum": lax.max, "minimum": lax.min}.get(name, lax.div)
    got, want = getattr(special, name)(x, y), np.asarray(in_lax(x, y))
    keep = y != 0 if name == "div" else np.full(x.shape, True)
    np.testing.assert_allclose(got[keep], want[keep], rtol=1e-14, atol=0)


def test_complex_division_by_infinity_and_of_infinity():
    x = np.array([1 + 1j, complex(INF, INF), complex(INF, 0), 1 + 0j])
    y = np.array([complex(INF, NAN), 0.5j, 2 + 0j, 0j])
    got, want = special.div(x, y), np.asarray(lax.div(x, y))
    np.testing.assert_array_equal(np.isinf(got[1:]), np.isinf(want[1:]))
    assert got[0] == 0


@pytest.mark.parametrize("y", [0, 1, 2, 3, 7, -1, -3])
def test_integer_pow_complex(y):
    z = complex_grid(np.complex128, [a for a in FINITE if a])
    np.testing.assert_allclose(special.integer_pow(z, y), lax.integer_pow(z, y), rtol=1e-13)
