"""Matrices of ones on one side of a diagonal: products with them are running sums.

m[i, k] = 1 where k <= i + n, elsewhere 0
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.core import Value
from ir.ops.calls import assume
from ir.ops.convert import convert
from ir.ops.elementwise import ge, gt, le, lt, select
from ir.ops.linalg import cholesky
from ir.ops.shape import transpose
from ir.passes.selections.forms import Reader, Unread
from ir.passes.selections.rows import known
from ir.rewriter import constant_number

# Counts from farther are not compared.
_FAR = 1 << 30


@dataclass(frozen=True)
class Triangle:
    """Ones where `k <= i + offset`, or where `k >= i + offset` if `above`; k counts along the axis asked for."""

    offset: int
    above: bool

    @property
    def rest(self) -> Triangle:
        """Where this is 0."""
        return Triangle(self.offset - 1 if self.above else self.offset + 1, not self.above)


def triangle(reader: Reader, matrix: Value, axis: int) -> Triangle:
    """What a matrix is, k counting along `axis` and i along the other one.

    Raises:
      Unread: it is not known to be a triangle of ones.
    """
    mask, holds = _mask(reader, matrix)
    found = _side(reader, mask, axis)
    return found if holds else found.rest


def is_lower(reader: Reader, matrix: Value) -> bool | None:
    """Whether a square matrix has zeros above its diagonal; or, False, below it; None if neither is known."""
    eqn = reader.definition(matrix)
    if eqn is not None and eqn.op is cholesky:
        return True
    if eqn is not None and eqn.op is assume:
        said = eqn.attrs["properties"]
        if "lower_triangular" in said or "upper_triangular" in said:
            return "lower_triangular" in said
        return is_lower(reader, eqn.operands[0])
    if eqn is not None and eqn.op is transpose:
        before = is_lower(reader, eqn.operands[0])
        return None if before is None or matrix.type.rank != 2 else not before
    if eqn is None or eqn.op is not select:
        return None
    zero = [constant_number(reader.definition(v)) == 0 for v in eqn.operands[1:]]
    if not any(zero):
        return None
    try:
        found = _side(reader, eqn.operands[0], 1)
    except Unread:
        return None
    if zero[0]:
        found = found.rest
    if found.above:
        return False if found.offset >= 0 else None
    return True if found.offset <= 0 else None


def unmasked(reader: Reader, matrix: Value, *, lower: bool) -> Value:
    """What has the same triangle, diagonal included, and may have anything beside it: a matrix without its mask."""
    eqn = reader.definition(matrix)
    if eqn is None or eqn.op is not select or eqn.operands[0].type.shape != matrix.type.shape:
        return matrix
    mask, *cases = eqn.operands
    try:
        found = _side(reader, mask, 1)
    except Unread:
        return matrix
    wanted = Triangle(0, above=not lower)
    return cases[0] if found == wanted else cases[1] if found.rest == wanted else matrix


def _side(reader: Reader, mask: Value, axis: int) -> Triangle:
    """On which side of which diagonal a mask holds, k counting along `axis`."""
    eqn = reader.definition(mask)
    if eqn is None or eqn.op not in (ge, gt, le, lt) or mask.type.rank != 2:
        raise Unread
    sides = eqn.operands
    try:
        counts = _start(reader, sides[0], 1 - axis), _start(reader, sides[1], axis)
        above, strict = eqn.op in (le, lt), eqn.op in (gt, lt)
    except Unread:
        counts = _start(reader, sides[1], 1 - axis), _start(reader, sides[0], axis)
        above, strict = eqn.op in (ge, gt), eqn.op in (gt, lt)
    return Triangle(counts[0] - counts[1] + (strict if above else -strict), above)


def _mask(reader: Reader, matrix: Value) -> tuple[Value, bool]:
    """A mask; and whether the matrix is 1 where it holds and 0 elsewhere, or the other way round."""
    eqn = reader.definition(matrix)
    if eqn is not None and eqn.op is convert and eqn.operands[0].type.dtype.kind == "bool":
        return eqn.operands[0], True
    if eqn is not None and eqn.op is select and eqn.operands[0].type.shape == matrix.type.shape:
        numbers = [constant_number(reader.definition(v)) for v in eqn.operands[1:]]
        if sorted([n for n in numbers if n in (0, 1)]) == [0, 1]:
            return eqn.operands[0], numbers[0] == 1
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
    start = int(numbers.flat[0])
    if abs(start) > _FAR:
        raise Unread  # (it may wrap)
    return start
