"""Samples of `ir.ops.reduce_window`: products, and the maximum with its position."""

from typing import Any

import numpy as np
from jax import lax
from jax import numpy as jnp

from ir.op import build
from ir.ops import elementwise as ew
from ir.types import TensorType, dtype_named
from tests.ops.sample import Sample
from tests.ops.samples.windows import CASES


def _product(name: str, label: str) -> Sample:
    scalar = TensorType((), dtype_named(name))
    shape, window = CASES[label]
    return Sample(
        "reduce_window",
        lambda d: (d.array(*shape), np.ones((), d.dtype)),
        lambda x, init: (lax.reduce_window(x, init, lax.mul, **window),),
        attrs={"function": build((scalar, scalar), ew.mul, "mul"), **window},
        label=f"product-{label}-{name}",
        dtypes=(name,),
    )


def _argmax(name: str, label: str) -> Sample:
    value, index = TensorType((), dtype_named(name)), TensorType((), dtype_named("i32"))
    shape, window = CASES[label]

    def body(x: Any, i: Any, y: Any, j: Any) -> Any:
        keep = ew.ge(x, y)
        return ew.select(keep, x, y), ew.select(keep, i, j)

    def reference(x: Any, i: Any, low: Any, none: Any) -> Any:
        def larger(a: Any, b: Any) -> Any:
            keep = a[0] >= b[0]
            return jnp.where(keep, a[0], b[0]), jnp.where(keep, a[1], b[1])

        return lax.reduce_window((x, i), (low, none), larger, **window)

    return Sample(
        "reduce_window",
        lambda d: (
            d.distinct(*shape),
            np.arange(np.prod(shape), dtype=np.int32).reshape(shape),
            np.asarray(-np.inf, d.dtype),
            np.int32(-1),
        ),
        reference,
        attrs={"function": build((value, index) * 2, body, "larger"), **window},
        label=f"argmax-{label}-{name}",
        dtypes=(name,),
    )


_LABELS = ("plain", "overlap", "base-dilation", "window-dilation", "cropped", "one", "empty")

SAMPLES = [
    *(_product(name, label) for name in ("f64", "i32") for label in (*_LABELS, "padding-only")),
    *(_argmax(name, label) for name in ("f64", "bf16") for label in _LABELS[:4]),
]
