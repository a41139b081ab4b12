"""Losses, one number for each example: nothing is averaged over a batch.

Names and formulas are those of `optax.losses`. Where a formula is 0 * inf or 0 / 0 the value is its
limit, and so is the derivative or, where there is none, 0; each docstring says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tracer.numpy as tnp
from ir.errors import ArgumentError, ArgumentTypeError, ShapeError
from tracer.nn.activations import log_sigmoid
from tracer.nn.normalizers import log_softmax, logsumexp
from tracer.nn.operands import axes_of, floating
from tracer.types import canonical

Axis = int | Sequence[int] | None


# Classification --------------------------------------------------------------------------------------


def softmax_cross_entropy(
    logits: Any, labels: Any, axis: Axis = -1, where: Any = None, *, label_smoothing: float = 0.0
) -> Any:
    """Cross-entropy of softmax(logits) and labels: -sum_k p_k log_softmax(logits)_k over `axis`.

    Labels are probabilities p of the classes, or the classes themselves, which stand for one-hot p. With
    label smoothing a, p becomes (1 - a) p + a / K for K classes (Szegedy et al. 2016, section 7). A class
    of probability 0 and logit -inf adds 0.

    Args:
      logits: (..., classes).
      labels: probabilities that broadcast against the logits, or integers of the shape of the logits
        without `axis`. An integer out of range gives NaN.
      axis: of the classes.
      where: of the shape of the logits: classes that take part. With `label_smoothing` K counts them.
      label_smoothing: a, in [0, 1].

    Returns:
      An array of the shape of the logits without `axis`.

    Raises:
      ShapeError: integer labels that do not fit.
      ArgumentError: a smoothing outside [0, 1].
    """
    z = floating(logits, "softmax_cross_entropy")
    y = tnp.asarray(labels)
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"softmax_cross_entropy: expected a smoothing in [0, 1], got {label_smoothing}")
    if canonical(y.dtype).is_integer and y.ndim == z.ndim - 1:
        hard = softmax_cross_entropy_with_integer_labels(z, y, axis, where)
        if label_smoothing == 0:
            return hard
        return (1 - label_smoothing) * hard + label_smoothing * _uniform_entropy(z, axis, where)
    log_p = log_softmax(z, axis, where)
    nothing = (y == 0) & (log_p == -tnp.inf)
    log_p = tnp.where(nothing if where is None else nothing | ~tnp.asarray(where), 0, log_p)
    soft = -tnp.sum(y * log_p, axis=_axis(axis), where=where)
    if label_smoothing == 0:
        return soft
    return (1 - label_smoothing) * soft + label_smoothing * _uniform_entropy(z, axis, where)


def _axis(axis: Axis) -> Any:
    return axis if axis is None or isinstance(axis, int) else tuple(axis)


def _uniform_entropy(z: Any, axis: Axis, where: Any) -> Any:
    """Cross-entropy with the uniform distribution."""
    return logsumexp(z, axis=_axis(axis), where=where) - tnp.mean(z, axis=_axis(axis), where=where)


def softmax_cross_entropy_with_integer_labels(
    logits: Any, labels: Any, axis: Axis = -1, where: Any = None
) -> Any:
    """Cross-entropy of softmax(logits) and a class: logsumexp(logits) - logits[label] over `axis`.

    Args:
      logits: (..., classes).
      labels: integers of the shape of the logits without `axis`; negative ones count from the end, and one
        out of range gives NaN.
      axis: of the classes. Several axes count as one, flattened, moved to the end.
      where: of the shape of the logits: classes that take part. An example without any has loss 0.

    Returns:
      An array of the shape of `labels`.

    Raises:
      ArgumentTypeError: labels that are no integers.
      ShapeError: labels that do not fit the logits.
    """
    z = floating(logits, "softmax_cross_entropy_with_integer_labels")
    y = tnp.asarray(labels)
    if not canonical(y.dtype).is_integer:
        raise ArgumentTypeError(f"softmax_cross_entropy: expected integer labels, got {canonical(y.dtype)}")
    axes = axes_of(axis, z.ndim, "softmax_cross_entropy")
    batch = tuple([a for a in range(z.ndim) if a not in axes])
    sizes = tuple([z.shape[a] for a in batch])
    if y.shape != sizes:
        raise ShapeError(f"softmax_cross_entropy: expected labels of shape {sizes}, got {y.shape}")
    classes = math.prod([z.shape[a] for a in axes])

    def flat(a: Any) -> Any:
        return a.transpose((*batch, *axes)).reshape((*sizes, classes))

    mask = None if where is None else flat(tnp.broadcast_to(where, z.shape))
    z = flat(z)
    chosen = tnp.take_along_axis(z, y[..., None], axis=-1)[..., 0]
    out = logsumexp(z, axis=-1, where=mask) - chosen
    return out if mask is None else tnp.where(tnp.any(mask, axis=-1), out, 0)


def sigmoid_binary_cross_entropy(logits: Any, labels: Any) -> Any:
    """Cross-entropy of sigmoid(logits) and labels: -p log s(x) - (1 - p) log s(-x), elementwise.

    Finite for every finite logit; broadcasts. `labels` are probabilities p, bools or integers.
    """
    x = floating(logits, "sigmoid_binary_cross_entropy")
    p = tnp.asarray(labels).astype(x.dtype)
    return -p * log_sigmoid(x) - (1 - p) * log_sigmoid(-x)


def hinge_loss(predictor_outputs: Any, targets: Any) -> Any:
    """max(0, 1 - y t) for targets t of -1 and 1, elementwise; derivative half the slope at the kink."""
    return tnp.maximum(0, 1 - tnp.asarray(predictor_outputs) * targets)


# Regression ------------------------------------------------------------------------------------------


def _errors(predictions: Any, targets: Any, name: str) -> Any:
    x = floating(predictions, name)
    if targets is None:
        return x
    t = tnp.asarray(targets)
    if t.shape != x.shape:  # (n, 1) against (n,) would broadcast to n^2 errors
        raise ShapeError(f"{name}: expected targets of the shape of predictions {x.shape}, got {t.shape}")
    return x - t


def squared_error(predictions: Any, targets: Any = None) -> Any:
    """(x - t)^2, elementwise; t = 0 where no targets are given. Its mean is the MSE.

    Raises:
      ShapeError: shapes differ.
    """
    return tnp.square(_errors(predictions, targets, "squared_error"))


def l2_loss(predictions: Any, targets: Any = None) -> Any:
    """(x - t)^2 / 2, elementwise; t = 0 where no targets are given.

    Raises:
      ShapeError: shapes differ.
    """
    return 0.5 * tnp.square(_errors(predictions, targets, "l2_loss"))


def huber_loss(predictions: Any, targets: Any = None, *, delta: Any = 1.0) -> Any:
    """e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = x - t; elementwise (Huber 1964).

    Raises:
      ShapeError: shapes differ.
    """
    size = tnp.abs(_errors(predictions, targets, "huber_loss"))
    quadratic = tnp.minimum(size, delta)
    return 0.5 * tnp.square(quadratic) + delta * (size - quadratic)


# Directions and distributions ------------------------------------------------------------------------


def cosine_similarity(
    predictions: Any, targets: Any, *, epsilon: Any = 0.0, axis: Axis = -1, where: Any = None
) -> Any:
    """a . b / (|a| |b|) over `axis`, squared norms being at least `epsilon`.

    A vector of norm 0 is similar to nothing: its similarity is 0. There is no derivative there; it is
    taken to be 0 where `epsilon` is 0. Vectors are scaled by their largest element first, so that no
    square overflows or vanishes.

    Args:
      predictions, targets: a and b, which broadcast.
      epsilon: least squared norm.
      axis: of the vectors.
      where: elements that take part.

    Returns:
      An array of the shape of `a * b` without `axis`.
    """
    axes = _axis(axis)
    a, b = (floating(x, "cosine_similarity") for x in (predictions, targets))
    if where is not None:
        a, b = tnp.where(where, a, 0), tnp.where(where, b, 0)
    return tnp.sum(_direction(a, epsilon, axes) * _direction(b, epsilon, axes), axis=axes)


def _direction(x: Any, epsilon: Any, axis: Any) -> Any:
    """x / sqrt(max(x . x, epsilon)), zeros for zeros."""
    from tracer.api.checkpoint import stop_gradient

    largest = tnp.max(tnp.abs(x), axis=axis, keepdims=True, initial=0.0)
    limits: Any = tnp.finfo(x.dtype)  # type: ignore[no-untyped-call]
    some = largest >= limits.tiny  # compilers may take what is smaller for 0
    # A constant of the derivative: the quotient does not depend on it.
    unit = stop_gradient(tnp.where(some, largest, 1))
    scaled = x / unit
    total = tnp.sum(tnp.square(scaled), axis=axis, keepdims=True)
    least = tnp.sqrt(tnp.asarray(epsilon, x.dtype)) / unit
    norm = tnp.maximum(tnp.sqrt(tnp.where(some, total, 1)), least)  # the square root of 0 has no derivative
    norm = tnp.where(some, norm, tnp.where(least > 0, least, 1))
    return tnp.where(some | (least > 0), scaled / norm, 0)


def cosine_distance(
    predictions: Any, targets: Any, *, epsilon: Any = 0.0, axis: Axis = -1, where: Any = None
) -> Any:
    """1 - cosine_similarity, which describes the arguments."""
    return 1 - cosine_similarity(predictions, targets, epsilon=epsilon, axis=axis, where=where)


def kl_divergence(log_predictions: Any, targets: Any, axis: Axis = -1, where: Any = None) -> Any:
    """Kullback-Leibler divergence of predictions q from targets p: sum_k p_k (log p_k - log q_k).

    A term with p = 0 is 0, also where log q is -inf. Its derivative by p has no limit; it is taken as
    -log q, the derivative of what the term adds beyond the entropy.

    Args:
      log_predictions: log q, of any shape.
      targets: p, not its logarithm.
      axis: over which distributions sum to 1.
      where: elements that take part.

    Returns:
      An array of the broadcast shape without `axis`.
    """
    log_q = floating(log_predictions, "kl_divergence")
    p = floating(targets, "kl_divergence")
    if where is not None:
        p = tnp.where(where, p, 0)
    none = p == 0
    log_q = tnp.where(none & (log_q == -tnp.inf), 0, log_q)
    log_p = tnp.where(none, 0, tnp.log(tnp.where(none, 1, p)))
    return tnp.sum(p * (log_p - log_q), axis=_axis(axis))


__all__ = [
    "cosine_distance", "cosine_similarity", "hinge_loss", "huber_loss", "kl_divergence", "l2_loss",
    "sigmoid_binary_cross_entropy", "softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels",
    "squared_error",
]  # fmt: skip
