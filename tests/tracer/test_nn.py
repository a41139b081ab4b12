"""`tracer.nn` against `jax.nn` and `jax.lax`: values, types, gradients at kinks and extremes, layouts."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tracer as tr
import tracer.numpy as tnp
from tests.tracer.helpers import array, assert_close, assert_same, both, raises
from tracer import nn

ACTIVATIONS = (
    "celu elu gelu hard_tanh leaky_relu log_sigmoid relu relu6 selu sigmoid silu soft_sign softplus squareplus swish"
).split()
KINKS = jnp.array([0.0, -0.0, 1.0, -1.0, 6.0, 1e-30, -1e-30, 0.5, -3.0], np.float32)
EXTREMES = jnp.array([90.0, -90.0, 1e4, -1e4, 1e30, -1e30], np.float32)


def module(xp: Any) -> Any:
    return nn if xp is tnp else jax.nn


def activation(xp: Any, name: str) -> Any:
    return getattr(module(xp), name)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    def program(xp: Any, t: Any) -> Any:
        f = activation(xp, name)
        first = t.grad(f)
        outs = []
        for x in (array(7), KINKS, EXTREMES):
            outs.append((f(x), t.vmap(first)(x)))
        outs.append(t.vmap(t.grad(first))(array(7)))
        outs.append(t.vmap(t.grad(first))(KINKS))
        outs.append(t.jvp(f, (KINKS,), (KINKS,)))
        outs.append(
            (
                f(array(2, 0)),
                f(array(3, dtype=np.float16)),
                f(array(3).astype("bfloat16")),
            )
        )
        return outs

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)


def test_relu_has_derivative_zero_at_zero_in_every_position() -> None:
    both(lambda xp, t: t.grad(activation(xp, "relu"))(0.0))
    both(lambda xp, t: t.vmap(t.grad(activation(xp, "relu")))(KINKS))
    both(lambda xp, t: t.grad(lambda x: t.vmap(activation(xp, "relu"))(x).sum())(KINKS))
    both(lambda xp, t: t.jvp(activation(xp, "relu"), (KINKS,), (KINKS,)))
    both(lambda xp, t: t.grad(t.grad(lambda x: activation(xp, "relu")(x) ** 2))(0.0))
    both(lambda xp, t: jax.grad(t.jit(lambda x: activation(xp, "relu")(x).sum()))(KINKS))
    both(lambda xp, t: t.jit(lambda n: activation(xp, "relu")(n))(jnp.arange(-2, 3)))


def test_activations_of_integers() -> None:
    n = jnp.arange(-2, 3)
    for name in ACTIVATIONS:
        try:
            want = activation(jnp, name)(n)
        except TypeError:
            continue  # JAX takes floats only; here integers are promoted
        assert_same(tr.jit(activation(tnp, name))(n), want, weak=False)
    assert_close(tr.jit(nn.sigmoid)(n), jax.nn.sigmoid(n * 1.0))


def test_parameters_of_activations() -> None:
    x = array(5)
    for name, options in (
        ("leaky_relu", {"negative_slope": 0.3}),
        ("elu", {"alpha": 0.5}),
        ("celu", {"alpha": 2.0}),
        ("gelu", {"approximate": False}),
        ("gelu", {"approximate": True}),
        ("squareplus", {"b": 1.0}),
    ):
        both(
            lambda xp, t, n=name, o=options: t.jit(
                t.value_and_grad(lambda x: activation(xp, n)(x, **o).sum())
            )(x)
        )
    both(lambda xp, t: t.grad(lambda a: activation(xp, "elu")(x, a).sum())(0.7))
    both(
        lambda xp, t: t.vmap(t.grad(lambda x: activation(xp, "gelu")(x, approximate=False)))(
            jnp.concatenate([KINKS, EXTREMES])
        )
    )


# Softmax and its kin -----------------------------------------------------------------------------------

MATRIX = array(3, 4, seed=1)
MASK = np.array([[True, False, True, True], [True, True, False, False], [False, True, True, True]])
ROWS = {
    "plain": MATRIX,
    "large": MATRIX * 1e4,
    "ties": np.zeros((3, 4), np.float32),
    "infinite": np.array([[-np.inf, 1, 2, -np.inf], [0, np.inf, 0, 0], [1, 2, 3, 4]], np.float32),
    "half": MATRIX.astype(np.float16),
    "one": array(3, 1),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax(name: str, rows: str) -> None:
    x = jnp.asarray(ROWS[rows])

    def program(xp: Any, t: Any) -> Any:
        f = getattr(module(xp), name)
        outs = [f(x), f(x, axis=0), f(x, axis=(0, 1)), f(x, -1)]
        if rows != "infinite":
            weight = array(*x.shape, seed=5)
            outs.append(t.grad(lambda x: (f(x, axis=-1) * (weight if name != "logsumexp" else 1.0)).sum())(x))
            outs.append(t.jvp(lambda x: f(x, axis=0), (x,), (x,))[1])
        return outs

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_with_a_mask(name: str) -> None:
    def program(xp: Any, t: Any) -> Any:
        f = getattr(module(xp), name)
        value = f(MATRIX, axis=-1, where=MASK)
        gradient = t.grad(lambda x: xp.where(xp.isfinite(y := f(x, axis=-1, where=MASK)), y, 0).sum())(MATRIX)
        return value, gradient if name != "log_softmax" else None

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)


def test_softmax_second_order() -> None:
    for name in ("softmax", "log_softmax", "logsumexp"):
        both(lambda xp, t, n=name: t.hessian(lambda x: (getattr(module(xp), n)(x) ** 2).sum())(array(4)))


def test_logsumexp_options() -> None:
    b = array(3, 4, seed=2)

    def program(xp: Any, t: Any) -> Any:
        f = module(xp).logsumexp
        return (
            f(MATRIX, keepdims=True),
            f(MATRIX, axis=0, keepdims=True),
            f(MATRIX, axis=1, b=abs(b)),
            f(MATRIX, axis=1, b=b, return_sign=True),
            f(MATRIX, b=-abs(b)),
            f(MATRIX, axis=1, where=MASK),
            f(array(2, 0), axis=1),
            t.grad(lambda x: f(x, axis=1, b=abs(b)).sum())(MATRIX),
            t.grad(lambda x: f(x, axis=1, b=b, return_sign=True)[0].sum())(MATRIX),
            t.grad(lambda b: f(MATRIX, axis=1, b=b).sum())(abs(b)),
        )

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)


def test_one_hot() -> None:
    labels = np.array([[0, 2], [5, -1]], np.int32)
    for options in (
        {},
        {"axis": 0},
        {"axis": 1},
        {"dtype": np.float16},
        {"dtype": bool},
        {"dtype": np.int32},
    ):
        both(lambda xp, t, o=options: t.jit(lambda x: module(xp).one_hot(x, 4, **o))(labels))
    both(lambda xp, t: t.jit(lambda x: module(xp).one_hot(x, 3))(1))
    both(lambda xp, t: t.jit(lambda x: module(xp).one_hot(x, 0))(labels))
    both(lambda xp, t: t.jit(lambda x: module(xp).one_hot(x, 300))(np.array([3, 255], np.uint8)))
    both(lambda xp, t: t.vmap(lambda x: module(xp).one_hot(x, 4))(labels))


def test_standardize() -> None:
    x = array(3, 4, 2)

    def program(xp: Any, t: Any) -> Any:
        f = module(xp).standardize
        mask = MASK[..., None]
        return (
            f(x),
            f(x, axis=0),
            f(x, axis=(0, 1), epsilon=0.1),
            f(x, mean=0.5, variance=2.0),
            f(x, axis=1, where=mask),
            t.grad(lambda x: (f(x, axis=1) * array(3, 4, 2, seed=3)).sum())(x),
        )

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)


# Convolution -----------------------------------------------------------------------------------------


def conv(xp: Any) -> Callable[..., Any]:
    def of_jax(lhs: Any, rhs: Any, strides: Any = None, padding: Any = "VALID", **options: Any) -> Any:
        return jax.lax.conv_general_dilated(lhs, rhs, strides or (1,) * (lhs.ndim - 2), padding, **options)

    return nn.conv if xp is tnp else of_jax


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ((2, 3, 5, 6), (4, 3, 2, 3), {}),
    "one axis": ((2, 3, 7), (4, 3, 3), {"padding": "SAME", "strides": (2,)}),
    "three axes": ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), {"padding": "SAME"}),
    "no axes": ((2, 3), (4, 3), {}),
    "same": ((2, 3, 5, 6), (4, 3, 2, 3), {"padding": "SAME"}),
    "same lower": ((2, 3, 5, 6), (4, 3, 2, 4), {"padding": "SAME_LOWER", "strides": (1, 2)}),
    "pairs": ((2, 3, 5, 6), (4, 3, 2, 3), {"padding": ((1, 2), (0, 3))}),
    "negative padding": ((2, 3, 5, 6), (4, 3, 2, 3), {"padding": ((-1, 2), (0, -1))}),
    "strides": ((2, 3, 7, 6), (4, 3, 3, 3), {"strides": (2, 3), "padding": "SAME"}),
    "strides that leave a rest": ((1, 1, 8, 8), (1, 1, 3, 3), {"strides": (3, 3)}),
    "kernel dilation": ((2, 3, 7, 8), (4, 3, 2, 3), {"rhs_dilation": (2, 3), "padding": "SAME"}),
    "image dilation": ((2, 3, 4, 3), (4, 3, 2, 3), {"lhs_dilation": (2, 3), "padding": ((1, 1), (2, 0))}),
    "groups": ((2, 6, 5, 5), (4, 3, 2, 2), {"feature_group_count": 2}),
    "depthwise": ((2, 4, 5, 5), (8, 1, 2, 2), {"feature_group_count": 4, "padding": "SAME"}),
    "batch groups": ((4, 3, 5, 5), (6, 3, 2, 2), {"batch_group_count": 2}),
    "channels last": (
        (2, 5, 6, 3),
        (2, 3, 3, 4),
        {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "padding": "SAME"},
    ),
    "mixed layout": ((3, 2, 5, 6), (2, 4, 3, 3), {"dimension_numbers": ("CNHW", "HOIW", "HWCN")}),
    "all": (
        (2, 6, 7, 4),
        (3, 2, 2, 6),
        {
            "dimension_numbers": ("NHWC", "HWIO", "NCHW"),
            "strides": (2, 1),
            "padding": ((1, 0), (2, 2)),
            "lhs_dilation": (1, 2),
            "rhs_dilation": (2, 1),
            "feature_group_count": 2,
        },
    ),
    "a kernel larger than the image": ((1, 1, 2, 2), (1, 1, 3, 3), {}),
    "no images": ((0, 3, 5, 6), (4, 3, 2, 3), {}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str) -> None:
    lhs_shape, rhs_shape, options = CONVOLUTIONS[name]
    x, w = array(*lhs_shape), array(*rhs_shape, seed=1)
    shape = jax.eval_shape(lambda x, w: conv(jnp)(x, w, **options), x, w).shape
    weight = array(*shape, seed=2)

    def program(xp: Any, t: Any) -> Any:
        f = lambda x, w: conv(xp)(x, w, **options)
        loss = lambda x, w: (f(x, w) ** 2 * weight).sum()
        return (
            f(x, w),
            t.grad(loss, (0, 1))(x, w),
            t.jvp(f, (x, w), (x, w))[1],
            t.vmap(f, (None, 0))(x, jnp.stack([w, 2 * w])),
            t.vmap(t.grad(loss), (0, None))(jnp.stack([x, 2 * x]), w),
        )

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, 1e-4)
    assert_same(conv(tnp)(x, w, **options), want[0])


def test_convolution_dtypes_and_precision() -> None:
    x, w = array(1, 2, 4, 4), array(2, 2, 2, 2, seed=1)
    for a, b in ((np.float16, np.float16), (np.float32, np.float32)):
        both(lambda xp, t, a=a, b=b: t.jit(conv(xp))(x.astype(a), w.astype(b)))
    both(lambda xp, t: t.jit(lambda x: conv(xp)(x, w, precision="highest"))(x))
    both(
        lambda xp, t: t.jit(lambda x, w: conv(xp)(x, w, preferred_element_type=np.float32))(
            x.astype("bfloat16"), w.astype("bfloat16")
        )
    )
    both(
        lambda xp, t: t.jit(lambda x, w: conv(xp)(x, w))(
            np.ones((1, 1, 3, 3), np.int32), np.ones((1, 1, 2, 2), np.int32)
        )
    )
    numbers = jax.lax.conv_dimension_numbers((1, 4, 4, 2), (2, 2, 2, 2), ("NHWC", "HWIO", "NHWC"))
    y = array(1, 4, 4, 2)
    both(lambda xp, t: t.jit(lambda y: conv(xp)(y, w, dimension_numbers=numbers))(y))


def test_convolution_second_order() -> None:
    x, w = array(1, 1, 4, 4), array(1, 1, 2, 2, seed=1)
    both(lambda xp, t: t.hessian(lambda w: (xp.tanh(conv(xp)(x, w, padding="SAME")) ** 2).sum())(w))
    both(lambda xp, t: t.grad(lambda w: (t.grad(lambda x: (conv(xp)(x, w) ** 3).sum())(x) ** 2).sum())(w))


def test_wrong_convolutions() -> None:
    x, w = array(1, 2, 4, 4), array(2, 2, 2, 2)
    with raises(tr.errors.ShapeError, "f32[1,2,4,4]", "f32[2,2,2]"):
        tr.jit(lambda: nn.conv(x, w[0]))()
    with raises(tr.errors.ArgumentError, "lhs_dilation", "'SAME'"):
        tr.jit(lambda: nn.conv(x, w, padding="SAME", lhs_dilation=(2, 1)))()
    with raises(tr.errors.ArgumentError, "padding", "'SOME'"):
        tr.jit(lambda: nn.conv(x, w, padding="SOME"))()
    with raises(tr.errors.ArgumentError, "dimension_numbers"):
        tr.jit(lambda: nn.conv(x, w, dimension_numbers=("NCHW", "OIHW", "NCHX")))()
    with raises(tr.errors.TracerError, "2", "3"):
        tr.jit(lambda: nn.conv(x, array(2, 3, 2, 2)))()


# Pooling ---------------------------------------------------------------------------------------------


def pool(xp: Any, kind: str) -> Callable[..., Any]:
    if xp is tnp:
        return nn.max_pool if kind == "max" else nn.avg_pool

    def of_jax(x: Any, window: Any, strides: Any = None, padding: Any = "VALID") -> Any:
        steps = (1, *(strides or (1,) * len(window)), 1)
        pads = padding if isinstance(padding, str) else ((0, 0), *padding, (0, 0))
        if kind == "max":
            return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, *window, 1), steps, pads)
        total = jax.lax.reduce_window(x, 0.0, jax.lax.add, (1, *window, 1), steps, pads)
        return total / np.prod(window)

    return of_jax


POOLS = list(
    itertools.product(
        ("max", "avg"),
        (
            ((2, 6, 5, 3), (2, 2), {}),
            ((2, 6, 5, 3), (2, 3), {"strides": (2, 2)}),
            ((2, 6, 5, 3), (3, 2), {"padding": "SAME"}),
            ((2, 6, 5, 3), (3, 2), {"strides": (2, 3), "padding": "SAME"}),
            ((1, 6, 5, 2), (2, 2), {"padding": ((1, 0), (0, 1)), "strides": (2, 1)}),
            ((1, 7, 2), (3,), {"strides": (2,)}),
            ((1, 3, 3, 3, 1), (2, 2, 2), {}),
            ((0, 4, 4, 1), (2, 2), {}),
        ),
    )
)


@pytest.mark.parametrize(("kind", "setting"), POOLS, ids=str)
def test_pools(kind: str, setting: Any) -> None:
    shape, window, options = setting
    x = jnp.asarray(
        np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape).astype(np.float32)
    )
    weight = array(*jax.eval_shape(lambda x: pool(jnp, kind)(x, window, **options), x).shape, seed=1)

    def program(xp: Any, t: Any) -> Any:
        f = lambda x: pool(xp, kind)(x, window, **options)
        return f(x), t.grad(lambda x: (f(x) * weight).sum())(x)

    got, want = (t.jit(lambda xp=xp, t=t: program(xp, t))() for xp, t in ((tnp, tr), (jnp, jax)))
    assert_same(got, want, weak=False)
    assert_same(pool(tnp, kind)(x, window, **options), want[0], weak=False)


def test_pools_under_other_transforms() -> None:
    x = jnp.asarray(np.random.default_rng(0).permutation(36).reshape(1, 6, 6, 1).astype(np.float32))
    for kind in ("max", "avg"):
        both(lambda xp, t, k=kind: t.vmap(lambda x: pool(xp, k)(x, (2, 2)))(jnp.stack([x, -x])))
        both(lambda xp, t, k=kind: t.jvp(lambda x: pool(xp, k)(x, (2, 2), (2, 2)), (x,), (x,)))
        both(
            lambda xp, t, k=kind: t.grad(
                lambda x: (t.grad(lambda y: (pool(xp, k)(y, (2, 2)) ** 3).sum())(x) ** 2).sum()
            )(x)
        )
    with raises(tr.errors.ShapeError, "window", "f32[1,6,6,1]"):
        tr.jit(lambda: nn.max_pool(x, (2,)))()


def test_a_small_network_learns_as_in_jax() -> None:
    x, labels = array(4, 6, 6, 1), np.array([0, 1, 2, 1])
    params = {"k": array(2, 2, 1, 3, seed=1) * 0.5, "w": array(12, 3, seed=2) * 0.5, "b": jnp.zeros(3)}

    def loss(xp: Any) -> Any:
        m = module(xp)

        def f(p: Any) -> Any:
            h = m.relu(conv(xp)(x, p["k"], padding="SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))
            h = pool(xp, "max")(h, (3, 3), (3, 3)).reshape(4, -1)
            logits = m.log_softmax(h @ p["w"] + p["b"])
            return -(logits * m.one_hot(labels, 3)).sum(-1).mean()

        return f

    def train(xp: Any, t: Any) -> Any:
        p = params
        step = t.jit(lambda p: jax.tree_util.tree_map(lambda a, g: a - 0.2 * g, p, t.grad(loss(xp))(p)))
        for _ in range(5):
            p = step(p)
        return p

    for a, b in zip(
        *(jax.tree_util.tree_leaves(train(xp, t)) for xp, t in ((tnp, tr), (jnp, jax))), strict=True
    ):
        assert_close(a, b, 1e-4)
