"""Slices of what was sliced, put together, padded or repeated before."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import numpy as np

from ir.core import Dense
from ir.ops import elementwise as ew
from ir.ops.shape import (
    broadcast_in_dim,
    broadcast_to,
    concatenate,
    constant,
    pad,
    slice,
)
from ir.rewrite import NOTHING, Fill, at, collected, rule
from ir.rewrites.kinds import fill, filled
from ir.types import f64

# slice --------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type is out.type,
    examples=[
        at((2, 3), a=(0, 0), b=(2, 3), s=(1, 1)),
        at((), a=(), b=(), s=()),
        at((1,), a=(0,), b=(1,), s=(3,)),
    ],
    counterexamples=[at((2, 3), a=(0, 0), b=(2, 2), s=(1, 1))],
)
def slice_of_everything(x, *, a, b, s):
    """All elements, in order."""
    return slice(x, starts=a, limits=b, strides=s), x


def _composed(x, *, a, s, c, t, out):
    starts, limits, strides = [], [], []
    for axis, n in enumerate(out.type.shape):
        first, step = a[axis] + c[axis] * s[axis], s[axis] * t[axis]
        first = min(first, x.type.shape[axis])
        starts.append(first)
        limits.append(first + (n - 1) * step + 1 if n else first)
        strides.append(step)
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))


@rule(
    changes=NOTHING,
    examples=[
        at((9,), a=(1,), b=(8,), s=(2,), c=(1,), d=(4,), t=(2,)),
        at((9, 2), a=(2, 0), b=(9, 2), s=(3, 1), c=(1, 1), d=(1, 2), t=(1, 1)),
        at((4,), a=(1,), b=(4,), s=(1,), c=(1,), d=(3,), t=(1,)),
    ],
)
def slice_of_slice(x, *, a, b, s, c, d, t):
    """Starts add and strides multiply."""
    return slice(slice(x, starts=a, limits=b, strides=s), starts=c, limits=d, strides=t), _composed


def _part(parts, *, axis, a, s, out):
    n = out.type.shape[axis]
    if n == 0:
        return None
    first, last = a[axis], a[axis] + (n - 1) * s[axis]
    start = 0
    for x in parts:
        stop = start + x.type.shape[axis]
        if first < stop:
            if last >= stop:
                return None
            return _sliced(x, a, s, out=out, axis=axis, first=first - start)
        start = stop
    return None


def _sliced(x, a, s, *, out, axis, first):
    """As the slice of `x` that starts with `first` along `axis`."""
    starts = [first if d == axis else n for d, n in enumerate(a)]
    limits = [
        start + (n - 1) * step + 1 if n else start
        for start, n, step in zip(starts, out.type.shape, s, strict=True)
    ]
    strides = [step if n > 1 else 1 for n, step in zip(out.type.shape, s, strict=True)]
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))


@rule(
    changes=NOTHING,
    examples=[
        at([(2, 3), (4, 3)], axis=0, a=(2, 0), b=(5, 3), s=(2, 1)),
        at([(2,), (4,), (1,)], axis=0, a=(0,), b=(2,), s=(1,)),
        at([(2,), (4,)], axis=0, a=(1,), b=(6,), s=(5,)),
    ],
    counterexamples=[
        at([(2,), (4,)], axis=0, a=(1,), b=(4,), s=(1,)),
        at([(2,), (4,)], axis=0, a=(3,), b=(3,), s=(1,)),
    ],
)
def slice_of_concatenation(*parts, axis, a, b, s):
    """All from one part: take it from there."""
    return slice(concatenate(*parts, axis=axis), starts=a, limits=b, strides=s), _part


_PLAIN_PAD = lambda config, s: all(step == 1 for step in s) and all(gap == 0 for _, _, gap in config)  # noqa: E731
_GAPS = [
    at((4,), (), config=((2, 3, 1),), a=(3,), b=(5,), s=(1,)),
    at((4,), (), config=((2, 3, 0),), a=(3,), b=(5,), s=(2,)),
]


def _slice_within_pad(x, *, v, config, a, b, out):
    starts, limits, around = _overlap(x, config, a, b)
    if any(first == last for first, last in zip(starts, limits, strict=True)):
        return broadcast_to(v, out.type.shape)
    if any(low or high for low, high, _ in around):
        return None
    return slice(x, starts=starts, limits=limits, strides=(1,) * len(starts))


def _overlap(x, config, a, b):
    """Of a slice of a padding: its starts and limits in the operand, and the padding around that."""
    starts, limits, around = [], [], []
    for n, (low, _, _), start, limit in zip(x.type.shape, config, a, b, strict=True):
        first, last = min(max(start - low, 0), n), min(max(limit - low, 0), n)
        before = min(max(low - start, 0), limit - start)
        starts.append(first)
        limits.append(last)
        around.append((before, limit - start - before - (last - first), 0))
    return tuple(starts), tuple(limits), tuple(around)


@rule(
    changes=NOTHING,
    guard=_PLAIN_PAD,
    examples=[
        at((4,), (), config=((2, 3, 0),), a=(3,), b=(5,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(0,), b=(2,), s=(1,)),
        at((4, 2), (), config=((2, 3, 0), (-1, 4, 0)), a=(2, 0), b=(4, 1), s=(1, 1)),
        at((0,), (), config=((2, 3, 0),), a=(0,), b=(4,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(3,), b=(3,), s=(1,)),
    ],
    counterexamples=[*_GAPS, at((4,), (), config=((2, 3, 0),), a=(1,), b=(4,), s=(1,))],
)
def slice_within_pad(x, v, *, config, a, b, s):
    """Only own elements, or only padding: no need to pad."""
    return slice(pad(x, v, config=config), starts=a, limits=b, strides=s), _slice_within_pad


def _slice_of_pad(x, *, v, config, a, b):
    starts, limits, around = _overlap(x, config, a, b)
    return pad(slice(x, starts=starts, limits=limits, strides=(1,) * len(starts)), v, config=around)


@rule(
    changes=NOTHING,
    guard=_PLAIN_PAD,
    single_use=True,
    examples=[
        at((4,), (), config=((2, 3, 0),), a=(1,), b=(4,), s=(1,)),
        at((4, 2), (), config=((2, 3, 0), (-1, 4, 0)), a=(1, 0), b=(9, 3), s=(1, 1)),
        at((4,), (), config=((2, 3, 0),), a=(0,), b=(8,), s=(1,)),
    ],
    counterexamples=_GAPS,
)
def slice_of_pad(x, v, *, config, a, b, s):
    """Take from the operand what lies within it, and pad no more than is taken."""
    return slice(pad(x, v, config=config), starts=a, limits=b, strides=s), _slice_of_pad


def _sliced_broadcast(x, *, t, d, a, b, s, out):
    own = [n == t[axis] for axis, n in zip(d, x.type.shape, strict=True)]
    x = slice(
        x,
        starts=tuple([a[axis] if mine else 0 for axis, mine in zip(d, own, strict=True)]),
        limits=tuple([b[axis] if mine else 1 for axis, mine in zip(d, own, strict=True)]),
        strides=tuple([s[axis] if mine else 1 for axis, mine in zip(d, own, strict=True)]),
    )
    return broadcast_in_dim(x, shape=out.type.shape, dims=d)


@rule(
    changes=NOTHING,
    single_use=True,
    examples=[
        at((3,), t=(2, 3), d=(1,), a=(0, 1), b=(1, 3), s=(1, 1)),
        at((1, 3), t=(4, 3), d=(0, 1), a=(1, 0), b=(4, 3), s=(2, 2)),
        at((), t=(4,), d=(), a=(2,), b=(2,), s=(1,)),
        at((1,), t=(4,), d=(0,), a=(2,), b=(2,), s=(1,)),
    ],
)
def slice_of_broadcast(x, *, t, d, a, b, s):
    """Repeat no more than is taken."""
    return slice(broadcast_in_dim(x, shape=t, dims=d), starts=a, limits=b, strides=s), _sliced_broadcast


@rule(
    changes=NOTHING,
    guard=lambda c: fill(c) is not None,
    examples=[
        at(c=Fill(3), t=(2, 3), a=(0, 1), b=(1, 3), s=(1, 2)),
        at(c=Fill(0), t=(4,), a=(2,), b=(2,), s=(1,)),
    ],
    counterexamples=[
        at(c=Dense(np.arange(3.0), f64), t=(3,), a=(1,), b=(3,), s=(1,), dtypes=["f64"]),
    ],
)
def slice_of_constant(*, c, t, a, b, s):
    """All elements are equal: slices of operands leave such where one is a constant."""
    return (
        slice(constant(value=c, shape=t), starts=a, limits=b, strides=s),
        lambda c, out: filled(c.array, c, out.type.shape),
    )


# Through elementwise operations -------------------------------------------------------------------


_UNARY = (
    ew.abs, ew.cos, ew.exp, ew.log, ew.logistic, ew.neg, ew.rsqrt, ew.sin, ew.sqrt, ew.square, ew.tanh,
)  # fmt: skip
_BINARY = (ew.add, ew.div, ew.max, ew.min, ew.mul, ew.sub)


def _of_unary(op):
    @rule(changes=NOTHING, name=f"slice_of_{op.name}", single_use=True, examples=_PARTS[1])
    def of_unary(x, *, a, b, s):
        """Compute no more than is taken."""
        return slice(op(x), starts=a, limits=b, strides=s), op(slice(x, starts=a, limits=b, strides=s))

    return of_unary


def _of_binary(op):
    @rule(changes=NOTHING, name=f"slice_of_{op.name}", single_use=True, examples=_PARTS[2])
    def of_binary(x, y, *, a, b, s):
        """Compute no more than is taken."""
        return (
            slice(op(x, y), starts=a, limits=b, strides=s),
            op(slice(x, starts=a, limits=b, strides=s), slice(y, starts=a, limits=b, strides=s)),
        )

    return of_binary


_PARTS = {
    n: [
        at(*[(4, 3)] * n, a=(1, 0), b=(4, 2), s=(2, 1)),
        at(*[(3,)] * n, a=(1,), b=(1,), s=(1,)),
        at(*[(1, 5)] * n, a=(0, 2), b=(1, 3), s=(1, 1)),
    ]
    for n in (1, 2)
}
UNARY = tuple(map(_of_unary, _UNARY))
BINARY = tuple(map(_of_binary, _BINARY))

RULES = collected(globals())
