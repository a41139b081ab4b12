"""How large the elements of an array can be: bounds that are computed when the program runs, one for each row.

Of a product of matrices, by Hölder's inequality: |x y| <= sum |x| max |y|, over all columns y. (By that of Cauchy and
Schwarz it would be less, but squares of small numbers are 0.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from ir.core import Eqn, Value
from ir.ops import elementwise as ew
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.reduce import reduce_max, reduce_sum
from ir.ops.shape import broadcast_in_dim, full, full_like, reshape, reshape_to, transpose
from ir.passes.masking.outside import Outside, one_column
from ir.types import f32, f64

# Room for the rounding of sums of products.
_ROOM = 1.05
# So many equations are looked through.
_DEPTH = 12


class Bounds:
    """Bounds of the magnitude of values outside the columns that are computed, as arrays with one column."""

    def __init__(
        self,
        columns: Mapping[Value, int],
        definitions: Mapping[Value, Eqn],
        outside: Callable[[Value], Outside],
        whole: Callable[[Value], Value | None],
        one: Callable[[Eqn, list[Value]], Value | None],
    ) -> None:
        """What is asked of the body.

        Args:
          outside: what is known of a value outside.
          whole: a value with all columns, None where there is none.
          one: the result of an equation with one column, of such operands.
        """
        self.columns, self.definitions = columns, definitions
        self.outside, self.whole, self.one = outside, whole, one

    def of(self, value: Value, depth: int = _DEPTH) -> Value | None:
        """No element of a float outside is larger in magnitude; None where none is known."""
        if not value.type.dtype.is_float or not depth:
            return None
        if value not in self.columns:
            alone = self.whole(value)
            return None if alone is None else ew.abs(alone)
        known = self.outside(value)
        if known.known:
            return ew.abs(known.one)  # type: ignore[no-any-return]
        whole = self.whole(value)
        if whole is not None:
            return self._largest(ew.abs(whole), self.columns[value])
        eqn = self.definitions.get(value)
        if eqn is None:
            return None
        if eqn.op is dot_general:
            return self._product(eqn)
        if eqn.op in (ew.square, ew.one_minus_square):
            inner = self.of(eqn.operands[0], depth - 1)
            if inner is None:
                return None
            squared = ew.square(inner)
            return squared if eqn.op is ew.square else ew.add(squared, full_like(squared, 1))  # type: ignore[no-any-return]
        if eqn.op is ew.tanh:
            return full(one_column(value.type, self.columns[value]), 1, value.type.dtype)
        if (
            eqn.op in (ew.neg, convert, broadcast_in_dim, reshape, transpose)
            or eqn.op.name == "stop_gradient"
        ):
            inner = self.of(eqn.operands[0], depth - 1)
            return inner if inner is None or eqn.op is ew.neg else self.one(eqn, [inner])
        if eqn.op in (ew.add, ew.sub, ew.mul):
            parts = [p for v in eqn.operands if (p := self.of(v, depth - 1)) is not None]
            if len(parts) < 2:
                return None
            return (ew.mul if eqn.op is ew.mul else ew.add)(*parts)  # type: ignore[no-any-return]
        if eqn.op is ew.div:
            by, top = self.outside(eqn.operands[1]), self.of(eqn.operands[0], depth - 1)
            if by.known and top is not None:
                return ew.div(top, ew.abs(by.one))  # type: ignore[no-any-return]
        return None

    def _largest(self, x: Value, dim: int) -> Value:
        return reshape_to(reduce_max(x, axes=(dim,)), one_column(x.type, dim))

    def _product(self, eqn: Eqn) -> Value | None:
        """The sums of one side times the largest elements of the other, whose columns they are."""
        attrs, out = eqn.attrs, eqn.results[0].type
        wide = f64 if out.dtype is f64 else f32
        summed = 1 if eqn.operands[0] in self.columns else 0  # of the other side the largest
        sizes, batches = [], []
        for k, (side, v) in enumerate(zip(("lhs", "rhs"), eqn.operands, strict=True)):
            whole = self.whole(v)
            if whole is None or not v.type.dtype.is_float:
                return None
            contract = attrs[f"{side}_contract"]
            kept = [d for d in range(v.type.rank) if d not in contract]
            size = ew.abs(convert(whole, dtype=wide) if v.type.dtype is not wide else whole)
            if contract:
                size = (reduce_sum if k == summed else reduce_max)(size, axes=contract)
            if v in self.columns:
                size = self._largest(size, operator.indexOf(kept, self.columns[v]))
            sizes.append(size)
            batches.append(tuple([kept.index(d) for d in attrs[f"{side}_batch"]]))
        product = dot_general(
            *sizes, lhs_contract=(), rhs_contract=(), lhs_batch=batches[0], rhs_batch=batches[1]
        )
        product = ew.mul(product, full(product.type.shape, _ROOM, wide))
        return convert(product, dtype=out.dtype) if out.dtype is not wide else product  # type: ignore[no-any-return]


__all__ = ["Bounds"]
