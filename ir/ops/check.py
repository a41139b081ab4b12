"""`check`: an assertion about values, which a program carries until `ir.transforms.checked` makes it a result.

    check(pred, operands) {message}

It has no results, and an effect: it is kept, once for every time that the program says. `pred` is a `bool[]`; the
operands are what the message shows. Under batching both get leading axes, as many as `lanes`, with an assertion in
each lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.errors import CheckError
from ir.ops.families import REQUIRED, ZERO, materialize, op
from ir.ops.families import check as require
from ir.types import TensorType, bool_


def _type(pred: TensorType, *operands: TensorType, message: str, lanes: int) -> tuple[TensorType, ...]:
    require(
        pred.dtype is bool_ and pred.rank == lanes,
        f"check: expected a bool with {lanes} axes to hold, got {pred}",
    )
    for t in operands:
        require(
            t.shape[:lanes] == pred.shape,
            f"check: expected operands with leading axes {pred.shape}, got {t}",
        )
    return ()


def _eval(pred: Any, *operands: Any, message: str, lanes: int) -> tuple[Any, ...]:
    if not np.all(pred):
        at = first_failure(pred)
        raise CheckError(message.format(*[x[at] for x in operands]))
    return ()


def first_failure(pred: Any) -> tuple[int, ...]:
    """The first lane whose assertion fails."""
    return tuple([int(i) for i in np.argwhere(~np.asarray(pred))[0]])


def _batch(operands: Any, batched: Any, size: int, *, message: str, lanes: int) -> Any:
    full = [materialize(v, b, size) for v, b in zip(operands, batched, strict=True)]
    check(*full, message=message, lanes=lanes + 1)
    return (), ()


check = op(
    "check",
    attrs={"message": REQUIRED, "lanes": 0},
    type=_type,
    eval=_eval,
    jvp=ZERO,
    batch=_batch,
    flops=lambda operands, results, **_: 0,
    effect=True,
)

__all__ = ["check", "first_failure"]
