"""Along which axes an equation can be computed block by block, and what its blocks are.

An axis runs through dimensions of operands and results. Where results have it, a block of them takes the same
block of the operands that have it, and the whole of those that have not. Where only operands have it, the results
of blocks are joined.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ir.core import Attrs, Eqn
from ir.op import Op
from ir.ops import cumulative, scatter
from ir.ops.calls import optimization_barrier
from ir.ops.contraction import dot_general
from ir.ops.convert import bitcast_convert
from ir.ops.elementwise import add, and_, max, min, mul, or_
from ir.ops.indexing import dynamic_slice, dynamic_update_slice, gather
from ir.ops.linalg import triangular_solve
from ir.ops.reduce import (
    argmax,
    argmin,
    reduce,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_prod,
    reduce_sum,
)
from ir.ops.shape import broadcast_in_dim, concatenate, constant, iota, pad, reshape, rev, slice, transpose
from ir.ops.sorting import sort, top_k

Dims = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis along which an equation can be computed block by block.

    Attributes:
      operands, results: which dimension of each it is; None for those that have it not.
      combine: joins results of blocks, where no result has the axis.
      resized: attributes of a block of so many elements; None where they stay.
      counts: whether results are positions along the axis.
    """

    operands: Dims
    results: Dims
    combine: Op | None = None
    resized: Callable[[int], Attrs] | None = None
    counts: bool = False


Rule = Callable[[Eqn], Iterator[Axis]]


def axes(eqn: Eqn) -> tuple[Axis, ...]:
    """All axes of more than one element along which an equation can be computed block by block."""
    rule = _elementwise if eqn.op.elementwise else _RULES.get(eqn.op)
    return () if rule is None else tuple([a for a in rule(eqn) if _size(eqn, a) > 1])


def _size(eqn: Eqn, axis: Axis) -> int:
    for v, d in zip((*eqn.results, *eqn.operands), (*axis.results, *axis.operands), strict=True):
        if d is not None:
            return v.type.shape[d]
    return 0


def _with(values: Sequence[int], at: int, value: int) -> tuple[int, ...]:
    return (*values[:at], value, *values[at + 1 :])


def _resizing(eqn: Eqn, name: str, dim: int) -> Callable[[int], Attrs]:
    """Attributes with another number at a position of one of them."""
    return lambda size: {**eqn.attrs, name: _with(eqn.attrs[name], dim, size)}


# Element by element ---------------------------------------------------------------------------------------


def _elementwise(eqn: Eqn) -> Iterator[Axis]:
    rank = eqn.results[0].type.rank
    for d in range(rank):
        yield Axis((d,) * len(eqn.operands), (d,) * len(eqn.results))


def _constant(eqn: Eqn) -> Iterator[Axis]:
    if eqn.attrs["value"].shape == () and eqn.results[0].type.dtype.kind != "key":
        for d in range(eqn.results[0].type.rank):
            yield Axis((), (d,), resized=_resizing(eqn, "shape", d))


def _iota(eqn: Eqn) -> Iterator[Axis]:
    for d in range(eqn.results[0].type.rank):
        yield Axis((), (d,), resized=_resizing(eqn, "shape", d), counts=d == eqn.attrs["axis"])


# Rearrangement --------------------------------------------------------------------------------------------


def _broadcast(eqn: Eqn) -> Iterator[Axis]:
    (x,), shape, dims = eqn.operands, eqn.attrs["shape"], eqn.attrs["dims"]
    has = {d: k for k, d in enumerate(dims) if x.type.shape[k] == shape[d]}
    for d in range(len(shape)):
        yield Axis((has.get(d),), (d,), resized=_resizing(eqn, "shape", d))


def _reshape(eqn: Eqn) -> Iterator[Axis]:
    old, new = eqn.operands[0].type.shape, eqn.attrs["shape"]
    before = {}
    for k, (n, stride) in enumerate(zip(old, _strides(old), strict=True)):
        before[n, stride] = k
    for d, (n, stride) in enumerate(zip(new, _strides(new), strict=True)):
        if n > 1 and (n, stride) in before:
            yield Axis((before[n, stride],), (d,), resized=_resizing(eqn, "shape", d))


