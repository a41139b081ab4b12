"""Pooling, transposed convolution, normalisation, dropout, embedding and attention against formulas in JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
from tests.tracer.helpers import array, assert_close, assert_same, raises, x64
from tracer import nn

FLOATS = ("float32", "float16", "bfloat16")


def compared(
    ours: Callable[..., Any], theirs: Callable[..., Any], *args: Any, tol: float | None = None
) -> Any:
    """Values and gradients of a weighted sum, traced, and values untraced, against a formula in JAX."""
    shapes = jax.eval_shape(theirs, *args)
    weights = jax.tree_util.tree_map(lambda s: array(*s.shape, dtype=s.dtype, seed=9), shapes)
    moves = [i for i, a in enumerate(args) if jnp.issubdtype(jnp.asarray(a).dtype, jnp.inexact)]

    def program(f: Any, t: Any) -> Any:
        def loss(*xs: Any) -> Any:
            out = jax.tree_util.tree_leaves(f(*xs))
            total = 0.0
            for o, w in zip(out, jax.tree_util.tree_leaves(weights), strict=True):
                total = total + (o * w).astype(np.float32).sum()
            return total

        return f(*args), t.grad(loss, tuple(moves))(*args)

    got = tr.jit(lambda: program(ours, tr))()
    want = jax.jit(lambda: program(theirs, jax))()
    assert_same(got, want, tol, weak=False)
    assert_same(ours(*args), want[0], tol, weak=False)
    assert_same(jax.jit(ours)(*args), want[0], tol, weak=False)
    return got


# Pooling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["SAME", ((1, 1), (2, 0))], ids=str)
@pytest.mark.parametrize("strides", [None, (2, 3)], ids=str)
def test_mean_of_what_is_there(padding: Any, strides: Any) -> None:
    x, window = array(2, 5, 6, 3), (3, 2)
    steps = (1, *(strides or (1, 1)), 1)
    pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))

    def formula(x: Any) -> Any:
        total, count = (
            jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, *window, 1), steps, pads)
            for a in (x, jnp.ones_like(x))
        )
        return total / jnp.maximum(count, 1)

    compared(lambda x: nn.avg_pool(x, window, strides, padding, count_include_pad=False), formula, x)


def test_windows_in_padding_alone() -> None:
    x = array(1, 2, 1)
    options: Any = {"window_shape": (2,), "strides": (2,), "padding": ((2, 0),)}
    assert nn.max_pool(x, **options)[0, 0, 0] == -np.inf
    for f in (nn.avg_pool, tr.jit(lambda x, **o: nn.avg_pool(x, **o), static_argnames=tuple(options))):
        assert f(x, **options)[0, 0, 0] == 0
    mean = lambda x: nn.avg_pool(x, **options, count_include_pad=False).sum()
    assert_same(tr.value_and_grad(mean)(x), (x.mean(), jnp.full_like(x, 0.5)), weak=False)


@pytest.mark.parametrize("dilation", [None, (2, 2)], ids=str)
def test_pools_over_given_axes_and_dilated_windows(dilation: Any) -> None:
    x = jnp.asarray(np.random.default_rng(0).permutation(2 * 3 * 6 * 7).reshape(2, 3, 6, 7), np.float32)
    own: dict[str, Any] = {"strides": (2, 1), "axes": (2, -1), "window_dilation": dilation}
    d, e = dilation or (1, 1)
    rows, columns = (6 - d - 1) // 2 + 1, 7 - 2 * e

    def windows(x: Any) -> Any:  # JAX has no derivative of dilated ones
        places = itertools.product(range(0, 2 * d, d), range(0, 3 * e, e))
        return jnp.stack([x[:, :, i : i + 2 * rows - 1 : 2, j : j + columns] for i, j in places])

    compared(lambda x: nn.max_pool(x, (2, 3), **own), lambda x: windows(x).max(0), x)
    compared(lambda x: nn.avg_pool(x, (2, 3), **own), lambda x: windows(x).mean(0), x)


def test_pools_of_other_types() -> None:
    for dtype in ("int32", "uint8", "float16", "bfloat16"):
        x = jnp.arange(12).reshape(1, 6, 2).astype(dtype)
        assert_same(tr.jit(lambda x: nn.max_pool(x, (2,), (2,)))(x), x[:, 1::2], weak=False)
        assert_same(nn.max_pool(x, (2,), (2,)), x[:, 1::2], weak=False)
    mean = tr.jit(lambda x: nn.avg_pool(x, (2,), (2,)))(jnp.arange(8).reshape(1, 4, 2))
    assert_same(mean, jnp.array([[[1.0, 2.0], [5.0, 6.0]]]), weak=False)
    assert nn.max_pool(jnp.zeros((2, 0, 3)), (1,)).shape == (2, 0, 3)


def test_wrong_pools() -> None:
    x = array(1, 4, 4, 1)
    with raises(tr.errors.ArgumentError, "positive strides", "(0, 1)"):
        tr.jit(lambda: nn.max_pool(x, (2, 2), (0, 1)))()
    with raises(tr.errors.ArgumentError, "2 pairs"):
        tr.jit(lambda: nn.avg_pool(x, (2, 2), padding=((1, 1),)))()


# Transposed convolution ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "strides", "padding", "dilation", "transpose"),
    [
        *itertools.product((1, 2, 3), (1, 2), ("SAME", "VALID"), (1,), (False, True)),
        *itertools.product((2,), (3,), ("SAME", "VALID"), (1, 2), (False, True)),
        (2, 2, "PAIRS", 1, False),
        (1, 5, "SAME", 1, True),
    ],
    ids=str,
)
def test_transposed_convolution(
    count: int, strides: int, padding: Any, dilation: int, transpose: bool
) -> None:
    letters = "DHW"[3 - count :]
    x = array(2, 3, *(4, 3, 3)[:count])
    w = array(*((3, 4) if transpose else (4, 3)), *(3, 2, 2)[:count], seed=1)
    steps, spread = (strides,) * count, (dilation,) * count
    pads = [(1, 2), (0, 3), (1, 1)][:count] if padding == "PAIRS" else padding
    spec = (f"NC{letters}", f"IO{letters}" if not transpose else f"OI{letters}", f"NC{letters}")

    def formula(x: Any, w: Any) -> Any:
        v = w if transpose else jnp.swapaxes(w, 0, 1)
        return jax.lax.conv_transpose(x, v, steps, pads, spread, spec, transpose)

    ours = lambda x, w: nn.conv_transpose(x, w, steps, pads, rhs_dilation=spread, transpose_kernel=transpose)
    compared(ours, formula, x, w, tol=1e-4)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("strides", [1, 2])
def test_transposed_convolution_is_the_derivative_of_convolution(groups: int, strides: int) -> None:
    x, w = array(2, 6, 5, 4), array(4, 6 // groups, 3, 2, seed=1)  # windows leave no rest
    f = lambda x: nn.conv(x, w, (strides, strides), "VALID", feature_group_count=groups)
    y, pull = tr.vjp(f, x)
    ct = array(*y.shape, seed=3)
    got = tr.jit(
        lambda ct: nn.conv_transpose(
            ct, w, (strides, strides), "VALID", feature_group_count=groups, transpose_kernel=True
        )
    )(ct)
    (want,) = pull(ct)
    assert_close(got, want, 1e-4)


def test_transposed_convolution_of_another_layout() -> None:
    x, w = array(2, 4, 5, 3), array(2, 3, 3, 4, seed=1)
    spec = ("NHWC", "HWIO", "NHWC")
    compared(
        lambda x, w: nn.conv_transpose(x, w, (2, 2), dimension_numbers=spec),
        lambda x, w: jax.lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=spec),
        x, w, tol=1e-4,
    )  # fmt: skip
    with raises(tr.errors.ArgumentError, "padding", "'SOME'"):
        tr.jit(lambda: nn.conv_transpose(x, w, padding="SOME", dimension_numbers=spec))()
    with raises(tr.errors.ShapeError, "equal rank"):
        tr.jit(lambda: nn.conv_transpose(x, w[0]))()


# Normalisation ---------------------------------------------------------------------------------------------


def normal(x: Any, axes: Any, epsilon: float) -> Any:
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    centred = wide - wide.mean(axes, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)


@pytest.mark.parametrize("dtype", FLOATS)
def test_layer_norm(dtype: str) -> None:
    x, s, b = array(3, 4, 5), array(5, seed=1), array(5, seed=2)
    x, s, b = (a.astype(dtype) for a in (x, s, b))
    wide = lambda a: a.astype(jnp.float32)
    ref = lambda x, s, b: (normal(x, -1, 1e-5) * wide(s) + wide(b)).astype(dtype)
    compared(nn.layer_norm, ref, x, s, b)
    if dtype == "float32":
        compared(
            lambda x, s: nn.layer_norm(x, s, axis=(0, 2), epsilon=0.1),
            lambda x, s: normal(x, (0, 2), 0.1) * s[:, None, :],
            x, array(3, 5),
        )  # fmt: skip
        compared(lambda x: nn.layer_norm(x, axis=None), lambda x: normal(x, None, 1e-5), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rms_norm(dtype: str) -> None:
    x, s = array(3, 4, 5).astype(dtype), array(5, seed=1).astype(dtype)

    def ref(x: Any, s: Any) -> Any:
        wide = x.astype(jnp.float32)
        return (wide / jnp.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * s.astype(jnp.float32)).astype(
            dtype
        )

    compared(nn.rms_norm, ref, x, s)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm(groups: int) -> None:
    x, s, b = array(3, 4, 6), array(6, seed=1), array(6, seed=2)

    def ref(x: Any, s: Any, b: Any) -> Any:
        return normal(x.reshape(3, 4, groups, -1), (1, 3), 1e-5).reshape(x.shape) * s + b

    compared(lambda x, s, b: nn.group_norm(x, groups, s, b), ref, x, s, b)
    last = lambda x: jnp.moveaxis(x, 1, -1)
    compared(
        lambda x: nn.group_norm(x, groups, channel_axis=1),
        lambda x: jnp.moveaxis(ref(last(x), 1.0, 0.0), -1, 1),
        array(3, 6, 4),
    )
    if groups == 6:
        compared(nn.instance_norm, ref, x, s, b)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm(training: bool) -> None:
    x, s, b = array(4, 3, 5), array(5, seed=1), array(5, seed=2)
    stats = (array(5, seed=3), array(5, seed=4, low=0.5))

    def ref(x: Any, s: Any, b: Any, m: Any, v: Any) -> Any:
        if training:
            mean, var = x.mean((0, 1)), x.var((0, 1))
            new = nn.BatchStatistics(0.8 * m + 0.2 * mean, 0.8 * v + 0.2 * var)
        else:
            mean, var, new = m, v, nn.BatchStatistics(m, v)
        return (x - mean) / jnp.sqrt(var + 1e-5) * s + b, new

    compared(
        lambda x, s, b, m, v: nn.batch_norm(x, (m, v), s, b, training=training, momentum=0.8),
        ref, x, s, b, *stats,
    )  # fmt: skip
    y, new = nn.batch_norm(jnp.moveaxis(x, -1, 1), stats, channel_axis=1, training=training)
    assert_close(y, jnp.moveaxis(nn.batch_norm(x, stats, training=training)[0], -1, 1))
    assert isinstance(new, nn.BatchStatistics)


NORMS: dict[str, Callable[[Any], Any]] = {
    "layer": nn.layer_norm,
    "rms": nn.rms_norm,
    "group": lambda x: nn.group_norm(x, 2),
    "instance": nn.instance_norm,
    "batch": lambda x: nn.batch_norm(x, (jnp.zeros(4), jnp.ones(4)), training=True)[0],
}


@pytest.mark.parametrize("name", NORMS)
def test_norms_of_constant_large_and_narrow_inputs(name: str) -> None:
    f = NORMS[name]
    weight = array(3, 5, 4, seed=1)
    for x in (jnp.zeros((3, 5, 4)), jnp.full((3, 5, 4), 2.0)):
        y, g = tr.jit(tr.value_and_grad(lambda x: (f(x) * weight).sum()))(x)
        h = tr.jit(tr.grad(lambda x: tr.grad(lambda x: (f(x) * weight).sum())(x).sum()))(x)
        assert all(bool(jnp.isfinite(a).all()) for a in (y, g, h))
        if name != "rms":
            assert_same(tr.jit(f)(x), jnp.zeros_like(x), weak=False)
    # A large mean costs no digits.
    shifted = jnp.asarray(np.round(array(3, 5, 4) * 64) / 64) + 1e4
    if name != "rms":
        assert_close(tr.jit(f)(shifted), tr.jit(f)(shifted - 1e4), 2e-3)
    for dtype in ("float16", "bfloat16"):
        big = (array(3, 5, 4) * 1e4).astype(dtype)  # squares beyond the largest float16
        y = tr.jit(f)(big)
        assert y.dtype == dtype
        assert_close(y.astype(np.float32), tr.jit(f)(big.astype(np.float32)), 1e-2)
    with x64():
        wide = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 4)))
        assert tr.jit(nn.layer_norm)(wide).dtype == np.float64
        assert_close(tr.jit(nn.layer_norm)(wide), normal(wide, -1, 1e-5))


def test_wrong_normalisation() -> None:
    x = array(2, 3, 6)
    with raises(tr.errors.ArgumentError, "6 channels", "4"):
        tr.jit(lambda: nn.group_norm(x, 4))()
    with raises(tr.errors.ShapeError, "(6,)", "(5,)"):
        tr.jit(lambda: nn.layer_norm(x, array(5)))()
    with raises(tr.errors.ArgumentError, "at least one example"):
        tr.jit(lambda: nn.batch_norm(x[:0], (array(6), array(6)), training=True))()
    with raises(tr.errors.ArgumentTypeError, "real numbers"):
        tr.jit(lambda: nn.layer_norm(x * 1j))()


# Dropout, embedding, attention -----------------------------------------------------------------------------


def test_dropout() -> None:
    key, x = jax.random.key(3), array(50, 40)

    def ref(x: Any, shape: Any = (50, 40)) -> Any:
        return jnp.where(jax.random.bernoulli(key, 0.7, shape), x / 0.7, 0)

    compared(lambda x: nn.dropout(x, 0.3, key), ref, x)
    compared(lambda x: nn.dropout(x, 0.3, key, shared_axes=(0,)), lambda x: ref(x, (1, 40)), x)
    compared(lambda x: nn.dropout(x, 0.3, deterministic=True), lambda x: x, x)
    compared(lambda x: nn.dropout(x, 0), lambda x: x, x)
    compared(lambda x: nn.dropout(x, 1.0), jnp.zeros_like, x)
    assert tr.jit(lambda x: nn.dropout(x, 0.5, key))(x.astype("bfloat16")).dtype == "bfloat16"
    # An infinite activation that is dropped leaves no NaN.
    assert bool(jnp.isfinite(tr.jit(lambda: nn.dropout(jnp.full((4,), jnp.inf), 1.0))()).all())
    batched = tr.vmap(lambda k, x: nn.dropout(x, 0.3, k))(jax.random.split(key, 50), x)
    assert_same(batched, jax.vmap(lambda k, x: nn.dropout(x, 0.3, k))(jax.random.split(key, 50), x))
    with raises(tr.errors.ArgumentError, "[0, 1]"):
        tr.jit(lambda: nn.dropout(x, 1.5, key))()
    with raises(tr.errors.ArgumentError, "key"):
        tr.jit(lambda: nn.dropout(x, 0.5))()
    with raises(tr.errors.ArgumentTypeError, "Python number"):
        tr.jit(lambda r: nn.dropout(x, r, key))(0.5)


def test_embedding() -> None:
    table = array(5, 3)
    for at in (np.array([[0, 4, 1], [-1, 2, 2]]), np.int32(3), np.zeros((0, 2), np.int32), np.uint8([4, 0])):
        compared(lambda t, _at=at: nn.embedding(t, _at), lambda t, _at=at: jnp.take(t, _at, axis=0), table)
    at = jnp.array([1, 7])
    y, g = tr.jit(lambda t: (nn.embedding(t, at), tr.grad(lambda t: nn.embedding(t, at)[0].sum())(t)))(table)
    assert bool(jnp.isnan(y[1]).all())
    assert_same(g, jnp.zeros((5, 3)).at[1].set(1), weak=False)
    with raises(tr.errors.ArgumentTypeError, "integer indices"):
        tr.jit(lambda: nn.embedding(table, array(2)))()


Q, K, V = array(2, 5, 4, 8), array(2, 6, 4, 8, seed=1), array(2, 6, 4, 8, seed=2)
MASK = np.random.default_rng(0).random((2, 4, 5, 6)) < 0.6
ATTENTION: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "plain": ((Q, K, V), {}),
    "causal": ((K, K, V), {"is_causal": True}),
    "scale": ((Q, K, V), {"scale": 0.3}),
    "mask": ((Q, K, V), {"mask": MASK}),
    "mask for all heads": ((Q, K, V), {"mask": MASK[:, :1]}),
    "a row that sees nothing": ((Q, K, V), {"mask": MASK & (np.arange(5) > 0)[:, None]}),
    "bias and mask": ((Q, K, V), {"bias": array(1, 4, 5, 6), "mask": MASK}),
    "grouped queries": ((Q, K[:, :, :2], V[:, :, :2]), {}),
    "one head of keys": ((Q, K[:, :, :1], V[:, :, :1]), {"mask": MASK}),
    "lengths": ((Q, K, V), {"key_value_seq_lengths": np.int32([3, 6])}),
    "window": ((K, K, V), {"local_window_size": (1, 2)}),
    "no batch": ((Q[0], K[0], V[0]), {"is_causal": True}),
    "extreme": ((Q * 1e3, K * 1e3, V), {}),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name: str) -> None:
    args, options = ATTENTION[name]
    compared(
        lambda q, k, v: nn.dot_product_attention(q, k, v, **options),
        lambda q, k, v: jax.nn.dot_product_attention(q, k, v, **options),
        *args, tol=1e-4,
    )  # fmt: skip


def test_attention_of_narrow_types_and_of_a_bias() -> None:
    args = [a.astype("bfloat16") for a in (Q, K, V)]
    compared(nn.dot_product_attention, jax.nn.dot_product_attention, *args, tol=5e-2)
    compared(
        lambda b: nn.dot_product_attention(Q, K, V, b),
        lambda b: jax.nn.dot_product_attention(Q, K, V, b),
        array(2, 4, 5, 6), tol=1e-4,
    )  # fmt: skip
    one = tr.vmap(lambda q, k, v: nn.dot_product_attention(q, k, v))(Q, K, V)
    assert_close(one, jax.nn.dot_product_attention(Q, K, V))


def test_everything_is_documented() -> None:
    for name in nn.__all__:
        assert (getattr(nn, name).__doc__ or "").strip(), name
