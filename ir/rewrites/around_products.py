"""What stands around products: paddings and reversals go after them or to the smaller side.

A padding by zeros is not multiplied. Rows in another order are taken of the product where that is smaller than the
operand. A product of other layout is the same numbers added up by another kernel, which may
round otherwise.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import functools
import math

from ir.core import Value
from ir.machine import current
from ir.ops.contraction import free_dims
from ir.ops.elementwise import mul
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full, pad, rev, slice
from ir.rewrite import ROUNDING, at, collected, lit, rule
from ir.rewrites.kinds import BATCHED, INEXACT, MATMUL, dot, repeated


class Sides:
    """A product with one of its operands set apart.

    Args:
      at: 0 for the left operand, 1 for the right one.
      dims: contracted axes and batch axes of both, precision and preferred type.
    """

    def __init__(self, at, dims):
        lc, rc, lb, rb, *self.rest = dims
        self.at = at
        self.dims = dims
        self.contract, self.other_contract = (lc, rc) if at == 0 else (rc, lc)
        self.batch, self.other_batch = (lb, rb) if at == 0 else (rb, lb)

    def dot(self, mine, other):
        return dot(mine, other, self.dims) if self.at == 0 else dot(other, mine, self.dims)

    def out_axis(self, d, mine, other):
        """The axis of the product that a free or batch axis of this operand becomes."""
        if d in self.batch:
            return self.batch.index(d)
        rest = free_dims(mine.type.rank, self.contract, self.batch)
        before = len(self.batch)
        if self.at == 1:
            before += len(free_dims(other.type.rank, self.other_contract, self.other_batch))
        return before + rest.index(d)

    def partner(self, d):
        """The axis of the other operand that goes with an axis of this one; None for a free one."""
        for mine, other in ((self.contract, self.other_contract), (self.batch, self.other_batch)):
            if d in mine:
                return other[mine.index(d)]
        return None


def moved(x, elements):
    """Seconds of a kernel that reads and writes so many elements of the type of `x`."""
    return current().seconds(0, elements * x.type.dtype.bits / 8)


def product(x, multiplications, elements):
    """Seconds of a product with so many multiplications, of operands and result with so many elements."""
    return current().seconds(2 * multiplications, elements * x.type.dtype.bits / 8)


# Examples that are large enough to pay.
_WIDE = ("f32", "f64")

# Paddings -----------------------------------------------------------------------------------------


def _padded(at_side):
    def write(x, y, *, config, lc, rc, lb, rb, precision, preferred, out, shared):
        """Multiply what is not padding, and pad the product."""
        if any(low < 0 or high < 0 or gap for low, high, gap in config) or not x.type.size:
            return None
        sides = Sides(at_side, (lc, rc, lb, rb, precision, preferred))
        starts, limits = [0] * y.type.rank, list(y.type.shape)
        around = [(0, 0, 0)] * out.type.rank
        for d, (low, high, _) in enumerate(config):
            if (other := sides.partner(d)) is not None:
                starts[other], limits[other] = low, low + x.type.shape[d]
            if d not in sides.contract:
                around[sides.out_axis(d, x, y)] = (low, high, 0)
        shape = [n - low - high for n, (low, high, _) in zip(out.type.shape, around, strict=True)]
        cut = math.prod([b - a for a, b in zip(starts, limits, strict=True)])
        if not _without_is_quicker(x, y, out, sides, config, cut, math.prod(shape), shared=shared):
            return None
        part = y
        if cut < y.type.size:
            part = slice(y, starts=tuple(starts), limits=tuple(limits), strides=(1,) * y.type.rank)
        made = sides.dot(x, part)
        return (
            made
            if made.type.size == out.type.size
            else pad(made, full((), 0, out.type.dtype), config=tuple(around))
        )

    return write


def _without_is_quicker(x, y, out, sides, config, cut, made, *, shared):
    """Whether a product without the padding, of `cut` elements of `y` with `made` results, is quicker."""
    shape = [n + low + high for n, (low, high, _) in zip(x.type.shape, config, strict=True)]
    whole = math.prod(shape)
    deep, less = (math.prod([of[d] for d in sides.contract]) for of in (shape, x.type.shape))
    old = product(x, out.type.size * deep, whole + y.type.size + out.type.size)
    old += 0 if shared else moved(x, x.type.size + whole)
    new = product(x, made * less, x.type.size + cut + made)
    new += moved(x, 2 * cut) if cut < y.type.size else 0
    new += moved(x, made + out.type.size) if made < out.type.size else 0
    return new < old


_PADS = [
    at((2, 3), (60, 4), config=((10, 28, 0), (0, 57, 0)), dtypes=_WIDE, **MATMUL),
    at((2, 4, 3), (6, 33, 5), config=((3, 1, 0), (0, 6, 0), (10, 20, 0)), dtypes=_WIDE, **BATCHED),
    at((3,), (1000, 2), config=((0, 997, 0),), dtypes=_WIDE, **MATMUL | {"lc": (0,)}),
]
_NO_PADS = [
    at((2, 3), (6, 4), config=((1, 2, 0), (0, 3, 0)), **MATMUL),
    at((2, 3), (5, 4), config=((0, 0, 0), (0, 0, 1)), **MATMUL),
    at((2, 3), (2, 4), config=((0, 0, 0), (-1, 0, 0)), **MATMUL),
]


@rule(changes=ROUNDING, on=INEXACT, examples=_PADS, counterexamples=_NO_PADS)
def dot_of_pad(x, y, *, config, lc, rc, lb, rb, precision, preferred):
    """Zeros around the left operand give zeros, or nothing to add."""
    return dot(pad(x, lit(0.0), config=config), y, (lc, rc, lb, rb, precision, preferred)), _padded(0)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    examples=[
        at((3, 2), (4, 60), config=((0, 57, 0), (10, 28, 0)), dtypes=_WIDE, **MATMUL),
        at((2, 4, 5), (6, 5, 30), config=((1, 3, 0), (10, 16, 0), (2, 7, 0)), dtypes=_WIDE, **BATCHED),
    ],
    counterexamples=[at((3, 2), (4, 5), config=((0, 0, 1), (0, 0, 0)), **MATMUL)],
)
def dot_with_pad(x, y, *, config, lc, rc, lb, rb, precision, preferred):
    """Zeros around the right operand give zeros, or nothing to add."""
    return dot(y, pad(x, lit(0.0), config=config), (lc, rc, lb, rb, precision, preferred)), _padded(1)


# Reversals ----------------------------------------------------------------------------------------


def _reversed(at_side):
    def write(x, y, *, axes, lc, rc, lb, rb, precision, preferred, out):
        """Reverse the product, or the other operand, if that is smaller."""
        sides = Sides(at_side, (lc, rc, lb, rb, precision, preferred))
        if any(d in sides.batch for d in axes):
            return None
        after = tuple(sorted([sides.out_axis(d, x, y) for d in axes if d not in sides.contract]))
        across = tuple(sorted([sides.partner(d) for d in axes if d in sides.contract]))
        elements = (out.type.size if after else 0) + (y.type.size if across else 0)
        if elements >= x.type.size:
            return None
        made = sides.dot(x, rev(y, axes=across) if across else y)
        return rev(made, axes=after) if after else made

    return write


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((4, 3), (3,), axes=(0,), **MATMUL),
        at((4, 3), (3,), axes=(0, 1), **MATMUL),
        at((2, 4, 3), (2, 3, 1), axes=(2,), **BATCHED),
    ],
    counterexamples=[at((4, 3), (3, 5), axes=(0,), **MATMUL)],
)
def dot_of_reversed(x, y, *, axes, lc, rc, lb, rb, precision, preferred):
    """Reverse what is smaller than the left operand."""
    return dot(rev(x, axes=axes), y, (lc, rc, lb, rb, precision, preferred)), _reversed(0)


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((3, 4), (3,), axes=(0,), **MATMUL | {"lc": (0,)}),
        at((2, 3, 4), (2, 1, 3), axes=(1, 2), **BATCHED),
    ],
    counterexamples=[
        at((3, 4), (5, 3), axes=(1,), **MATMUL),
        at((2, 3, 4), (2, 1, 3), axes=(0, 2), **BATCHED),
    ],
)
def dot_with_reversed(x, y, *, axes, lc, rc, lb, rb, precision, preferred):
    """Reverse what is smaller than the right operand."""
    return dot(y, rev(x, axes=axes), (lc, rc, lb, rb, precision, preferred)), _reversed(1)


# Sums of products with a vector -------------------------------------------------------------------

# Factors of a product that is summed.
_FACTORS = 8


def _factors(values, definition, single):
    """The factors of products that nothing else reads."""
    out: list[Value] = []
    stack = list(values)
    while stack:
        v = stack.pop()
        eqn = definition(v)
        if eqn is not None and eqn.op is mul and single(v) and len(out) + len(stack) < _FACTORS:
            stack.extend(eqn.operands)
        else:
            out.append(v)
    return out


def _vector_last(a, b, *, axes, definition, single):
    """Sum over the axes that a repeated factor does not have, before it is multiplied."""
    every = _factors((a, b), definition, single)
    for k, v in enumerate(every):
        eqn = definition(v)
        if eqn is None or eqn.op is not broadcast_in_dim or eqn.operands[0].type.size == v.type.size:
            continue
        x, dims = eqn.operands[0], eqn.attrs["dims"]
        if any(n != v.type.shape[d] for n, d in zip(x.type.shape, dims, strict=True)):
            continue  # an axis of size 1 was stretched
        first = tuple([d for d in axes if d not in dims])
        rest = every[:k] + every[k + 1 :]
        if not first or len(first) == len(axes) or _all_repeated(rest, first, definition):
            continue
        if not any(_is_vector(other, first, definition) for other in rest):
            continue  # one sum of all is quicker than sums along an axis
        summed = reduce_sum(functools.reduce(mul, rest), axes=first)
        left = [d for d in range(v.type.rank) if d not in first]
        weights = repeated(x, summed.type.shape, tuple([left.index(d) for d in dims]))
        return reduce_sum(mul(summed, weights), axes=tuple([left.index(d) for d in axes if d not in first]))
    return None


def _is_vector(value, axes, definition):
    """Whether a value changes along these axes alone: what is multiplied by it and summed is a product."""
    eqn = definition(value)
    return eqn is not None and eqn.op is broadcast_in_dim and set(eqn.attrs["dims"]) == set(axes)


def _all_repeated(values, axes, definition):
    """Whether no value changes along some of the axes, which other rules take out first."""
    made = [definition(v) for v in values]
    return any(
        all(e is not None and e.op is broadcast_in_dim and d not in e.attrs["dims"] for e in made)
        for d in axes
    )


def _spread(of, shape, dims):
    return lambda make: broadcast_in_dim(make(of), shape=shape, dims=dims)


def _scaled_batch(make):
    return mul(_spread((3,), (2, 4, 3), (2,))(make), make((2, 4, 3)))


def _scaled(make):
    return mul(_spread((4,), (4, 3), (0,))(make), make((4, 3)))


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    guard=lambda out: out.type.dtype.real.bits >= 32,  # narrow sums are rounded once
    examples=[
        at(_scaled, _spread((3,), (4, 3), (1,)), axes=(0, 1), dtypes=_WIDE),
        at(_scaled_batch, _spread((4, 2), (2, 4, 3), (1, 0)), axes=(1, 2), dtypes=_WIDE),
    ],
    counterexamples=[
        at((4, 3), _spread((3,), (4, 3), (1,)), axes=(0, 1)),
        at(_scaled, _spread((3,), (4, 3), (1,)), axes=(0, 1), dtypes=["bf16", "f16"]),
        at((4, 3), _spread((3,), (4, 3), (1,)), axes=(0,)),
        at((4, 3), _spread((3,), (4, 3), (1,)), axes=(1,)),
        at((4, 3), _spread((1,), (4, 3), (1,)), axes=(0, 1)),
    ],
)
def sum_with_vector(a, b, *, axes):
    """sum_ij x_i a_ij y_j = sum_j y_j (sum_i x_i a_ij): products with vectors."""
    return reduce_sum(mul(a, b), axes=axes), _vector_last


RULES = collected(globals())
