"""Which sums may be multiplied out: those whose terms cannot cancel any further than they did as written.

    (I - 2 v v') A    becomes    A - 2 v (v' A)          but    (x 1' - 1 x') A    stays

With S = T1 + ... + Tk and unit roundoff u, products of the terms add up to S A with an error of about
u (|T1| + ... + |Tk|) |A|; S as it stands gives u |S| |A|, and what was lost in computing S. So the terms must not be
larger, by more than a small factor, than S itself and what was rounded on the way to it:

- A contraction was rounded: S has an error of u |T| for each.
- What is read, repeated or a number is exact, and an outer product or a contraction of a few elements may be, where a
  factor has but powers of two, as ones and masks. One such term is at most as large as S and all others. Two may cancel
  to the last digit: x 1' - 1 x' is exact where all of x is near 10^6, and the products are not. Of an array and an
  outer product that follow from different arguments it is taken that they do not, as in (A + x y') z.
- Of one diagonal matrix, and a term that is the same along one of its axes, or rounded, elements off the diagonal show
  the size of that term, and so those on it the size of the diagonal: |T1| + |T2| <= 3 max |S| along that axis. Of an
  array of which nothing is known elements off the diagonal show nothing.

What is multiplied out twice in one product, or two sums at once, gives u |T| |A| |T|, which the roundings in S, of
u |T| |A| |S|, do not excuse: there only what S bounds is allowed, as a multiple of the identity and one outer product
(rank one leaves an eigenvalue of the multiple: |c| + |x y'| <= 3 |S|).
"""

from __future__ import annotations

import enum
import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ir.core import Eqn, Value
from ir.diagonals import is_identity
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.elementwise import add, neg, select, sign, sub
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape, slice, transpose
from ir.passes.products.reading import Reader
from ir.rewriter import constant_number

# Sums of more terms are not multiplied out.
_TERMS = 6
# What a term follows from is followed through so many values.
_FOLLOWED = 200
# Contractions of so many elements may be exact: features with a one beside them, homogeneous coordinates.
_SHALLOW = 4


class Kind(enum.Enum):
    """What is known of a term."""

    IDENTITY = enum.auto()  # or a multiple of it
    DIAGONAL = enum.auto()
    REPEATED = enum.auto()  # the same along an axis, or a number everywhere
    OUTER = enum.auto()  # each element one product
    SHALLOW = enum.auto()  # each element a sum of a few products
    CONTRACTION = enum.auto()  # each element a sum of many products, rounded
    ARRAY = enum.auto()


_DIAGONALS = (Kind.IDENTITY, Kind.DIAGONAL)
# All that may be exact.
_EXACT = (Kind.REPEATED, Kind.OUTER, Kind.SHALLOW, Kind.ARRAY)


@dataclass(frozen=True, slots=True)
class Term:
    """A term of a sum.

    Attributes:
      axes: of a diagonal matrix the two that have equal indices; of a repeated term those along which it changes; of
        an outer product the two that its factors have, if these have all others both.
      sources: gives the arguments that it follows from, none where they are not known; asked of few terms only.
    """

    kind: Kind
    axes: frozenset[int] = frozenset()
    sources: Callable[[], frozenset[Value]] = frozenset

    @property
    def is_light(self) -> bool:
        """Whether it is no work to multiply by."""
        return self.kind not in (Kind.SHALLOW, Kind.CONTRACTION, Kind.ARRAY)

    def moved(self, to: tuple[int, ...]) -> Term:
        """The same with axis d where `to[d]` is."""
        return Term(self.kind, frozenset([to[d] for d in self.axes]), self.sources) if self.axes else self


