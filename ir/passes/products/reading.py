"""Equations read as one sum of products (einsum): factors, and a label for each of their axes.

    c = dot_general(A, B);  d = dot_general(c, x)        is        sum_jk A[i, j] B[j, k] x[k]

Contractions, elementwise products and squares, quotients by a number, sums over axes, transposes, broadcasts, slices,
diagonals, identity matrices and numbers are read; whatever else makes a factor is left to itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ir.core import Eqn, Value
from ir.diagonals import diagonal_axes, diagonal_starts, is_identity
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.elementwise import add, div, eq, mul, neg, select, square, sub
from ir.ops.indexing import gather
from ir.ops.reduce import reduce_sum
from ir.ops.scatter import scatter_add
from ir.ops.shape import broadcast_in_dim, constant, reshape, slice, transpose
from ir.passes.products.network import Axes, Axis, Label, Network, axis_groups
from ir.rewriter import constant_number, index_axis

# Products of more factors are read in parts.
_MOST = 24
_PRECISIONS = (None, "default", "high", "highest")


class Reader:
    """Reads networks of a function.

    Args:
      definitions: the equations by their results.
      inner: whether the equation of a value may be read as part of the networks that use it.

    Attributes:
      sides: sums that are multiplied out, and which of their operands is read, each time that they are factors.
    """

    def __init__(self, definitions: Mapping[Value, Eqn], inner: Callable[[Value], bool]) -> None:
        self.definitions = definitions
        self.inner = inner
        self.sides: dict[Value, tuple[int, ...]] = {}

    def is_outer(self, eqn: Eqn) -> bool:
        """Whether a product has more elements than either of its factors, and sums nothing."""
        if eqn.op is dot_general:
            most = max(v.type.size for v in eqn.operands)
            return not eqn.attrs["lhs_contract"] and 2 * most <= eqn.results[0].type.size
        size = eqn.results[0].type.size
        return eqn.op is mul and all(2 * self._source(v).type.size <= size for v in eqn.operands)

    def _source(self, value: Value) -> Value:
        """What is repeated to make a value, but for numbers; itself if nothing is."""
        eqn = self.definitions.get(value)
        while eqn is not None and (eqn.op in (neg, broadcast_in_dim) or self.is_multiple(eqn)):
            value = self.multiplied(eqn)
            eqn = self.definitions.get(value)
        return value

    def without_numbers(self, eqn: Eqn) -> Eqn:
        """The equation of what is multiplied by numbers, or negative; itself where there are none."""
        while eqn.op is neg or self.is_multiple(eqn):
            made = self.definitions.get(self.multiplied(eqn))
            if made is None:
                break
            eqn = made
        return eqn

    def multiplied(self, eqn: Eqn) -> Value:
        """The operand of an equation of one, or of a multiple the one that is no number."""
        return eqn.operands[1 if eqn.op is mul and self._is_scalar(eqn.operands[0]) else 0]

    def is_free(self, value: Value) -> bool:
        """Whether a value is no factor to multiply by: repeated along an axis, or a diagonal matrix."""
        eqn = self.definitions.get(value)
        if eqn is None:
            return False
        if eqn.op is broadcast_in_dim:
            return 2 * eqn.operands[0].type.size <= value.type.size
        if constant_number(eqn) is not None:
            return True
        return eqn.op in (convert, select) and self.equal_indices(eqn.operands[0]) is not None

    def equal_indices(self, which: Value) -> tuple[int, int] | None:
        """The axes whose indices are compared, where that is what `which` is."""
        eqn = self.definitions.get(which)
        if eqn is None or eqn.op is not eq:
            return None
        made = [index_axis(v, self.definitions.get) for v in eqn.operands]
        if None in made or made[0] == made[1]:
            return None
        return made[0], made[1]  # type: ignore[return-value]

    def is_diagonal(self, eqn: Eqn) -> bool:
        """Whether the elements of a vector are written on the diagonal of a matrix of zeros."""
        if eqn.op is not scatter_add:
            return False
        a, (into, indices, x) = eqn.attrs, eqn.operands
        n = x.type.size
        if (
            constant_number(self.definitions.get(into)) != 0
            or into.type.shape != (n, n)
            or x.type.shape != (n,)
        ):
            return False
        if sorted(a["scatter_dims_to_operand_dims"]) != [0, 1] or indices.type.shape != (n, 2):
            return False
        return diagonal_starts(self.definitions.get(indices)) == (0, 0)

    def is_multiple(self, eqn: Eqn) -> bool:
        """Whether an array is multiplied or divided by one number, constant or computed."""
        if eqn.op is div:
            return self._is_scalar(eqn.operands[1])
        return eqn.op is mul and any(map(self._is_scalar, eqn.operands))

    def _is_scalar(self, value: Value) -> bool:
        eqn = self.definitions.get(value)
        if eqn is None:
            return value.type.size == 1
        return constant_number(eqn) is not None or (
            eqn.op is broadcast_in_dim and eqn.operands[0].type.size == 1
        )

    def read(self, root: Eqn) -> Network | None:
        """The network of an equation; None where it has not one result of labels."""
        out = root.results[0]
        labels = tuple([Label(n) for n in out.type.shape])
        found = _Reading(self, root)
        found.stack.append((out, tuple([Axis(label) for label in labels])))
        while found.stack:
            found.step(*found.stack.pop())
        return found.network(labels)


class _Reading:
    def __init__(self, reader: Reader, root: Eqn) -> None:
        self.reader, self.root = reader, root
        self.dtype = root.results[0].type.dtype
        self.stack: list[tuple[Value, Axes]] = []
        self.terms: list[tuple[Value, Axes]] = []
        self.inside: list[Eqn] = []
        self.summed: list[Label] = []
        self.number: Any = 1
        self.divisors: list[Value] = []
        self.read_sides: list[Value] = []
        self.precision: Any = None
        self.contracts = self.mixed = False
        self.special = False  # other than contractions, transposes and reshapes

    def network(self, labels: Sequence[Label]) -> Network | None:
        out = tuple([leaf for label in labels for leaf in label.leaves()])
        wide = [label for label in out if label.size > 1]
        if len(set(wide)) < len(wide):
            return None  # a matrix that is zero off its diagonal
        if any(len(self.reader.sides[v]) != times for v, times in Counter(self.read_sides).items()):
            return None  # what else was read has the sum in it, too
        terms = []
        held = set(out)
        for value, axes in self.terms:
            terms.append((value, tuple([Axis(a.label.root(), a.start, a.stride) for a in axes])))
            held.update(leaf for a in terms[-1][1] for leaf in a.label.leaves())
        number = self.number
        for label in {leaf for s in self.summed for leaf in s.leaves()} - held:
            number = number * label.size  # so many equal terms
        plain = not self.special and self.inside == [self.root]
        multiplies = self.contracts or self._spreads()
        return Network(
            self.root, terms, out, number, self.divisors, self.inside, self.precision, bool(self.summed),
            plain, multiplies, self.mixed,
        )  # fmt: skip

    def _spreads(self) -> bool:
        """Whether something with more elements than any factor is computed."""
        most = 2 * max([v.type.size for v, _ in self.terms], default=1)
        return any(v.type.size >= most for e in self.inside for v in e.operands)

    def fresh(self, size: int) -> Axis:
        """An index to sum over."""
        label = Label(size)
        self.summed.append(label)
        return Axis(label)

    def step(self, value: Value, axes: Axes) -> None:
        """Read the equation of a value, or take the value as a factor."""
        eqn = self.reader.definitions.get(value)
        if eqn is not None and value.type.dtype is self.dtype and len(self.terms) + len(self.stack) < _MOST:
            read = _READ.get(eqn.op)
            if read is not None and read(self, eqn, axes):
                self.special = self.special or eqn.op not in _FREE
                return
        self.terms.append((value, axes))

    def takes(self, eqn: Eqn) -> bool:
        """Whether an equation that computes may be part of this network."""
        if eqn is not self.root and not self.reader.inner(eqn.results[0]):
            return False
        self.inside.append(eqn)
        return True

    def equal(self, p: Axis, q: Axis) -> bool:
        """Make the labels of two axes one, if they run over the same elements."""
        if (p.start, p.stride, p.label.size) != (q.start, q.stride, q.label.size):
            return False
        return p.label.equate(q.label)

    # Equations ------------------------------------------------------------------------------------

    def dot(self, eqn: Eqn, axes: Axes) -> bool:
        a, (x, y) = eqn.attrs, eqn.operands
        if a["preferred_type"] not in (None, self.dtype) or not x.type.dtype is y.type.dtype is self.dtype:
            return False
        if isinstance(a["precision"], tuple) or not self.takes(eqn):
            return False
        precisions = a["precision"], self.precision
        self.mixed = self.mixed or (self.contracts and precisions[0] != precisions[1])
        self.contracts, self.precision = True, max(precisions, key=_PRECISIONS.index)
        batches, pairs = len(a["lhs_batch"]), len(a["lhs_contract"])
        between = [self.fresh(x.type.shape[d]) for d in a["lhs_contract"]]
        free = list(axes[batches:])
        read = []
        for operand, side in ((x, "lhs"), (y, "rhs")):
            own: dict[int, Axis] = dict(zip(a[f"{side}_batch"], axes[:batches], strict=True))
            own.update(zip(a[f"{side}_contract"], between, strict=True))
            rest = [d for d in range(operand.type.rank) if d not in own]
            own.update(zip(rest, free, strict=False))
            del free[: operand.type.rank - batches - pairs]
            read.append((operand, tuple([own[d] for d in range(operand.type.rank)])))
        self.stack += reversed(read)
        return True

    def product(self, eqn: Eqn, axes: Axes) -> bool:
        if not self.takes(eqn):
            return False
        self.stack += [(operand, axes) for operand in reversed(eqn.operands)]
        return True

    def square(self, eqn: Eqn, axes: Axes) -> bool:
        if not self.takes(eqn):
            return False
        self.stack += [(eqn.operands[0], axes)] * 2
        return True

    def quotient(self, eqn: Eqn, axes: Axes) -> bool:
        """What is divided by a number, or by the only element of an array."""
        x, by = eqn.operands
        made = self.reader.definitions.get(by)
        number = constant_number(made)
        scalar = made.operands[0] if made is not None and made.op is broadcast_in_dim else by
        if (number is None and scalar.type.size != 1) or number == 0 or not self.takes(eqn):
            return False
        if number is None:
            self.divisors.append(scalar)
        else:
            self.number = self.number / number
        self.stack.append((x, axes))
        return True

    def sum(self, eqn: Eqn, axes: Axes) -> bool:
        if not self.takes(eqn):
            return False
        (x,) = eqn.operands
        kept = iter(axes)
        reduced = eqn.attrs["axes"]
        each = [self.fresh(n) if d in reduced else next(kept) for d, n in enumerate(x.type.shape)]
        self.stack.append((x, tuple(each)))
        return True

    def addition(self, eqn: Eqn, axes: Axes) -> bool:
        """One side of a sum that is multiplied out, or what 0 is added to: what is summed later is no -0."""
        sum_ = eqn.results[0]
        side = self.not_zero(eqn)
        if sum_ in self.reader.sides:
            sides, times = self.reader.sides[sum_], self.read_sides.count(sum_)
            side = sides[min(times, len(sides) - 1)]
            self.read_sides.append(sum_)
        if side is None:
            return False
        if side and eqn.op is sub:
            self.number = -self.number
        self.stack.append((eqn.operands[side], axes))
        return True

    def not_zero(self, eqn: Eqn) -> int | None:
        """Which operand of a sum is not 0, if the other one is."""
        zeros = [constant_number(self.reader.definitions.get(v)) == 0 for v in eqn.operands]
        return (0 if zeros[1] else 1) if any(zeros) else None

    def negation(self, eqn: Eqn, axes: Axes) -> bool:
        self.number = -self.number
        self.stack.append((eqn.operands[0], axes))
        return True

    def transposition(self, eqn: Eqn, axes: Axes) -> bool:
        at = dict(zip(eqn.attrs["perm"], axes, strict=True))
        self.stack.append((eqn.operands[0], tuple([at[d] for d in range(len(axes))])))
        return True

    def broadcast(self, eqn: Eqn, axes: Axes) -> bool:
        (x,), dims = eqn.operands, eqn.attrs["dims"]
        shape = eqn.results[0].type.shape
        each = [axes[d] if n == shape[d] else Axis(Label(1)) for n, d in zip(x.type.shape, dims, strict=True)]
        self.stack.append((x, tuple(each)))
        return True

    def reshaped(self, eqn: Eqn, axes: Axes) -> bool:
        """Axes put together or taken apart, and those of one element put in or left out."""
        (x,), shape = eqn.operands, eqn.results[0].type.shape
        groups = axis_groups(x.type.shape, shape)
        if groups is None:
            return False
        own = [Axis(Label(1)) for _ in x.type.shape]
        for inside, outside in groups:
            wide = [axes[d] for d in outside]
            if len(inside) == len(outside) == 1:
                own[inside[0]] = wide[0]
                continue
            if not all(axis.is_whole(shape[d]) for axis, d in zip(wide, outside, strict=True)):
                return False
            if len(outside) == 1:
                parts = wide[0].label.split([x.type.shape[d] for d in inside])
                if parts is None:
                    return False
                for d, label in zip(inside, parts, strict=True):
                    own[d] = Axis(label)
            elif len(inside) == 1:
                own[inside[0]] = Axis(Label(x.type.shape[inside[0]], tuple([a.label for a in wide])))
            else:
                return False
        self.stack.append((x, tuple(own)))
        return True

    def part(self, eqn: Eqn, axes: Axes) -> bool:
        a = eqn.attrs
        each = [
            Axis(axis.label, start + stride * axis.start, stride * axis.stride)
            for axis, start, stride in zip(axes, a["starts"], a["strides"], strict=True)
        ]
        self.stack.append((eqn.operands[0], tuple(each)))
        return True

    def diagonal(self, eqn: Eqn, axes: Axes) -> bool:
        """A gather of the elements whose indices on two axes are equal."""
        starts = diagonal_axes(eqn, self.reader.definitions)
        if starts is None:
            return False
        (x, _), offsets = eqn.operands, eqn.attrs["offset_dims"]
        (at,) = [d for d in range(len(axes)) if d not in offsets]
        rest = iter([axes[d] for d in offsets])
        along = axes[at]
        each = [
            Axis(along.label, along.start + starts[d], along.stride) if d in starts else next(rest)
            for d in range(x.type.rank)
        ]
        self.stack.append((x, tuple(each)))
        return True

    def fill(self, eqn: Eqn, axes: Axes) -> bool:
        number = constant_number(eqn)
        if number is not None:
            self.number = self.number * number
            return True
        return len(axes) == 2 and is_identity(eqn.attrs["value"]) and self.equal(*axes)

    def converted(self, eqn: Eqn, axes: Axes) -> bool:
        """An identity matrix: which elements have equal indices, as numbers."""
        pair = self.reader.equal_indices(eqn.operands[0])
        return pair is not None and self.equal(axes[pair[0]], axes[pair[1]])

    def masked(self, eqn: Eqn, axes: Axes) -> bool:
        """What is kept where two indices are equal, and zero elsewhere."""
        which, x, other = eqn.operands
        pair = self.reader.equal_indices(which)
        zero = constant_number(self.reader.definitions.get(other))
        if pair is None or zero is None or zero != 0 or not self.equal(axes[pair[0]], axes[pair[1]]):
            return False
        self.stack.append((x, axes))
        return True

    def scattered(self, eqn: Eqn, axes: Axes) -> bool:
        """A matrix with the elements of a vector on its diagonal."""
        if not self.reader.is_diagonal(eqn) or not self.equal(*axes):
            return False
        self.stack.append((eqn.operands[2], axes[:1]))
        return True


_FREE = (dot_general, transpose, reshape)
_READ: dict[Any, Callable[[_Reading, Eqn, Axes], bool]] = {
    dot_general: _Reading.dot,
    mul: _Reading.product,
    square: _Reading.square,
    div: _Reading.quotient,
    reduce_sum: _Reading.sum,
    add: _Reading.addition,
    sub: _Reading.addition,
    neg: _Reading.negation,
    transpose: _Reading.transposition,
    broadcast_in_dim: _Reading.broadcast,
    reshape: _Reading.reshaped,
    slice: _Reading.part,
    gather: _Reading.diagonal,
    constant: _Reading.fill,
    convert: _Reading.converted,
    select: _Reading.masked,
    scatter_add: _Reading.scattered,
}