def _strides(shape: Sequence[int]) -> list[int]:
    """How many elements lie between neighbours along each axis."""
    return list(itertools.accumulate(reversed(shape), int.__mul__, initial=1))[:-1][::-1]


def _transpose(eqn: Eqn) -> Iterator[Axis]:
    for d, p in enumerate(eqn.attrs["perm"]):
        yield Axis((p,), (d,))


def _except(name: str) -> Rule:
    """All axes but those that an attribute names; operands and results have them alike."""

    def rule(eqn: Eqn) -> Iterator[Axis]:
        named = _numbers(eqn.attrs[name])
        for d in range(eqn.results[0].type.rank):
            if d not in named:
                yield Axis((d,) * len(eqn.operands), (d,) * len(eqn.results))

    return rule


def _numbers(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)


def _top_k(eqn: Eqn) -> Iterator[Axis]:
    for d in range(eqn.results[0].type.rank - 1):
        yield Axis((d,), (d, d))


def _pad(eqn: Eqn) -> Iterator[Axis]:
    for d, config in enumerate(eqn.attrs["config"]):
        if config == (0, 0, 0):
            yield Axis((d, None), (d,))


def _slice(eqn: Eqn) -> Iterator[Axis]:
    attrs = eqn.attrs
    for d, n in enumerate(eqn.operands[0].type.shape):
        if (attrs["starts"][d], attrs["limits"][d], attrs["strides"][d]) == (0, n, 1):
            yield Axis((d,), (d,), resized=_resizing(eqn, "limits", d))


def _dynamic_slice(eqn: Eqn) -> Iterator[Axis]:
    rest = (None,) * (len(eqn.operands) - 1)
    for d, n in enumerate(eqn.operands[0].type.shape):
        if eqn.attrs["sizes"][d] == n:
            yield Axis((d, *rest), (d,), resized=_resizing(eqn, "sizes", d))


def _dynamic_update_slice(eqn: Eqn) -> Iterator[Axis]:
    x, update, *starts = eqn.operands
    for d, n in enumerate(x.type.shape):
        if update.type.shape[d] == n:
            yield Axis((d, d, *[None] * len(starts)), (d,))


# Indexing -------------------------------------------------------------------------------------------------


def _gather(eqn: Eqn) -> Iterator[Axis]:
    x, attrs, rank = eqn.operands[0], eqn.attrs, eqn.results[0].type.rank
    outer = [d for d in range(rank) if d not in attrs["offset_dims"]]
    batching = dict(zip(attrs["start_indices_batching_dims"], attrs["operand_batching_dims"], strict=True))
    for k, d in enumerate(outer):
        yield Axis((batching.get(k), k), (d,))
    gone = (*attrs["collapsed_slice_dims"], *attrs["operand_batching_dims"])
    window = [d for d in range(x.type.rank) if d not in gone]
    for d, out in zip(window, attrs["offset_dims"], strict=True):
        if d not in attrs["start_index_map"] and attrs["slice_sizes"][d] == x.type.shape[d]:
            yield Axis((d, None), (out,), resized=_resizing(eqn, "slice_sizes", d))


def _scatter(eqn: Eqn) -> Iterator[Axis]:
    x, _, updates = eqn.operands
    attrs = eqn.attrs
    window_dims = attrs["update_window_dims"]
    outer = [d for d in range(updates.type.rank) if d not in window_dims]
    batching = zip(attrs["scatter_indices_batching_dims"], attrs["operand_batching_dims"], strict=True)
    for k, d in batching:
        yield Axis((d, k, outer[k]), (d,))
    if eqn.op is scatter.scatter_add:
        for k, d in enumerate(outer):
            if k not in attrs["scatter_indices_batching_dims"]:
                yield Axis((None, k, d), (None,), add)
    gone = (*attrs["inserted_window_dims"], *attrs["operand_batching_dims"])
    window = [d for d in range(x.type.rank) if d not in gone]
    for d, k in zip(window, window_dims, strict=True):
        full = updates.type.shape[k] == x.type.shape[d]
        if full and d not in attrs["scatter_dims_to_operand_dims"]:
            yield Axis((d, None, k), (d,))


