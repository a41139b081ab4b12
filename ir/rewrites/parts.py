"""Slices, paddings and concatenations: what is taken, put around, and put together."""

from __future__ import annotations

import math

from ir.core import Dense
from ir.ops.elementwise import add
from ir.ops.shape import (
    broadcast_in_dim,
    broadcast_to,
    concatenate,
    constant,
    full_like,
    pad,
    pad_axis,
    reshape_to,
    slice,
    slice_axis,
)
from ir.rewrite import NOTHING, Fill, at, collected, lit, rule
from ir.rewrites.kinds import INEXACT, fill, filled, same

_MAX_PARTS = 64  # operands of a concatenation made from nested ones

# slice --------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type is out.type,
    examples=[at((2, 3), a=(0, 0), b=(2, 3), s=(1, 1)), at((), a=(), b=(), s=()), at((1,), a=(0,), b=(1,), s=(3,))],
    counterexamples=[at((2, 3), a=(0, 0), b=(2, 2), s=(1, 1))],
)
def slice_of_everything(x, *, a, b, s):
    """All elements, in order."""
    return slice(x, starts=a, limits=b, strides=s), x


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


def _composed(x, a, s, c, t, out):
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
        at([(2, 3), (4, 3)], axis=0, a=(2, 0), b=(5, 3), s=(2, 1)),
        at([(2,), (4,), (1,)], axis=0, a=(0,), b=(2,), s=(1,)),
        at([(2,), (4,)], axis=0, a=(1,), b=(6,), s=(5,)),
    ],
    counterexamples=[at([(2,), (4,)], axis=0, a=(1,), b=(4,), s=(1,)), at([(2,), (4,)], axis=0, a=(3,), b=(3,), s=(1,))],
)
def slice_of_concatenation(*parts, axis, a, b, s):
    """All from one part: take it from there."""
    return slice(concatenate(*parts, axis=axis), starts=a, limits=b, strides=s), _part


def _part(parts, axis, a, s, out):
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
            return _sliced(x, a, s, out, axis, first - start)
        start = stop
    return None


def _sliced(x, a, s, out, axis, first):
    """As the slice of `x` that starts with `first` along `axis`."""
    starts = [first if d == axis else n for d, n in enumerate(a)]
    limits = [start + (n - 1) * step + 1 if n else start for start, n, step in zip(starts, out.type.shape, s, strict=True)]
    strides = [step if n > 1 else 1 for n, step in zip(out.type.shape, s, strict=True)]
    return slice(x, starts=tuple(starts), limits=tuple(limits), strides=tuple(strides))


