"""`tracer.nn`: against `jax.nn`, optax, and formulas where neither has the function."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from tests.conformance.draw import Draw
from tests.conformance.families import Recipe, Recipes, add, binary, smooth, unary
from tests.tracer.cases import Case
from tracer.nn import BatchStatistics

# What JAX does not have ------------------------------------------------------------------------------------


def _normal(x: Any, axes: Any, epsilon: float) -> Any:
    centred = x - x.mean(axes, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(axes, keepdims=True) + epsilon)


def _conv(x: Any, w: Any, strides: Any, padding: Any, **options: Any) -> Any:
    return jax.lax.conv_general_dilated(x, w, strides, padding, **options)


def _conv_transpose(x: Any, w: Any, strides: Any, padding: Any) -> Any:
    letters = "DHW"[3 - (x.ndim - 2) :]
    spec = (f"NC{letters}", f"IO{letters}", f"NC{letters}")
    return jax.lax.conv_transpose(x, jnp.swapaxes(w, 0, 1), strides, padding, dimension_numbers=spec)


def _pool(x: Any, window: Any, strides: Any, padding: Any, start: Any, join: Any) -> Any:
    return jax.lax.reduce_window(
        x, np.asarray(start, x.dtype), join, (1, *window, 1), (1, *strides, 1), padding
    )


def _mean_pool(x: Any, window: Any, strides: Any, padding: Any, count_include_pad: bool) -> Any:
    total = _pool(x, window, strides, padding, 0, jax.lax.add)
    if count_include_pad:
        return total / np.prod(window)
    return total / _pool(jnp.ones_like(x), window, strides, padding, 0, jax.lax.add)


def _batch_norm(x: Any, statistics: Any, *, training: bool) -> Any:
    mean, variance = statistics
    if not training:
        return (x - mean) / jnp.sqrt(variance + 1e-5), BatchStatistics(mean, variance)
    axes = tuple(range(x.ndim - 1))
    new = BatchStatistics(0.9 * mean + 0.1 * x.mean(axes), 0.9 * variance + 0.1 * x.var(axes))
    return _normal(x, axes, 1e-5), new


def _group_norm(x: Any, groups: int) -> Any:
    axes = (*range(1, x.ndim - 1), x.ndim)
    return _normal(x.reshape(*x.shape[:-1], groups, -1), axes, 1e-5).reshape(x.shape)


def _softmax_cross_entropy(x: Any, y: Any, label_smoothing: float) -> Any:
    p = jax.nn.one_hot(y, x.shape[-1], dtype=x.dtype) if jnp.issubdtype(y.dtype, jnp.integer) else y
    return optax.softmax_cross_entropy(x, optax.smooth_labels(p, label_smoothing))


REFERENCE = SimpleNamespace(
    **{
        **vars(jax.nn),
        **{n: getattr(optax.losses, n) for n in (
            "cosine_distance", "cosine_similarity", "ctc_loss", "hinge_loss", "huber_loss", "kl_divergence", "l2_loss",
            "sigmoid_binary_cross_entropy", "softmax_cross_entropy_with_integer_labels", "squared_error",
        )},
        "softmax_cross_entropy": _softmax_cross_entropy,
        "conv": _conv,
        "conv_transpose": _conv_transpose,
        "max_pool": lambda x, w, s, p: _pool(x, w, s, p, -np.inf, jax.lax.max),
        "avg_pool": _mean_pool,
        "batch_norm": _batch_norm,
        "group_norm": _group_norm,
        "instance_norm": lambda x: _group_norm(x, x.shape[-1]),
        "layer_norm": lambda x, s, b: _normal(x, -1, 1e-5) * s + b,
        "rms_norm": lambda x, s: x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * s,
        "embedding": lambda t, i: jnp.take(t, i, axis=0),
        "dropout": lambda x, rate, key: jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0),
    }
)  # fmt: skip

# Calls -----------------------------------------------------------------------------------------------------

NN: Recipes = {}
ACTIVATIONS = (
    "celu elu gelu hard_tanh leaky_relu log_sigmoid relu relu6 selu sigmoid silu soft_sign softplus squareplus "
    "swish hard_sigmoid hard_silu hard_swish mish sparse_plus sparse_sigmoid tanh identity"
)
add(NN, ACTIVATIONS, unary(-4, 4, "f"))


def _real(d: Draw, *shapes: tuple[int, ...]) -> list[Any]:
    dtype = "float64" if d.wide and d.chance(0.5) else "float32"
    return [d.array(s, dtype) for s in shapes]


def _over_an_axis(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        x = d.array(d.shape((1, 2, 3), 1), d.dtype("f"), -9, 9)
        axis = d.axis(x.ndim)
        return Case(name, lambda np, x: getattr(np, name)(x, axis=axis), (x,), smooth(x))

    return recipe


def _one_hot(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        x, n = d.array(d.shape((0, 1, 2)), d.dtype("i"), -2, 5), d.size()
        axis = d.one([-1, 0])
        return Case(name, lambda np, x: np.one_hot(x, n, axis=axis), (x,), False)

    return recipe


def _convolved(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        count, groups = d.one([1, 2, 3]), d.one([1, 2]) if name == "conv" else 1
        features, kernels = groups * d.size(1), groups * d.size(1)
        x, w = _real(
            d,
            (d.size(1), features, *[d.size(3) for _ in range(count)]),
            (kernels, features // groups, *[d.one([1, 2, 3]) for _ in range(count)]),
        )
        strides, padding = [d.one([1, 2]) for _ in range(count)], d.one(["SAME", "VALID"])
        options = {"feature_group_count": groups} if name == "conv" else {}
        return Case(
            name, lambda np, x, w: getattr(np, name)(x, w, strides, padding, **options), (x, w), True, 1e-4
        )

    return recipe


def _pooled(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        count = d.one([1, 2, 3])
        (x,) = _real(d, (d.size(), *[d.size(3) for _ in range(count)], d.size()))
        window, strides = [d.one([1, 2, 3]) for _ in range(count)], [d.one([1, 2]) for _ in range(count)]
        padding = d.one(["SAME", "VALID"])
        more = {"count_include_pad": d.chance(0.5)} if name == "avg_pool" else {}
        return Case(name, lambda np, x: getattr(np, name)(x, window, strides, padding, **more), (x,))

    return recipe


def _normalised(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        # Two elements without their mean are one number of two signs: the derivative is all rounding.
        groups = d.one([1, 3])
        shape = (d.size(1), *[d.size(3) for _ in range(d.one([1, 2]))], groups * d.one([3, 4, 5]))
        x, s, b = _real(d, shape, shape[-1:], shape[-1:])
        training = d.chance(0.5)
        calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
            "layer_norm": (lambda np, x, s, b: np.layer_norm(x, s, b), (x, s, b)),
            "rms_norm": (lambda np, x, s: np.rms_norm(x, s), (x, s)),
            "group_norm": (lambda np, x: np.group_norm(x, groups), (x,)),
            "instance_norm": (lambda np, x: np.instance_norm(x), (x,)),
            "batch_norm": (lambda np, x, m, v: np.batch_norm(x, (m, abs(v)), training=training), (x, s, b)),
        }
        call, args = calls[name]
        return Case(name, call, args, True, 2e-4)

    return recipe


def _labelled(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        shape, classes = d.shape((0, 1, 2)), d.size(2)
        (x,) = _real(d, (*shape, classes))
        integers = d.array(shape, "int32", 0, classes - 1)
        if name.endswith("integer_labels"):
            return Case(name, lambda np, x: getattr(np, name)(x, integers), (x,))
        smoothing = d.one([0.0, 0.1, 1.0])
        p = integers if d.chance(0.5) else jax.nn.softmax(d.array((*shape, classes), x.dtype.name))
        return Case(name, lambda np, x, p: np.softmax_cross_entropy(x, p, label_smoothing=smoothing), (x, p))

    return recipe


def _compared(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        # Vectors of one element have a direction that does not turn: its derivative is all rounding.
        shape = (*d.shape((0, 1, 2), 1), d.size(2))
        x, y = _real(d, shape, shape)
        if name == "kl_divergence":
            x, y = jax.nn.log_softmax(x), jax.nn.softmax(y)
        return Case(name, lambda np, x, y: getattr(np, name)(x, y), (x, y))

    return recipe


def _sequences(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        batch, frames, classes, count = d.size(1), d.size(3) + 3, d.size(2), d.one([1, 2])
        logits = d.array((batch, frames, classes), "float64" if d.wide else "float32")
        labels = d.array((batch, count), "int32", 1, classes - 1)
        pads = np.arange(frames) >= d.rng.integers(2 * count + 1, frames + 1, (batch, 1))
        label_pads = np.arange(count) >= d.rng.integers(0, count + 1, (batch, 1))
        rest = (pads.astype(np.float32), labels, label_pads.astype(np.float32))
        return Case(name, lambda np, z: np.ctc_loss(z, *rest), (logits,), True, 1e-4)

    return recipe


def _looked_up(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        n = d.size(1)
        table = d.array((n, d.size()), d.dtype("f"))
        at = d.array(d.shape((0, 1, 2)), d.dtype("i"), 0, n)
        return Case(name, lambda np, t, i: np.embedding(t, i), (table, at), smooth(table))

    return recipe


def _dropped(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        x, rate, seed = d.array(d.shape(), d.dtype("f")), d.one([0.1, 0.5]), d.size()
        return Case(name, lambda np, x: np.dropout(x, rate, jax.random.key(seed)), (x,), smooth(x))

    return recipe


def _attention(name: str) -> Recipe:
    def recipe(d: Draw) -> Case:
        b, t, s, k, g, h = d.size(1), d.size(1), d.size(1), d.one([1, 2]), d.one([1, 2]), d.size(1)
        q, key, v = _real(d, (b, t, k * g, h), (b, s, k, h), (b, s, k, h))
        options: dict[str, Any] = {"is_causal": d.chance(0.4)}
        if d.chance(0.4):
            options["mask"] = d.array((b, k * g, t, s), "bool")
        if d.chance(0.3):
            options["scale"] = 0.3
        return Case(
            name, lambda np, q, k, v: np.dot_product_attention(q, k, v, **options), (q, key, v), True, 1e-4
        )

    return recipe


add(NN, "softmax log_softmax logsumexp standardize logmeanexp", _over_an_axis)
add(NN, "one_hot", _one_hot)
add(NN, "conv conv_transpose", _convolved)
add(NN, "max_pool avg_pool", _pooled)
add(NN, "layer_norm rms_norm group_norm instance_norm batch_norm", _normalised)
add(NN, "softmax_cross_entropy softmax_cross_entropy_with_integer_labels", _labelled)
add(
    NN,
    "cosine_distance cosine_similarity hinge_loss huber_loss kl_divergence l2_loss squared_error",
    _compared,
)
add(NN, "sigmoid_binary_cross_entropy", binary(0.1, 0.9, "f", mixed=False))
add(NN, "ctc_loss", _sequences)
add(NN, "embedding", _looked_up)
add(NN, "dropout", _dropped)
add(NN, "dot_product_attention", _attention)
