"""Products of rows that are chosen or repeated: multiply first, then choose or repeat.

    x = gather(t, i);  c = dot_general(x, w)     becomes     p = dot_general(t, w);  c = gather(p, i)

Quicker where more rows are taken than there are: the messages along the edges of a graph, say, of what its nodes hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.core import Dense, Eqn, Value
from ir.ops.contraction import dot_general, free_dims
from ir.ops.elementwise import gt, select
from ir.ops.indexing import fills_with_nan, gather
from ir.ops.scatter import scatter_add
from ir.ops.shape import broadcast_in_dim, full, full_like, transpose
from ir.types import i32

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of a smaller array.

    Attributes:
      rows: the rows.
      eqn: the equation that chooses or repeats them; `rows` is its result, or that transposed.
      axes: for each axis of the rows the axis of the array that it is; None for those of an index, or of repetition.
      repeated: of the array, those of size 1 that are repeated, and for each the axis of the rows.
      axis: of the array, along which rows are chosen; None where all of it is repeated.
    """

    rows: Value
    eqn: Eqn
    axes: tuple[int | None, ...]
    repeated: Mapping[int, int]
    axis: int | None

    @property
    def source(self) -> Value:
        """The array."""
        return self.eqn.operands[0]

    def product(self, other: Value, side: int, attrs: Mapping[str, Any]) -> ProductOfRows | None:
        """The product of the array in place of that of the rows; None if the rows are needed before.

        Args:
          other: what the rows are multiplied with.
          side: 0 if they are the left operand.
          attrs: of their product.
        """
        mine, batch = ("lhs_contract", "lhs_batch") if side == 0 else ("rhs_contract", "rhs_batch")
        contract = [self.axes[d] for d in attrs[mine]]
        batches = [self.axes[d] for d in attrs[batch]]
        dims = tuple([d for d in (*contract, *batches) if d is not None])
        if len(dims) < len(contract) + len(batches) or self.axis in dims:
            return None
        inner = {**attrs, mine: dims[: len(contract)], batch: dims[len(contract) :]}
        before, after = _axes(self.source, other, side, inner), _axes(self.rows, other, side, attrs)
        of_source = {self.axes[d]: k for k, (is_own, d) in enumerate(after) if is_own}
        of_source.update({d: after.index((True, k)) for d, k in self.repeated.items()})
        places = [of_source.get(d, -1) if is_own else after.index((False, d)) for is_own, d in before]
        kept = [k for k in places if k >= 0]
        if kept != sorted(kept):
            return None  # (gathers and repetitions keep the order of axes)
        at = None if self.axis is None else before.index((True, self.axis))
        return ProductOfRows(self, side, inner, tuple(places), at)


@dataclass(frozen=True, slots=True)
class ProductOfRows:
    """How to multiply before rows are chosen.

    Attributes:
      inner: attributes of the product of the array.
      places: for each axis of that product the axis of the whole; -1 for the one along which rows are chosen.
      axis: that one.
    """

    chosen: Chosen
    side: int
    inner: Mapping[str, Any]
    places: Dims
    axis: int | None

    def write(self, source: Value, index: Value | None, other: Value, shape: Dims, *, guarded: bool) -> Value:
        """The product, of that shape, of rows of `source` at an index with `other`.

        Args:
          guarded: rows that are not chosen are zeros in the product, so that no derivative is of infinite ones.
        """
        if guarded and index is not None:
            source = self._chosen_alone(source, index)
        first, second = (source, other) if self.side == 0 else (other, source)
        made = dot_general(first, second, **self.inner)
        if index is None:
            return broadcast_in_dim(made, shape=shape, dims=self.places)  # type: ignore[no-any-return]
        attrs = dict(self.chosen.eqn.attrs)
        if attrs["fill_value"] is not None:
            dtype, is_zero = made.type.dtype, bool(attrs["fill_value"].array == 0)
            attrs["fill_value"] = Dense(np.zeros((), dtype.np), dtype) if is_zero else None
        attrs.update(
            offset_dims=tuple([k for k in self.places if k >= 0]),
            collapsed_slice_dims=(self.axis,),
            start_index_map=(self.axis,),
            slice_sizes=tuple([1 if k == self.axis else n for k, n in enumerate(made.type.shape)]),
        )
        return gather(made, index, **attrs)  # type: ignore[no-any-return]

    def _chosen_alone(self, source: Value, index: Value) -> Value:
        """`source` with zeros for rows that are not chosen."""
        axis = self.chosen.axis
        assert axis is not None
        counts = scatter_add(
            full((source.type.shape[axis],), 0, i32), index, full(index.type.shape[:-1], 1, i32),
            update_window_dims=(), inserted_window_dims=(0,), scatter_dims_to_operand_dims=(0,),
            mode=self.chosen.eqn.attrs["mode"],
        )  # fmt: skip
        are_chosen = broadcast_in_dim(gt(counts, full_like(counts, 0)), shape=source.type.shape, dims=(axis,))
        return select(are_chosen, source, full_like(source, 0))  # type: ignore[no-any-return]


