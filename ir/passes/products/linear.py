"""A `dot_general` as a linear function of one operand, by which its adjoint is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ir.core import Eqn, Value

# Of each axis of a value that is multiplied by an array, which axis of the array it meets, and whether it is summed
# over; None where it meets none.
Sides = tuple[tuple[int, bool] | None, ...]


@dataclass(frozen=True, slots=True)
class LinearProduct:
    """A product, as a function of one operand.

    Attributes:
      of: that operand.
      by: the other one.
      out: for each axis of the result, the axis of `of` and that of `by` that it is; None for not one of it.
      summed: pairs of their axes.
    """

    eqn: Eqn
    of: Value
    by: Value
    out: tuple[tuple[int | None, int | None], ...]
    summed: tuple[tuple[int, int], ...]

    @property
    def operand(self) -> Sides:
        """How `of` meets `by`."""
        met: dict[int, tuple[int, bool]] = {i: (k, True) for i, k in self.summed}
        met.update({i: (k, False) for i, k in self.out if i is not None and k is not None})
        return tuple([met.get(i) for i in range(self.of.type.rank)])

    @property
    def adjoint(self) -> Sides:
        """How the operand of the adjoint, which is like the result of this, meets `by`."""
        return tuple([None if k is None else (k, i is None) for i, k in self.out])

    @property
    def way(self) -> object:
        """How it is computed."""
        return self.eqn.attrs["precision"], self.eqn.attrs["preferred_type"]

    def axes_of(self, other: LinearProduct) -> tuple[int, ...]:
        """For each axis of the result of the adjoint `other`, the axis of `of` that it is."""
        summed = {k: i for i, k in self.summed}
        found = []
        for t, k in other.out:
            axis = self.out[t][0] if t is not None else summed[k]  # type: ignore[index]
            assert axis is not None
            found.append(axis)
        return tuple(found)

    def summed_over(self, axes: frozenset[int]) -> tuple[int, ...] | None:
        """Over which axes of `of` a sum over axes of the result goes, when the adjoint is there.

        None if it is not over all axes of `by`, or if what is left would be in another order.
        """
        if any(i is None and t not in axes for t, (i, _) in enumerate(self.out)):
            return None
        left = [i for t, (i, _) in enumerate(self.out) if i is not None and t not in axes]
        if left != sorted(left):
            return None
        return tuple([i for i in range(self.of.type.rank) if i not in left])


def linear_products(eqn: Eqn) -> Iterator[LinearProduct]:
    """A product of real numbers of one type, of at least 32 bits, as a function of each operand."""
    attrs, dtype = eqn.attrs, eqn.results[0].type.dtype
    if not dtype.is_float or dtype.bits < 32 or any(v.type.dtype is not dtype for v in eqn.operands):
        return
    batch = attrs["lhs_batch"], attrs["rhs_batch"]
    contract = attrs["lhs_contract"], attrs["rhs_contract"]
    free = [
        [d for d in range(v.type.rank) if d not in batch[side] and d not in contract[side]]
        for side, v in enumerate(eqn.operands)
    ]
    for side, of in enumerate(eqn.operands):
        other = 1 - side
        mine: list[tuple[int | None, int | None]] = [(d, None) for d in free[side]]
        theirs: list[tuple[int | None, int | None]] = [(None, d) for d in free[other]]
        rest = mine + theirs if side == 0 else theirs + mine
        yield LinearProduct(
            eqn,
            of,
            eqn.operands[other],
            (*zip(batch[side], batch[other], strict=True), *rest),
            tuple(zip(contract[side], contract[other], strict=True)),
        )


__all__ = ["LinearProduct", "Sides", "linear_products"]
