"""Products summed: transposes and signs around `dot_general`.

A product of other layout is the same numbers added up by another kernel, which may round otherwise.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import math

from ir.ops.contraction import dot_general, free_dims, swapped
from ir.ops.elementwise import add, mul, neg
from ir.ops.indexing import gather
from ir.ops.loops import scan
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, permute, transpose
from ir.rewrite import NOTHING, ROUNDING, SPECIAL, at, collected, lit, rule
from ir.rewrites.kinds import BATCHED, EXACT, INEXACT, INTEGER, MATMUL, dot

_KINDS = ((EXACT, NOTHING, ""), (INEXACT, ROUNDING, "_inexact"))


def _left_in_order(p, lc, lb):
    """Whether the free axes of a transposed left operand are in their original order."""
    axes = [p[d] for d in free_dims(len(p), lc, lb)]
    return axes == sorted(axes)


def _right_in_order(p, rc, rb):
    return _left_in_order(p, rc, rb)


def _through(p, axes):
    return tuple([p[d] for d in axes])


def _of_transpose(on, changes, suffix):
    @rule(
        changes=changes,
        on=on,
        name=f"dot_of_transpose{suffix}",
        guard=_left_in_order,
        examples=[
            at((3, 2), (3, 4), p=(1, 0), **MATMUL),
            at((4, 2, 3), (2, 4, 5), p=(1, 2, 0), **BATCHED),
        ],
        counterexamples=[at((2, 4, 3), (3, 5), p=(1, 0, 2), **MATMUL | {"lc": (2,)})],
    )
    def of_transpose(x, y, *, p, lc, rc, lb, rb, precision, preferred):
        """Contract the axes of the left operand where they were."""
        return (
            dot(transpose(x, perm=p), y, (lc, rc, lb, rb, precision, preferred)),
            lambda x, y, p, lc, rc, lb, rb, precision, preferred: dot(
                x, y, (_through(p, lc), rc, _through(p, lb), rb, precision, preferred)
            ),
        )

    @rule(
        changes=changes,
        on=on,
        name=f"dot_with_transpose{suffix}",
        guard=_right_in_order,
        examples=[
            at((2, 3), (4, 3), p=(1, 0), **MATMUL),
            at((2, 4, 3), (3, 2, 5), p=(1, 0, 2), **BATCHED),
        ],
        counterexamples=[at((2, 3), (3, 4, 5), p=(0, 2, 1), **MATMUL)],
    )
    def with_transpose(x, y, *, p, lc, rc, lb, rb, precision, preferred):
        """Contract the axes of the right operand where they were."""
        return (
            dot(x, transpose(y, perm=p), (lc, rc, lb, rb, precision, preferred)),
            lambda x, y, p, lc, rc, lb, rb, precision, preferred: dot(
                x, y, (lc, _through(p, rc), lb, _through(p, rb), precision, preferred)
            ),
        )

    @rule(
        changes=changes,
        on=on,
        name=f"transpose_of_dot{suffix}",
        single_use=True,
        examples=[
            at((2, 3), (3, 4), p=(1, 0), **MATMUL),
            at((2, 4, 3), (2, 3, 5), p=(0, 2, 1), **BATCHED),
            at((2, 6, 4, 3), (2, 6, 3, 5), p=(1, 0, 3, 2),
               **MATMUL | {"lc": (3,), "rc": (2,), "lb": (0, 1), "rb": (0, 1)}),
            at((3,), (3, 4, 5), p=(0, 1), **MATMUL | {"lc": (0,)}),
        ],
        counterexamples=[
            at((2, 4, 3), (3, 5), p=(1, 2, 0), **MATMUL | {"lc": (2,)}),
            at((2, 4, 3), (2, 3, 5), p=(2, 0, 1), **BATCHED),
        ],
    )  # fmt: skip
    def transpose_of_dot(x, y, *, p, lc, rc, lb, rb, precision, preferred):
        """Exchange the operands instead of the axes of the product."""
        return transpose(dot(x, y, (lc, rc, lb, rb, precision, preferred)), perm=p), _exchanged

    return of_transpose, with_transpose, transpose_of_dot


def _exchanged(x, y, *, p, lc, rc, lb, rb, precision, preferred):
    batch, rows = len(lb), len(free_dims(x.type.rank, lc, lb))
    if any(axis >= batch for axis in p[:batch]):
        return None
    lb, rb = tuple([lb[i] for i in p[:batch]]), tuple([rb[i] for i in p[:batch]])
    left, right = tuple(range(batch, batch + rows)), tuple(range(batch + rows, len(p)))
    if p[batch:] == (*left, *right):
        return dot(x, y, (lc, rc, lb, rb, precision, preferred))
    if p[batch:] == (*right, *left):
        return dot(y, x, (rc, lc, rb, lb, swapped(precision), preferred))
    return None


TRANSPOSES = tuple(each for kinds in _KINDS for each in _of_transpose(*kinds))


# Sums of products ---------------------------------------------------------------------------------


def _outer(x, y, *, shape, p, q, axes, out):
    """The product over axes that both operands have, if each is repeated along axes of its own."""
    own_x, own_y = [d for d in p if d not in q], [d for d in q if d not in p]
    if (
        not own_x
        or not own_y
        or not set(axes) <= set(p) & set(q)
        or set(p) | set(q) != set(range(len(shape)))
    ):
        return None
    if any(v.type.shape[k] != shape[d] for v, dims in ((x, p), (y, q)) for k, d in enumerate(dims)):
        return None  # an axis of size 1 was stretched
    shared = [d for d in p if d in q and d not in axes]
    dims = (
        tuple([p.index(d) for d in axes]), tuple([q.index(d) for d in axes]),
        tuple([p.index(d) for d in shared]), tuple([q.index(d) for d in shared]), "highest", None,
    )  # fmt: skip
    made = [*shared, *own_x, *own_y]
    return permute(dot(x, y, dims), tuple([made.index(d) for d in range(len(shape)) if d not in axes]))


def _sum_of_products(on, changes, suffix):
    @rule(
        changes=changes,
        on=on,
        name=f"sum_of_products{suffix}",
        single_use=True,
        examples=[
            at((4, 3), (5, 3), shape=(4, 5, 3), p=(0, 2), q=(1, 2), axes=(2,)),
            at((3, 4), (5, 3), shape=(4, 3, 5), p=(1, 0), q=(2, 1), axes=(1,)),
            at((2, 4, 3), (2, 3, 5), shape=(4, 2, 5, 3), p=(1, 0, 3), q=(1, 3, 2), axes=(3,)),
            at((4, 2, 3), (2, 3, 5), shape=(4, 2, 3, 5), p=(0, 1, 2), q=(1, 2, 3), axes=(1, 2)),
        ],
        counterexamples=[
            at((4, 3), (3,), shape=(4, 3), p=(0, 1), q=(1,), axes=(1,)),
            at((4, 1), (5, 3), shape=(4, 5, 3), p=(0, 2), q=(1, 2), axes=(2,)),
            at((4, 3), (5, 3), shape=(4, 5, 3), p=(0, 2), q=(1, 2), axes=(1,)),
        ],
    )
    def of_products(x, y, *, shape, p, q, axes):
        """sum_k x_ik y_jk is a product of matrices, which never holds all x_ik y_jk."""
        left, right = broadcast_in_dim(x, shape=shape, dims=p), broadcast_in_dim(y, shape=shape, dims=q)
        return reduce_sum(mul(left, right), axes=axes), _outer

    return of_products


SUMS = tuple(_sum_of_products(*kinds) for kinds in _KINDS)


# What is written to memory before anything reads it, and in the order of its axes.
_WRITTEN = (dot_general, gather, scan)


def _weighted(a, y, *, q, axes, definition):
    """The product with a vector where it can be read in the order of memory, and `a` is there anyway."""
    made = definition(a)
    if sorted(q) != list(axes) or len(axes) == a.type.rank or (made is not None and made.op not in _WRITTEN):
        return None
    if any(y.type.shape[k] != a.type.shape[d] for k, d in enumerate(q)):
        return None  # an axis of size 1 was stretched
    of_y, last = tuple([q.index(d) for d in axes]), a.type.rank - len(axes)
    if axes == tuple(range(len(axes))):
        return dot(y, a, (of_y, axes, (), (), "highest", None))
    if axes == tuple(range(last, a.type.rank)):
        return dot(a, y, (axes, of_y, (), (), "highest", None))
    return None


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    examples=[
        at((4, 3), (4,), shape=(4, 3), q=(0,), axes=(0,)),
        at((4, 3), (3,), shape=(4, 3), q=(1,), axes=(1,)),
        at((4, 3, 2), (3, 4), shape=(4, 3, 2), q=(1, 0), axes=(0, 1)),
    ],
    counterexamples=[
        at((4, 3), (4,), shape=(4, 3), q=(0,), axes=(1,)),
        at((4, 3), (1,), shape=(4, 3), q=(0,), axes=(0,)),
        at((4, 3, 2), (3,), shape=(4, 3, 2), q=(1,), axes=(1,)),
    ],
)
def sum_with_weights(a, y, *, shape, q, axes):
    """sum_k y_k a_kj is a product with a vector: quicker than a sum whose terms XLA may write first."""
    return reduce_sum(mul(a, broadcast_in_dim(y, shape=shape, dims=q)), axes=axes), _weighted


def _is_sum(x, lc):
    """Whether it has terms that a sum begins with 0 for."""
    return math.prod([x.type.shape[d] for d in lc]) > 1


@rule(
    changes=ROUNDING,
    on=INEXACT,
    single_use=True,
    guard=_is_sum,
    examples=[at((2, 3), (3, 4), **MATMUL), at((2, 4, 3), (2, 3, 5), **BATCHED)],
    counterexamples=[at((2, 1), (1, 4), **MATMUL), at((2, 0), (0, 4), **MATMUL)],
)
def zero_added_to_product(x, y, *, lc, rc, lb, rb, precision, preferred):
    """x . y + 0 = x . y: a sum of products begins with 0, so that it is no -0."""
    dims = (lc, rc, lb, rb, precision, preferred)
    return add(dot(x, y, dims), lit(0.0)), dot(x, y, dims)


# Products with vectors ----------------------------------------------------------------------------


def _is_summed_whole(v, contract, batch):
    return len(contract) + len(batch) == v.type.rank


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda x, y, lc, rc, lb, rb: (
        _is_summed_whole(y, rc, rb) and not _is_summed_whole(x, lc, lb) and x.type.rank - 1 not in lc
    ),
    examples=[
        at((3, 4), (3,), **MATMUL | {"lc": (0,)}),
        at((2, 3, 4), (2, 3), **BATCHED | {"lc": (1,)}),
    ],
    counterexamples=[
        at((3, 4), (4,), **MATMUL),
        at((3, 4), (3, 2), **MATMUL | {"lc": (0,)}),
        at((3,), (3,), **MATMUL | {"lc": (0,)}),
    ],
)
def matrix_after_vector(x, y, *, lc, rc, lb, rb, precision, preferred):
    """A' . y = y . A: products that are the same are written the same, and computed once."""
    return (
        dot(x, y, (lc, rc, lb, rb, precision, preferred)),
        lambda x, y, lc, rc, lb, rb, precision, preferred: dot(
            y, x, (rc, lc, rb, lb, swapped(precision), preferred)
        ),
    )


