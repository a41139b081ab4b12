"""Reductions of what was rearranged, repeated or reduced before.

The order in which a reduction visits elements is its own affair: a sum may round otherwise, and where
zeros of both signs tie for an extremum, or add up to zero, the sign of the result is not defined.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from ir.core import Dense
from ir.ops.elementwise import mul, neg
from ir.ops.reduce import reduce_and, reduce_max, reduce_min, reduce_or, reduce_prod, reduce_sum, reduce_xor
from ir.ops.shape import broadcast_in_dim, constant, full_like, permute, reshape, reshape_to, transpose
from ir.rewrite import NOTHING, ROUNDING, SPECIAL, Fill, at, collected, rule
from ir.rewrites.kinds import EXACT, FLOAT, INEXACT, INTEGER, ORDERED, fill, filled, repeated

_ALL = (reduce_sum, reduce_prod, reduce_max, reduce_min, reduce_and, reduce_or, reduce_xor)
_IDEMPOTENT = (reduce_max, reduce_min, reduce_and, reduce_or)
# What visiting elements in another order may change. Partial products may overflow in one order only, and
# which nan among complex numbers wins depends on the order.
_ORDER = {
    reduce_sum: ((EXACT, NOTHING), (INEXACT, ROUNDING)),
    reduce_prod: ((EXACT, NOTHING), (INEXACT, SPECIAL)),
    **dict.fromkeys((*_IDEMPOTENT, reduce_xor), ((ORDERED, NOTHING),)),
}


def _named(op, what, on=EXACT):
    return f"{op.name}_{what}" + ("" if on in (EXACT, ORDERED) else "_inexact")


# No elements to combine ---------------------------------------------------------------------------


def _over_nothing(op):
    @rule(
        changes=NOTHING,
        name=_named(op, "over_axes_of_one"),
        on=ORDERED if op is reduce_prod else None,  # 1 * z is not z for complex z
        guard=lambda x, out: x.type.size == out.type.size and x.type.size > 0,
        examples=[at((2, 3), a=()), at((2, 1), a=(1,)), at((1, 1), a=(1, 0)), at((), a=())],
        counterexamples=[at((2, 3), a=(1,)), at((0,), a=(0,))],
    )
    def over_nothing(x, *, a):
        """One element each: a reshape, which is free."""
        return op(x, axes=a), lambda x, out: reshape_to(x, out.type.shape)

    return over_nothing


OVER_NOTHING = tuple(map(_over_nothing, _ALL))

# Reductions of reductions -------------------------------------------------------------------------


def _of_reduction(op, on, changes):
    @rule(
        changes=changes,
        name=_named(op, "twice", on),
        on=on,
        single_use=True,
        examples=[
            at((2, 3, 4), a=(1,), b=(1,)),
            at((2, 3, 4), a=(2, 0), b=(0,)),
            at((2, 0, 4), a=(1,), b=(0,)),
        ],
    )
    def twice(x, *, a, b):
        """One reduction over all axes."""
        return op(op(x, axes=a), axes=b), lambda x, a, b: op(x, axes=_both(x, a, b))

    return twice


def _both(x, a, b):
    left = [d for d in range(x.type.rank) if d not in a]
    return tuple(sorted([*a, *[left[axis] for axis in b]]))


# Where floats tie for an extremum, the derivative is shared among those of one reduction.
TWICE = tuple(
    _of_reduction(op, EXACT if on is ORDERED else on, changes)
    for op, kinds in _ORDER.items()
    for on, changes in kinds
)

# Reductions of repeated elements ------------------------------------------------------------------


def _repeated(x, s, d, a):
    """Axes of `s` along which a broadcast of `x` repeats it and the reduction reduces."""
    own = {axis for axis, n in zip(d, x.type.shape, strict=True) if n == s[axis]}
    return [axis for axis in a if axis not in own]


def _reduced_once(op, x, *, s, d, a, out):
    """The reduction of a broadcast as if nothing were repeated along the axes that it reduces."""
    again = _repeated(x, s, d, a)
    own = tuple([i for i, axis in enumerate(d) if axis in a])
    reduced = op(x, axes=own) if any(d[i] not in again for i in own) else _squeezed(x, own)
    left = [axis for axis in range(len(s)) if axis not in a]
    dims = tuple([left.index(axis) for axis in d if axis not in a])
    return repeated(reduced, out.type.shape, dims)


def _squeezed(x, axes):
    return reshape_to(x, tuple([n for i, n in enumerate(x.type.shape) if i not in axes]))


def _something_repeated(x, s, d, a):
    """Whether the reduction has something to reduce that is repeated, along whichever axis."""
    if 0 in s:
        return False
    return bool(_repeated(x, s, d, a)) or (x.type.size < math.prod(s) and any(axis in a for axis in d))


_REPEATED = [
    at((3,), s=(2, 3), d=(1,), a=(0,)),
    at((3,), s=(2, 3), d=(1,), a=(0, 1)),
    at((), s=(2, 3), d=(), a=(1,)),
    at((2, 1), s=(2, 3), d=(0, 1), a=(1,)),
    at((30,), s=(2, 30), d=(1,), a=(1,)),
    at((3, 20), s=(4, 3, 20), d=(1, 2), a=(2,)),
]
_NOT_REPEATED = [at((3, 2), s=(3, 2), d=(0, 1), a=(1,)), at((3,), s=(0, 3), d=(1,), a=(0,))]


def _of_broadcast(op):
    @rule(
        changes=NOTHING,
        name=_named(op, "of_broadcast"),
        on=ORDERED,
        guard=_something_repeated,
        examples=_REPEATED,
        counterexamples=_NOT_REPEATED,
    )
    def of_broadcast(x, *, s, d, a):
        """Repeating an element changes no extremum."""
        return (
            op(broadcast_in_dim(x, shape=s, dims=d), axes=a),
            lambda x, s, d, a, out: _reduced_once(op, x, s=s, d=d, a=a, out=out),
        )

    return of_broadcast


OF_BROADCAST = tuple(map(_of_broadcast, _IDEMPOTENT))


def _times(x, s, d, a):
    return math.prod(s[axis] for axis in _repeated(x, s, d, a))


def _sum_of_broadcast(on, changes):
    def holds(x, s, d, a):
        if not _something_repeated(x, s, d, a):
            return False
        dtype = x.type.dtype
        return dtype.is_integer or _times(x, s, d, a) <= float(ml_dtypes.finfo(dtype.real.np).max)

    def replacement(x, s, d, a, out):
        once = _reduced_once(reduce_sum, x, s=s, d=d, a=a, out=out)
        if _times(x, s, d, a) == 1:
            return once
        count = np.asarray(_times(x, s, d, a)).astype(x.type.dtype.np)  # integers wrap
        return mul(once, full_like(out, count))

    @rule(
        changes=changes,
        name=_named(reduce_sum, "of_broadcast", on),
        on=on,
        guard=holds,
        examples=_REPEATED,
        counterexamples=[*_NOT_REPEATED, at((), s=(70000,), d=(), a=(0,), dtypes=["f16"])][
            : 2 if on is EXACT else 3
        ],
    )
    def of_broadcast(x, *, s, d, a):
        """The sum of n equal numbers is n times the number."""
        return reduce_sum(broadcast_in_dim(x, shape=s, dims=d), axes=a), replacement

    return of_broadcast


SUM_OF_BROADCAST = (_sum_of_broadcast(EXACT, NOTHING), _sum_of_broadcast(FLOAT, ROUNDING))


_TABLE = at(c=Dense(np.array([[1], [2]], np.int32)), s=(2, 1), a=(0,), dtypes=["i32"])
_FLOATS = at(c=Dense(np.array([[1], [2]], np.float32)), s=(2, 1), a=(0,), dtypes=["f32"])


def _sum(c, s, a, out):
    count = math.prod(s[axis] for axis in a)
    number = c.array.item()
    with np.errstate(all="ignore"):
        total = np.asarray(number * count if count else 0, np.complex128 if c.dtype.is_complex else None)
        if c.dtype.is_integer:
            total = np.asarray(number * count % 2**c.dtype.bits, object)
            total = np.asarray(int(total)).astype(np.uint64)
    return filled(total, c, out.type.shape)


def _sum_of_constant(on, changes):
    @rule(
        changes=changes,
        name=_named(reduce_sum, "of_constant", on),
        on=on,
        guard=lambda c: fill(c) is not None,
        counterexamples=[_TABLE if on is EXACT else _FLOATS],
        examples=[
            at(c=Fill(3), s=(2, 3), a=(1,)),
            at(c=Fill(0), s=(5,), a=(0,)),
            at(c=Fill(1), s=(2, 0), a=(1,)),
        ],
    )
    def of_constant(*, c, s, a):
        """The sum of n equal numbers is n times the number."""
        return reduce_sum(constant(value=c, shape=s), axes=a), _sum

    return of_constant


SUM_OF_CONSTANT = (_sum_of_constant(EXACT, NOTHING), _sum_of_constant(FLOAT, ROUNDING))

# Reductions of rearranged elements ----------------------------------------------------------------


def _of_transpose(op, on, changes):
    def kept(p, a):
        return [p[axis] for axis in range(len(p)) if axis not in a]

    @rule(
        changes=changes,
        name=_named(op, "of_transpose", on),
        on=on,
        guard=lambda p, a: kept(p, a) == sorted(kept(p, a)),
        examples=[
            at((2, 3), p=(1, 0), a=(0,)),
            at((2, 3, 4), p=(2, 0, 1), a=(0, 2)),
            at((2, 0), p=(1, 0), a=(0, 1)),
        ],
        counterexamples=[at((2, 3, 4), p=(1, 0, 2), a=(2,))],
    )
    def of_transpose(x, *, p, a):
        """Reduce the axes where they were, if the others keep their order."""
        return op(transpose(x, perm=p), axes=a), lambda x, p, a: op(
            x, axes=tuple(sorted([p[axis] for axis in a]))
        )

    @rule(
        changes=changes,
        name=_named(op, "before_transpose", on),
        on=on,
        single_use=True,
        guard=lambda p, a: len(a) > 0 and kept(p, a) != sorted(kept(p, a)),
        examples=[at((2, 3, 4), p=(1, 0, 2), a=(2,)), at((2, 3, 4), p=(2, 1, 0), a=(1,))],
        counterexamples=[at((2, 3), p=(1, 0), a=()), at((2, 3), p=(1, 0), a=(0,))],
    )
    def before_transpose(x, *, p, a):
        """Transpose the smaller result instead of the operand."""
        return op(transpose(x, perm=p), axes=a), lambda x, p, a: _transposed_after(op, x, p, a)

    @rule(
        changes=changes,
        name=_named(op, "of_reshape", on),
        on=on,
        guard=lambda s, a: len(a) == len(s),
        examples=[at((2, 3), s=(6,), a=(0,)), at((6,), s=(2, 3), a=(1, 0))],
        counterexamples=[at((2, 3), s=(3, 2), a=(0,))],
    )
    def of_reshape(x, *, s, a):
        """All elements, whatever their shape."""
        return op(reshape(x, shape=s), axes=a), lambda x: op(x, axes=tuple(range(x.type.rank)))

    return of_transpose, before_transpose, of_reshape


def _transposed_after(op, x, p, a):
    kept = [p[axis] for axis in range(len(p)) if axis not in a]
    order = sorted(kept)
    return permute(
        op(x, axes=tuple(sorted([p[axis] for axis in a]))), tuple([order.index(axis) for axis in kept])
    )


REARRANGED = tuple(
    each for op, kinds in _ORDER.items() for on, changes in kinds for each in _of_transpose(op, on, changes)
)

# Signs --------------------------------------------------------------------------------------------


@rule(changes=NOTHING, on=INTEGER, single_use=True, examples=[at((2, 3), a=(1,)), at((2, 0), a=(0,))])
def neg_of_sum_of_neg(x, *, a):
    """-sum(-x) = sum x."""
    return neg(reduce_sum(neg(x), axes=a)), lambda x, a: reduce_sum(x, axes=a)


@rule(changes=SPECIAL, on=INEXACT, single_use=True, examples=[at((2, 3), a=(1,))])
def neg_of_sum_of_neg_inexact(x, *, a):
    """-sum(-x) = sum x, but for the sign of a sum that is zero."""
    return neg(reduce_sum(neg(x), axes=a)), lambda x, a: reduce_sum(x, axes=a)


RULES = collected(globals())
