"""Samples of `ir.ops.scatter`."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from tests.ops.sample import INTEGER, NUMBER, ORDERED, Draw, Sample

_ROWS = {"update_window_dims": (1,), "inserted_window_dims": (0,), "scatter_dims_to_operand_dims": (0,)}
_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "scatter": lambda x, u: u,
    "scatter_add": lambda x, u: x + u,
    "scatter_sub": lambda x, u: x - u,
    "scatter_mul": lambda x, u: x * u,
    "scatter_min": jnp.minimum,
    "scatter_max": jnp.maximum,
}
_DTYPES = {
    "scatter": ("bool", *NUMBER),
    "scatter_add": NUMBER,
    "scatter_sub": NUMBER,
    "scatter_mul": NUMBER,
    "scatter_min": ORDERED,
    "scatter_max": ORDERED,
}


def _apart(d: Draw, *shapes: tuple[int, ...]) -> list[Any]:
    """Arrays of which no two elements are close."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    drawn = d.array(sum(sizes)) if d.dtype == np.bool_ else d.distinct(sum(sizes))
    parts = np.split(drawn, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _one_by_one(op: str, mode: str) -> Callable[..., Any]:
    """Rows combined one after another."""

    def reference(x: Any, indices: Any, updates: Any) -> Any:
        rows = updates.reshape(-1, updates.shape[-1])
        for at, row in zip(indices.reshape(-1), rows, strict=True):
            at = jnp.asarray(at, jnp.int32)
            inside = (at >= 0) & (at < x.shape[0])
            at = jnp.clip(at, 0, x.shape[0] - 1)
            new = x.at[at].set(_COMBINE[op](x[at], row).astype(x.dtype))
            x = new if mode == "clip" else jnp.where(inside, new, x)
        return x

    return reference


def _rows(op: str, label: str, *shape: int, low: int, high: int, mode: str, index: str = "i32") -> Sample:
    # The order in which updates multiply has no derivative rule where they meet: integers only.
    dtypes = INTEGER if op == "scatter_mul" else _DTYPES[op]

    def operands(d: Draw) -> Any:
        x, updates = _apart(d, (5, 3), (*shape, 3))
        return x, d.ints(*shape, 1, low=low, high=high, dtype=index), updates

    attrs = {**_ROWS, "update_window_dims": (len(shape),), "mode": mode}
    return Sample(op, operands, _one_by_one(op, mode), attrs=attrs, label=label, dtypes=dtypes)


def _unique(op: str) -> Sample:
    def operands(d: Draw) -> Any:
        x, updates = _apart(d, (5, 3), (3, 3))
        return x, np.array([[4], [0], [2]], np.int32), updates

    attrs = {**_ROWS, "unique_indices": True}
    return Sample(op, operands, _one_by_one(op, "fill"), attrs=attrs, label="unique", dtypes=_DTYPES[op])


def _window(op: str) -> Sample:
    """One window, which a single index vector puts at (i[1], 0, i[0])."""

    def operands(d: Draw) -> Any:
        x, update = _apart(d, (4, 3, 5), (2, 2))
        return x, np.array([2, 3], np.int32), update

    def reference(x: Any, at: Any, update: Any) -> Any:
        start = [jnp.asarray(n, jnp.int32) for n in (jnp.minimum(at[1], 2), 0, jnp.minimum(at[0], 3))]
        new = _COMBINE[op](lax.dynamic_slice(x, start, (2, 1, 2)), update[:, None])
        return lax.dynamic_update_slice(x, new.astype(x.dtype), start)

    attrs = {
        "update_window_dims": (0, 1),
        "inserted_window_dims": (1,),
        "scatter_dims_to_operand_dims": (2, 0),
        "mode": "clip",
    }
    return Sample(op, operands, reference, attrs=attrs, label="window", dtypes=_DTYPES[op])


def _batching_dims(op: str) -> Sample:
    """Into row i[b, :] of example b."""

    def operands(d: Draw) -> Any:
        x, updates = _apart(d, (5, 2), (2, 3))
        return x, np.array([[[4], [0], [2]], [[1], [7], [3]]], np.int32), updates

    def reference(x: Any, indices: Any, updates: Any) -> Any:
        columns = [
            _one_by_one(op, "fill")(x[:, b, None], indices[b], updates[b, :, None])[:, 0] for b in range(2)
        ]
        return jnp.stack(columns, axis=1)

    attrs = {
        "inserted_window_dims": (0,),
        "scatter_dims_to_operand_dims": (0,),
        "operand_batching_dims": (1,),
        "scatter_indices_batching_dims": (0,),
        "mode": "fill",
        "unique_indices": True,
    }
    return Sample(op, operands, reference, attrs=attrs, label="batching-dims", dtypes=_DTYPES[op])


def _empty(op: str, label: str, x: tuple[int, int], count: int) -> Sample:
    return Sample(
        op,
        lambda d: (d.array(*x), d.ints(count, 1, low=0, high=3), d.array(count, x[1])),
        lambda x, i, u: x,
        attrs=_ROWS,
        label=label,
        dtypes=_DTYPES[op],
    )


def _samples(op: str) -> list[Sample]:
    if op in ("scatter_sub", "scatter_min"):  # as scatter_add and scatter_max
        return [_unique(op), _rows(op, "drop", 2, 3, low=-2, high=7, mode="fill"), _window(op)]
    return [
        _unique(op),
        _rows(op, "drop", 2, 3, low=-2, high=7, mode="fill"),
        _rows(op, "clip", 6, low=3, high=9, mode="clip", index="u8"),
        _rows(op, "one-update", 1, low=1, high=2, mode="promise_in_bounds", index="i64"),
        _window(op),
        _batching_dims(op),
        _empty(op, "no-updates", (3, 2), 0),
        _empty(op, "no-columns", (3, 0), 2),
        _empty(op, "no-rows", (0, 2), 2),
    ]


def _keys() -> Sample:
    def operands(d: Draw) -> Any:
        keys = jax.random.split(jax.random.key(int(d.rng.integers(1000))), 8)
        return keys[:5], np.array([[4], [9], [2]], np.int32), keys[5:]

    return Sample(
        "scatter",
        operands,
        lambda x, i, u: x.at[i[:, 0]].set(u, mode="drop"),
        attrs={"inserted_window_dims": (0,), "scatter_dims_to_operand_dims": (0,)},
        label="keys",
        dtypes=("u32",),
    )


SAMPLES = [*(sample for op in _COMBINE for sample in _samples(op)), _keys()]