# Reductions and products ----------------------------------------------------------------------------------


def _reduction(combine: Op | None) -> Rule:
    def rule(eqn: Eqn) -> Iterator[Axis]:
        name = "axes" if "axes" in eqn.attrs else "axis"
        gone = _numbers(eqn.attrs[name])
        count, others = len(eqn.results), (None,) * (len(eqn.operands) - len(eqn.results))
        kept = 0
        for d in range(eqn.operands[0].type.rank):
            if d not in gone:
                yield Axis((*(d,) * count, *others), (kept,) * count)
                kept += 1
            elif combine is not None:
                yield Axis((d,), (None,), combine)

    return rule


def _dot_general(eqn: Eqn) -> Iterator[Axis]:
    lhs, rhs = eqn.operands
    attrs = eqn.attrs
    out = 0
    for i, j in zip(attrs["lhs_batch"], attrs["rhs_batch"], strict=True):
        yield Axis((i, j), (out,))
        out += 1
    for side, value in ((0, lhs), (1, rhs)):
        name = ("lhs", "rhs")[side]
        for d in range(value.type.rank):
            if d not in attrs[f"{name}_batch"] and d not in attrs[f"{name}_contract"]:
                yield Axis((d, None) if side == 0 else (None, d), (out,))
                out += 1
    for i, j in zip(attrs["lhs_contract"], attrs["rhs_contract"], strict=True):
        yield Axis((i, j), (None,), add)


def _triangular_solve(eqn: Eqn) -> Iterator[Axis]:
    """Batch axes; and columns, or rows where the matrix stands on the right, each of which is solved for by itself."""
    rank = eqn.operands[1].type.rank
    for d in range(rank - 2):
        yield Axis((d, d), (d,))
    column = rank - 1 if eqn.attrs["left_side"] else rank - 2
    yield Axis((None, column), (column,))


def _alike(eqn: Eqn) -> Iterator[Axis]:
    """Of an op that is elementwise where operand and result have one shape."""
    if len(eqn.operands) == 1 and eqn.operands[0].type.shape == eqn.results[0].type.shape:
        yield from _elementwise(eqn)


_RULES: dict[Op, Rule] = {
    argmax: _reduction(None),
    argmin: _reduction(None),
    bitcast_convert: _alike,
    broadcast_in_dim: _broadcast,
    concatenate: _except("axis"),
    constant: _constant,
    cumulative.cumlogsumexp: _except("axis"),
    cumulative.cummax: _except("axis"),
    cumulative.cummin: _except("axis"),
    cumulative.cumprod: _except("axis"),
    cumulative.cumsum: _except("axis"),
    dot_general: _dot_general,
    dynamic_slice: _dynamic_slice,
    dynamic_update_slice: _dynamic_update_slice,
    gather: _gather,
    iota: _iota,
    optimization_barrier: _alike,
    pad: _pad,
    reduce: _reduction(None),
    reduce_and: _reduction(and_),
    reduce_max: _reduction(max),
    reduce_min: _reduction(min),
    reduce_or: _reduction(or_),
    reduce_prod: _reduction(mul),
    reduce_sum: _reduction(add),
    reshape: _reshape,
    rev: _except("axes"),
    scatter.scatter: _scatter,
    scatter.scatter_add: _scatter,
    scatter.scatter_max: _scatter,
    scatter.scatter_min: _scatter,
    scatter.scatter_mul: _scatter,
    scatter.scatter_sub: _scatter,
    slice: _slice,
    sort: _except("axis"),
    top_k: _top_k,
    transpose: _transpose,
    triangular_solve: _triangular_solve,
}
