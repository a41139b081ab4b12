"""Matrices read as choices: in every line along one axis, one element at most is not zero.

    m[i, k] = w[i] where k = p[i], elsewhere 0        with axis 1 for the chosen one, the index p and the weight w

One-hot and identity matrices, diagonals beside the main one too, permutations, and what reversals, slices, padding,
rows taken, concatenation and products with numbers for each line make of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ir.core import Dense, Eqn, Value
from ir.op import current_builder
from ir.ops.convert import convert
from ir.ops.elementwise import add, div, eq, mul, neg, select, sub
from ir.ops.indexing import gather
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    constant_shape,
    full,
    full_like,
    iota,
    pad,
    permute,
    reshape,
    reshape_to,
    rev,
    transpose,
)
from ir.ops.shape import slice as slice_op
from ir.passes.selections.constant_along import without_axis
from ir.passes.selections.rows import in_range
from ir.rewriter import constant_number, wraps
from ir.types import DType, i32, i64

# Matrices that one is the sum of; equations that are followed; elements of a constant that are looked at.
_MOST, _DEPTH, _ELEMENTS = 4, 12, 1 << 22


@dataclass(frozen=True)
class Choice:
    """Lines along one axis of an array with one element each, at most.

    Attributes:
      index: where it stands, an integer for each place of the other axes; nowhere, if that is not within the axis.
      weight: what it is, an array as `index`; None for 1.
    """

    index: Value
    weight: Value | None


class Unread(Exception):
    """A value is not known to be a sum of choices."""


class Reader:
    """Reads values of a program as sums of choices; writes what these are made of to the current builder.

    Args:
      definition: the equation that makes a value.
      now: what stands for a value of the program.
    """

    def __init__(self, definition: Callable[[Value], Eqn | None], now: Callable[[Value], Value]) -> None:
        self.definition, self.now = definition, now
        self.unread: set[tuple[Value, int]] = set()

    def read(self, value: Value, axis: int, depth: int = _DEPTH) -> list[Choice]:
        """The choices along an axis whose sum `value` is.

        Raises:
          Unread: it is not known to be that.
        """
        eqn = self.definition(value)
        rule = None if eqn is None or not depth else _RULES.get(eqn.op)
        if eqn is None or rule is None or (value, axis) in self.unread:
            raise Unread
        try:
            return rule(self, eqn, axis, depth - 1)
        except Unread:
            self.unread.add((value, axis))
            raise

    def latest(self, value: Value) -> Eqn | None:
        """As `definition`, also of what was just written."""
        return self.definition(value) or next((e for e in current_builder().eqns if value in e.results), None)

    def one(self, value: Value, axis: int, depth: int) -> Choice:
        """As `read`, for a value that is a single one."""
        found = self.read(value, axis, depth)
        if len(found) != 1:
            raise Unread
        return found[0]

    def along(self, value: Value, axis: int) -> Value:
        """What a value is that is the same all along an axis."""
        found = without_axis(value, axis, self.definition, self.now)
        if found is None:
            raise Unread
        return found

    # Where indices are equal ----------------------------------------------------------------------

    def where(self, mask: Value, axis: int) -> Value:
        """The index at which a mask holds, if it holds at one along the axis at most."""
        eqn = self.definition(mask)
        if eqn is None or eqn.op is not eq:
            raise Unread
        for count, other in (eqn.operands, eqn.operands[::-1]):
            if not count.type.dtype.is_integer:
                break
            try:
                added = self.counted(count, axis)
                index = _signed(self.along(other, axis))
            except Unread:
                continue
            return index if added is None else sub(index, added)
        raise Unread

    def counted(self, value: Value, axis: int, depth: int = _DEPTH) -> Value | None:
        """What is added to the positions along an axis, for each place of the others; None for 0."""
        eqn, shape = self.definition(value), value.type.shape
        if eqn is None or not depth:
            raise Unread
        rest = (*shape[:axis], *shape[axis + 1 :])
        if wraps(value.type, axis):
            raise Unread
        if eqn.op is iota and eqn.attrs["axis"] == axis:
            return None
        if eqn.op is convert and _is_widened(eqn.operands[0].type.dtype, value.type.dtype):
            added = self.counted(eqn.operands[0], axis, depth - 1)
            return None if added is None else convert(added, dtype=value.type.dtype)
        if eqn.op is broadcast_in_dim and axis in eqn.attrs["dims"]:
            x, dims = eqn.operands[0], eqn.attrs["dims"]
            inner = dims.index(axis)
            if x.type.shape[inner] == shape[axis]:
                added = self.counted(x, inner, depth - 1)
                kept = tuple([d - (d > axis) for d in dims if d != axis])
                return None if added is None else broadcast_in_dim(added, shape=rest, dims=kept)
        if eqn.op is reshape:
            inner = _same_axis(eqn.operands[0].type.shape, shape, axis)
            added = self.counted(eqn.operands[0], inner, depth - 1)
            return None if added is None else reshape_to(added, rest)
        if eqn.op in (add, sub) and value.type.dtype in (i32, i64):
            for side in (0, 1) if eqn.op is add else (0,):
                try:
                    before = self.counted(eqn.operands[side], axis, depth - 1)
                    more = _signed(self.along(eqn.operands[1 - side], axis))
                except Unread:
                    continue
                if eqn.op is sub:
                    return neg(more) if before is None else sub(before, more)  # type: ignore[no-any-return]
                return more if before is None else add(before, more)
        raise Unread

    # Equations ------------------------------------------------------------------------------------

    def converted(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        (x,) = eqn.operands
        if x.type.dtype.kind == "bool":
            return [Choice(self.where(x, axis), None)]
        return [
            _weighted(c, lambda w: convert(w, dtype=eqn.attrs["dtype"])) for c in self.read(x, axis, depth)
        ]

    def selected(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        mask, x, other = eqn.operands
        if constant_number(self.definition(other)) != 0 or mask.type.shape != x.type.shape:
            raise Unread
        return [Choice(self.where(mask, axis), self.along(x, axis))]

    def multiplied(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        for x, factor in (eqn.operands, eqn.operands[::-1]):
            try:
                found, by = self.read(x, axis, depth), self.along(factor, axis)
            except Unread:
                continue
            return [replace(c, weight=by if c.weight is None else mul(c.weight, by)) for c in found]
        raise Unread

    def divided(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        x, number = eqn.operands[0], constant_number(self.definition(eqn.operands[1]))
        if number is None or number == 0 or np.isnan(number):
            raise Unread  # (neither 0 / 0 nor 0 / NaN is 0)
        found = self.read(x, axis, depth)
        shape, dtype = found[0].index.type.shape, x.type.dtype
        ones, by = full(shape, 1, dtype), full(shape, number, dtype)
        return [replace(c, weight=div(ones if c.weight is None else c.weight, by)) for c in found]

    def negated(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        dtype = eqn.results[0].type.dtype
        return [_negative(c, dtype) for c in self.read(eqn.operands[0], axis, depth)]

    def added(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        left, right = [self.read(v, axis, depth) for v in eqn.operands]
        if len(left) + len(right) > _MOST:
            raise Unread
        if eqn.op is add:
            return left + right
        dtype = eqn.results[0].type.dtype
        return left + [_negative(c, dtype) for c in right]

    def transposed(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        perm = eqn.attrs["perm"]
        inner = perm[axis]
        order = tuple([p - (p > inner) for p in perm if p != inner])
        return [_mapped(c, lambda v: permute(v, order)) for c in self.read(eqn.operands[0], inner, depth)]

    def reversed(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        axes = eqn.attrs["axes"]
        others = tuple([d - (d > axis) for d in axes if d != axis])
        found = self.read(eqn.operands[0], axis, depth)
        if others:
            found = [_mapped(c, lambda v: rev(v, axes=others)) for c in found]
        if axis in axes:
            last = eqn.results[0].type.shape[axis] - 1
            found = [replace(c, index=sub(full_like(c.index, last), c.index)) for c in found]
        return found

    def sliced(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        starts, limits, strides = (eqn.attrs[k] for k in ("starts", "limits", "strides"))
        if strides[axis] != 1:
            raise Unread
        rest = {
            k: (*v[:axis], *v[axis + 1 :])
            for k, v in (("starts", starts), ("limits", limits), ("strides", strides))
        }
        found = [_mapped(c, lambda v: slice_op(v, **rest)) for c in self.read(eqn.operands[0], axis, depth)]
        if not starts[axis]:
            return found
        return [replace(c, index=sub(c.index, full_like(c.index, starts[axis]))) for c in found]

    def padded(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        x, value = eqn.operands
        config = eqn.attrs["config"]
        if constant_number(self.definition(value)) != 0 or any(
            low < 0 or high < 0 for low, high, _ in config
        ):
            raise Unread
        if config[axis][2]:
            raise Unread
        low, size = config[axis][0], x.type.shape[axis]
        rest = (*config[:axis], *config[axis + 1 :])
        out = []
        for c in self.read(x, axis, depth):
            moved = select(
                in_range(c.index, size), add(c.index, full_like(c.index, low)), full_like(c.index, -1)
            )
            index = pad(moved, full((), -1, moved.type.dtype), config=rest)
            weight = (
                None if c.weight is None else pad(c.weight, full((), 0, c.weight.type.dtype), config=rest)
            )
            out.append(Choice(index, weight))
        return out

    def taken(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        """Lines taken by an index along another axis."""
        x, indices = eqn.operands
        a = eqn.attrs
        shape = x.type.shape
        if a["mode"] not in ("promise_in_bounds", "clip") or a["operand_batching_dims"]:
            raise Unread
        window = [d for d in range(x.type.rank) if d not in a["collapsed_slice_dims"]]
        if axis not in a["offset_dims"]:
            raise Unread
        inner = window[a["offset_dims"].index(axis)]
        if inner in a["start_index_map"] or a["slice_sizes"][inner] != shape[inner]:
            raise Unread
        attrs = dict(
            a,
            offset_dims=tuple([d - (d > axis) for d in a["offset_dims"] if d != axis]),
            collapsed_slice_dims=tuple([d - (d > inner) for d in a["collapsed_slice_dims"]]),
            start_index_map=tuple([d - (d > inner) for d in a["start_index_map"]]),
            slice_sizes=(*a["slice_sizes"][:inner], *a["slice_sizes"][inner + 1 :]),
        )
        by = self.now(indices)
        return [_mapped(c, lambda v: gather(v, by, **attrs)) for c in self.read(x, inner, depth)]

    def joined(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        along = eqn.attrs["axis"]
        if along == axis:
            raise Unread
        parts = [self.one(v, axis, depth) for v in eqn.operands]
        along -= along > axis
        dtype = parts[0].index.type.dtype
        if any(p.index.type.dtype is not dtype for p in parts):
            raise Unread
        index = concatenate(*[p.index for p in parts], axis=along)
        if all(p.weight is None for p in parts):
            return [Choice(index, None)]
        one = eqn.results[0].type.dtype
        weights = [full(p.index.type.shape, 1, one) if p.weight is None else p.weight for p in parts]
        return [Choice(index, concatenate(*weights, axis=along))]

    def repeated(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        x, dims, shape = eqn.operands[0], eqn.attrs["dims"], eqn.attrs["shape"]
        if axis not in dims or x.type.shape[dims.index(axis)] != shape[axis]:
            raise Unread
        rest = (*shape[:axis], *shape[axis + 1 :])
        kept = tuple([d - (d > axis) for d in dims if d != axis])
        found = self.read(x, dims.index(axis), depth)
        return [_mapped(c, lambda v: broadcast_in_dim(v, shape=rest, dims=kept)) for c in found]

    def written(self, eqn: Eqn, axis: int, depth: int) -> list[Choice]:
        """A constant with one number in each line."""
        held: Dense = eqn.attrs["value"]
        if held.dtype.kind == "key" or held.array.size > _ELEMENTS or not held.array.size:
            raise Unread
        if constant_shape(held) != eqn.results[0].type.shape or not held.dtype.is_inexact:
            raise Unread
        if np.count_nonzero(np.moveaxis(held.array, axis, -1).reshape(-1, held.array.shape[axis])[0]) > 1:
            raise Unread  # (most are dense)
        there = held.array != 0
        if int(there.sum(axis=axis).max()) > 1 or not np.isfinite(held.array.astype(np.complex128)).all():
            raise Unread
        index = np.asarray(np.where(there.any(axis=axis), there.argmax(axis=axis), -1), np.int32)
        weight = np.asarray(held.array.sum(axis=axis), held.array.dtype, order="C")
        made: Value = constant(value=Dense(index, i32), shape=index.shape)
        if (weight[index >= 0] == 1).all():
            return [Choice(made, None)]
        return [Choice(made, constant(value=Dense(weight, held.dtype), shape=weight.shape))]


def _same_axis(old: tuple[int, ...], new: tuple[int, ...], axis: int) -> int:
    """Which axis becomes this one where a reshape only adds or removes axes of size 1."""
    before = [d for d, n in enumerate(old) if n != 1]
    after = [d for d, n in enumerate(new) if n != 1]
    if axis not in after or [old[d] for d in before] != [new[d] for d in after]:
        raise Unread
    return before[after.index(axis)]


def _negative(choice: Choice, dtype: DType) -> Choice:
    weight = choice.weight
    return replace(choice, weight=full(choice.index.type.shape, -1, dtype) if weight is None else neg(weight))


def _weighted(choice: Choice, change: Callable[[Value], Value]) -> Choice:
    return choice if choice.weight is None else replace(choice, weight=change(choice.weight))


def _mapped(choice: Choice, change: Callable[[Value], Value]) -> Choice:
    """A rearrangement of the lines."""
    return Choice(change(choice.index), None if choice.weight is None else change(choice.weight))


def _is_widened(old: DType, new: DType) -> bool:
    """Whether integers are converted to a type of signed ones that has all of them."""
    return new in (i32, i64) and (old in (i32, new) or (old.is_integer and old.bits < 32))


def _signed(index: Value) -> Value:
    """Indices from which others can be subtracted."""
    dtype = index.type.dtype
    if dtype in (i32, i64):
        return index
    if dtype.bits >= 32:
        raise Unread
    return convert(index, dtype=i32)  # type: ignore[no-any-return]


_RULES: dict[Any, Callable[[Reader, Eqn, int, int], list[Choice]]] = {
    add: Reader.added,
    broadcast_in_dim: Reader.repeated,
    concatenate: Reader.joined,
    constant: Reader.written,
    convert: Reader.converted,
    div: Reader.divided,
    gather: Reader.taken,
    mul: Reader.multiplied,
    neg: Reader.negated,
    pad: Reader.padded,
    rev: Reader.reversed,
    select: Reader.selected,
    slice_op: Reader.sliced,
    sub: Reader.added,
    transpose: Reader.transposed,
}
# What a product is looked at for: some of these lead to a choice.
LEADING = frozenset(_RULES)

__all__ = ["LEADING", "Choice", "Reader", "Unread"]
