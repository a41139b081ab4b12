"""Elements of products at indices of several axes, and products with what is added at such points.

(x . y)[i, j] is a sum for each pair of a row and a column, and its gradients add rows to rows. A product of fewer
elements may be computed by another kernel, which may round otherwise.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math
from typing import Any

from ir.diagonals import diagonal_starts
from ir.ops.elementwise import mul
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_sum
from ir.ops.scatter import scatter_add
from ir.ops.shape import broadcast_in_dim, concatenate, full, permute, reshape_to, slice_axis
from ir.rewrite import ROUNDING, Fill, at, collected, rule
from ir.rewrites.around_products import moved, product
from ir.rewrites.kinds import BATCHED, INEXACT, MATMUL, dot
from ir.rewrites.put import added, zero_of
from ir.rewrites.taken import gathered, origins_of, part_pays
from ir.types import TensorType, i32

# Examples that are large enough to pay.
_WIDE = ("f32", "f64")


def _columns(i, chosen):
    """Some of the numbers of each index."""
    last = i.type.rank - 1
    if chosen == list(range(i.type.shape[last])):
        return i
    parts = [slice_axis(i, last, c, c + 1) for c in chosen]
    return parts[0] if len(parts) == 1 else concatenate(*parts, axis=last)


class _Taken:
    """An operand of a product with elements taken along some axes, in front.

    Args:
      places: of those axes, which number of the index each has.
    """

    def __init__(self, v, i, places, mode):
        self.count = i.type.rank - 1 if places else 0
        self.axes = [d for d in range(v.type.rank) if d not in places]
        self.value = v
        if places:
            along = sorted(places)
            self.value = gather(
                v, _columns(i, [places[d] for d in along]),
                offset_dims=tuple(range(self.count, self.count + len(self.axes))),
                collapsed_slice_dims=tuple(along), start_index_map=tuple(along),
                slice_sizes=tuple([1 if d in places else n for d, n in enumerate(v.type.shape)]), mode=mode,
            )  # fmt: skip

    def at(self, axes):
        """Where axes of the operand are, those taken left out."""
        return tuple([self.count + self.axes.index(d) for d in axes if d in self.axes])


def _elements(
    x, y, i, *, od, cs, sm, ob, ib, sizes, mode, lc, rc, lb, rb, precision, preferred, out, definition
):
    """Multiply the elements of each operand that are taken."""
    if diagonal_starts(definition(i)) is not None:
        return None  # a diagonal, which is read with what is done to it next
    origins = origins_of(x, y, lc, rc, lb, rb)
    shape = [(x.type.shape[a] if a is not None else y.type.shape[b]) for a, b in origins]
    if ob or ib or tuple(sorted(sm)) != cs or mode not in ("clip", "promise_in_bounds") or 0 in i.type.shape:
        return None
    if sizes != tuple([1 if k in sm else n for k, n in enumerate(shape)]):
        return None
    places = [
        {origins[k][side]: c for c, k in enumerate(sm) if origins[k][side] is not None} for side in (0, 1)
    ]
    if len(sm) < 2 and not all(places):
        return None  # rows
    count = math.prod(i.type.shape[:-1])
    taken = sum(
        v.type.size // math.prod([v.type.shape[d] for d in own]) * (count if own else 1)
        for v, own in zip((x, y), places, strict=True)
    )
    if not part_pays(x, y, out, taken, shape, lc):
        return None
    left, right = [_Taken(v, i, own, mode) for v, own in zip((x, y), places, strict=True)]
    index = list(range(i.type.rank - 1))
    both = all(places)
    front = tuple(index) if both else ()
    dims = (
        left.at(lc), right.at(rc), (*front, *left.at(lb)), (*front, *right.at(rb)), precision, preferred
    )  # fmt: skip
    # The axes of the product that are left, those of the index as numbers below 0.
    own = [-1 - k for k in index]
    rest = [k for k in range(len(shape)) if k not in sm]
    batch = [k for k in rest if None not in origins[k]]
    sides = [[k for k in rest if origins[k][1 - side] is None] for side in (0, 1)]
    if both:
        made_axes = [*own, *batch, *sides[0], *sides[1]]
    else:
        made_axes = [
            *batch,
            *[*(own if places[0] else []), *sides[0]],
            *[*(own if places[1] else []), *sides[1]],
        ]
    made = None
    if both and not sides[0] and not sides[1] and preferred in (None, x.type.dtype):
        made = _summed(left.value, right.value, dims)
    if made is None:
        made = dot(left.value, right.value, dims)
    kept, numbers = iter(rest), iter(own)
    wanted = [next(kept) if k in od else next(numbers) for k in range(out.type.rank)]
    return permute(made, tuple([made_axes.index(k) for k in wanted]))


def _summed(x, y, dims):
    """A product that has the batch axes alone, as a sum of products."""
    lc, rc, lb, rb, *_ = dims
    if x.type.dtype is not y.type.dtype:
        return None
    order = [*zip(lb, rb, strict=True), *zip(lc, rc, strict=True)]
    x, y = permute(x, tuple([a for a, _ in order])), permute(y, tuple([b for _, b in order]))
    return reduce_sum(mul(x, y), axes=tuple(range(len(lb), len(order))))


_PAIRS, _BY_TWO = TensorType((3, 2), i32), TensorType((2, 2, 2), i32)
_POINT: dict[str, Any] = {
    "od": (), "cs": (0, 1), "sm": (0, 1), "ob": (), "ib": (), "sizes": (1, 1), "mode": "clip", "fv": None,
    "so": False, "un": False,
}  # fmt: skip
_IN_BATCH = _POINT | {"od": (1,), "cs": (0, 2), "sm": (2, 0), "sizes": (1, 80, 1)}
_OF_BATCH = _POINT | {"od": (1, 2), "cs": (0,), "sm": (0,), "sizes": (1, 80, 40)}


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((200, 100), (100, 80), _PAIRS, dtypes=_WIDE, **_POINT, **MATMUL),
        at((200, 100), (100, 80), _BY_TWO, dtypes=_WIDE, **_POINT | {"sm": (1, 0)}, **MATMUL),
        at((6, 80, 60), (6, 60, 40), _PAIRS, dtypes=_WIDE, **_IN_BATCH, **BATCHED),
        at((60, 80, 60), (60, 60, 40), TensorType((3, 1), i32), dtypes=_WIDE, **_OF_BATCH, **BATCHED),
        at((9, 80, 60), (60, 40), _PAIRS, dtypes=_WIDE, **_POINT | {"od": (0,), "sizes": (1, 1, 40)},
           **MATMUL | {"lc": (2,)}),
    ],
    counterexamples=[
        at((3, 2), (2, 4), _PAIRS, **_POINT, **MATMUL),
        at((200, 100), (100, 80), _PAIRS, **_POINT | {"mode": "fill"}, **MATMUL),
        at((200, 100), (100, 80), TensorType((3, 1), i32),
           **_POINT | {"od": (1,), "cs": (0,), "sm": (0,), "sizes": (1, 80)}, **MATMUL),
    ],
)  # fmt: skip
def elements_of_product(
    x, y, i, *, od, cs, sm, ob, ib, sizes, mode, fv, so, un, lc, rc, lb, rb, precision, preferred
):
    """(x . y)[i, j] = sum_k x[i, k] y[k, j]."""
    made = dot(x, y, (lc, rc, lb, rb, precision, preferred))
    return gathered(made, i, od, cs, sm, ob, ib, sizes, mode, fv, so, un), _elements


# What is added at points --------------------------------------------------------------------------


def _points(at_side):
    def write(
        u, i, y, *, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
        lc, rc, lb, rb, precision, preferred, out, definition,
    ):  # fmt: skip
        """Rows of the other operand times what is added, added up where its points are."""
        contract, other = (lc, rc) if at_side == 0 else (rc, lc)
        if (
            batch
            or indices_batch
            or window
            or inserted != (0, 1)
            or lb
            or preferred is not None
            or diagonal_starts(definition(i)) is not None
        ):
            return None
        if (
            len(s) != 2
            or len(contract) != 1
            or mode not in ("clip", "promise_in_bounds")
            or 0 in (*s, *y.type.shape)
        ):
            return None
        if not u.type.dtype is y.type.dtype is out.type.dtype or not u.type.size:
            return None
        i, u = reshape_to(i, (u.type.size, 2)), reshape_to(u, (u.type.size,))
        (summed,), (axis,) = contract, other
        rows = slice_axis(i, 1, into.index(summed), into.index(summed) + 1)
        places = slice_axis(i, 1, into.index(1 - summed), into.index(1 - summed) + 1)
        count, rest = u.type.size, y.type.size // y.type.shape[axis]
        old = product(u, rest * s[0] * s[1], s[0] * s[1] + y.type.size + out.type.size)
        new = moved(u, 4 * count * rest + out.type.size)
        if new >= 0.9 * old:
            return None
        taken = gather(
            y, rows, offset_dims=tuple(range(1, y.type.rank)), collapsed_slice_dims=(axis,), start_index_map=(axis,),
            slice_sizes=tuple([1 if d == axis else n for d, n in enumerate(y.type.shape)]),
            # (What is added out of bounds is dropped, and what is read there is not.)
            mode="clip" if mode == "clip" else "fill",
            fill_value=None if mode == "clip" else zero_of(y),
        )  # fmt: skip
        updates = mul(broadcast_in_dim(u, shape=taken.type.shape, dims=(0,)), taken)
        place = 0 if at_side == 0 else out.type.rank - 1
        return scatter_add(
            full(out.type.shape, 0, out.type.dtype), places, updates,
            update_window_dims=tuple(range(1, updates.type.rank)), inserted_window_dims=(place,),
            scatter_dims_to_operand_dims=(place,), mode=mode,
        )  # fmt: skip

    return write


_AT: dict[str, Any] = {
    "z": Fill(0), "s": (200, 100), "window": (), "inserted": (0, 1), "into": (0, 1), "batch": (),
    "indices_batch": (), "mode": "clip", "sorted": False, "unique": False,
}  # fmt: skip
_NOT_AT = [
    at(_PAIRS, (3,), (2, 4), **_AT | {"s": (3, 2)}, **MATMUL),
    at(_PAIRS, (3,), (100, 80), **_AT | {"mode": "fill"}, **MATMUL),
]


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[
        at(_PAIRS, (3,), (100, 80), dtypes=_WIDE, **_AT, **MATMUL),
        at(_PAIRS, (3,), (200, 80), dtypes=_WIDE, **_AT | {"into": (1, 0)}, **MATMUL | {"lc": (0,)}),
        at(
            _PAIRS,
            (3,),
            (80, 100),
            dtypes=_WIDE,
            **_AT | {"mode": "promise_in_bounds"},
            **MATMUL | {"rc": (1,)},
        ),
        at(_PAIRS, (3,), (100,), dtypes=_WIDE, **_AT, **MATMUL),
        at(_BY_TWO, (2, 2), (100, 80), dtypes=_WIDE, **_AT, **MATMUL),
    ],
    counterexamples=_NOT_AT,
)
def dot_of_added_points(
    i, u, y, *, z, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
    lc, rc, lb, rb, precision, preferred,
):  # fmt: skip
    """What is added to zeros at points, times y: rows of y, added up."""
    x = added(z, s, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique)
    return dot(x, y, (lc, rc, lb, rb, precision, preferred)), _points(0)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda z: not z.array.any(),
    examples=[
        at(_PAIRS, (3,), (80, 200), dtypes=_WIDE, **_AT, **MATMUL),
        at(_PAIRS, (3,), (80, 100), dtypes=_WIDE, **_AT, **MATMUL | {"rc": (1,)}),
        at(_PAIRS, (3,), (6, 100, 7), dtypes=_WIDE, **_AT, **MATMUL | {"rc": (1,)}),
    ],
    counterexamples=[at(_PAIRS, (3,), (4, 3), **_AT | {"s": (3, 2)}, **MATMUL)],
)
def dot_with_added_points(
    i, u, y, *, z, s, window, inserted, into, batch, indices_batch, mode, sorted, unique,
    lc, rc, lb, rb, precision, preferred,
):  # fmt: skip
    """y times what is added to zeros at points, likewise."""
    x = added(z, s, i, u, window, inserted, into, batch, indices_batch, mode, sorted, unique)
    return dot(y, x, (lc, rc, lb, rb, precision, preferred)), _points(1)


RULES = collected(globals())
