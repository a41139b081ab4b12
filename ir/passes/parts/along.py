"""Equations of which some places along some axes are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ir.core import Eqn, Value
from ir.ops.calls import optimization_barrier
from ir.passes.blocking.axes import Axis, axes
from ir.passes.parts.places import Parts, Places


@dataclass(slots=True)
class Cut:
    """An equation, cut along one axis after the other.

    Attributes:
      eqn: of the shapes that are left, over values that stand for operands.
      needs: for each operand, the places that are left of it.
    """

    eqn: Eqn
    needs: list[dict[int, Places]] = field(default_factory=list)

    def along(self, fits: Callable[[Axis], bool], places: Places) -> Axis | None:
        """Compute some places along the axis that fits; None where there is none, and nothing is done."""
        if self.eqn.op is optimization_barrier or len(self.eqn.results) != 1:
            return None
        axis = next((a for a in axes(self.eqn) if not a.counts and fits(a)), None)
        if axis is None:
            return None
        attrs = self.eqn.attrs if axis.resized is None else axis.resized(places.count)
        operands = [_cut(v, d, places.count) for v, d in zip(self.eqn.operands, axis.operands, strict=True)]
        (result,) = [_cut(v, d, places.count) for v, d in zip(self.eqn.results, axis.results, strict=True)]
        for need, d in zip(self.needs, axis.operands, strict=True):
            if d is not None:
                need[d] = places
        self.eqn = Eqn(self.eqn.op, tuple(operands), attrs, (result,), self.eqn.source)
        return axis


def begun(eqn: Eqn) -> Cut:
    """An equation of which nothing is cut yet."""
    return Cut(eqn, [{} for _ in eqn.operands])


def _cut(value: Value, axis: int | None, count: int) -> Value:
    if axis is None:
        return value
    shape = value.type.shape
    return Value(value.type.with_shape((*shape[:axis], count, *shape[axis + 1 :])))


def in_order(parts: Parts) -> dict[int, Places]:
    """Places in the order of their axes, so that equal ones are taken by equal equations."""
    return dict(sorted(parts.items()))


__all__ = ["Cut", "begun", "in_order"]