def _axes(value: Value, other: Value, side: int, attrs: Mapping[str, Any]) -> list[tuple[bool, int]]:
    """For each axis of a product whether it is one of `value`, and which one it is of that or of the other."""
    contract, batch = (attrs["lhs_contract"], attrs["rhs_contract"]), (attrs["lhs_batch"], attrs["rhs_batch"])
    mine = [(True, d) for d in free_dims(value.type.rank, contract[side], batch[side])]
    theirs = [(False, d) for d in free_dims(other.type.rank, contract[1 - side], batch[1 - side])]
    return [(True, d) for d in batch[side]] + (mine + theirs if side == 0 else theirs + mine)


def chosen(rows: Value, definition: Callable[[Value], Eqn | None]) -> Chosen | None:
    """What rows are chosen from, or repeat; None if they are not, or are nothing but that array."""
    eqn, perm = definition(rows), tuple(range(rows.type.rank))
    if eqn is not None and eqn.op is transpose:
        perm = eqn.attrs["perm"]
        eqn = definition(eqn.operands[0])
    if eqn is None or eqn.op not in (broadcast_in_dim, gather):
        return None
    found = _repeated(eqn) if eqn.op is broadcast_in_dim else _gathered(eqn)
    if found is None:
        return None
    axes, repeated, axis = found
    own = [d for d in perm if axes[d] is None and d not in repeated.values()]
    if axis is not None and own != sorted(own):
        return None
    return Chosen(
        rows, eqn, tuple([axes[d] for d in perm]), {d: perm.index(k) for d, k in repeated.items()}, axis
    )


_Found = tuple[tuple[int | None, ...], dict[int, int], int | None]


def _repeated(eqn: Eqn) -> _Found:
    dims, shape = eqn.attrs["dims"], eqn.attrs["shape"]
    sizes = eqn.operands[0].type.shape
    repeated = {d: k for d, k in enumerate(dims) if sizes[d] != shape[k]}
    of = {k: d for d, k in enumerate(dims) if d not in repeated}
    return tuple([of.get(k) for k in range(len(shape))]), repeated, None


def _gathered(eqn: Eqn) -> _Found | None:
    attrs, source = eqn.attrs, eqn.operands[0]
    if len(attrs["start_index_map"]) != 1 or attrs["operand_batching_dims"]:
        return None
    (axis,) = attrs["start_index_map"]
    whole = tuple([1 if d == axis else n for d, n in enumerate(source.type.shape)])
    if attrs["collapsed_slice_dims"] != (axis,) or attrs["slice_sizes"] != whole:
        return None
    fill = attrs["fill_value"]
    # (Products of rows of nan are rows of nan, and of zeros of zeros.)
    stays = fills_with_nan(fill, source.type.dtype) or (fill is not None and bool(fill.array == 0))
    if attrs["mode"] == "fill" and not stays:
        return None
    kept = iter([d for d in range(source.type.rank) if d != axis])
    axes = tuple([next(kept) if d in attrs["offset_dims"] else None for d in range(eqn.results[0].type.rank)])
    return axes, {}, axis


__all__ = ["Chosen", "ProductOfRows", "chosen"]
