"""Lowering of `ir.ops.windows`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax
from jax.extend.core.primitives import select_and_gather_add_p, select_and_scatter_add_p

import ir
from ir.ops.windows import identity_of
from lowering.emit import emit, lowers

Padding = tuple[tuple[int, int], ...]

_SELECT = {"ge": lax.ge_p, "le": lax.le_p}


def _reduction(combine: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(x: Any, **window: Any) -> Any:
        dtype = np.dtype(x.dtype)
        # With the neutral element as initial value, JAX takes its differentiable primitive.
        init = np.asarray(identity_of(combine, ir.from_numpy(dtype)), dtype)
        return lax.reduce_window(x, init, function, **window)

    return rule


lowers("reduce_window_sum")(_reduction("add", lax.add))
lowers("reduce_window_max")(_reduction("max", lax.max))
lowers("reduce_window_min")(_reduction("min", lax.min))


@lowers("reduce_window")
def _reduce_window(*operands: Any, function: ir.Function, **window: Any) -> Any:
    count = len(operands) // 2

    def combine(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        return emit(function, (*left, *right))

    return lax.reduce_window(operands[:count], operands[count:], combine, **window)


@lowers("select_and_gather_add")
def _select_and_gather_add(tangents: Any, x: Any, *, select: str, **window: Any) -> Any:
    return select_and_gather_add_p.bind(tangents, x, select_prim=_SELECT[select], **window)


@lowers("select_and_scatter_add")
def _select_and_scatter_add(source: Any, x: Any, *, select: str, padding: Padding, **window: Any) -> Any:
    # JAX pads the operand itself, which it cannot do by a negative amount: crop first, restore after.
    cropped = [(min(low, 0), min(high, 0), 0) for low, high in padding]
    crops = any(low or high for low, high, _ in cropped)
    zero = np.zeros((), x.dtype)
    out = select_and_scatter_add_p.bind(
        source,
        lax.pad(x, zero, cropped) if crops else x,
        select_prim=_SELECT[select],
        padding=tuple([(max(low, 0), max(high, 0)) for low, high in padding]),
        **window,
    )
    return lax.pad(out, zero, [(-low, -high, 0) for low, high, _ in cropped]) if crops else out
