"""What is zero but for a part is computed as that part, and put into zeros where the whole is read.

    m = pad(g, 0); n = mul(m, y); z = dot_general(n, b)     becomes     h = mul(g, slice(y)); z = pad(dot_general(h, b))

Gradients of rows and elements that a program takes are such arrays. Zeros are not multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.core import Eqn, Function, Value
from ir.op import Builder, building, current_builder
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.cumulative import cumsum
from ir.ops.elementwise import add, conj, div, imag, mul, neg, real, select, sub
from ir.ops.reduce import reduce_sum
from ir.ops.scatter import scatter_add
from ir.ops.shape import broadcast_in_dim, reshape, rev, slice, transpose
from ir.passes.dce import dce
from ir.passes.parts.along import begun, in_order
from ir.passes.parts.places import Parts, Places, Put, Rows, put, put_into_zeros, take
from ir.remarks import remark
from ir.rewriter import constant_number

_ALONE = (conj, convert, imag, neg, real)
_LINEAR = (broadcast_in_dim, cumsum, dot_general, reduce_sum, reshape, rev, slice, transpose)


def in_support(function: Function) -> Function:
    """Compute arrays where they may differ from zero."""
    support = _Support(function)
    return support.function() if support.begins() else function


@dataclass(frozen=True, slots=True)
class _Part:
    """A value that is zero but for a part.

    Attributes:
      part: written anew.
      places: where it stands.
    """

    part: Value
    places: Parts


class _Support:
    def __init__(self, whole: Function) -> None:
        self.whole = whole
        self.made = {v: e for e in whole.eqns for v in e.results}
        self.parts: dict[Value, _Part] = {}
        self.env: dict[Value, Value] = {}
        self.worked = False
        # What repeats an array that is zero but for a part: where it is read as a whole, it is not put into more zeros.
        self.repeated: dict[Value, Eqn] = {}

    def begins(self) -> bool:
        """Whether there is anything that parts are put into."""
        return any(self._begun(eqn) for eqn in self.whole.eqns)

    def function(self) -> Function:
        builder = Builder()
        with building(builder):
            for eqn in self.whole.eqns:
                builder.source = eqn.source
                self._write(eqn, builder)
            builder.source = None
            results = tuple([self._now(v) for v in self.whole.results])
        if not self.worked:
            return self.whole
        return dce(self.whole.replace(eqns=tuple(builder.eqns), results=results))

    def _now(self, value: Value) -> Value:
        """What stands for a value, as a whole."""
        found = self.parts.get(value)
        if found is None or value in self.env:
            return self.env.get(value, value)
        if (repeats := self.repeated.get(value)) is not None:
            made = _emitted(repeats, [self._now(repeats.operands[0])])
        else:
            made = put(found.part, found.places, value.type.shape, self._now)
        made.name = made.name or value.name
        self.env[value] = made
        return made

    def _begun(self, eqn: Eqn) -> Put | None:
        """The places, few enough, that an equation puts a part into, all else being zero."""
        found = put_into_zeros(eqn, self.made.get)
        if found is None or not eqn.results[0].type.dtype.is_inexact:
            return None
        sizes = eqn.results[0].type.shape
        return found if any(p.pays(sizes[d]) for d, p in found.parts.items()) else None

    def _write(self, eqn: Eqn, builder: Builder) -> None:
        if (found := self._begun(eqn)) is not None:
            part = found.part(self._now(eqn.operands[found.operand]))
            self.parts[eqn.results[0]] = _Part(part, in_order(found.parts))
            return
        made = self._through(eqn) if not self.parts.keys().isdisjoint(eqn.operands) else None
        if isinstance(made, _Part) and eqn.op is broadcast_in_dim:
            self.repeated[eqn.results[0]] = eqn
            self.parts[eqn.results[0]] = made
            return
        if made is not None:
            self.worked = True
            remark("compute_parts", eqn.source, "zeros around a part are left out")
            if isinstance(made, _Part):
                self.parts[eqn.results[0]] = made
            else:
                self.env[eqn.results[0]] = made
            return
        if self.env.keys().isdisjoint(eqn.operands) and self.parts.keys().isdisjoint(eqn.operands):
            builder.append(eqn)
            return
        results = builder.copy(eqn, tuple([self._now(v) for v in eqn.operands]))
        self.env.update(zip(eqn.results, results, strict=True))

    # Equations ------------------------------------------------------------------------------------

    def _through(self, eqn: Eqn) -> _Part | Value | None:
        """The result as a part, or the whole of one that sums it up; None where the equation needs what is around."""
        if len(eqn.results) != 1 or not eqn.results[0].type.dtype.is_inexact:
            return None
        if eqn.op is scatter_add:
            # (What it is added to has to be zero, too.)
            is_sparse = constant_number(self.made.get(eqn.operands[0])) == 0
            return self._linear(eqn) if is_sparse and eqn.operands[2] in self.parts else None
        if eqn.op in _LINEAR:
            return self._linear(eqn)
        if eqn.op in _ALONE:
            found = self.parts[eqn.operands[0]]
            return _Part(_emitted(eqn, [found.part]), found.places)
        if eqn.op is mul:
            return self._product(eqn)
        if eqn.op is div and eqn.operands[0] in self.parts and eqn.operands[1] not in self.parts:
            return self._product(eqn)
        if eqn.op in (add, sub, select):
            return self._sum(eqn)
        return None

    def _product(self, eqn: Eqn) -> _Part:
        """One operand is a part, and the other one is taken where that stands."""
        first = 0 if eqn.operands[0] in self.parts else 1
        found = self.parts[eqn.operands[first]]
        other = take(self._now(eqn.operands[1 - first]), found.places, self._now)
        return _Part(_emitted(eqn, [found.part, other] if first == 0 else [other, found.part]), found.places)

    def _sum(self, eqn: Eqn) -> _Part | None:
        """Both operands are parts in the same places, or zero."""
        terms = eqn.operands[-2:]
        places = [self.parts[v].places for v in terms if v in self.parts]
        if not places or any(each != places[0] for each in places):
            return None
        if not all(v in self.parts or constant_number(self.made.get(v)) == 0 for v in terms):
            return None
        if eqn.op is select and eqn.operands[0] in self.parts:
            return None
        parts = [
            self.parts[v].part if v in self.parts else take(self._now(v), places[0], self._now)
            for v in eqn.operands
            if v.type.rank == eqn.results[0].type.rank
        ]
        if len(parts) < len(eqn.operands):  # one predicate for all
            parts.insert(0, self._now(eqn.operands[0]))
        return _Part(_emitted(eqn, parts), places[0])

    def _linear(self, eqn: Eqn) -> _Part | Value | None:
        """A function that is linear in the part: of an axis that it keeps, or sums over."""
        first = 2 if eqn.op is scatter_add else 0
        position = next(k for k, v in enumerate(eqn.operands) if v in self.parts and k >= first)
        found = self.parts[eqn.operands[position]]
        cut = begun(eqn)
        left: dict[int, Places] = {}
        summed: set[Places] = set()
        for d, places in found.places.items():
            axis = cut.along(
                lambda a, d=d: a.operands[position] == d and a.combine in (None, add),  # type: ignore[misc]
                places,
            )
            if axis is None:
                return None
            if axis.results[0] is None:
                summed.add(places)
            else:
                left[axis.results[0]] = places
        operands = []
        for k, v in enumerate(eqn.operands):
            whole = found.part if k == position else self._now(v)
            for d, places in in_order(cut.needs[k]).items() if k != position else ():
                if isinstance(places, Rows):
                    # (An index stays one, whatever is added there.)
                    is_factor = places in summed and whole.type.dtype.is_inexact
                    whole = places.take(whole, d, self._now, summed=is_factor)
                else:
                    whole = places.take(whole, d, self._now)
            operands.append(whole)
        made = current_builder().emit(eqn.op, tuple(operands), cut.eqn.attrs)[0]
        return _Part(made, in_order(left)) if left else made


def _emitted(eqn: Eqn, operands: list[Value]) -> Value:
    return current_builder().emit(eqn.op, tuple(operands), eqn.attrs)[0]


__all__ = ["in_support"]
