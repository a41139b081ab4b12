"""Rearrangement: reshape, transpose, broadcast_in_dim, rev, and what they do to each other."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

from ir.ops.elementwise import (
    abs,
    add,
    conj,
    cos,
    div,
    exp,
    imag,
    log,
    logistic,
    max,
    min,
    mul,
    neg,
    not_,
    real,
    rsqrt,
    sin,
    sqrt,
    square,
    sub,
    tanh,
)
from ir.ops.shape import broadcast_in_dim, constant, permute, reshape, reshape_to, rev, transpose
from ir.rewrite import NOTHING, ROUNDING, Fill, at, collected, rule
from ir.rewrites.kinds import fill, filled

# reshape ------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, s: x.type.shape == s,
    examples=[at((2, 3), s=(2, 3)), at((), s=()), at((0, 2), s=(0, 2))],
    counterexamples=[at((2, 3), s=(3, 2))],
)
def reshape_to_own_shape(x, *, s):
    """Nothing to reshape."""
    return reshape(x, shape=s), x


@rule(
    changes=NOTHING,
    examples=[
        at((2, 3), s=(6,), shape=(3, 2)),
        at((2, 0), s=(0,), shape=(5, 0)),
        at((1,), s=(), shape=(1, 1)),
    ],
)
def reshape_of_reshape(x, *, s, shape):
    """Only the last shape counts."""
    return reshape(reshape(x, shape=s), shape=shape), reshape_to


# transpose ----------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda p: p == tuple(range(len(p))),
    examples=[at((2, 3), p=(0, 1)), at((), p=())],
    counterexamples=[at((2, 3), p=(1, 0))],
)
def transpose_by_identity(x, *, p):
    """Nothing to transpose."""
    return transpose(x, perm=p), x


@rule(
    changes=NOTHING,
    examples=[
        at((2, 3, 4), p=(1, 2, 0), q=(2, 0, 1)),
        at((2, 3, 4), p=(1, 2, 0), q=(1, 0, 2)),
        at((0, 1), p=(1, 0), q=(1, 0)),
    ],
)
def transpose_of_transpose(x, *, p, q):
    """Permutations compose."""
    return transpose(transpose(x, perm=p), perm=q), lambda x, p, q: permute(x, tuple([p[i] for i in q]))


def _moves_ones_only(x, p):
    moved = [d for d in p if x.type.shape[d] != 1]
    return moved == sorted(moved)


@rule(
    changes=NOTHING,
    guard=_moves_ones_only,
    examples=[at((1, 3), p=(1, 0)), at((2, 1, 3), p=(1, 0, 2))],
    counterexamples=[at((2, 3), p=(1, 0))],
)
def transpose_of_ones(x, *, p):
    """Moving axes of size 1 moves no element: a reshape, which is free."""
    return transpose(x, perm=p), lambda x, out: reshape_to(x, out.type.shape)


# broadcast_in_dim ---------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type.size == out.type.size,
    examples=[at((2, 3), shape=(2, 3), d=(0, 1)), at((3,), shape=(1, 3), d=(1,)), at((), shape=(1,), d=())],
    counterexamples=[at((3,), shape=(2, 3), d=(1,))],
)
def broadcast_of_size_one(x, *, shape, d):
    """No element is repeated: a reshape, which is free."""
    return broadcast_in_dim(x, shape=shape, dims=d), reshape_to


@rule(
    changes=NOTHING,
    examples=[
        at((3,), s=(2, 3), d=(1,), t=(2, 4, 3), e=(0, 2)),
        at((1, 3), s=(2, 3), d=(0, 1), t=(5, 2, 3), e=(1, 2)),
        at((1,), s=(1,), d=(0,), t=(4, 2), e=(1,)),
    ],
)
def broadcast_of_broadcast(x, *, s, d, t, e):
    """The axes compose."""
    return (
        broadcast_in_dim(broadcast_in_dim(x, shape=s, dims=d), shape=t, dims=e),
        lambda x, d, t, e: broadcast_in_dim(x, shape=t, dims=tuple([e[i] for i in d])),
    )


def _without_ones(shape):
    return [n for n in shape if n != 1]


@rule(
    changes=NOTHING,
    guard=lambda x, r: 1 not in x.type.shape and _without_ones(r) == list(x.type.shape),
    examples=[
        at((3,), r=(3, 1), s=(3, 2), d=(0, 1)),
        at((2, 3), r=(2, 1, 3), s=(2, 4, 3), d=(0, 1, 2)),
        at((), r=(1, 1), s=(2, 3), d=(0, 1)),
    ],
    counterexamples=[at((2, 3), r=(6,), s=(4, 6), d=(1,)), at((1, 3), r=(3,), s=(2, 3), d=(1,))],
)
def broadcast_of_expanded(x, *, r, s, d):
    """Axes of size 1 need not be made before they are repeated."""
    return (
        broadcast_in_dim(reshape(x, shape=r), shape=s, dims=d),
        lambda x, r, s, d: broadcast_in_dim(
            x, shape=s, dims=tuple([axis for axis, n in zip(d, r, strict=True) if n != 1])
        ),
    )


def _transposed_broadcast(x, d, p, out):
    dims = [p.index(axis) for axis in d]
    kept = [axis for axis, n in zip(dims, x.type.shape, strict=True) if n != 1]
    if dims != sorted(dims):
        if kept != sorted(kept):
            return None
        x, dims = reshape_to(x, tuple(_without_ones(x.type.shape))), kept
    return broadcast_in_dim(x, shape=out.type.shape, dims=tuple(dims))


@rule(
    changes=NOTHING,
    examples=[
        at((2, 3), s=(2, 4, 3), d=(0, 2), p=(1, 0, 2)),
        at((), s=(2, 3), d=(), p=(1, 0)),
        at((1, 3), s=(2, 3), d=(0, 1), p=(1, 0)),
    ],
    counterexamples=[at((2, 3), s=(2, 4, 3), d=(0, 2), p=(2, 1, 0))],
)
def transpose_of_broadcast(x, *, s, d, p):
    """Repeat along the new axes at once, where the operand's own keep their order."""
    return transpose(broadcast_in_dim(x, shape=s, dims=d), perm=p), _transposed_broadcast


