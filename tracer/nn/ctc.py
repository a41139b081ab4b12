"""Connectionist temporal classification: the loss of a label sequence without an alignment."""

from __future__ import annotations

from typing import Any

import tracer.numpy as tnp
from ir.errors import ShapeError
from tracer.nn.normalizers import log_softmax
from tracer.nn.operands import floating, widened


def ctc_loss(
    logits: Any,
    logit_paddings: Any,
    labels: Any,
    label_paddings: Any,
    *,
    blank_id: int = 0,
    log_epsilon: float = -1e5,
) -> Any:
    """-log p(labels | logits), summed over all alignments (Graves et al. 2006, equation 8).

    An alignment gives each frame a class; runs of a class count once, and blanks are left out. The forward
    recursion runs in log space over the frames. Its state is, for each number n of labels read, the
    probability to be in a blank after n labels and to be in the n-th label; paths that the recursion cannot
    take have probability exp(log_epsilon), as in `optax.ctc_loss`, so that a label sequence that needs more
    frames than there are has a large finite loss.

    Args:
      logits: (batch, frames, classes), not normalised.
      logit_paddings: (batch, frames), 1 for frames that are padding and 0 for others. Padding comes last.
      labels: (batch, labels), integers; `blank_id` is not among them. One out of range gives NaN.
      label_paddings: (batch, labels), 1 for padding and 0 for others. Padding comes last.
      blank_id: the class that stands for no label.
      log_epsilon: log-probability of what is impossible.

    Returns:
      An array of shape (batch,), in single precision at least.

    Raises:
      ShapeError: shapes that do not fit each other.
    """
    from tracer.api.scan import scan

    z, pads = floating(logits, "ctc_loss"), floating(logit_paddings, "ctc_loss")
    y, y_pads = tnp.asarray(labels), floating(label_paddings, "ctc_loss")
    if z.ndim != 3 or pads.shape != z.shape[:2]:
        raise ShapeError(
            f"ctc_loss: expected logits (batch, frames, classes) and paddings (batch, frames), got {z.shape} "
            f"and {pads.shape}"
        )
    if y.ndim != 2 or y.shape[0] != z.shape[0] or y_pads.shape != y.shape:
        raise ShapeError(
            f"ctc_loss: expected labels and paddings (batch, labels) for a batch of {z.shape[0]}, got {y.shape} "
            f"and {y_pads.shape}"
        )
    batch, count = y.shape
    log_p = widened(log_softmax(z))
    dtype = log_p.dtype
    y = tnp.where(y_pads > 0, blank_id, y)  # whatever stands there: it may be no class
    lengths = count - tnp.sum(y_pads, axis=1).astype(tnp.int32)
    # Equal labels in a row need a blank between them; any others may follow each other at once.
    repeats = tnp.pad((y[:, :-1] == y[:, 1:]).astype(dtype), ((0, 0), (0, 1)))
    of_blank = log_p[:, :, blank_id : blank_id + 1].transpose((1, 0, 2))
    at = tnp.broadcast_to(y[:, None, :], (batch, z.shape[1], count))
    of_labels = tnp.take_along_axis(log_p, at, axis=2).transpose((1, 0, 2))

    def read_on(blank: Any, label: Any) -> Any:
        """Probabilities in a blank after n labels, those that come out of the n-th label added."""
        return tnp.concatenate([blank[:, :1], tnp.logaddexp(blank[:, 1:], label)], axis=-1)

    def frame(carry: Any, x: Any) -> Any:
        blank, label = carry
        log_label, log_blank, pad = x
        before = read_on(blank, label + log_epsilon * repeats)
        new_label = tnp.logaddexp(before[:, :-1] + log_label, label + log_label)
        new_blank = read_on(before + log_blank, label + log_blank + log_epsilon * (1 - repeats))
        keep = pad[:, None] > 0
        return (tnp.where(keep, blank, new_blank), tnp.where(keep, label, new_label)), None

    start = tnp.where(tnp.arange(count + 1) == 0, 0.0, log_epsilon).astype(dtype)
    first = (
        tnp.broadcast_to(start, (batch, count + 1)),
        tnp.full((batch, count), log_epsilon, dtype),
    )
    xs = (of_labels, of_blank, pads.transpose((1, 0)))
    (blank, label), _ = scan(frame, first, xs)
    return -tnp.take_along_axis(read_on(blank, label), lengths[:, None], axis=1)[:, 0]


__all__ = ["ctc_loss"]