@rule(
    changes=NOTHING,
    guard=lambda config, s: all(step == 1 for step in s) and all(gap == 0 for _, _, gap in config),
    examples=[
        at((4,), (), config=((2, 3, 0),), a=(3,), b=(5,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(1,), b=(4,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(0,), b=(2,), s=(1,)),
        at((4, 2), (), config=((2, 3, 0), (-1, 4, 0)), a=(1, 0), b=(9, 3), s=(1, 1)),
        at((4,), (), config=((2, 3, 0),), a=(0,), b=(8,), s=(1,)),
        at((0,), (), config=((2, 3, 0),), a=(0,), b=(4,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(3,), b=(3,), s=(1,)),
    ],
    counterexamples=[
        at((4,), (), config=((2, 3, 1),), a=(3,), b=(5,), s=(1,)),
        at((4,), (), config=((2, 3, 0),), a=(3,), b=(5,), s=(2,)),
    ],
)
def slice_of_pad(x, v, *, config, a, b, s):
    """Take from the operand what lies within it, and pad no more than is taken."""
    return slice(pad(x, v, config=config), starts=a, limits=b, strides=s), _sliced_pad


def _sliced_pad(x, v, config, a, b, out):
    starts, limits, around = [], [], []
    for n, (low, _, _), start, limit in zip(x.type.shape, config, a, b, strict=True):
        first, last = min(max(start - low, 0), n), min(max(limit - low, 0), n)  # of the operand's own
        before = min(max(low - start, 0), limit - start)
        starts.append(first)
        limits.append(last)
        around.append((before, limit - start - before - (last - first), 0))
    if any(first == last for first, last in zip(starts, limits, strict=True)):
        return broadcast_in_dim(v, shape=out.type.shape, dims=())
    taken = slice(x, starts=tuple(starts), limits=tuple(limits), strides=(1,) * len(starts))
    return pad(taken, v, config=tuple(around))


@rule(
    changes=NOTHING,
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


def _sliced_broadcast(x, t, d, a, b, s, out):
    own = [n == t[axis] for axis, n in zip(d, x.type.shape, strict=True)]
    x = slice(
        x,
        starts=tuple([a[axis] if mine else 0 for axis, mine in zip(d, own, strict=True)]),
        limits=tuple([b[axis] if mine else 1 for axis, mine in zip(d, own, strict=True)]),
        strides=tuple([s[axis] if mine else 1 for axis, mine in zip(d, own, strict=True)]),
    )
    return broadcast_in_dim(x, shape=out.type.shape, dims=d)


# pad ----------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type is out.type and out.type.size > 0,
    examples=[at((2, 3), (), config=((0, 0, 0), (0, 0, 0))), at((1,), (), config=((0, 0, 2),))],
    counterexamples=[at((2,), (), config=((1, -1, 0),)), at((2,), (), config=((1, 0, 0),))],
)
def pad_by_nothing(x, v, *, config):
    """No element is added or removed."""
    return pad(x, v, config=config), lambda x, config: x if _adds_nothing(x, config) else None


def _adds_nothing(x, config):
    return all(low == high == 0 for low, high, _ in config)


@rule(
    changes=NOTHING,
    guard=lambda config: all(low <= 0 and high <= 0 and gap == 0 for low, high, gap in config),
    examples=[at((4, 3), (), config=((-1, 0, 0), (0, -2, 0))), at((4,), (), config=((-1, -3, 0),))],
    counterexamples=[at((4,), (), config=((-1, 1, 0),)), at((4,), (), config=((-1, 0, 1),))],
)
def pad_by_removal(x, v, *, config):
    """A padding that only removes elements is a slice."""
    return pad(x, v, config=config), lambda x, config: slice(
        x,
        starts=tuple([-low for low, _, _ in config]),
        limits=tuple([n + high for n, (_, high, _) in zip(x.type.shape, config, strict=True)]),
        strides=(1,) * len(config),
    )


@rule(
    changes=NOTHING,
    guard=lambda p, q: all(low >= 0 and high >= 0 and gap == 0 for low, high, gap in (*p, *q)),
    single_use=True,
    examples=[at((2, 3), (), p=((1, 2, 0), (0, 0, 0)), q=((0, 3, 0), (1, 1, 0))), at((), (), p=(), q=())],
    counterexamples=[at((2,), (), p=((1, 2, 1),), q=((0, 3, 0),)), at((2,), (), p=((1, -1, 0),), q=((0, 3, 0),))],
)
def pad_of_pad(x, v, *, p, q):
    """Paddings with one value add up."""
    return pad(pad(x, v, config=p), v, config=q), lambda x, v, p, q: pad(
        x, v, config=tuple([(a + c, b + d, 0) for (a, b, _), (c, d, _) in zip(p, q, strict=True)])
    )


@rule(
    changes=NOTHING,
    guard=same,
    examples=[at(c=Fill(0), v=Fill(0), s=(2, 3), config=((1, 2, 0), (0, -1, 1)))],
    counterexamples=[at(c=Fill(0.0), v=Fill(-0.0), s=(2,), config=((1, 2, 0),), dtypes=["f32"])],
)
def pad_of_constant(*, c, v, s, config):
    """A number around the same number."""
    return (
        pad(constant(value=c, shape=s), constant(value=v, shape=()), config=config),
        lambda c, out: filled(c.array, c, out.type.shape),
    )


# The guard's parameters name the two constants.
def _same(c: Dense, v: Dense) -> bool:
    return same(c, v)


@rule(
    changes=NOTHING,
    guard=lambda x: x.type.size == 0,
    examples=[at((0, 3), (), config=((1, 2, 0), (0, 0, 0)))],
    counterexamples=[at((1, 3), (), config=((1, 2, 0), (0, 0, 0)))],
)
def pad_of_nothing(x, v, *, config):
    """Padding around no element."""
    return pad(x, v, config=config), lambda v, out: broadcast_to(v, out.type.shape)


# concatenate --------------------------------------------------------------------------------------


@rule(changes=NOTHING, examples=[at((2, 3), axis=1)])
def concatenation_of_one(x, *, axis):
    """Nothing to put together."""
    return concatenate(x, axis=axis), x


@rule(
    changes=NOTHING,
    guard=lambda parts: len(parts) > 1 and any(x.type.size == 0 for x in parts) and any(x.type.size for x in parts),
    examples=[at([(2, 3), (2, 0), (2, 1)], axis=1), at([(0,), (2,)], axis=0)],
    counterexamples=[at([(2, 3), (2, 1)], axis=1), at([(0,), (0,)], axis=0)],
)
def concatenation_with_nothing(*parts, axis):
    """Parts without elements may go."""
    return concatenate(*parts, axis=axis), lambda parts, axis: concatenate(*[x for x in parts if x.type.size], axis=axis)


@rule(
    changes=NOTHING,
    examples=[
        at(lambda make: [concatenate(make((2,)), make((3,)), axis=0), make((1,))], axis=0),
        at(lambda make: [make((1, 2)), concatenate(make((2, 2)), make((3, 2)), axis=0)], axis=0),
    ],
    counterexamples=[
        at(lambda make: [concatenate(make((2, 1)), make((2, 3)), axis=1), make((2, 4))], axis=0),
        at(lambda make: [x := concatenate(make((2,)), make((3,)), axis=0), x], axis=0),
    ],
)
def concatenation_of_concatenations(*parts, axis):
    """One level is enough; nested parts may not be needed elsewhere, and their number is bounded."""
    return concatenate(*parts, axis=axis), _flattened


def _flattened(parts, axis, definition, single):
    flat = []
    for x in parts:
        inner = definition(x)
        nested = inner is not None and inner.op is concatenate and inner.attrs["axis"] == axis and single(x)
        flat.extend(inner.operands if nested else [x])
    return concatenate(*flat, axis=axis) if len(parts) < len(flat) <= _MAX_PARTS else None


@rule(
    changes=NOTHING,
    examples=[
        at(lambda make: _slices(make((6,)), (0, 2), (2, 5)), axis=0),
        at(lambda make: [make((1,)), *_slices(make((6,)), (0, 2), (2, 6)), make((2,))], axis=0),
        at(lambda make: _slices(make((6,)), (0, 2), (2, 3), (3, 6)), axis=0),
    ],
    counterexamples=[
        at(lambda make: _slices(make((6,)), (0, 2), (3, 5)), axis=0),
        at(lambda make: [slice_axis(make((6,)), 0, 0, 2), slice_axis(make((6,)), 0, 2, 4)], axis=0),
    ],
)
def concatenation_of_slices(*parts, axis):
    """Slices side by side are one slice."""
    return concatenate(*parts, axis=axis), _joined


def _slices(x, *bounds):
    return [slice_axis(x, 0, start, limit) for start, limit in bounds]


def _joined(parts, axis, definition):
    runs = []  # (operand, starts, limits) of a run of slices, or (part, None, None)
    for x in parts:
        eqn = definition(x)
        if eqn is None or eqn.op is not slice or any(step != 1 for step in eqn.attrs["strides"]):
            runs.append((x, None, None))
            continue
        starts, limits = eqn.attrs["starts"], eqn.attrs["limits"]
        if runs and runs[-1][1] is not None and runs[-1][0] is eqn.operands[0]:
            _, first, last = runs[-1]
            across = [d for d in range(len(starts)) if d != axis]
            if last[axis] == starts[axis] and all((first[d], last[d]) == (starts[d], limits[d]) for d in across):
                runs[-1] = (eqn.operands[0], first, limits)
                continue
        runs.append((eqn.operands[0], starts, limits))
    if len(runs) == len(parts):
        return None
    made = [x if a is None else slice(x, starts=a, limits=b, strides=(1,) * len(a)) for x, a, b in runs]
    return made[0] if len(made) == 1 else concatenate(*made, axis=axis)


# Sums of paddings: what the derivative of slicing leaves ------------------------------------------


@rule(
    changes=NOTHING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((2, 3), (3, 3), p=((0, 3, 0), (0, 0, 0)), q=((2, 0, 0), (0, 0, 0))),
        at((2,), (1,), p=((4, 1, 0),), q=((3, 3, 0),)),
        at((2,), (2,), p=((0, 4, 0),), q=((3, 1, 0),)),
    ],
    counterexamples=[
        at((2,), (2,), p=((0, 3, 0),), q=((1, 2, 0),)),
        at((2, 1), (1, 2), p=((0, 0, 0), (0, 1, 0)), q=((1, 0, 0), (0, 0, 0))),
    ],
)
def sum_of_disjoint_pads(x, y, *, p, q):
    """Side by side instead of added; 0 is added for the sake of elements -0.0, which padding makes 0.0."""
    return add(pad(x, lit(0.0), config=p), pad(y, lit(0.0), config=q)), _side_by_side


def _side_by_side(x, y, p, q, out):
    axes = [d for d, (a, b) in enumerate(zip(p, q, strict=True)) if a != b]
    if len(axes) != 1 or any(gap or low < 0 or high < 0 for low, high, gap in (*p, *q)):
        return None
    (axis,) = axes
    if p[axis][0] > q[axis][0]:
        x, y, p, q = y, x, q, p
    between = q[axis][0] - p[axis][0] - x.type.shape[axis]
    # A wide gap would be filled with zeros before the padding around it could help.
    if between < 0 or between > math.ceil((x.type.shape[axis] + y.type.shape[axis]) / 2):
        return None
    zero = full_like(x, 0)
    joined = concatenate(pad_axis(x, axis, 0, between), y, axis=axis)
    around = tuple([(low, b[1] if d == axis else high, 0) for d, ((low, high, _), b) in enumerate(zip(p, q, strict=True))])
    if any(low or high for low, high, _ in around):
        joined = pad(joined, full_like(slice_scalar(zero), 0), config=around)
    return add(joined, full_like(out, 0))


def slice_scalar(zero):
    return zero


RULES = collected(globals())
_ = (fill, reshape_to)