def _groups(before, after):
    """Runs of axes of two shapes, of equal size, that correspond; axes of size 1 left out."""
    left = [(axis, n) for axis, n in enumerate(before) if n != 1]
    right = [(axis, n) for axis, n in enumerate(after) if n != 1]
    i = j = 0
    while i < len(left):
        a, b = i + 1, j + 1
        held, wanted = left[i][1], right[j][1]
        while held != wanted:
            if held < wanted:
                held, a = held * left[a][1], a + 1
            else:
                wanted, b = wanted * right[b][1], b + 1
        yield [axis for axis, _ in left[i:a]], [axis for axis, _ in right[j:b]]
        i, j = a, b


def _reshaped_broadcast(x, s, d, t):
    if 0 in s:
        return None
    own = [axis for axis, n in zip(d, x.type.shape, strict=True) if n != 1]
    where = {}
    for before, after in _groups(s, t):
        if not set(own).isdisjoint(before):
            if len(before) != 1 or len(after) != 1:
                return None
            where[before[0]] = after[0]
    kept = tuple([n for n in x.type.shape if n != 1])
    return broadcast_in_dim(reshape_to(x, kept), shape=t, dims=tuple([where[axis] for axis in own]))


@rule(
    changes=NOTHING,
    single_use=True,
    examples=[
        at((3,), s=(2, 3), d=(1,), t=(2, 1, 3)),
        at((3,), s=(2, 4, 3), d=(2,), t=(8, 3)),
        at((), s=(2, 3), d=(), t=(6,)),
        at((1, 3), s=(2, 3), d=(0, 1), t=(2, 1, 3)),
    ],
    counterexamples=[at((3,), s=(2, 3), d=(1,), t=(6,)), at((0,), s=(2, 0), d=(1,), t=(0,))],
)
def reshape_of_broadcast(x, *, s, d, t):
    """Repeat into the last shape at once, where the operand's own axes are kept."""
    return reshape(broadcast_in_dim(x, shape=s, dims=d), shape=t), _reshaped_broadcast


# Elementwise ops on repeated elements: compute each element once.


def _smaller(x, s):
    return x.type.size < math.prod(s)


def _much_smaller(x, s, shared):
    """Whether computing before repeating is less work, also where the repeated operand stays."""
    return x.type.size * (3 if shared else 1) < math.prod(s)


