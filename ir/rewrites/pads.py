"""Paddings and concatenations, and the sums of paddings that derivatives of slices leave."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

from typing import Any

from ir.ops.elementwise import add
from ir.ops.shape import (
    broadcast_to,
    concatenate,
    constant,
    full,
    full_like,
    pad,
    slice,
    slice_axis,
)
from ir.rewrite import NOTHING, Fill, at, collected, lit, rule
from ir.rewrites.kinds import filled, same

# pad ----------------------------------------------------------------------------------------------


@rule(
    changes=NOTHING,
    guard=lambda x, out, config: x.type is out.type and all(low == high == 0 for low, high, _ in config),
    examples=[at((2, 3), (), config=((0, 0, 0), (0, 0, 0))), at((1,), (), config=((0, 0, 2),))],
    counterexamples=[at((2,), (), config=((1, -1, 0),)), at((2,), (), config=((1, 0, 0),))],
)
def pad_by_nothing(x, v, *, config):
    """No element is added or removed."""
    return pad(x, v, config=config), x


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
    counterexamples=[
        at((2,), (), p=((1, 2, 1),), q=((0, 3, 0),)),
        at((2,), (), p=((1, -1, 0),), q=((0, 3, 0),)),
    ],
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


@rule(
    changes=NOTHING,
    guard=lambda x: x.type.size == 0,
    examples=[at((0, 3), (), config=((1, 2, 0), (0, 0, 0)))],
    counterexamples=[at((1, 3), (), config=((1, 2, 0), (0, 0, 0)))],
)
def pad_of_nothing(x, v, *, config):
    """Padding around no element."""
    return pad(x, v, config=config), lambda v, out: broadcast_to(v, out.type.shape)


_MAX_PARTS = 64  # operands of a concatenation made from nested ones

# concatenate --------------------------------------------------------------------------------------


@rule(changes=NOTHING, examples=[at((2, 3), axis=1)])
def concatenation_of_one(x, *, axis):
    """Nothing to put together."""
    return concatenate(x, axis=axis), x


@rule(
    changes=NOTHING,
    guard=lambda parts: (
        len(parts) > 1 and any(x.type.size == 0 for x in parts) and any(x.type.size for x in parts)
    ),
    examples=[at([(2, 3), (2, 0), (2, 1)], axis=1), at([(0,), (2,)], axis=0)],
    counterexamples=[at([(2, 3), (2, 1)], axis=1), at([(0,), (0,)], axis=0)],
)
def concatenation_with_nothing(*parts, axis):
    """Parts without elements may go."""
    return concatenate(*parts, axis=axis), lambda parts, axis: concatenate(
        *[x for x in parts if x.type.size], axis=axis
    )


def _flattened(parts, axis, definition, single):
    flat: list[Any] = []
    for x in parts:
        inner = definition(x)
        nested = inner is not None and inner.op is concatenate and inner.attrs["axis"] == axis and single(x)
        flat.extend(inner.operands if nested else [x])
    return concatenate(*flat, axis=axis) if len(parts) < len(flat) <= _MAX_PARTS else None


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


def _joined(parts, axis, definition, single):
    runs: list[
        list[Any]
    ] = []  # of parts: [operand, starts, limits, the parts]; None for the first three if it is no slice
    for x in parts:
        eqn = definition(x)
        if eqn is None or eqn.op is not slice or any(step != 1 for step in eqn.attrs["strides"]):
            runs.append([None, None, None, [x]])
            continue
        starts, limits = eqn.attrs["starts"], eqn.attrs["limits"]
        if runs and runs[-1][0] is eqn.operands[0]:
            _, first, last, held = runs[-1]
            across = [d for d in range(len(starts)) if d != axis]
            side_by_side = all((first[d], last[d]) == (starts[d], limits[d]) for d in across)
            if side_by_side and last[axis] == starts[axis] and single(x) and single(held[-1]):
                runs[-1] = [eqn.operands[0], first, limits, [*held, x]]
                continue
        runs.append([eqn.operands[0], starts, limits, [x]])
    if len(runs) == len(parts):
        return None
    made = [
        held[0] if len(held) == 1 else slice(x, starts=a, limits=b, strides=(1,) * len(a))
        for x, a, b, held in runs
    ]
    return made[0] if len(made) == 1 else concatenate(*made, axis=axis)


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


# Sums of paddings: what the derivative of slicing leaves ------------------------------------------


def _side_by_side(x, *, y, p, q, out):
    axes = [d for d, (a, b) in enumerate(zip(p, q, strict=True)) if a != b]
    if len(axes) != 1 or any(gap or low < 0 or high < 0 for low, high, gap in (*p, *q)):
        return None
    (axis,) = axes
    if p[axis][0] > q[axis][0]:
        x, y, p, q = y, x, q, p
    gap = q[axis][0] - p[axis][0] - x.type.shape[axis]
    # A wide gap is better left to the paddings.
    if gap < 0 or gap > min(x.type.shape[axis], y.type.shape[axis]):
        return None
    shape = tuple([gap if d == axis else n for d, n in enumerate(x.type.shape)])
    joined = concatenate(x, *[full(shape, 0, x.type.dtype)] * (gap > 0), y, axis=axis)
    around = tuple([(low, high, 0) for (low, _, _), (_, high, _) in zip(p, q, strict=True)])
    if any(low or high for low, high, _ in around):
        joined = pad(joined, full((), 0, x.type.dtype), config=around)
    return joined if out.type.dtype.is_integer else add(joined, full_like(out, 0))


@rule(
    changes=NOTHING,
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


RULES = collected(globals())