def may_distribute(terms: Iterable[Term], *, bounded: bool = False) -> bool:
    """Whether a sum may be multiplied out: |T1| + ... <= 3 (|S| + what was rounded in S), as said above.

    Args:
      bounded: with no excuse by roundings in the sum: its terms are at most three times as large as itself.
    """
    terms = list(terms)
    count = Counter(t.kind for t in terms)
    diagonals = [t for t in terms if t.kind in _DIAGONALS]
    exact = [t for t in terms if t.kind in _EXACT]
    if len(diagonals) > 1 or (len(exact) > 1 and not _are_independent(exact)):
        return False
    for diagonal in diagonals:
        if count[Kind.ARRAY] or any(t.kind is Kind.REPEATED and diagonal.axes <= t.axes for t in terms):
            return False
    if not bounded:
        return True
    outer = [t for t in terms if t.kind is Kind.OUTER and diagonals and t.axes == diagonals[0].axes]
    repeated = count[Kind.REPEATED] == 1
    return len(terms) == 2 and bool(diagonals) and (repeated or (bool(outer) and count[Kind.IDENTITY] == 1))


def _are_independent(exact: list[Term]) -> bool:
    """Whether they are an array and a product of a few elements that follow from different arguments."""
    kinds = {t.kind for t in exact}
    if len(exact) != 2 or Kind.ARRAY not in kinds or kinds.isdisjoint((Kind.OUTER, Kind.SHALLOW)):
        return False
    one, other = exact
    if not (sources := one.sources()) or not (others := other.sources()):
        return False  # constants may follow from each other
    return sources.isdisjoint(others)


