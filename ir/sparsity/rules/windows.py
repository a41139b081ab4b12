"""Reductions over sliding windows, and the two ops by which those to extrema differentiate."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ir.core import Array, Eqn
from ir.numerics import indexing
from ir.sparsity.propagate import Found, Known, Propagation, depends, filled


def window_places(
    shape: tuple[int, ...],
    out: tuple[int, ...],
    *,
    window_dimensions: tuple[int, ...],
    window_strides: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
    base_dilation: tuple[int, ...],
    window_dilation: tuple[int, ...],
) -> Array:
    """For each element of a window and each window, of shape `out`, its place in an array of `shape`; -1 for none."""
    config = [(low, high, gap - 1) for (low, high), gap in zip(padding, base_dilation, strict=True)]
    places = indexing.pad(np.arange(int(np.prod(shape))).reshape(shape), -1, config)
    taps = []
    for tap in itertools.product(*map(range, window_dimensions)):
        cut = tuple([
            slice(t * gap, t * gap + (n - 1) * step + 1, step) if n else slice(0, 0)
            for t, gap, n, step in zip(tap, window_dilation, out, window_strides, strict=True)
        ])  # fmt: skip
        taps.append(places[cut].reshape(-1))
    return np.stack(taps) if taps else np.zeros((0, int(np.prod(out))), np.int64)


def _window(attrs: Any, rank: int) -> dict[str, Any]:
    ones = {"base_dilation": (1,) * rank, "window_dilation": (1,) * rank}
    names = ("window_dimensions", "window_strides", "padding", *ones)
    return {**ones, **{name: value for name, value in attrs.items() if name in names}}


@depends("reduce_window_sum", "select_and_gather_add", "reduce_window")
def _windows(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    """Each window on all its elements; on those of all operands of a function that reduces several at once."""
    x, out = eqn.operands[0].type, eqn.results[0].type
    places = window_places(x.shape, out.shape, **_window(eqn.attrs, x.rank))
    held = walk.joined([i for i in ids if i is not None and i.shape == x.shape]) if x.rank else ids[0]
    numbers = np.append(filled(held, eqn.operands[0]).reshape(-1), np.int32(0))  # place -1
    found = walk.pool.rows(numbers[places].T).reshape(out.shape)
    return [found for _ in eqn.results]


@depends("select_and_scatter_add")
def _scattered(walk: Propagation, eqn: Eqn, ids: Found, known: Known) -> Found:
    source, x = eqn.operands
    held = ids[0]
    assert held is not None
    places = window_places(x.type.shape, source.type.shape, **_window(eqn.attrs, x.type.rank))
    numbers = np.broadcast_to(held.reshape(-1), places.shape).reshape(-1)
    flat = places.reshape(-1)
    there = flat >= 0
    return [walk.pool.unite(flat[there], numbers[there], x.type.size).reshape(x.type.shape)]
