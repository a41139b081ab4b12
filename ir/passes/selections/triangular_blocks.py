"""Matrices put together of blocks, with blocks of zeros on one side of the diagonal: systems with the diagonal ones.

[[A, 0], [B, C]] [x; y] = [u; v]     is     A x = u,  C y = v - B x      and      det = det(A) det(C)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ir.core import Eqn, Value
from ir.ops.calls import assume, stop_gradient
from ir.ops.contraction import dot_general
from ir.ops.elementwise import sub
from ir.ops.shape import concatenate, pad, slice, slice_axis, transpose
from ir.passes.selections.forms import Reader
from ir.rewriter import constant_number

# Smaller matrices are not taken apart, nor such of more blocks.
_FEWEST, _MOST = 16, 256


@dataclass(frozen=True, slots=True)
class _Cell:
    """A rectangle of a matrix; `value` is None where it is zero."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    value: Value | None

    def meets(self, rows: tuple[int, int], columns: tuple[int, int]) -> bool:
        """Whether it has elements in a rectangle."""
        return all(
            a < d and c < b for (a, b), (c, d) in zip((self.rows, self.columns), (rows, columns), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Blocks:
    """A square matrix, or a part of one beside its diagonal, that is taken apart.

    Attributes:
      matrix: the whole one.
      span: rows, and columns, of the part.
      at: where it is cut, which leaves zeros on one side; None where it is not.
      lower: whether the other side is below the diagonal.
      coupled: whether that side is not zero.
    """

    matrix: Value
    span: tuple[int, int]
    cells: tuple[_Cell, ...]
    at: int | None
    lower: bool
    coupled: bool

    def parts(self) -> tuple[Blocks, Blocks]:
        """The two parts on the diagonal."""
        assert self.at is not None
        ends = (self.span[0], self.at), (self.at, self.span[1])
        first, second = (_taken_apart(self.matrix, each, self.cells) for each in ends)
        return first, second

    def block(self) -> Value | None:
        """The value that a part is, if it is one."""
        return self._value(self.span, self.span)

    def _value(self, rows: tuple[int, int], columns: tuple[int, int]) -> Value | None:
        return next((c.value for c in self.cells if (c.rows, c.columns) == (rows, columns)), None)

    def write(self, now: Callable[[Value], Value]) -> Value:
        """The part."""
        return self._written(self.span, self.span, now)

    def coupling(self, now: Callable[[Value], Value]) -> Value:
        """The block beside the diagonal ones."""
        assert self.at is not None
        first, second = (self.span[0], self.at), (self.at, self.span[1])
        return self._written(second, first, now) if self.lower else self._written(first, second, now)

    def _written(
        self, rows: tuple[int, int], columns: tuple[int, int], now: Callable[[Value], Value]
    ) -> Value:
        value = self._value(rows, columns)
        if value is not None:
            return now(value)
        starts, limits = zip(rows, columns, strict=True)
        return slice(now(self.matrix), starts=starts, limits=limits, strides=(1, 1))  # type: ignore[no-any-return]


def taken_apart(reader: Reader, matrix: Value) -> tuple[Blocks, bool] | None:
    """A matrix with zeros on one side of diagonal blocks, and whether it is transposed; None for others."""
    turned = False
    while (eqn := reader.definition(matrix)) is not None:
        if eqn.op is transpose and eqn.attrs["perm"] == (1, 0):
            turned = not turned
        elif eqn.op not in (assume, stop_gradient):
            break
        (matrix,) = eqn.operands
    shape = matrix.type.shape
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < _FEWEST or eqn is None:
        return None
    if eqn.op not in (concatenate, pad):
        return None
    cells = tuple(itertools.islice(_cells(reader, matrix), _MOST + 1))
    if len(cells) > _MOST:
        return None
    found = _taken_apart(matrix, (0, shape[0]), cells)
    return None if found.at is None else (found, turned)


def _cells(reader: Reader, matrix: Value) -> Iterator[_Cell]:
    """The rectangles that a matrix is put together of, the first one at a place. No recursion."""
    stack: list[_Cell] = [_Cell((0, matrix.type.shape[0]), (0, matrix.type.shape[1]), matrix)]
    while stack:
        cell = stack.pop()
        eqn = None if cell.value is None else reader.definition(cell.value)
        parts = None if eqn is None else _parts(reader, eqn, cell)
        if parts is not None:
            stack += reversed(parts)
        else:
            yield replace(cell, value=None) if constant_number(eqn) == 0 else cell


def _parts(reader: Reader, eqn: Eqn, cell: _Cell) -> list[_Cell] | None:
    """What a rectangle is put together of; None where it is one."""
    (row, last_row), (column, last_column) = cell.rows, cell.columns
    if eqn.op is concatenate:
        parts = []
        for part in eqn.operands:
            height, width = part.type.shape
            parts.append(_Cell((row, row + height), (column, column + width), part))
            if eqn.attrs["axis"] == 0:
                row += height
            else:
                column += width
        return parts
    if eqn.op is not pad or constant_number(reader.definition(eqn.operands[1])) != 0:
        return None
    (top, bottom, gap), (left, right, skip) = eqn.attrs["config"]
    if min(top, bottom, left, right) < 0 or gap or skip:
        return None
    rows, columns = (row + top, last_row - bottom), (column + left, last_column - right)
    return [
        _Cell(rows, columns, eqn.operands[0]),
        _Cell((row, rows[0]), cell.columns, None),
        _Cell((rows[1], last_row), cell.columns, None),
        _Cell(rows, (column, columns[0]), None),
        _Cell(rows, (columns[1], last_column), None),
    ]


def _taken_apart(matrix: Value, span: tuple[int, int], cells: tuple[_Cell, ...]) -> Blocks:
    """The part of a matrix, cut at the first place that leaves zeros on one side."""
    start, end = span
    full = [c for c in cells if c.value is not None and c.meets(span, span)]
    for at in sorted({c.rows[0] for c in full} | {c.columns[0] for c in full}):
        if not start < at < end:
            continue
        first, second = (start, at), (at, end)
        above = any(c.meets(first, second) for c in full)
        below = any(c.meets(second, first) for c in full)
        if not (above and below):
            return Blocks(matrix, span, tuple(full), at, not above, above or below)
    return Blocks(matrix, span, tuple(full), None, lower=False, coupled=False)


# Solves with a part of the matrix, or its transpose.
Solve = Callable[[Blocks, Value, bool], Value]


def solved(
    blocks: Blocks, columns: Value, now: Callable[[Value], Value], leaf: Solve, *, turned: bool
) -> Value:
    """The solutions for right-hand sides that stand side by side.

    Args:
      leaf: solves with what is not taken apart any more.
      turned: the matrix is transposed.
    """
    if blocks.at is None:
        return leaf(blocks, columns, turned)
    parts = blocks.parts()
    cut = blocks.at - blocks.span[0]
    sides = [slice_axis(columns, 0, 0, cut), slice_axis(columns, 0, cut, columns.type.shape[0])]
    # A lower matrix is solved from above, and so is an upper one that is transposed.
    first = 0 if blocks.lower != turned else 1
    x = solved(parts[first], sides[first], now, leaf, turned=turned)
    rest = sides[1 - first]
    if blocks.coupled:
        axis = 0 if turned else 1
        product = dot_general(
            blocks.coupling(now), x, lhs_contract=(axis,), rhs_contract=(0,), precision="highest"
        )
        rest = sub(rest, product)
    y = solved(parts[1 - first], rest, now, leaf, turned=turned)
    return concatenate(*((x, y) if first == 0 else (y, x)), axis=0)  # type: ignore[no-any-return]


def diagonal_parts(blocks: Blocks) -> Iterator[Blocks]:
    """What is on the diagonal and not taken apart any more."""
    if blocks.at is None:
        yield blocks
        return
    for part in blocks.parts():
        yield from diagonal_parts(part)


__all__ = ["Blocks", "diagonal_parts", "solved", "taken_apart"]