class Terms:
    """The terms of sums, each found when it is asked for."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.found: dict[Value, tuple[Term, ...] | None] = {}
        # The sums that are terms of a sum, directly or not.
        self.inside: dict[Value, frozenset[Value]] = {}

    def of(self, value: Value) -> tuple[Term, ...] | None:
        """The terms that a sum has when all that may be is multiplied out; None where it may not be, or is no sum."""
        stack = [value] if self._is_sum(value) else []
        while stack:
            if stack[-1] in self.found:
                stack.pop()
                continue
            operands = [self.without(v)[0] for v in self.reader.definitions[stack[-1]].operands]
            missing = [v for v in operands if v not in self.found and self._is_sum(v)]
            if not missing:
                self._add(stack[-1])
            stack += missing
        return self.found.get(value)

    def _is_sum(self, value: Value) -> bool:
        eqn = self.reader.definitions.get(value)
        return eqn is not None and eqn.op in (add, sub) and value.type.dtype.is_inexact

    def _add(self, value: Value) -> None:
        """Of a sum, where those of its operands are found."""
        terms: list[Term] = []
        inside: set[Value] = set()
        for v in self.reader.definitions[value].operands:
            of, axes = self.without(v)
            if (found := self.found.get(of)) is not None:
                terms += [t.moved(axes) for t in found]
                inside |= {of, *self.inside[of]}
            else:
                terms.append(self._term(v))
        self.found[value] = tuple(terms) if len(terms) <= _TERMS and may_distribute(terms) else None
        self.inside[value] = frozenset(inside)

    def may(self, value: Value, times: int, others: Iterable[Value]) -> bool:
        """Whether a sum may be multiplied out so many times in a product, beside others that are multiplied out."""
        terms = self.of(value)
        if terms is None:
            return False
        apart = [of for v in others if v is not value and (of := self.of(v)) and value not in self.inside[v]]
        bounded = times > 1 or not all(may_distribute(each, bounded=True) for each in apart)
        return may_distribute(terms, bounded=bounded)

    def without(self, value: Value) -> tuple[Value, tuple[int, ...]]:
        """What a value is but for transposes and numbers, and the axis of the value that each axis of that is."""
        axes = tuple(range(value.type.rank))
        while (eqn := self.reader.definitions.get(value)) is not None:
            if eqn.op is transpose:
                perm = eqn.attrs["perm"]
                axes = tuple([axes[perm.index(d)] for d in range(len(perm))])
            elif eqn.op is not neg and not self.reader.is_multiple(eqn):
                break
            value = self.reader.multiplied(eqn)
        return value, axes

    def _term(self, value: Value) -> Term:
        value, axes = self.without(value)
        term = self._read(value).moved(axes)
        return Term(term.kind, term.axes, functools.partial(self._sources, value))

    def _sources(self, value: Value) -> frozenset[Value]:
        """The arguments that a value follows from; none where that takes too many equations."""
        found, seen, stack = set(), {value}, [value]
        while stack:
            v = stack.pop()
            eqn = self.reader.definitions.get(v)
            if eqn is None:
                found.add(v)
                continue
            stack += [x for x in eqn.operands if x not in seen]
            seen.update(eqn.operands)
            if len(seen) > _FOLLOWED:
                return frozenset()
        return frozenset(found)

    def _read(self, value: Value) -> Term:
        """What is known of a value that is neither transposed nor a multiple."""
        eqn = self.reader.definitions.get(value)
        if eqn is None:
            return Term(Kind.ARRAY)
        if constant_number(eqn) is not None:
            return Term(Kind.REPEATED)
        if eqn.op is broadcast_in_dim:
            (x,), dims = eqn.operands, eqn.attrs["dims"]
            inner = self._term(x)
            if inner.kind is Kind.ARRAY and 2 * x.type.size <= value.type.size:
                return Term(Kind.REPEATED, frozenset(_wide(x.type.shape, dims)))
            return inner.moved(dims)
        if (diagonal := self._diagonal(eqn)) is not None:
            return diagonal
        if any(map(self._is_exact, eqn.operands)):
            return Term(Kind.ARRAY)
        if self.reader.is_outer(eqn):
            return Term(Kind.OUTER, self._own(eqn))
        if eqn.op is dot_general and eqn.operands[0].type.size > 0:
            depth = [eqn.operands[0].type.shape[d] for d in eqn.attrs["lhs_contract"]]
            return Term(Kind.CONTRACTION if math.prod(depth) > _SHALLOW else Kind.SHALLOW)
        return Term(Kind.ARRAY)

    def _diagonal(self, eqn: Eqn) -> Term | None:
        """An array that has elements where the indices of two axes are equal, and zeros elsewhere."""
        definition = self.reader.definitions.get
        if self.reader.is_diagonal(eqn):
            return Term(Kind.DIAGONAL, frozenset((0, 1)))
        if eqn.op is constant and is_identity(eqn.attrs["value"]):
            return Term(Kind.IDENTITY, frozenset((0, 1)))
        if eqn.op not in (convert, select) or (pair := self.reader.equal_indices(eqn.operands[0])) is None:
            return None
        if eqn.op is convert:
            return Term(Kind.IDENTITY, frozenset(pair))
        if constant_number(definition(eqn.operands[2])) != 0:
            return None
        same = self._term(eqn.operands[1])
        is_multiple = same.kind is Kind.REPEATED and not same.axes
        return Term(Kind.IDENTITY if is_multiple else Kind.DIAGONAL, frozenset(pair))

    def _own(self, eqn: Eqn) -> frozenset[int]:
        """The two axes of an outer product of which each factor has one, if both have all others."""
        if eqn.op is dot_general:
            return frozenset((0, 1)) if eqn.results[0].type.rank == 2 else frozenset()
        one, other = [self._term(v).axes for v in eqn.operands]
        return one ^ other if len(one - other) == len(other - one) == 1 else frozenset()

    def _is_exact(self, value: Value) -> bool:
        """Whether products with a value are known to be exact: it is made of flags, signs or integers."""
        while (eqn := self.reader.definitions.get(value)) is not None:
            if eqn.op is convert and not eqn.operands[0].type.dtype.is_inexact:
                return True
            if eqn.op in (constant, iota, sign):
                return True
            if eqn.op is select:
                return all(
                    constant_number(self.reader.definitions.get(v)) is not None for v in eqn.operands[1:]
                )
            if eqn.op not in (broadcast_in_dim, neg, reshape, slice, transpose):
                return False
            (value,) = eqn.operands
        return False


def _wide(shape: tuple[int, ...], dims: tuple[int, ...]) -> list[int]:
    """Where axes of more than one element are repeated to."""
    return [d for d, n in zip(dims, shape, strict=True) if n > 1]


__all__ = ["Kind", "Term", "Terms", "may_distribute"]
