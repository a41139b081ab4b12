"""Samples of `ir.ops.indexing`."""

from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from ir.core import Dense
from ir.types import dtype_named
from tests.ops.sample import INTEGER, NUMBER, Draw, Sample

_ALL = ("bool", *NUMBER)
_ROWS = {"offset_dims": (1,), "collapsed_slice_dims": (0,), "start_index_map": (0,), "slice_sizes": (1, 3)}


def _rows(mode: str, **options: Any) -> Any:
    return lambda x, i: x.at[i[..., 0]].get(mode=mode, **options)


def _windows(x: Any, i: Any) -> Any:
    """Windows of shape (2, 1, 2) at (i[1], 0, i[0]), the second axis dropped."""
    read = [
        lax.dynamic_slice(x, (at[1], jnp.zeros_like(at[0]), at[0]), (2, 1, 2), allow_negative_indices=False)[
            :, 0
        ]
        for at in i
    ]
    return jnp.stack(read, axis=1)


def _keys(d: Draw, count: int) -> Any:
    return jax.random.split(jax.random.key(int(d.rng.integers(1000))), count)


def _batched_reads(x: Any, i: Any) -> Any:
    """x[i[b, :, c], c, b] for all b and c."""
    at = jnp.minimum(i[..., 0], x.shape[0] - 1)
    rows = [jnp.stack([x[at[b, :, c], c, b] for c in range(x.shape[1])], axis=-1) for b in range(x.shape[2])]
    return jnp.stack(rows)


SAMPLES = [
    Sample(
        "gather",
        lambda d: (d.array(5, 3), d.ints(4, 1, low=0, high=5)),
        _rows("clip"),
        attrs=_ROWS,
        label="rows",
        dtypes=_ALL,
    ),
    Sample(
        "gather",
        lambda d: (d.array(5, 3), d.ints(2, 4, 1, low=3, high=8, dtype="u8")),
        _rows("clip"),
        attrs={**_ROWS, "offset_dims": (2,)},
        label="clip",
    ),
    Sample(
        "gather",
        lambda d: (d.array(5, 3), d.ints(4, 1, low=2, high=9, dtype="i64")),
        _rows("fill"),
        attrs={**_ROWS, "mode": "fill"},
        label="fill",
        # nan is filled in: no finite differences.
        dtypes=("bool", *INTEGER, "f16", "f32", "c64"),
    ),
    *(
        Sample(
            "gather",
            lambda d: (d.array(5, 3), d.ints(4, 1, low=2, high=9)),
            _rows("fill", fill_value=7),
            attrs={**_ROWS, "mode": "fill", "fill_value": Dense(7, dtype_named(name))},
            label=f"fill-with-{name}",
            dtypes=(name,),
        )
        for name in ("f32", "f64", "i32", "u64", "bf16", "c64")
    ),
    Sample(
        "gather",
        lambda d: (d.array(5, 3), np.array([[4], [0], [2]], np.int32)),
        _rows("clip"),
        attrs={**_ROWS, "mode": "promise_in_bounds", "unique_indices": True},
        label="unique",
    ),
    Sample(
        "gather",
        lambda d: (d.array(4, 3, 5), d.ints(6, 2, low=-1, high=5)),
        _windows,
        attrs={
            "offset_dims": (0, 2),
            "collapsed_slice_dims": (1,),
            "start_index_map": (2, 0),
            "slice_sizes": (2, 1, 2),
        },
        label="windows",
    ),
    Sample(
        "gather",
        lambda d: (d.array(4, 2, 3), d.ints(3, 5, 2, 1, low=0, high=5)),
        _batched_reads,
        attrs={
            "start_index_map": (0,),
            "collapsed_slice_dims": (0,),
            "operand_batching_dims": (1, 2),
            "start_indices_batching_dims": (2, 0),
            "slice_sizes": (1, 1, 1),
        },
        label="batching-dims",
    ),
    Sample(
        "gather",
        lambda d: (d.array(3, 2), d.ints(0, 1, low=0, high=3)),
        _rows("clip"),
        attrs={**_ROWS, "slice_sizes": (1, 2)},
        label="no-indices",
    ),
    Sample(
        "gather",
        lambda d: (d.array(3, 1), d.ints(2, 0, low=0, high=1)),
        lambda x, i: jnp.broadcast_to(x, (2, 3, 1)),
        attrs={"offset_dims": (1, 2), "slice_sizes": (3, 1)},
        label="empty-vectors",
    ),
    Sample(
        "gather",
        lambda d: (_keys(d, 5), d.ints(4, 1, low=2, high=9)),
        lambda x, i: x.at[i[..., 0]].get(mode="fill"),
        attrs={"collapsed_slice_dims": (0,), "start_index_map": (0,), "slice_sizes": (1,), "mode": "fill"},
        label="keys",
        dtypes=("u32",),
    ),
    Sample(
        "dynamic_slice",
        lambda d: (_keys(d, 4), np.int32(1)),
        lambda x, i: x[1:3],
        attrs={"sizes": (2,)},
        label="keys",
        dtypes=("u32",),
    ),
    Sample(
        "dynamic_update_slice",
        lambda d: (_keys(d, 4), _keys(d, 2), np.int32(3)),
        lambda x, u, i: jnp.concatenate([x[:2], u]),
        label="keys",
        dtypes=("u32",),
    ),
    Sample(
        "dynamic_slice",
        lambda d: (d.array(4, 5), np.int32(1), np.int32(2)),
        lambda x, i, j: x[1:3, 2:5],
        attrs={"sizes": (2, 3)},
        dtypes=_ALL,
        label="inside",
    ),
    Sample(
        "dynamic_slice",
        lambda d: (d.array(4, 5), np.int32(-2), np.int32(4)),
        lambda x, i, j: x[0:2, 2:5],
        attrs={"sizes": (2, 3)},
        label="clamped",
    ),
    Sample(
        "dynamic_slice",
        lambda d: (d.array(4, 1), np.uint8(3), np.uint8(0)),
        lambda x, i, j: x[4:4],
        attrs={"sizes": (0, 1)},
        label="empty",
    ),
    Sample("dynamic_slice", lambda d: (d.array(),), lambda x: x, attrs={"sizes": ()}, label="scalar"),
    Sample(
        "dynamic_update_slice",
        lambda d: (d.array(4, 5), d.array(2, 3), np.int32(1), np.int32(2)),
        lambda x, u, i, j: x.at[1:3, 2:5].set(u),
        dtypes=_ALL,
        label="inside",
    ),
    Sample(
        "dynamic_update_slice",
        lambda d: (d.array(4, 5), d.array(2, 3), np.int64(3), np.int64(-1)),
        lambda x, u, i, j: x.at[2:4, 0:3].set(u),
        label="clamped",
    ),
    Sample(
        "dynamic_update_slice",
        lambda d: (d.array(4, 1), d.array(0, 1), np.int32(1), np.int32(0)),
        lambda x, u, i, j: x,
        label="empty",
    ),
    Sample("dynamic_update_slice", lambda d: (d.array(), d.array()), lambda x, u: u, label="scalar"),
]
