"""Samples of `ir.ops.contraction`."""

from typing import Any

import numpy as np
from jax import numpy as jnp

from ir.types import f32, i32
from tests.ops.sample import INEXACT, NUMBER, Draw, Sample


def _einsum(spec: str, dtype: Any = None) -> Any:
    return lambda x, y: jnp.einsum(spec, x, y, preferred_element_type=dtype or jnp.result_type(x, y))


def _special(d: Draw) -> Any:
    if d.dtype.kind in "biu":
        return []
    x = np.array([[0, 1], [np.inf, 2], [np.nan, -1]]).astype(d.dtype)
    return [(x, np.array([[1, 0, -1], [2, np.inf, 1]]).astype(d.dtype))]


def _dot(
    label: str, spec: str, lhs: tuple[int, ...], rhs: tuple[int, ...], attrs: dict[str, Any], **more: Any
) -> Sample:
    return Sample(
        "dot_general",
        lambda d: (d.array(*lhs), d.array(*rhs)),
        more.pop("reference", None) or _einsum(spec),
        attrs=attrs,
        label=label,
        **more,
    )


_MATMUL = {"lhs_contract": (1,), "rhs_contract": (0,)}

SAMPLES = [
    _dot("matmul", "ij,jk", (3, 2), (2, 3), _MATMUL, dtypes=("bool", *NUMBER), special=_special),
    _dot("dot", "i,i", (4,), (4,), {"lhs_contract": (0,), "rhs_contract": (0,)}),
    _dot("outer", "ij,k->ijk", (2, 3), (4,), {}),
    _dot("scalar", "i,->i", (3,), (), {}),
    _dot("one", "ij,jk", (1, 1), (1, 1), _MATMUL),
    _dot("no-rows", "ij,jk", (0, 2), (2, 3), _MATMUL),
    _dot("no-terms", "ij,jk", (2, 0), (0, 3), _MATMUL, dtypes=NUMBER),
    _dot(
        "batch",
        "aib,bja->baij",
        (2, 3, 4),
        (4, 5, 2),
        {"lhs_batch": (2, 0), "rhs_batch": (0, 2)},
    ),
    _dot(
        "batch-contract",
        "bijk,kjbl->bil",
        (2, 3, 4, 2),
        (2, 4, 2, 3),
        {"lhs_contract": (3, 2), "rhs_contract": (0, 1), "lhs_batch": (0,), "rhs_batch": (2,)},
    ),
    _dot(
        "contract-order",
        "cab,bdac->d",
        (2, 3, 4),
        (4, 2, 3, 2),
        {"lhs_contract": (1, 2, 0), "rhs_contract": (2, 0, 3)},
    ),
    _dot(
        "precision",
        "ij,jk",
        (2, 3),
        (3, 2),
        {**_MATMUL, "precision": ("highest", "high")},
        dtypes=INEXACT,
    ),
    _dot(
        "accumulate-f32",
        "ij,jk",
        (2, 3),
        (3, 2),
        {**_MATMUL, "preferred_type": f32},
        dtypes=("bf16", "f16", "f32"),
        reference=_einsum("ij,jk", jnp.float32),
    ),
    _dot(
        "accumulate-i32",
        "ij,jk",
        (2, 3),
        (3, 2),
        {**_MATMUL, "preferred_type": i32},
        dtypes=("i8", "i16", "i32"),
        reference=_einsum("ij,jk", jnp.int32),
    ),
    Sample(
        "dot_general",
        lambda d: (d.array(2, 3), d.array(3, 2, dtype="bf16")),  # too coarse for differences in f64
        lambda x, y: jnp.einsum("ij,jk", x, y.astype(x.dtype)),
        attrs=_MATMUL,
        label="mixed",
        dtypes=("f32", "c64"),
    ),
]
