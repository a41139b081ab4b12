"""Rows and parts of products, taken at indices that the program computes, are products of rows and parts.

A product of fewer rows may be computed by another kernel, which may round otherwise.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math
from typing import Any

from ir.machine import current
from ir.ops.contraction import free_dims
from ir.ops.indexing import dynamic_slice, fills_with_nan, gather
from ir.ops.shape import full
from ir.rewrite import ROUNDING, at, collected, rule
from ir.rewrites.kinds import BATCHED, INEXACT, MATMUL, dot
from ir.types import TensorType, i32

# Examples that are large enough to pay.
_WIDE = ("f32", "f64")


def origins_of(x, y, lc, rc, lb, rb):
    """For each axis of a product, the axis of the left and of the right operand that it is; None for no such."""
    left, right = free_dims(x.type.rank, lc, lb), free_dims(y.type.rank, rc, rb)
    return [*zip(lb, rb, strict=True), *[(d, None) for d in left], *[(None, d) for d in right]]


def _seconds(shape, deep, elements, bits):
    return current().seconds(2 * math.prod(shape) * deep, elements * bits / 8)


def part_pays(x, y, out, taken, old, lc):
    """Whether a product of parts of so many elements is quicker than the product of all, of shape `old`."""
    bits, deep = out.type.dtype.bits, math.prod([x.type.shape[d] for d in lc])
    whole = _seconds(old, deep, x.type.size + y.type.size + 3 * math.prod(old), bits)
    return _seconds(out.type.shape, deep, 3 * taken + out.type.size, bits) + current().launch < 0.9 * whole


def _part(x, y, *starts, n, lc, rc, lb, rb, precision, preferred, out):
    """Take the parts of both operands, whole along the axes that are summed over."""
    origins = origins_of(x, y, lc, rc, lb, rb)
    parts = []
    for side, v in enumerate((x, y)):
        zero = full((), 0, starts[0].type.dtype)
        at_, sizes = [zero] * v.type.rank, list(v.type.shape)
        for axis, origin in enumerate(origins):
            if (d := origin[side]) is not None:
                at_[d], sizes[d] = starts[axis], n[axis]
        parts.append((v, at_, tuple(sizes)))
    taken = sum(math.prod(sizes) for _, _, sizes in parts)
    old = [(x.type.shape[a] if a is not None else y.type.shape[b]) for a, b in origins]
    if not starts or not part_pays(x, y, out, taken, old, lc):
        return None
    small = [v if sizes == v.type.shape else dynamic_slice(v, *at_, sizes=sizes) for v, at_, sizes in parts]
    return dot(small[0], small[1], (lc, rc, lb, rb, precision, preferred))


_START = TensorType((), i32)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((200, 100), (100, 80), [_START] * 2, n=(1, 80), dtypes=_WIDE, **MATMUL),
        at((6, 80, 60), (6, 60, 40), [_START] * 3, n=(1, 2, 3), dtypes=_WIDE, **BATCHED),
    ],
    counterexamples=[at((4, 3), (3, 2), [_START] * 2, n=(4, 2), **MATMUL)],
)
def part_of_product(x, y, *starts, n, lc, rc, lb, rb, precision, preferred):
    """(x . y)[i:, j:] = x[i:] . y[:, j:], of given sizes."""
    return (
        dynamic_slice(dot(x, y, (lc, rc, lb, rb, precision, preferred)), *starts, sizes=n),
        lambda x, y, starts, n, lc, rc, lb, rb, precision, preferred, out: _part(
            x, y, *starts, n=n, lc=lc, rc=rc, lb=lb, rb=rb, precision=precision, preferred=preferred, out=out
        ),
    )


def _rows_of(
    x, y, i, *, od, cs, sm, ob, ib, sizes, mode, fv, so, un, lc, rc, lb, rb, precision, preferred, out
):
    """Take the rows of the operand that has them."""
    origins = origins_of(x, y, lc, rc, lb, rb)
    shape = [(x.type.shape[a] if a is not None else y.type.shape[b]) for a, b in origins]
    (d,) = sm if len(sm) == 1 else (-1,)
    if d < 0 or ob or ib or cs != (d,) or not fills_alike(mode, fv, x, lc):
        return None
    if sizes != tuple([1 if k == d else n for k, n in enumerate(shape)]):
        return None
    chosen_rank = i.type.rank - 1
    if tuple([k for k in range(out.type.rank) if k not in od]) != tuple(range(d, d + chosen_rank)):
        return None  # the chosen rows do not stand where the rows stood
    if None not in origins[d]:
        return None  # a batch
    side = 0 if origins[d][0] is not None else 1
    v, axis = (x, y)[side], origins[d][side]
    contract, batch = ((lc, lb), (rc, rb))[side]
    count = math.prod(i.type.shape[:-1])
    if not part_pays(x, y, out, v.type.size // shape[d] * count + (y, x)[side].type.size, shape, lc):
        return None

    # Chosen rows stand where the rows stood: axes behind them move.
    def moved(k):
        return k if k < axis else k + chosen_rank - 1

    offsets = tuple([moved(k) for k in range(v.type.rank) if k != axis])
    rows = gather(
        v, i, offset_dims=offsets, collapsed_slice_dims=(axis,), start_index_map=(axis,),
        slice_sizes=tuple([1 if k == axis else n for k, n in enumerate(v.type.shape)]), mode=mode, fill_value=None,
        indices_are_sorted=so, unique_indices=un,
    )  # fmt: skip
    dims = [lc, rc, lb, rb, precision, preferred]
    dims[side], dims[side + 2] = tuple(map(moved, contract)), tuple(map(moved, batch))
    return dot(rows, y, dims) if side == 0 else dot(x, rows, dims)


def fills_alike(mode, value, x, contract):
    """Whether a product of a row of what stands for rows that there are not is such a row."""
    if mode in ("clip", "promise_in_bounds"):
        return True
    return math.prod([x.type.shape[d] for d in contract]) > 0 and fills_with_nan(value, x.type.dtype)


def gathered(x, i, od, cs, sm, ob, ib, sizes, mode, fv, so, un):
    """What a `gather` of these attributes takes."""
    return gather(
        x, i, offset_dims=od, collapsed_slice_dims=cs, start_index_map=sm, operand_batching_dims=ob,
        start_indices_batching_dims=ib, slice_sizes=sizes, mode=mode, fill_value=fv, indices_are_sorted=so,
        unique_indices=un,
    )  # fmt: skip


_INDEX, _BY_TWO = TensorType((3, 1), i32), TensorType((2, 2, 1), i32)
_ROWS: dict[str, Any] = {
    "od": (1,), "cs": (0,), "sm": (0,), "ob": (), "ib": (), "sizes": (1, 80), "mode": "clip", "fv": None,
    "so": False, "un": False,
}  # fmt: skip
_COLUMNS = _ROWS | {"od": (0,), "cs": (1,), "sm": (1,), "sizes": (200, 1)}


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((200, 100), (100, 80), _INDEX, dtypes=_WIDE, **_ROWS, **MATMUL),
        at((200, 100), (100, 80), _INDEX, dtypes=_WIDE, **_COLUMNS, **MATMUL),
        at((200, 100), (100, 80), _BY_TWO, dtypes=_WIDE, **_ROWS | {"od": (2,)}, **MATMUL),
        at((100, 200), (100, 80), _BY_TWO, dtypes=_WIDE, **_ROWS | {"od": (2,)}, **MATMUL | {"lc": (0,)}),
    ],
    counterexamples=[
        at((2, 3), (3, 80), _INDEX, **_ROWS, **MATMUL),
        at((200, 100), (100, 80), _INDEX, **_ROWS | {"od": (0,), "sizes": (1, 80)}, **MATMUL),
    ],
)
def rows_of_product(
    x, y, i, *, od, cs, sm, ob, ib, sizes, mode, fv, so, un, lc, rc, lb, rb, precision, preferred
):
    """(x . y)[i] = x[i] . y."""
    product = dot(x, y, (lc, rc, lb, rb, precision, preferred))
    return gathered(product, i, od, cs, sm, ob, ib, sizes, mode, fv, so, un), _rows_of


RULES = collected(globals())
