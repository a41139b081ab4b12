"""Sums over the steps of a loop, taken once after it.

    total = total + dot(a[k], b[k])  in every step     becomes     dot(a, b) over steps and rows at once

The gradient of a loop-invariant operand is such a sum. Taken in the loop, the total is read and written
in every step and each product is small; afterwards it is one contraction. That costs the stacking of
what the loop computes for it, so it is done where a step's part of those stacks is no larger than the
total it saves, nor than what the loop reads of stacks anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ir.core import Eqn, Value
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add
from ir.ops.reduce import reduce_sum
from ir.ops.shape import reshape, transpose

# The value after the loop, given the stacks of what it is computed from.
Take = Callable[[Mapping[Value, Value]], Any]


@dataclass(frozen=True, slots=True)
class Deferred:
    """A sum as a function of stacks.

    Attributes:
      needs: values of a step whose stacks it reads.
      take: its value from those stacks.
    """

    needs: frozenset[Value]
    take: Take = field(compare=False)


class Deferral:
    """Finds sums that can be taken after the loop.

    Args:
      eqns: equations of the body.
      given: params of the body that are slices of stacks.
      invariant: params that are the same in every step.
    """

    def __init__(self, eqns: Sequence[Eqn], given: Sequence[Value], invariant: Sequence[Value]) -> None:
        self._definition = {r: eqn for eqn in eqns for r in eqn.results}
        self._given = frozenset(given)
        self._fixed = set(invariant)
        for eqn in eqns:
            if self._fixed.issuperset(eqn.operands):
                self._fixed.update(eqn.results)
        self._read = sum(v.type.nbytes for v in given)

    def chosen(self, terms: Sequence[Value]) -> dict[Value, Deferred]:
        """Which sums of these values of a step to take after the loop."""
        found = {}
        for v in terms:
            made = self._sum(v)
            if made is not None:
                found[v] = made
        if self._pays(found):
            return found
        return {v: made for v, made in found.items() if self._pays({v: made})}

    def _pays(self, found: Mapping[Value, Deferred]) -> bool:
        stacked = {v for made in found.values() for v in made.needs} - self._given
        size = sum(v.type.nbytes for v in stacked)
        return size <= min(sum(v.type.nbytes for v in found), self._read)

    def _varies(self, *values: Value) -> bool:
        return self._fixed.isdisjoint(values)

    def _sum(self, v: Value) -> Deferred | None:
        """The sum of `v` over all steps, by a contraction with one more axis; None where it is no such."""
        eqn = self._definition.get(v)
        if eqn is None or v in self._fixed:
            return None
        attrs = eqn.attrs
        if eqn.op is dot_general and self._varies(*eqn.operands):
            a, b = eqn.operands
            moved = {
                "lhs_contract": (0, *[d + 1 for d in attrs["lhs_contract"]]),
                "rhs_contract": (0, *[d + 1 for d in attrs["rhs_contract"]]),
                "lhs_batch": tuple([d + 1 for d in attrs["lhs_batch"]]),
                "rhs_batch": tuple([d + 1 for d in attrs["rhs_batch"]]),
                "precision": attrs["precision"],
                "preferred_type": attrs["preferred_type"],
            }
            return Deferred(frozenset((a, b)), lambda of: dot_general(of[a], of[b], **moved))
        if eqn.op is reduce_sum and self._varies(*eqn.operands):
            (x,) = eqn.operands
            axes = (0, *[d + 1 for d in attrs["axes"]])
            return Deferred(frozenset((x,)), lambda of: reduce_sum(of[x], axes=axes))
        if eqn.op in (reshape, transpose):
            inner = self._sum(eqn.operands[0])
            if inner is None:
                return None
            take = inner.take
            return Deferred(inner.needs, lambda of: eqn.op(take(of), **attrs))
        if eqn.op is add:
            parts = [self._sum(x) for x in eqn.operands]
            if any(part is None for part in parts):
                return None
            first, second = [part for part in parts if part is not None]
            return Deferred(first.needs | second.needs, lambda of: add(first.take(of), second.take(of)))
        return None
