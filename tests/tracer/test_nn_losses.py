"""Losses of `tracer.nn` against those of optax; extremes, conventions at singular points, shapes that do not fit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import tracer as tr
from tests.tracer.helpers import array, assert_close, assert_same, raises, x64
from tests.tracer.test_nn_layers import compared
from tracer import nn

X, Y = array(4, 5), array(4, 5, seed=1)
P = jax.nn.softmax(array(4, 5, seed=2))
LABELS = np.int32([0, 4, 2, 2])
MASK = np.random.default_rng(0).random((4, 5)) < 0.7
MASK[np.arange(4), LABELS] = True
SIGNS = jnp.sign(Y)

# name: (our call, optax's, operands)
LOSSES: dict[str, tuple[Any, Any, tuple[Any, ...]]] = {
    "one-hot": (nn.softmax_cross_entropy, optax.softmax_cross_entropy, (X, P)),
    "axis": (
        lambda x, p: nn.softmax_cross_entropy(x, p, axis=0),
        lambda x, p: optax.softmax_cross_entropy(x, p, axis=0),
        (X, P),
    ),
    "two axes": (
        lambda x, p: nn.softmax_cross_entropy(x, p, axis=(0, 1)),
        lambda x, p: optax.softmax_cross_entropy(x, p, axis=(0, 1)),
        (X, P),
    ),
    "integers": (
        lambda x: nn.softmax_cross_entropy(x, LABELS),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, LABELS),
        (X,),
    ),
    "masked integers": (
        lambda x: nn.softmax_cross_entropy_with_integer_labels(x, LABELS, where=MASK),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, LABELS, where=MASK),
        (X,),
    ),
    "integers of an axis": (
        lambda x: nn.softmax_cross_entropy_with_integer_labels(x, np.int32([1, 0, 3, 2, 1]), axis=0),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, np.int32([1, 0, 3, 2, 1]), axis=0),
        (X,),
    ),
    "integers of two axes": (
        lambda x: nn.softmax_cross_entropy_with_integer_labels(x, np.int32([3, 11]), axis=(0, 2)),
        lambda x: optax.softmax_cross_entropy_with_integer_labels(x, np.int32([3, 11]), axis=(0, 2)),
        (array(4, 2, 3),),
    ),
    "smoothed": (
        lambda x, p: nn.softmax_cross_entropy(x, p, label_smoothing=0.1),
        lambda x, p: optax.softmax_cross_entropy(x, optax.smooth_labels(p, 0.1)),
        (X, P),
    ),
    "smoothed integers": (
        lambda x: nn.softmax_cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: optax.softmax_cross_entropy(x, optax.smooth_labels(jax.nn.one_hot(LABELS, 5), 0.1)),
        (X,),
    ),
    "binary": (nn.sigmoid_binary_cross_entropy, optax.sigmoid_binary_cross_entropy, (X, P)),
    "huber": (nn.huber_loss, optax.huber_loss, (X, Y)),
    "huber of errors": (
        lambda x: nn.huber_loss(x, delta=0.3),
        lambda x: optax.huber_loss(x, delta=0.3),
        (jnp.array([0.0, 0.3, -0.3, 1.0, -2.0, 0.1]),),
    ),
    "l2": (nn.l2_loss, optax.l2_loss, (X, Y)),
    "squared": (nn.squared_error, optax.squared_error, (X, Y)),
    "squared alone": (nn.squared_error, optax.squared_error, (X,)),
    "cosine": (nn.cosine_similarity, optax.losses.cosine_similarity, (X, Y)),
    "cosine distance": (
        lambda x, y: nn.cosine_distance(x, y, axis=0, epsilon=1e-3),
        lambda x, y: optax.losses.cosine_distance(x, y, axis=0, epsilon=1e-3),
        (X, Y),
    ),
    "cosine of short vectors": (
        lambda x, y: nn.cosine_similarity(x, y, epsilon=1.0),
        lambda x, y: optax.losses.cosine_similarity(x, y, epsilon=1.0),
        (X * 0.01, Y),
    ),
    "masked cosine": (
        lambda x, y: nn.cosine_similarity(x, y, where=MASK),
        lambda x, y: optax.losses.cosine_similarity(x, y, where=MASK),
        (X, Y),
    ),
    "divergence": (nn.kl_divergence, optax.losses.kl_divergence, (jax.nn.log_softmax(X), P)),
    "masked divergence": (
        lambda x, p: nn.kl_divergence(x, p, axis=0, where=MASK),
        lambda x, p: optax.losses.kl_divergence(x, p, axis=0, where=MASK),
        (jax.nn.log_softmax(X), P),
    ),
    "hinge": (nn.hinge_loss, optax.losses.hinge_loss, (X, SIGNS)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_as_optax(name: str) -> None:
    ours, theirs, args = LOSSES[name]
    compared(ours, theirs, *args)
    for dtype in ("float16", "bfloat16"):
        narrow = [a.astype(dtype) for a in args]
        got, want = tr.jit(ours)(*narrow), theirs(*narrow)
        assert got.dtype == dtype
        assert_close(got, np.asarray(want).astype(got.dtype), 2e-2)
    with x64():
        compared(ours, theirs, *[jnp.asarray(np.asarray(a), np.float64) for a in args])


@pytest.mark.parametrize(
    "name", ["one-hot", "integers", "smoothed", "binary", "huber", "cosine", "divergence"]
)
def test_second_order_and_batches(name: str) -> None:
    ours, theirs, args = LOSSES[name]
    rest = args[1:]
    total = lambda f: lambda x: f(x, *rest).sum()
    assert_same(tr.jit(tr.hessian(total(ours)))(args[0]), jax.jit(jax.hessian(total(theirs)))(args[0]), 1e-4)
    if name not in ("integers",):
        f = lambda f: lambda *xs: f(*xs)
        assert_same(tr.vmap(f(ours))(*args), jax.vmap(f(theirs))(*args), weak=False)


def test_extreme_logits() -> None:
    big = jnp.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [3e38, -3e38, 0.0]], np.float32)
    labels = np.int32([1, 0, 2, 0])
    hot = jax.nn.one_hot(labels, 3)
    g = tr.jit(tr.grad(lambda x: nn.softmax_cross_entropy(x, labels).sum()))(big)
    assert bool(jnp.isfinite(g).all())
    labels, hot = labels[:3], hot[:3]
    for ours, theirs in (
        (lambda x: nn.softmax_cross_entropy(x, hot), lambda x: optax.softmax_cross_entropy(x, hot)),
        (
            lambda x: nn.softmax_cross_entropy(x, labels),
            lambda x: optax.softmax_cross_entropy_with_integer_labels(x, labels),
        ),
    ):
        compared(ours, theirs, big[:3])
    x = jnp.array([1e4, -1e4, 0.0, 3e38, -3e38], np.float32)
    for p in (0.0, 1.0, 0.5):
        f = lambda x, _p=p: nn.sigmoid_binary_cross_entropy(x, _p)
        compared(f, lambda x, _p=p: optax.sigmoid_binary_cross_entropy(x, jnp.full(3, _p)), x[:3])
        y, g = tr.jit(lambda x: (f(x), tr.grad(lambda x: f(x)[:3].sum())(x)))(x)
        assert bool(jnp.isfinite(y[:3]).all() & jnp.isfinite(g).all())


def test_classes_that_cannot_be() -> None:
    """A logit of -inf whose probability is 0 adds nothing and gets no gradient."""
    z = jnp.array([[0.3, -jnp.inf, 1.0]])
    p = jnp.array([[0.4, 0.0, 0.6]])
    y, (g, h) = tr.jit(tr.value_and_grad(lambda z, p: nn.softmax_cross_entropy(z, p).sum(), (0, 1)))(z, p)
    some = np.array([0, 2])
    want, (wg, wh) = jax.value_and_grad(lambda z, p: optax.softmax_cross_entropy(z, p).sum(), (0, 1))(
        z[:, some], p[:, some]
    )
    assert_close(y, want)
    assert_close(g[:, some], wg)
    assert_close(h[:, some], wh)
    assert g[0, 1] == 0
    assert h[0, 1] == 0
    assert np.isinf(nn.softmax_cross_entropy(z, jnp.array([[0.4, 0.1, 0.5]]))[0])
    y, g = tr.jit(tr.value_and_grad(lambda z: nn.softmax_cross_entropy(z, np.int32([2])).sum()))(z)
    assert_close(y, want * 0 + jax.nn.logsumexp(z) - 1)
    assert bool(jnp.isfinite(g).all())
    # Probabilities and predictions that are masked out may be anything.
    mask = np.array([[True, False, True]])
    for f in (nn.softmax_cross_entropy, nn.kl_divergence):
        q = jnp.array([[0.4, jnp.inf, 0.6]])
        grads = tr.jit(tr.grad(lambda z, q, _f=f: _f(z, q, where=mask).sum(), (0, 1)))(z, q)
        assert all(bool(jnp.isfinite(g).all()) for g in grads)


def test_labels_out_of_range() -> None:
    assert np.isnan(tr.jit(lambda: nn.softmax_cross_entropy(X, np.int32([0, 1, 2, 7])))()[3])
    none = np.zeros((4, 5), bool)
    f = lambda x: nn.softmax_cross_entropy_with_integer_labels(x, LABELS, where=none)
    y, g = tr.jit(lambda x: (f(x), tr.grad(lambda x: f(x).sum())(x)))(X)
    assert_same(y, jnp.zeros(4), weak=False)
    assert not bool(jnp.isnan(y).any())
    assert bool(jnp.isfinite(g).all())


def test_vectors_without_direction() -> None:
    a = jnp.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [1e30, 1e30]])
    b = jnp.array([[1.0, 2.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    f = lambda a, b: nn.cosine_similarity(a, b)
    y, grads = tr.jit(lambda a, b: (f(a, b), tr.grad(lambda a, b: f(a, b).sum(), (0, 1))(a, b)))(a, b)
    assert_close(y, jnp.array([0, 0, 0, np.sqrt(0.5), 1.0]))
    assert all(bool((g[:3] == 0).all()) for g in grads)
    assert all(bool(jnp.isfinite(g).all()) for g in grads)
    h = tr.jit(tr.grad(lambda a: tr.grad(lambda a: f(a, b)[:3].sum())(a).sum()))(a)
    assert bool(jnp.isfinite(h).all())
    # With a least norm the direction of 0 is linear there.
    g = tr.grad(lambda a: nn.cosine_similarity(a, b, epsilon=0.25)[0])(a)
    assert_close(g[0], b[0] / np.sqrt(5) / 0.5)


def test_probabilities_of_zero() -> None:
    q, p = jnp.log(jnp.array([0.2, 0.5, 0.3])), jnp.array([0.0, 0.4, 0.6])
    y, (gq, gp) = tr.jit(tr.value_and_grad(nn.kl_divergence, (0, 1)))(q, p)
    assert_close(y, optax.losses.kl_divergence(q, p))
    assert_close(gq, -p)
    assert_close(gp, jnp.array([-q[0], jnp.log(0.4) + 1 - q[1], jnp.log(0.6) + 1 - q[2]]))
    y, (gq, gp) = tr.jit(tr.value_and_grad(nn.kl_divergence, (0, 1)))(q.at[0].set(-jnp.inf), p)
    assert all(bool(jnp.isfinite(a).all()) for a in (y, gq, gp))


# CTC -----------------------------------------------------------------------------------------------------


def sequences(batch: int, frames: int, classes: int, count: int, seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    lengths, sizes = rng.integers(1, frames + 1, batch), rng.integers(0, count + 1, batch)
    return (
        jnp.asarray(rng.normal(size=(batch, frames, classes)) * 2, np.float32),
        jnp.asarray(np.arange(frames) >= lengths[:, None], np.float32),
        jnp.asarray(rng.integers(1, classes, (batch, count)), np.int32),
        jnp.asarray(np.arange(count) >= sizes[:, None], np.float32),
    )


@pytest.mark.parametrize("size", [(6, 9, 4, 5), (2, 1, 3, 1), (2, 5, 3, 0)], ids=str)
def test_ctc(size: Any) -> None:
    z, pads, labels, label_pads = sequences(*size)
    loss = lambda f: lambda z: f(z, pads, labels, label_pads)
    # Sequences that need more frames than there are have losses of 1e5, at which single precision resolves
    # 0.008: log-probabilities and so the gradient agree to this.
    compared(loss(nn.ctc_loss), loss(optax.ctc_loss), z, tol=8e-3)
    possible = optax.ctc_loss(z, pads, labels, label_pads) < 1e4
    for n in np.flatnonzero(np.asarray(possible))[:2]:
        one = [a[n : n + 1] for a in (z, pads, labels, label_pads)]
        got, want = (
            t.value_and_grad(lambda z, _f=f: _f(z, *one[1:]).sum())(one[0])
            for t, f in ((tr, nn.ctc_loss), (jax, optax.ctc_loss))
        )
        assert_same(got, want, 1e-4, weak=False)


def test_ctc_against_all_alignments() -> None:
    z, _, labels, _ = sequences(1, 5, 3, 2, seed=1)
    log_p = np.asarray(jax.nn.log_softmax(z))[0]
    total = 0.0
    for path in np.ndindex(*[3] * 5):
        runs = [k for i, k in enumerate(path) if i == 0 or k != path[i - 1]]
        if [k for k in runs if k] == list(np.asarray(labels)[0]):
            total += np.exp(sum(log_p[t, k] for t, k in enumerate(path)))
    got = nn.ctc_loss(z, np.zeros((1, 5)), labels, np.zeros((1, 2)))
    assert_close(got, jnp.array([-np.log(total)]), 1e-5)


def test_ctc_options_types_and_extremes() -> None:
    z, pads, labels, label_pads = sequences(4, 8, 5, 3)
    shifted = jnp.where(labels == 4, 0, labels)  # class 4 is the blank
    compared(
        lambda z: nn.ctc_loss(z, pads, shifted, label_pads, blank_id=4),
        lambda z: optax.ctc_loss(z, pads, shifted, label_pads, blank_id=4),
        z,
        tol=1e-4,
    )
    rubbish = jnp.where(label_pads > 0, 99, labels)  # what stands at padded labels does not matter
    assert_close(nn.ctc_loss(z, pads, rubbish, label_pads), nn.ctc_loss(z, pads, labels, label_pads), 1e-6)
    for scale in (0.0, 1e4):
        y, g = tr.jit(tr.value_and_grad(lambda z: nn.ctc_loss(z, pads, labels, label_pads).sum()))(z * scale)
        assert bool(jnp.isfinite(y) & jnp.isfinite(g).all())
    narrow = tr.jit(nn.ctc_loss)(z.astype("bfloat16"), pads, labels, label_pads)
    assert narrow.dtype == np.float32
    batched = tr.vmap(lambda *xs: nn.ctc_loss(*[x[None] for x in xs])[0])(z, pads, labels, label_pads)
    assert_close(batched, optax.ctc_loss(z, pads, labels, label_pads))
    impossible = z.at[:, :, 3].set(-jnp.inf)
    y, g = tr.jit(tr.value_and_grad(lambda z: nn.ctc_loss(z, pads * 0, labels * 0 + 1, label_pads).sum()))(
        impossible
    )
    assert bool(jnp.isfinite(y) & jnp.isfinite(g).all())


def test_wrong_losses() -> None:
    with raises(tr.errors.ShapeError, "(4, 5)", "(4, 1)"):
        tr.jit(lambda: nn.squared_error(X, X[:, :1]))()
    with raises(tr.errors.ShapeError, "(4,)", "(3,)"):
        tr.jit(lambda: nn.softmax_cross_entropy(X, LABELS[:3]))()
    with raises(tr.errors.ArgumentTypeError, "integer labels"):
        tr.jit(lambda: nn.softmax_cross_entropy_with_integer_labels(X, X))()
    with raises(tr.errors.ArgumentError, "smoothing", "2"):
        tr.jit(lambda: nn.softmax_cross_entropy(X, P, label_smoothing=2))()
    z, pads, labels, label_pads = sequences(2, 3, 4, 2)
    with raises(tr.errors.ShapeError, "frames"):
        tr.jit(lambda: nn.ctc_loss(z, pads[:, 1:], labels, label_pads))()
    with raises(tr.errors.ShapeError, "batch of 2"):
        tr.jit(lambda: nn.ctc_loss(z, pads, labels[:1], label_pads[:1]))()
