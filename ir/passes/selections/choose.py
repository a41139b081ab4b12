"""Products with matrices that only choose: rows are taken, or added up, instead of multiplied.

    m = one_hot(p);  c = dot_general(m, y)     becomes    c = gather(y, p)
    m = one_hot(p)'; c = dot_general(m, y)     becomes    c = scatter_add(0, p, y)
    m = tril(1);     c = dot_general(m, y)     becomes    c = cumsum(y)

Such a matrix has at most one element in each line along an axis (`forms`). Where that axis is summed over, the product
takes rows of the other operand, and multiplies them by the elements. Where it is not, it adds rows up, if the model of
the machine says that this is quicker; or takes them, where none are added to each other, as with a permutation. A long
triangle of ones (`triangles`) takes rows of the running sums.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ir.core import Eqn, Function, Value
from ir.machine import Machine, current
from ir.op import current_builder
from ir.ops.contraction import dot_general
from ir.ops.convert import convert
from ir.ops.cumulative import cumsum
from ir.ops.elementwise import add, mul
from ir.ops.shape import broadcast_in_dim, full_like, move_axis
from ir.passes.nested import deep
from ir.passes.replacing import rewritten
from ir.passes.selections.forms import LEADING, Choice, Reader, Unread
from ir.passes.selections.rows import Numbers, added_up, inverse, known, rows, within
from ir.passes.selections.triangles import triangle
from ir.remarks import remark
from ir.rewriter import constant_number
from ir.types import f32

# What adding one row to others takes, in launches of a kernel.
_ROW = 0.02


@deep
def choose_rows(function: Function) -> Function:
    """Take rows, or add them up, instead of multiplying by a matrix that chooses them."""
    if not any(e.op is dot_general for e in function.eqns):
        return function
    return _Chosen(function, current()).function()


@dataclass(frozen=True)
class _Side:
    """An operand of a product and the axis of it that is summed over; the other operand likewise.

    Attributes:
      first: whether it is the left one.
    """

    matrix: Value
    axis: int
    other: Value
    other_axis: int
    first: bool


class _Chosen:
    def __init__(self, function: Function, machine: Machine) -> None:
        self.whole, self.machine = function, machine
        self.definitions = {v: eqn for eqn in function.eqns for v in eqn.results}
        self.env: dict[Value, Value] = {}

    def function(self) -> Function:
        return rewritten(self.whole, self._written, self.env)

    def _written(self, eqn: Eqn) -> Value | None:
        made = self._product(eqn) if eqn.op is dot_general else None
        if made is not None:
            self.definitions.update({v: e for e in current_builder().eqns for v in e.results})
            remark("choose_rows", eqn.source, "rows are chosen instead of multiplied")
        return made

    def _reader(self) -> Reader:
        return Reader(self.definitions.get, lambda v: self.env.get(v, v))

    def _product(self, eqn: Eqn) -> Value | None:
        """The product by choosing rows, if an operand is known to do that."""
        attrs, out = eqn.attrs, eqn.results[0]
        if attrs["lhs_batch"] or len(attrs["lhs_contract"]) != 1 or not out.type.size:
            return None
        if any(v.type.dtype is not out.type.dtype for v in eqn.operands):
            return None
        (a,), (b,) = attrs["lhs_contract"], attrs["rhs_contract"]
        left, right = [self.env.get(v, v) for v in eqn.operands]
        for side in (_Side(left, a, right, b, True), _Side(right, b, left, a, False)):
            made = self.definitions.get(side.matrix)
            if made is None or made.op not in LEADING or side.matrix.type.shape[side.axis] < 2:
                continue
            for write in (self._taken, self._added, self._running):
                try:
                    parts = write(side, out)
                except Unread:
                    continue
                return self._sum(parts)
        return None

    def _sum(self, parts: Sequence[Value]) -> Value:
        total = parts[0]
        for part in parts[1:]:
            total = add(total, part)
        return add(total, full_like(total, 0))  # type: ignore[no-any-return]  # (a sum has no -0)

    def _taken(self, side: _Side, out: Value) -> list[Value]:
        """A product along the axis of which one element is chosen in each line."""
        reader, parts = self._reader(), []
        for choice in _apart(reader, reader.read(side.matrix, side.axis), out):
            numbers = known(choice.index, reader.latest)
            parts.append(self._lines(side, choice.index if numbers is None else numbers, choice.weight))
        return parts

    def _lines(self, side: _Side, index: Value | Numbers, weight: Value | None) -> Value:
        """Lines of the other operand, in their places in the product."""
        taken = rows(side.other, side.other_axis, index, last=not side.first)
        weight = None if weight is None else within(weight, index, side.other.type.shape[side.other_axis])
        return _times(weight, taken, last=not side.first)

    def _added(self, side: _Side, out: Value) -> list[Value]:
        """A product along the other axis of a matrix."""
        if side.matrix.type.rank != 2:
            raise Unread
        size = side.matrix.type.shape[1 - side.axis]
        reader, parts = self._reader(), []
        for choice in _apart(reader, reader.read(side.matrix, 1 - side.axis), out):
            numbers = known(choice.index, reader.latest)
            turned = None if numbers is None else inverse(numbers, size)
            if turned is not None:
                weight = None if choice.weight is None else rows(choice.weight, 0, turned)
                parts.append(self._lines(side, turned, weight))
                continue
            if not self._adds(side, out):
                raise Unread
            weight = None if choice.weight is None else _wide(choice.weight)
            updates = _times(weight, _wide(move_axis(side.other, side.other_axis, 0)))
            part = _rounded(added_up(updates, choice.index, size), out)
            parts.append(part if side.first else move_axis(part, 0, part.type.rank - 1))
        return parts

    def _running(self, side: _Side, out: Value) -> list[Value]:
        """A product with ones on one side of a diagonal."""
        found = triangle(self._reader(), side.matrix, side.axis)
        count, lines = side.matrix.type.shape[side.axis], side.matrix.type.shape[1 - side.axis]
        # Each of some steps reads and writes parts of the array.
        steps = 2 * math.log2(count)
        sums = self.machine.seconds(0, 6 * side.other.type.nbytes) + steps * self.machine.launch
        if sums >= self._seconds(side, out):
            raise Unread
        total = _rounded(cumsum(_wide(side.other), axis=side.other_axis, reverse=found.above), out)
        index = np.arange(lines) + found.offset
        index = np.maximum(index, 0) if found.above else np.minimum(index, count - 1)
        return [self._lines(replace(side, other=total), index, None)]

    def _seconds(self, side: _Side, out: Value) -> float:
        """Of the product; the matrix is written, and read."""
        count = side.matrix.type.shape[side.axis]
        nbytes = 2 * side.matrix.type.nbytes + side.other.type.nbytes + out.type.nbytes
        return self.machine.seconds(2 * out.type.size * count, nbytes) + self.machine.launch

    def _adds(self, side: _Side, out: Value) -> bool:
        """Whether adding up rows is quicker than multiplying."""
        count = side.matrix.type.shape[side.axis]
        # (From the right, rows have to be turned to columns before and after.)
        nbytes = side.other.type.nbytes + 2 * out.type.nbytes
        if not side.first:
            nbytes += 2 * (side.other.type.nbytes + out.type.nbytes)
        sums = self.machine.seconds(0, nbytes)
        return sums + count * _ROW * self.machine.launch < self._seconds(side, out)


def _apart(reader: Reader, choices: list[Choice], out: Value) -> list[Choice]:
    """No more than can be added up in the element type of a product without rounding on the way, and without loss.

    Elements that may stand in one place may cancel, so that rows times each may not be added up
    (`ir.passes.products.terms`), but for numbers that do not, or to nothing.
    """
    if len(choices) > 1 and _is_narrow(out):
        raise Unread
    places = [known(c.index, reader.latest) for c in choices] if len(choices) > 1 else []
    for (a, one), (b, other) in itertools.combinations(zip(choices, places, strict=False), 2):
        if one is not None and other is not None and not ((one == other) & (one >= 0)).any():
            continue
        numbers = [1.0 if c.weight is None else constant_number(reader.latest(c.weight)) for c in (a, b)]
        if not all(isinstance(n, float) for n in numbers) or not _only_to_nothing(*numbers):
            raise Unread
    return choices


def _only_to_nothing(a: float, b: float) -> bool:
    """Whether two numbers cancel to the last digit, if at all."""
    return a == -b or a * b > 0


def _is_narrow(value: Value) -> bool:
    return value.type.dtype.is_float and value.type.dtype.bits < 32


def _wide(value: Value) -> Value:
    """In single precision, where a value has less: sums of products are rounded once."""
    return convert(value, dtype=f32) if _is_narrow(value) else value


def _rounded(value: Value, out: Value) -> Value:
    dtype = out.type.dtype
    return value if value.type.dtype is dtype else convert(value, dtype=dtype)


def _times(weight: Value | None, lines: Value, *, last: bool = False) -> Value:
    """Each line times its weight; the axes of the weights are the first or the last ones."""
    if weight is None:
        return lines
    first = lines.type.rank - weight.type.rank if last else 0
    dims = tuple(range(first, first + weight.type.rank))
    return mul(broadcast_in_dim(weight, shape=lines.type.shape, dims=dims), lines)  # type: ignore[no-any-return]
