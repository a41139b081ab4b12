"""Lowering of `ir.ops.windows`.

What JAX or XLA cannot do, or cannot differentiate, is rewritten first: negative padding becomes a crop,
and windows of rank 0, on which XLA's select-and-scatter aborts, become the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core.primitives import select_and_gather_add_p, select_and_scatter_add_p

import ir
from ir.ops.windows import identity_of
from lowering.emit import lowers

Dims = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]

_SELECT = {"ge": lax.ge_p, "le": lax.le_p}
_OF_SELECT = {"ge": "max", "le": "min"}


def _identity(combine: str, x: Any) -> Any:
    dtype = np.dtype(x.dtype)
    return np.asarray(identity_of(combine, ir.from_numpy(dtype)), dtype)


def _removed(padding: Padding) -> Padding:
    return tuple([(min(low, 0), min(high, 0)) for low, high in padding])


def _crop(x: Any, fill: Any, padding: Padding, dilation: Dims) -> Any:
    """`x` dilated with `fill`, less what the padding removes."""
    config = [(low, high, step - 1) for (low, high), step in zip(_removed(padding), dilation, strict=True)]
    return lax.pad(x, fill, config)


def _cropped(padding: Padding, base_dilation: Dims, **window: Any) -> dict[str, Any]:
    """The window attributes that are left once the operand is cropped."""
    kept = tuple([(max(low, 0), max(high, 0)) for low, high in padding])
    return {**window, "padding": kept, "base_dilation": (1,) * len(base_dilation)}


def _removes(padding: Padding) -> bool:
    return any(low or high for low, high in _removed(padding))


# Sum, max and min --------------------------------------------------------------------------------------


def _reduction(combine: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, **window: Any) -> Any:
        if not x.ndim:
            return x
        # With the neutral element as initial value, JAX takes its differentiable primitive.
        init = _identity(combine, x)
        if _removes(window["padding"]):
            x = _crop(x, init, window["padding"], window["base_dilation"])
            window = _cropped(**window)
        return lax.reduce_window(x, init, function, **window)

    return rule


lowers("reduce_window_sum")(_reduction("add", lax.add))
lowers("reduce_window_max")(_reduction("max", lax.max))
lowers("reduce_window_min")(_reduction("min", lax.min))


# The derivatives of max and min: JAX's primitives, which have derivatives themselves -----------------------


@lowers("select_and_gather_add")
def _select_and_gather_add(tangents: Any, x: Any, *, select: str, **window: Any) -> Any:
    if not x.ndim:
        return tangents
    if _removes(window["padding"]):
        padding, dilation = window["padding"], window["base_dilation"]
        tangents = _crop(tangents, np.zeros((), x.dtype), padding, dilation)
        x = _crop(x, _identity(_OF_SELECT[select], x), padding, dilation)
        window = _cropped(**window)
    return select_and_gather_add_p.bind(tangents, x, select_prim=_SELECT[select], **window)


@lowers("select_and_scatter_add")
def _select_and_scatter_add(source: Any, x: Any, *, select: str, padding: Padding, **window: Any) -> Any:
    if not x.ndim:
        return source
    zero, ones = np.zeros((), x.dtype), (1,) * x.ndim
    removes = _removes(padding)
    out = select_and_scatter_add_p.bind(
        source,
        _crop(x, zero, padding, ones) if removes else x,
        select_prim=_SELECT[select],
        padding=tuple([(max(low, 0), max(high, 0)) for low, high in padding]),
        **window,
    )
    return lax.pad(out, zero, [(-low, -high, 0) for low, high in _removed(padding)]) if removes else out