def _unary_of_broadcast(op, changes):
    @rule(
        changes=changes,
        name=f"{op.name}_of_broadcast",
        single_use=changes == NOTHING,
        guard=_smaller if changes == NOTHING else _much_smaller,
        examples=[at((3,), s=(2, 3), d=(1,)), at((), s=(2, 2), d=())],
        counterexamples=[at((3,), s=(1, 3), d=(1,))],
    )
    def of_broadcast(x, *, s, d):
        """f(repeat x) = repeat f(x)."""
        return (
            op(broadcast_in_dim(x, shape=s, dims=d)),
            lambda x, s, d: broadcast_in_dim(op(x), shape=s, dims=d),
        )

    return of_broadcast


def _binary_of_broadcasts(op):
    @rule(
        changes=NOTHING,
        name=f"{op.name}_of_broadcasts",
        single_use=True,
        guard=lambda x, y, s: x.type is y.type and _smaller(x, s),
        examples=[at((3,), (3,), s=(2, 3), d=(1,))],
        counterexamples=[at((1, 3), (2, 1), s=(2, 3), d=(0, 1))],
    )
    def of_broadcasts(x, y, *, s, d):
        """f(repeat x, repeat y) = repeat f(x, y)."""
        return (
            op(broadcast_in_dim(x, shape=s, dims=d), broadcast_in_dim(y, shape=s, dims=d)),
            lambda x, y, s, d: broadcast_in_dim(op(x, y), shape=s, dims=d),
        )

    @rule(
        changes=NOTHING,
        name=f"{op.name}_of_broadcast_and_constant",
        single_use=True,
        guard=lambda x, c, s: fill(c) is not None and _smaller(x, s),
        examples=[at((3,), s=(2, 3), d=(1,), c=Fill(3), t=(2, 3))],
        counterexamples=[at((3,), s=(1, 3), d=(1,), c=Fill(3), t=(1, 3))],
    )
    def with_constant(x, *, s, d, c, t):
        """f(repeat x, c) = repeat f(x, c)."""
        return (
            op(broadcast_in_dim(x, shape=s, dims=d), constant(value=c, shape=t)),
            lambda x, s, d, c: broadcast_in_dim(op(x, filled(c.array, c, x.type.shape)), shape=s, dims=d),
        )

    if op not in (sub, div):  # operands in either order are tried anyway
        return of_broadcasts, with_constant

    @rule(
        changes=NOTHING,
        name=f"{op.name}_of_constant_and_broadcast",
        single_use=True,
        guard=lambda x, c, s: fill(c) is not None and _smaller(x, s),
        examples=[at((3,), s=(2, 3), d=(1,), c=Fill(3), t=(2, 3))],
        counterexamples=[at((3,), s=(1, 3), d=(1,), c=Fill(3), t=(1, 3))],
    )
    def with_constant_first(x, *, s, d, c, t):
        """f(c, repeat x) = repeat f(c, x)."""
        return (
            op(constant(value=c, shape=t), broadcast_in_dim(x, shape=s, dims=d)),
            lambda x, s, d, c: broadcast_in_dim(op(filled(c.array, c, x.type.shape), x), shape=s, dims=d),
        )

    return of_broadcasts, with_constant, with_constant_first


# Vectorised code may round transcendental functions otherwise than code for a single number. They cost so
# much that repeating their result pays even where their operand is repeated for others.
UNARY = (
    *[_unary_of_broadcast(op, NOTHING) for op in (neg, abs, square, not_, real, imag, conj)],
    *[_unary_of_broadcast(op, ROUNDING) for op in (sqrt, rsqrt, exp, log, sin, cos, tanh, logistic)],
)
BINARY = tuple([each for op in (add, sub, mul, div, max, min) for each in _binary_of_broadcasts(op)])

# rev ----------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, a: all(x.type.shape[axis] <= 1 for axis in a),
    examples=[at((2, 3), a=()), at((1, 3), a=(0,)), at((0, 3), a=(0,))],
    counterexamples=[at((2, 3), a=(0,))],
)
def rev_of_ones(x, *, a):
    """At most one element along each axis: nothing to reverse."""
    return rev(x, axes=a), x


@rule(
    changes=NOTHING,
    examples=[at((2, 3), a=(0,), b=(1, 0)), at((2, 3), a=(0,), b=(0,)), at((2, 3), a=(0,), b=(1,))],
)
def rev_of_rev(x, *, a, b):
    """An axis reversed twice is as before."""
    return rev(rev(x, axes=a), axes=b), lambda x, a, b: _reversed(x, sorted(set(a) ^ set(b)))


def _reversed(x, axes):
    return rev(x, axes=tuple(axes)) if axes else x


RULES = collected(globals())
