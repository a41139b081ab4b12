"""Which dimension of each value is one and the same axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from ir.core import Eqn, Value
from ir.passes.blocking.axes import Axis, axes


class Labels:
    """The axes that run through equations."""

    def __init__(self, eqns: Iterable[Eqn]) -> None:
        self._axes: dict[Eqn, tuple[Axis, ...]] = {}
        self._groups: dict[tuple[Value, int], list[tuple[Value, int]]] = {}
        for eqn in eqns:
            found = self._axes[eqn] = axes(eqn)
            values = (*eqn.operands, *eqn.results)
            for axis in found:
                pairs = zip(values, (*axis.operands, *axis.results), strict=True)
                same = [(v, d) for v, d in pairs if d is not None]
                for one, other in itertools.pairwise(same):
                    self._join(one, other)

    def _join(self, one: tuple[Value, int], other: tuple[Value, int]) -> None:
        a = self._groups.setdefault(one, [one])
        b = self._groups.setdefault(other, [other])
        if a is b:
            return
        if len(a) < len(b):
            a, b = b, a
        a += b
        for member in b:
            self._groups[member] = a

    def of(self, value: Value, dim: int) -> dict[Value, int] | None:
        """For all values that have the axis, the dimension; None where some value has it twice."""
        members = self._groups.get((value, dim), [(value, dim)])
        found = dict(members)
        return found if len(found) == len(members) else None

    def axis(self, eqn: Eqn, dims: dict[Value, int]) -> Axis | None:
        """The axis of an equation that has these dimensions; None where it has none."""
        operands = tuple([dims.get(v) for v in eqn.operands])
        results = tuple([dims.get(v) for v in eqn.results])
        for axis in self._axes[eqn]:
            if axis.operands == operands and (axis.combine is not None or axis.results == results):
                return axis
        return None


__all__ = ["Labels"]
