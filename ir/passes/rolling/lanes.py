"""Equal equations that do not need each other, computed side by side.

    v1 = v1 - (q0 @ v1) * q0                            V = V - outer(V @ q0, q0)
    v2 = v2 - (q0 @ v2) * q0            becomes
    ...

The equations of a nest of loops stand in the order in which the loops make them. They are taken in the order in which
they can be computed at the earliest, as the levels of a table: a loop that goes through all that is before an element
becomes one that brings all that is after it up to date, which is a product of arrays (Golub and Van Loan 2013, section
4.2: the same factorization by rows, by columns and by outer products). What the levels become is then rolled as any
other loop.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from ir.contents import has_effects
from ir.core import Eqn, Function, Value
from ir.op import Builder, building
from ir.ops.calls import stop_gradient
from ir.ops.families import materialize
from ir.ops.shape import constant, reshape, reshape_to, slice, slice_axis
from ir.passes.replacing import renamed
from ir.passes.rolling.plan import does_more_together
from ir.passes.rolling.sequence import tokens
from ir.passes.rolling.stacking import Stacker, slices
from ir.remarks import remark
from ir.transforms.batch import apply_rule

# Fewer lanes are left as they are, and larger ones, in elements; and all where there are fewer in the mean.
_FEWEST = 2
_MEAN = 4
_LARGEST = 1 << 12


@dataclass(frozen=True, slots=True)
class _Lane:
    """A value as one row of an array."""

    whole: Value
    row: int


class _Packer:
    """Writes the levels of a function, the equations of each side by side.

    Attributes:
      lanes: values that are rows, until someone asks for them by themselves.
      env: lanes that someone has asked for, by themselves.
      count: how many groups became one equation.
      packed_eqns: how many equations these had.
    """

    def __init__(self, function: Function) -> None:
        self.function, self.builder = function, Builder()
        self.stacker = Stacker()
        self.lanes: dict[Value, _Lane] = {}
        self.env: dict[Value, Value] = {}
        self.count = self.packed_eqns = 0

    def packed(self, apart: Collection[Eqn], *, exact: bool) -> Function:
        eqns = [eqn for eqn in self.function.eqns if eqn.op is not constant]
        for eqn in self.function.eqns:
            if eqn.op is constant:
                self.builder.append(eqn)
        known: dict[object, int] = {}
        like = [
            known.setdefault((token, eqn.op, eqn.attrs.get("y"), eqn.source.place), len(known))
            for token, eqn in zip(tokens(eqns, apart, exact=exact).tolist(), eqns, strict=True)
        ]
        at = _levels(eqns)
        order = sorted(range(len(eqns)), key=lambda i: (at[i], like[i], i))
        for _, group in itertools.groupby(order, key=lambda i: (at[i], like[i])):
            self._group([eqns[i] for i in group])
        results = tuple([self._single(v) for v in self.function.results])
        return self.function.replace(eqns=tuple(self.builder.eqns), results=results)

    def _group(self, eqns: Sequence[Eqn]) -> None:
        if len(eqns) < _FEWEST or not self._may_be_packed(eqns[0]) or not self._pack(eqns):
            for eqn in eqns:
                for v in eqn.operands:
                    self._single(v)
                self.builder.append(renamed(eqn, self.env))
        self.stacker.see(self.builder.eqns)

    def _may_be_packed(self, eqn: Eqn) -> bool:
        if eqn.op in (slice, stop_gradient) or len(eqn.results) != 1 or not eqn.operands:
            return False
        types = [v.type for v in (*eqn.operands, *eqn.results)]
        if any(t.size > _LARGEST or t.dtype.kind == "key" for t in types):
            return False
        if does_more_together(eqn):
            return False
        if eqn.op is reshape:
            return eqn.operands[0] in self.lanes
        return eqn.op.batch is not None or eqn.op.elementwise

    def _pack(self, eqns: Sequence[Eqn]) -> bool:
        """Write equations as one, if their operands are side by side or can be had so."""
        first = eqns[0]
        self.builder.source = first.source
        with building(self.builder):
            columns = [self._column([eqn.operands[k] for eqn in eqns]) for k in range(len(first.operands))]
            found = [column for column in columns if column is not None]
            if len(found) < len(columns) or not any(batched for _, batched in found):
                self.builder.source = None
                return False  # (what has been written for it is dead, or values by themselves)
            ins, flags = tuple([v for v, _ in found]), tuple([b for _, b in found])
            (made,), (differs,) = apply_rule(first, ins, flags, len(eqns))
            out = materialize(made, differs, len(eqns))
        self.builder.source = None
        for row, eqn in enumerate(eqns):
            self.lanes[eqn.results[0]] = _Lane(out, row)
        self.count, self.packed_eqns = self.count + 1, self.packed_eqns + len(eqns)
        return True

    def _column(self, values: Sequence[Value]) -> tuple[Value, bool] | None:
        """What an operand is in all lanes, and whether it differs."""
        if all(v is values[0] for v in values):
            return self._single(values[0]), False
        lanes = [self.lanes[v] for v in values if v in self.lanes]
        if len(lanes) == len(values) and len({lane.whole for lane in lanes}) == 1:
            return _rows(lanes[0].whole, [lane.row for lane in lanes]), True
        self.stacker.see(self.builder.eqns)
        singles = [self.env.get(v, v) for v in values]
        if not self.stacker.made_by.keys() >= set(singles):
            return None
        made = self.stacker.stacked(singles)
        return None if made is None else (made, True)

    def _single(self, value: Value) -> Value:
        """A value by itself."""
        lane = self.lanes.get(value)
        if lane is None:
            return value
        if value not in self.env:
            with building(self.builder):
                row = slice_axis(lane.whole, 0, lane.row, lane.row + 1)
                self.env[value] = reshape_to(row, value.type.shape)
            self.stacker.see(self.builder.eqns)
        return self.env[value]


def _rows(whole: Value, rows: Sequence[int]) -> Value:
    """Rows of an array."""
    first, count = rows[0], len(rows)
    if list(rows) == list(range(first, first + count)):
        return whole if count == whole.type.shape[0] else slice_axis(whole, 0, first, first + count)
    sizes = (1, *whole.type.shape[1:])
    starts = np.zeros((count, len(sizes)), np.int64)
    starts[:, 0] = rows
    return reshape_to(slices(whole, starts, sizes, (1,) * len(sizes)), (count, *sizes[1:]))


def _levels(eqns: Sequence[Eqn]) -> list[int]:
    """How many equations each one has to wait for, one after the other."""
    made: dict[Value, int] = {}
    out = []
    for eqn in eqns:
        level = 1 + max([made.get(v, 0) for v in eqn.operands], default=0)
        made.update(dict.fromkeys(eqn.results, level))
        out.append(level)
    return out


def side_by_side(function: Function, apart: Collection[Eqn] = (), *, exact: bool = False) -> Function:
    """Equal equations of each level, of one place in the user's program, as one.

    Args:
      apart: equations that are not like those that are not among these.
      exact: as in `tokens`.

    Returns:
      The function itself if little is alike, or if it has effects, whose order would change.
    """
    if any(has_effects(eqn) for eqn in function.eqns):
        return function
    packer = _Packer(function)
    packed = packer.packed(apart, exact=exact)
    if packer.packed_eqns < _MEAN * max(1, packer.count):
        return function
    before, after = len(function.eqns), len(packed.eqns)
    remark("roll", function.eqns[0].source, f"{before} equations, taken level by level, became {after}")
    return packed


__all__ = ["side_by_side"]
