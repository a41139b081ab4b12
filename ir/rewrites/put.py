"""Products with arrays that are zero but where a program puts something: rows added at indices, a part written.

Gradients of elements that are taken are such arrays. What is zero is not multiplied: what was put is, with the rows of
the other operand that it meets, or it is put into the product. Zeros times infinite elements would be nan.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.core import Dense
from ir.ops.indexing import dynamic_slice, dynamic_update_slice, gather
from ir.ops.scatter import scatter_add
from ir.ops.shape import constant, full, permute
from ir.rewrite import ROUNDING, Fill, at, collected, rule
from ir.rewrites.around_products import Sides, moved, product
from ir.rewrites.kinds import BATCHED, INEXACT, MATMUL, dot
from ir.types import TensorType, i32

# Examples that are large enough to pay.
_WIDE = ("f32", "f64")


def _pays(x, y, out, sides, *, put, met, made):
    """Whether a product of fewer elements is quicker.

    Args:
      put: elements of the smaller operand.
      met: of the other one.
      made: of the product.
    """
    deep = math.prod([x.type.shape[d] for d in sides.contract])
    less = deep * put / max(1, x.type.size) if made == out.type.size else deep
    old = product(x, out.type.size * deep, x.type.size + y.type.size + out.type.size)
    new = product(x, made * less, put + met + made)
    new += moved(x, 2 * met) if met < y.type.size else 0
    new += moved(x, 2 * made + out.type.size) if made < out.type.size else 0
    return new < 0.9 * old


# Rows that are added ------------------------------------------------------------------------------

_MODES = ("promise_in_bounds", "clip", "fill")


def _rows(at_side):
    def write(
        u, i, y, *, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
        lc, rc, lb, rb, precision, preferred, out,
    ):  # fmt: skip
        """Multiply the rows, and add up products, or add them into the product."""
        if (
            batch
            or indices_batch
            or len(into) != 1
            or inserted != into
            or i.type.rank != 2
            or mode not in _MODES
        ):
            return None
        (d,) = into
        if len(window) != u.type.rank - 1 or any(n == 0 for n in (*s, *u.type.shape)):
            return None
        (index_axis,) = [k for k in range(u.type.rank) if k not in window]
        kept = iter(window)
        rows = permute(u, tuple([index_axis if k == d else next(kept) for k in range(len(s))]))
        count = i.type.shape[0]
        if rows.type.shape != tuple([count if k == d else n for k, n in enumerate(s)]):
            return None  # windows are smaller than rows
        sides = Sides(at_side, (lc, rc, lb, rb, precision, preferred))
        whole = full(s, 0, u.type.dtype)
        if d in sides.batch:
            return None
        if (other := sides.partner(d)) is not None:
            if mode == "fill":
                return None  # what is dropped may be nan, which zeros do not take away
            met = y.type.size // y.type.shape[other] * count
            if not _pays(whole, y, out, sides, put=u.type.size, met=met, made=out.type.size):
                return None
            taken = gather(
                y, i, offset_dims=tuple([k for k in range(y.type.rank) if k != other]),
                collapsed_slice_dims=(other,), start_index_map=(other,),
                slice_sizes=tuple([1 if k == other else n for k, n in enumerate(y.type.shape)]),
                # (What is added out of bounds is dropped, and what is read there is not.)
                mode="clip" if mode == "clip" else "fill", fill_value=None if mode == "clip" else zero_of(y),
            )  # fmt: skip
            return sides.dot(rows, taken)
        axis = sides.out_axis(d, whole, y)
        made = out.type.size // out.type.shape[axis] * count
        if not _pays(whole, y, out, sides, put=u.type.size, met=y.type.size, made=made):
            return None
        return scatter_add(
            full(out.type.shape, 0, out.type.dtype), i, sides.dot(rows, y),
            update_window_dims=tuple([k for k in range(out.type.rank) if k != axis]), inserted_window_dims=(axis,),
            scatter_dims_to_operand_dims=(axis,), mode=mode, indices_are_sorted=sorted, unique_indices=unique,
        )  # fmt: skip

    return write


def zero_of(x):
    """The number zero of the type of an array."""
    return Dense(np.zeros((), x.type.dtype.np), x.type.dtype)


def added(z, s, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique):
    """What is added to an array of one number."""
    return scatter_add(
        constant(value=z, shape=s), i, u, update_window_dims=window, inserted_window_dims=inserted,
        scatter_dims_to_operand_dims=into, operand_batching_dims=batch,
        scatter_indices_batching_dims=indices_batch, mode=mode, indices_are_sorted=sorted, unique_indices=unique,
    )  # fmt: skip


_INDEX = TensorType((3, 1), i32)
_ROWS: dict[str, Any] = {
    "z": Fill(0), "s": (200, 100), "window": (1,), "inserted": (0,), "into": (0,), "batch": (), "indices_batch": (),
    "mode": "clip", "sorted": False, "unique": False,
}  # fmt: skip
_COLUMNS = _ROWS | {"window": (0,), "inserted": (1,), "into": (1,), "s": (100, 200)}
_SMALL = _ROWS | {"s": (3, 2)}


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[
        at(_INDEX, (3, 100), (100, 80), dtypes=_WIDE, **_ROWS, **MATMUL),
        at(
            _INDEX,
            (3, 100),
            (200, 80),
            dtypes=_WIDE,
            **_ROWS | {"mode": "promise_in_bounds"},
            **MATMUL | {"lc": (0,)},
        ),
        at(_INDEX, (100, 3), (200, 80), dtypes=_WIDE, **_COLUMNS, **MATMUL),
        at(_INDEX, (100, 3), (100, 80), dtypes=_WIDE, **_COLUMNS, **MATMUL | {"lc": (0,)}),
    ],
    counterexamples=[
        at(_INDEX, (3, 2), (2, 4), **_SMALL, **MATMUL),
        at(_INDEX, (3, 100), (200, 80), **_ROWS | {"mode": "fill"}, **MATMUL | {"lc": (0,)}),
    ],
)
def dot_of_added_rows(
    i, u, y, *, z, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
    lc, rc, lb, rb, precision, preferred,
):  # fmt: skip
    """Rows that are added to zeros, times y: those rows times y, or times the rows of y that they meet."""
    x = added(z, s, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique)
    return dot(x, y, (lc, rc, lb, rb, precision, preferred)), _rows(0)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[
        at(_INDEX, (3, 100), (80, 200), dtypes=_WIDE, **_ROWS, **MATMUL),
        at(_INDEX, (3, 100), (80, 100), dtypes=_WIDE, **_ROWS, **MATMUL | {"rc": (1,)}),
    ],
    counterexamples=[at(_INDEX, (3, 2), (4, 3), **_SMALL, **MATMUL)],
)
def dot_with_added_rows(
    i, u, y, *, z, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
    lc, rc, lb, rb, precision, preferred,
):  # fmt: skip
    """y times rows that are added to zeros, likewise."""
    x = added(z, s, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique)
    return dot(y, x, (lc, rc, lb, rb, precision, preferred)), _rows(1)


# Parts that are written -----------------------------------------------------------------------------


def _part(at_side):
    def write(u, y, *starts, s, lc, rc, lb, rb, precision, preferred, out):
        """Multiply the part by what it meets, and write the product where it belongs."""
        sides = Sides(at_side, (lc, rc, lb, rb, precision, preferred))
        whole = full(s, 0, u.type.dtype)
        cut = [d for d, (n, m) in enumerate(zip(s, u.type.shape, strict=True)) if n != m]
        if any(d in sides.batch for d in cut) or 0 in u.type.shape or not starts:
            return None
        zero = full((), 0, starts[0].type.dtype)
        met, met_at = list(y.type.shape), [zero] * y.type.rank
        made, made_at = list(out.type.shape), [zero] * out.type.rank
        for d in cut:
            if (other := sides.partner(d)) is not None:
                met[other], met_at[other] = u.type.shape[d], starts[d]
            else:
                axis = sides.out_axis(d, whole, y)
                made[axis], made_at[axis] = u.type.shape[d], starts[d]
        if not _pays(whole, y, out, sides, put=u.type.size, met=math.prod(met), made=math.prod(made)):
            return None
        taken = y if tuple(met) == y.type.shape else dynamic_slice(y, *met_at, sizes=tuple(met))
        part = sides.dot(u, taken)
        if tuple(made) == out.type.shape:
            return part
        return dynamic_update_slice(full(out.type.shape, 0, out.type.dtype), part, *made_at)

    return write


_START = TensorType((), i32)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[
        at((1, 100), (100, 80), [_START] * 2, z=Fill(0), s=(200, 100), dtypes=_WIDE, **MATMUL),
        at((2, 3), (100, 80), [_START] * 2, z=Fill(0), s=(200, 100), dtypes=_WIDE, **MATMUL),
        at((6, 2, 60), (6, 60, 40), [_START] * 3, z=Fill(0), s=(6, 80, 60), dtypes=_WIDE, **BATCHED),
    ],
    counterexamples=[
        at((1, 2), (2, 4), [_START] * 2, z=Fill(0), s=(3, 2), **MATMUL),
        at((1, 2, 60), (6, 60, 40), [_START] * 3, z=Fill(0), s=(6, 80, 60), **BATCHED),
    ],
)
def dot_of_part(u, y, *starts, z, s, lc, rc, lb, rb, precision, preferred):
    """A part that is written into zeros, times y: that part times what it meets of y."""
    x = dynamic_update_slice(constant(value=z, shape=s), u, *starts)
    write = _part(0)
    return dot(x, y, (lc, rc, lb, rb, precision, preferred)), (
        lambda u, y, starts, s, lc, rc, lb, rb, precision, preferred, out: write(
            u, y, *starts, s=s, lc=lc, rc=rc, lb=lb, rb=rb, precision=precision, preferred=preferred, out=out
        )
    )


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[at((1, 100), (80, 200), [_START] * 2, z=Fill(0), s=(200, 100), dtypes=_WIDE, **MATMUL)],
    counterexamples=[at((1, 2), (4, 3), [_START] * 2, z=Fill(0), s=(3, 2), **MATMUL)],
)
def dot_with_part(u, y, *starts, z, s, lc, rc, lb, rb, precision, preferred):
    """y times a part that is written into zeros, likewise."""
    x = dynamic_update_slice(constant(value=z, shape=s), u, *starts)
    write = _part(1)
    return dot(y, x, (lc, rc, lb, rb, precision, preferred)), (
        lambda u, y, starts, s, lc, rc, lb, rb, precision, preferred, out: write(
            u, y, *starts, s=s, lc=lc, rc=rc, lb=lb, rb=rb, precision=precision, preferred=preferred, out=out
        )
    )


# Zeros --------------------------------------------------------------------------------------------


def _zeros(out):
    return full(out.type.shape, 0, out.type.dtype)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda c: c.shape == () and not c.array.any(),
    examples=[at((2, 3), c=Fill(0), s=(3, 4), **MATMUL)],
    counterexamples=[at((2, 3), c=Fill(1), s=(3, 4), **MATMUL)],
)
def dot_with_zeros(x, *, c, s, lc, rc, lb, rb, precision, preferred):
    """x . 0 = 0."""
    return dot(x, constant(value=c, shape=s), (lc, rc, lb, rb, precision, preferred)), _zeros


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda c: c.shape == () and not c.array.any(),
    examples=[at((3, 4), c=Fill(0), s=(2, 3), **MATMUL)],
    counterexamples=[at((3, 4), c=Fill(1), s=(2, 3), **MATMUL)],
)
def dot_of_zeros(x, *, c, s, lc, rc, lb, rb, precision, preferred):
    """0 . x = 0."""
    return dot(constant(value=c, shape=s), x, (lc, rc, lb, rb, precision, preferred)), _zeros


RULES = collected(globals())