@rule(
    changes=ROUNDING,
    on=INEXACT,
    guard=lambda x, y, lc, rc, lb, rb: (
        _is_summed_whole(x, lc, lb) and not _is_summed_whole(y, rc, rb) and y.type.rank - 1 in rc
    ),
    examples=[
        at((4,), (3, 4), **MATMUL | {"lc": (0,), "rc": (1,)}),
        at((2, 4), (2, 3, 4), **BATCHED | {"lc": (1,), "rc": (2,)}),
    ],
    counterexamples=[
        at((4,), (4, 3), **MATMUL | {"lc": (0,)}),
        at((2, 4), (3, 4), **MATMUL | {"rc": (1,)}),
    ],
)
def matrix_before_vector(x, y, *, lc, rc, lb, rb, precision, preferred):
    """y . A' = A . y, likewise."""
    return (
        dot(x, y, (lc, rc, lb, rb, precision, preferred)),
        lambda x, y, lc, rc, lb, rb, precision, preferred: dot(
            y, x, (rc, lc, rb, lb, swapped(precision), preferred)
        ),
    )


# Signs --------------------------------------------------------------------------------------------


@rule(changes=NOTHING, examples=[at((2, 3), (3, 4), **MATMUL), at((2, 4, 3), (2, 3, 5), **BATCHED)])
def dot_of_negs(x, y, *, lc, rc, lb, rb, precision, preferred):
    """(-x) . (-y) = x . y, term by term."""
    return (
        dot(neg(x), neg(y), (lc, rc, lb, rb, precision, preferred)),
        dot(x, y, (lc, rc, lb, rb, precision, preferred)),
    )


