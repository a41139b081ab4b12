"""Matrices of ones on one side of a diagonal: products with them are running sums.

m[i, k] = 1 where k <= i + n, elsewhere 0
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.core import Value
from ir.ops.convert import convert
from ir.ops.elementwise import ge, gt, le, lt, select
from ir.passes.selections.forms import Reader, Unread
from ir.passes.selections.rows import known
from ir.rewriter import constant_number


@dataclass(frozen=True)
class Triangle:
    """Ones where `k <= i + offset`, or where `k >= i + offset` if `above`; k counts along the axis asked for."""

    offset: int
    above: bool


def triangle(reader: Reader, matrix: Value, axis: int) -> Triangle:
    """What a matrix is, k counting along `axis` and i along the other one.

    Raises:
      Unread: it is not known to be a triangle of ones.
    """
    eqn = reader.definition(_mask(reader, matrix))
    if eqn is None or eqn.op not in (ge, gt, le, lt) or matrix.type.rank != 2:
        raise Unread
    sides = eqn.operands
    try:
        counts = _start(reader, sides[0], 1 - axis), _start(reader, sides[1], axis)
        above, strict = eqn.op in (le, lt), eqn.op in (gt, lt)
    except Unread:
        counts = _start(reader, sides[1], 1 - axis), _start(reader, sides[0], axis)
        above, strict = eqn.op in (ge, gt), eqn.op in (gt, lt)
    return Triangle(counts[0] - counts[1] + (strict if above else -strict), above)


def _mask(reader: Reader, matrix: Value) -> Value:
    """Where a matrix is 1, if it is 0 elsewhere."""
    eqn = reader.definition(matrix)
    if eqn is not None and eqn.op is convert and eqn.operands[0].type.dtype.kind == "bool":
        return eqn.operands[0]
    if eqn is not None and eqn.op is select:
        mask, one, zero = eqn.operands
        numbers = [constant_number(reader.definition(v)) for v in (one, zero)]
        if numbers == [1, 0] and mask.type.shape == matrix.type.shape:
            return mask
    raise Unread


def _start(reader: Reader, value: Value, axis: int) -> int:
    """The number from which a value counts along an axis."""
    if not value.type.dtype.is_integer:
        raise Unread
    added = reader.counted(value, axis)
    if added is None:
        return 0
    numbers = known(added, reader.latest)
    if numbers is None or not numbers.size or (numbers != numbers.flat[0]).any():
        raise Unread
    return int(numbers.flat[0])
