"""Sums over a product, read from its other side where that has been computed: <B'v, u> = <v, Bu>.

    e = dot_general(b, u);  w = dot_general(v, b);  s = reduce_sum(mul(w, u))
becomes
    e = dot_general(b, u);  s = reduce_sum(mul(v, e))

Derivatives of derivatives are full of such pairs: what reverse mode carries back through a layer is multiplied by what
forward mode has carried through it already. With the products of the last way back gone, a second derivative by
reverse mode twice has the three passes of forward over reverse (Griewank and Walther 2008, section 5.4).

A sum is followed down through additions, and through products with what does not matter, as long as nothing else uses
the values. What each is multiplied by on the way, its cotangent, is a polynomial of other values. Where that is a
number times the operand of a product with the same array from the other side, it is read from there.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ir.core import Eqn, Function, Value
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, mul, neg, sub
from ir.ops.reduce import reduce_sum
from ir.ops.shape import broadcast_in_dim, full_like, reshape_to, slice, transpose
from ir.passes.nested import deep
from ir.passes.products.linear import LinearProduct, linear_products
from ir.passes.products.polynomials import (
    MINUS_ONE,
    ONE,
    ZERO,
    Polynomial,
    Polynomials,
    Powers,
    one_hot,
    plus,
    ratio,
    times,
)
from ir.passes.replacing import rewritten
from ir.remarks import remark

# What is read from the other side may be a sum again.
_ROUNDS: Final = 8


@deep
def share_adjoints(function: Function) -> Function:
    """Leave out products that are only summed up, where their adjoints are there."""
    for _ in range(_ROUNDS):
        if sum(e.op is dot_general for e in function.eqns) < 2:
            break
        new = _Adjoints(function).function()
        if new is function:
            break
        function = new
    return function


@dataclass(frozen=True, slots=True)
class _Read:
    """A product that is left out: its operand times a number and a product that is there, summed over axes."""

    product: LinearProduct
    number: float
    other: LinearProduct
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """An equation under a sum, the operands that are followed, and what they are multiplied by, if anything."""

    eqn: Eqn
    followed: tuple[Value, ...]
    factor: Value | None


@dataclass(frozen=True, slots=True)
class _Sum:
    """A sum, and what of it is read otherwise.

    Attributes:
      top: the operand that is followed.
      region: equations that only the sum uses, in order.
      reads: by the result of the product that is left out.
    """

    eqn: Eqn
    top: Value
    region: list[Eqn]
    reads: dict[Value, _Read]


class _Adjoints:
    """A function with its products, by what they meet on which side."""

    def __init__(self, whole: Function) -> None:
        self.whole = whole
        made = {v: e for e in whole.eqns for v in e.results}
        self.place = {v: i for i, e in enumerate(whole.eqns) for v in e.results}
        self.uses = Counter([v for e in whole.eqns for v in e.operands] + list(whole.results))
        self.broadcasts = {
            (e.operands[0], e.attrs["dims"], e.attrs["shape"]): e.results[0]
            for e in whole.eqns
            if e.op is broadcast_in_dim
        }
        self.polynomials = Polynomials(made.get)
        self.products = {e: list(linear_products(e)) for e in whole.eqns if e.op is dot_general}
        self.sides: defaultdict[object, list[LinearProduct]] = defaultdict(list)
        for found in self.products.values():
            for product in found:
                self.sides[product.by, product.way, product.operand].append(product)
        self.terms: dict[object, defaultdict[frozenset[Powers], list[LinearProduct]]] = {}
        self.holds = self._holds()

    def function(self) -> Function:
        sums = {eqn: found for eqn in self.whole.eqns if (found := self._sum(eqn)) is not None}
        if not sums:
            return self.whole
        env: dict[Value, Value] = {}
        return rewritten(self.whole, lambda e: _written(sums[e], env) if e in sums else None, env)

    def _partners(self, product: LinearProduct) -> Iterator[LinearProduct]:
        """Products with the same array from the other side."""
        found = self.sides.get((product.by, product.way, product.adjoint), [])
        return (p for p in found if p.eqn is not product.eqn)

    def _alike(self, product: LinearProduct, of: Polynomial) -> Iterator[LinearProduct]:
        """Those of what has the terms of a polynomial."""
        place = product.by, product.way, product.adjoint
        found = self.terms.get(place)
        if found is None:
            found = self.terms[place] = defaultdict(list)
            for each in self.sides.get(place, []):
                found[frozenset(self.polynomials.of(each.of))].append(each)
        return (p for p in found.get(frozenset(of), []) if p.eqn is not product.eqn)

    def _holds(self) -> set[Value]:
        """Values under which there are products that may be read from the other side."""
        found: set[Value] = set()
        for eqn in self.whole.eqns:
            if eqn.op is dot_general:
                if any(True for product in self.products[eqn] for _ in self._partners(product)):
                    found.update(eqn.results)
            elif eqn.op in (add, sub, neg, mul) and not found.isdisjoint(eqn.operands):
                found.update(eqn.results)
        return found

    # Sums ---------------------------------------------------------------------------------------------

    def _sum(self, eqn: Eqn) -> _Sum | None:
        """What of a sum is read from the other side; None if nothing is."""
        found = self._begin(eqn)
        if found is None:
            return None
        top, axes, cotangent = found
        ways = self._region(top)
        products = [w.eqn for w in ways if w.eqn.op is dot_general and self._may_be_read(w.eqn, axes)]
        reads: dict[Value, _Read] = {}
        kept: set[Eqn] = set()
        cotangents = self._cotangents(top, cotangent, ways) if products else {}
        for each in products:
            read = self._other_side(each, cotangents.get(each), axes, eqn) if each not in kept else None
            if read is not None and read.other.eqn.results[0] not in reads:
                reads[each.results[0]] = read
                kept.add(read.other.eqn)
        if not reads:
            return None
        count = len(reads)
        remark("share_adjoints", eqn.source, f"{count} product{'s' * (count > 1)} read from the other side")
        return _Sum(eqn, top, [w.eqn for w in reversed(ways) if w.followed], reads)

    def _begin(self, eqn: Eqn) -> tuple[Value, frozenset[int], Polynomial] | None:
        """Of a sum the operand that is followed, the axes it is over, and what it is multiplied by; None of others."""
        if self.holds.isdisjoint(eqn.operands):
            return None
        if eqn.op is reduce_sum:
            return eqn.operands[0], frozenset(eqn.attrs["axes"]), ONE
        if eqn.op is slice and eqn.results[0].type.shape == (1,):
            # (An element of a vector is the sum of it times a vector with a one there.)
            top = eqn.operands[0]
            return top, frozenset({0}), one_hot(top.type, eqn.attrs["starts"][0])
        if eqn.op is not dot_general:
            return None
        side = max((0, 1), key=lambda k: self._later(eqn.operands[k]))
        factor = self._factor_along(eqn, side)
        if factor is None:
            return None
        axes = frozenset(eqn.attrs["rhs_contract" if side else "lhs_contract"])
        return eqn.operands[side], axes, self.polynomials.of(factor)

    def _factor_along(self, eqn: Eqn, side: int) -> Value | None:
        """What an operand is multiplied by, element by element, if a product is a sum of that over some of its axes."""
        top, other = eqn.operands[side], eqn.operands[1 - side]
        sides = eqn.attrs["lhs_contract"], eqn.attrs["rhs_contract"]
        if (
            eqn.attrs["lhs_batch"]
            or other.type.rank != len(sides[0])
            or other.type.dtype is not top.type.dtype
        ):
            return None
        pairs = dict(zip(sides[1 - side], sides[side], strict=True))
        dims = tuple([pairs[d] for d in range(other.type.rank)])
        whole = other.type.rank == top.type.rank and dims == tuple(range(top.type.rank))
        return other if whole else self.broadcasts.get((other, dims, top.type.shape))

    def _later(self, value: Value) -> int:
        """Where a value that holds products is made; before all others if it holds none."""
        return self.place[value] if value in self.holds else -1

    def _region(self, top: Value) -> list[_Way]:
        """Equations that only the sum uses, the last one first."""
        used: Counter[Value] = Counter()
        pending: list[int] = []
        ways: list[_Way] = []

        def reach(value: Value) -> None:
            if value in self.holds:
                if value not in used:
                    heapq.heappush(pending, -self.place[value])
                used[value] += 1

        reach(top)
        while pending:
            eqn = self.whole.eqns[-heapq.heappop(pending)]
            if used[eqn.results[0]] < self.uses[eqn.results[0]]:
                continue
            followed, factor = eqn.operands, None
            if eqn.op is dot_general:
                followed = ()
            elif eqn.op is mul:
                factor, last = sorted(eqn.operands, key=self._later)
                followed = () if factor is last else (last,)
            ways.append(_Way(eqn, followed, factor))
            for value in followed:
                reach(value)
        return ways

    def _may_be_read(self, eqn: Eqn, axes: frozenset[int]) -> bool:
        return any(
            True for p in self.products[eqn] if p.summed_over(axes) is not None for _ in self._partners(p)
        )

    def _cotangents(self, top: Value, first: Polynomial, ways: list[_Way]) -> dict[Eqn, Polynomial]:
        """What equations of a region are multiplied by in the sum; without those of which it is too long."""
        found: dict[Value, Polynomial | None] = {top: first}
        out: dict[Eqn, Polynomial] = {}
        for way in ways:
            cotangent = found.pop(way.eqn.results[0])
            if cotangent is not None:
                out[way.eqn] = cotangent
                if way.factor is not None and way.followed:
                    cotangent = times(cotangent, self.polynomials.of(way.factor))
            for k, value in enumerate(way.followed):
                minus = way.eqn.op is neg or (way.eqn.op is sub and k == 1)
                passed = times(cotangent, MINUS_ONE) if minus and cotangent is not None else cotangent
                before = found.get(value, ZERO)
                found[value] = None if passed is None or before is None else plus(before, passed)
        return out

    def _other_side(
        self, eqn: Eqn, cotangent: Polynomial | None, axes: frozenset[int], root: Eqn
    ) -> _Read | None:
        """A sum over a product times its cotangent, as one over its operand times a product that is there."""
        if cotangent is None:
            return None
        for product in self.products[eqn]:
            over = product.summed_over(axes)
            if over is None:
                continue
            for other in self._alike(product, cotangent):
                if self.place[other.eqn.results[0]] < self.place[root.results[0]]:
                    number = ratio(cotangent, self.polynomials.of(other.of))
                    if number is not None:
                        return _Read(product, number, other, over)
        return None


# Writing ----------------------------------------------------------------------------------------------


def _written(found: _Sum, env: dict[Value, Value]) -> Value:
    """The sum without what is read otherwise, and the sums over that."""
    rest = _rest(found, env)
    parts: dict[tuple[tuple[int, ...], tuple[int, ...]], Value] = {}
    out: Value | None = None
    if rest is not None and found.eqn.op is reduce_sum:
        parts[rest.type.shape, found.eqn.attrs["axes"]] = rest
    elif rest is not None:
        operands = [rest if v is found.top else env.get(v, v) for v in found.eqn.operands]
        out = found.eqn.op(*operands, **found.eqn.attrs)
    for read in found.reads.values():
        value = mul(env.get(read.product.of, read.product.of), _factor(read, env))
        place = value.type.shape, read.axes
        parts[place] = add(parts[place], value) if place in parts else value
    for (_, axes), part in parts.items():
        total = reshape_to(reduce_sum(part, axes=axes), found.eqn.results[0].type.shape)
        out = total if out is None else add(out, total)
    assert out is not None
    return out


def _factor(read: _Read, env: dict[Value, Value]) -> Value:
    """What the operand of a product is multiplied by."""
    (value,) = read.other.eqn.results
    value = env.get(value, value)
    axes = read.product.axes_of(read.other)
    if axes != tuple(sorted(axes)):
        value = transpose(value, perm=tuple([axes.index(d) for d in range(len(axes))]))
    return value if read.number == 1.0 else mul(value, full_like(value, read.number))


def _rest(found: _Sum, env: dict[Value, Value]) -> Value | None:
    """What is summed, with zeros for the products that are read otherwise; None if that is zero."""
    new: dict[Value, Value | None] = dict.fromkeys(found.reads)
    for eqn in found.region:
        if not new.keys().isdisjoint(eqn.operands):
            new[eqn.results[0]] = _applied(eqn, [new[v] if v in new else env.get(v, v) for v in eqn.operands])
    return new[found.top] if found.top in new else env.get(found.top, found.top)


def _applied(eqn: Eqn, operands: list[Value | None]) -> Value | None:
    """An equation of a region over what is left of its operands."""
    first, last = operands[0], operands[-1]
    if first is not None and last is not None:
        return eqn.op(*[v for v in operands if v is not None])  # type: ignore[no-any-return]
    if eqn.op in (mul, neg):
        return None
    if last is None:
        return first
    return neg(last) if eqn.op is sub else last


__all__ = ["share_adjoints"]
