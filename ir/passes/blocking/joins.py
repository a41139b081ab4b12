"""What joins the results of blocks to the result of all: a sum, a product, an extremum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ir.core import Attrs, Eqn, Value
from ir.numerics.precision import highest, lowest
from ir.op import Op, build, current_builder
from ir.ops.calls import optimization_barrier
from ir.ops.contraction import dot_general, free_dims, swapped
from ir.ops.convert import convert
from ir.ops.elementwise import add, and_, max, min, mul, not_
from ir.ops.indexing import dynamic_slice, dynamic_update_slice
from ir.ops.loops import scan
from ir.ops.reduce import identity
from ir.ops.scatter import scatter_add
from ir.ops.shape import full, iota, permute
from ir.types import TensorType, f32, i32

# A sum of products of more bytes than the first is added up so many bytes at a time.
_LARGE, _AT_A_TIME = 16e6, 4e6


@dataclass(frozen=True)
class Join:
    """The results of blocks of one equation, joined.

    Sums and products of less than single precision are rounded once. Products of matrices are summed up in the layout
    that XLA's CPU kernels like best: few rows and many columns, the left operand with the summed axes last.

    Attributes:
      eqn: has one result.
      combine: joins two blocks.
    """

    eqn: Eqn
    combine: Op

    @property
    def widened(self) -> bool:
        dtype = self.eqn.results[0].type.dtype
        return self.combine in (add, mul) and dtype.is_float and dtype.bits < 32

    @property
    def scatters(self) -> bool:
        """Whether blocks are added to some of the elements."""
        return self.eqn.op is scatter_add

    @property
    def turned(self) -> bool:
        """Whether the operands of a product are exchanged."""
        if self.eqn.op is not dot_general:
            return False
        batch, middle, shape = *self._parts(), self.eqn.results[0].type.shape
        return math.prod(shape[batch:middle]) > math.prod(shape[middle:])

    def _parts(self) -> tuple[int, int]:
        """Where the rows and the columns of a product begin among its axes."""
        lhs, attrs = self.eqn.operands[0].type, self.eqn.attrs
        return len(attrs["lhs_batch"]), lhs.rank - len(attrs["lhs_contract"])

    def _exchange(self) -> tuple[int, ...]:
        """For each axis of the exchanged product, which of the product it is."""
        batch, middle = self._parts()
        return (*range(batch), *range(middle, self.eqn.results[0].type.rank), *range(batch, middle))

    @property
    def type(self) -> TensorType:
        """Of what is joined."""
        type = self.eqn.results[0].type
        shape = tuple([type.shape[d] for d in self._exchange()]) if self.turned else type.shape
        return TensorType(shape, f32 if self.widened else type.dtype)

    def added(self, total: Value, operands: Sequence[Value], attrs: Attrs) -> Value:
        """The result of one block, joined to those before it."""
        if self.eqn.op is dot_general:
            attrs = {**attrs, "preferred_type": f32} if self.widened else attrs
            if self.turned:
                operands, attrs = operands[::-1], _exchanged(attrs)
            operands, attrs = _rows_first(operands, attrs)
            if chunk := _chunk(total, operands[1], attrs):
                return _added_in_chunks(total, operands, attrs, chunk)
        elif self.scatters:
            indices, updates = operands[1:]
            operands = (total, indices, convert(updates, dtype=f32) if self.widened else updates)
            return current_builder().emit(self.eqn.op, operands, attrs)[0]
        elif self.widened:
            operands = [convert(x, dtype=f32) for x in operands]
        part: Value = current_builder().emit(self.eqn.op, tuple(operands), attrs)[0]
        return self.combine(total, part)  # type: ignore[no-any-return]

    def first(self) -> Value:
        """What joins with any array to that array."""
        shape, dtype = self.type.shape, self.type.dtype
        if self.combine in (max, min):
            return full(shape, identity(lowest if self.combine is max else highest, dtype.np), dtype)
        if self.combine is and_:
            return not_(full(shape, 0, dtype))  # type: ignore[no-any-return]
        return full(shape, 1 if self.combine is mul else 0, dtype)

    def last(self, joined: Value, base: Value | None = None) -> Value:
        """The result of the equation.

        Args:
          base: what a scatter adds to, where that is not zero.
        """
        if base is not None:
            joined = add(convert(base, dtype=joined.type.dtype) if self.widened else base, joined)
        if self.turned:
            order = self._exchange()
            joined = permute(joined, tuple([order.index(d) for d in range(len(order))]))
        return convert(joined, dtype=self.eqn.results[0].type.dtype) if self.widened else joined


def _exchanged(attrs: Attrs) -> Attrs:
    """The attributes of a product with its operands exchanged."""
    return {
        **attrs,
        "lhs_contract": attrs["rhs_contract"],
        "rhs_contract": attrs["lhs_contract"],
        "lhs_batch": attrs["rhs_batch"],
        "rhs_batch": attrs["lhs_batch"],
        "precision": swapped(attrs["precision"]),
    }


def _rows_first(operands: Sequence[Value], attrs: Attrs) -> tuple[Sequence[Value], Attrs]:
    """The left operand, with the axes that are summed over as its last ones."""
    lhs, rhs = operands
    batch, contract = attrs["lhs_batch"], attrs["lhs_contract"]
    rows = free_dims(lhs.type.rank, contract, batch)
    perm = (*batch, *rows, *contract)
    if perm == tuple(range(len(perm))):
        return operands, attrs
    moved = optimization_barrier(permute(lhs, perm))
    batches = tuple(range(len(batch)))
    contracts = tuple(range(len(batch) + len(rows), len(perm)))
    return (moved, rhs), {**attrs, "lhs_batch": batches, "lhs_contract": contracts}


def _chunk(total: Value, rhs: Value, attrs: Attrs) -> int:
    """Columns of a sum of products to be added at a time, where it is large; otherwise 0."""
    free = free_dims(rhs.type.rank, attrs["rhs_contract"], attrs["rhs_batch"])
    if len(free) != 1 or total.type.nbytes <= _LARGE:
        return 0
    columns = total.type.shape[-1]
    most = int(columns * _AT_A_TIME / total.type.nbytes)
    return next((n for n in range(most, most // 2, -1) if columns % n == 0), 0)


def _added_in_chunks(total: Value, operands: Sequence[Value], attrs: Attrs, chunk: int) -> Value:
    """A product added to a sum, some columns after the others, so that it is in the cache when it is added."""
    lhs, rhs = operands
    last = total.type.rank - 1
    (column,) = free_dims(rhs.type.rank, attrs["rhs_contract"], attrs["rhs_batch"])

    def body(lhs: Value, rhs: Value, total: Value, start: Value) -> Value:
        part = dot_general(lhs, sliced(rhs, column, start, chunk), **attrs)
        new = add(sliced(total, last, start, chunk), part)
        return updated(total, last, start, new)

    source = current_builder().source
    function = build([lhs.type, rhs.type, total.type, TensorType((), i32)], body, "columns", source=source)
    count = total.type.shape[last] // chunk
    return scan(  # type: ignore[no-any-return]
        lhs, rhs, total, starts(count, chunk), function=function, num_consts=2, num_carry=1, length=count
    )


def starts(count: int, size: int) -> Value:
    """Where so many blocks of so many elements begin."""
    return mul(iota(shape=(count,), dtype=i32, axis=0), full((count,), size, i32))  # type: ignore[no-any-return]


def _at(value: Value, dim: int, start: Value) -> list[Value]:
    """The place along a dimension, at the beginning of the others."""
    zero = full((), 0, i32)
    return [start if d == dim else zero for d in range(value.type.rank)]


def sliced(value: Value, dim: int, start: Value, size: int) -> Value:
    """So many elements along a dimension."""
    sizes = list(value.type.shape)
    sizes[dim] = size
    return dynamic_slice(value, *_at(value, dim, start), sizes=tuple(sizes))  # type: ignore[no-any-return]


def updated(value: Value, dim: int, start: Value, part: Value) -> Value:
    """The value with other elements along a dimension, from `start` on."""
    return dynamic_update_slice(value, part, *_at(value, dim, start))  # type: ignore[no-any-return]