def _neg_of_dot(on, changes, suffix):
    @rule(
        changes=changes,
        on=on,
        name=f"neg_of_dot_of_neg{suffix}",
        single_use=True,
        examples=[at((2, 3), (3, 4), **MATMUL)],
    )
    def of_neg(x, y, *, lc, rc, lb, rb, precision, preferred):
        """-((-x) . y) = x . y, but for the sign of a sum that is zero."""
        return (
            neg(dot(neg(x), y, (lc, rc, lb, rb, precision, preferred))),
            dot(x, y, (lc, rc, lb, rb, precision, preferred)),
        )

    @rule(
        changes=changes,
        on=on,
        name=f"neg_of_dot_with_neg{suffix}",
        single_use=True,
        examples=[at((2, 3), (3, 4), **MATMUL)],
    )
    def with_neg(x, y, *, lc, rc, lb, rb, precision, preferred):
        """-(x . (-y)) = x . y, but for the sign of a sum that is zero."""
        return (
            neg(dot(x, neg(y), (lc, rc, lb, rb, precision, preferred))),
            dot(x, y, (lc, rc, lb, rb, precision, preferred)),
        )

    return of_neg, with_neg


SIGNS = (*_neg_of_dot(INTEGER, NOTHING, ""), *_neg_of_dot(INEXACT, SPECIAL, "_inexact"))

RULES = collected(globals())
