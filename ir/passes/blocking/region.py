"""The part of a program that is computed in blocks of one axis, and the loops that it takes.

The large arrays of a part have the axis in one dimension each. What an equation needs of another whole, because it
has not the axis, has to be complete before: it was computed by a loop before. What a later loop needs of the large
arrays of an earlier one, it computes again; small arrays are kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from ir.contents import has_effects
from ir.core import Eqn, Function, Value
from ir.ops.contraction import dot_general
from ir.ops.shape import broadcast_in_dim, constant, iota, reshape
from ir.passes.blocking.axes import Axis, axes

# Arrays at least 1 / _NEAR as large as the largest take part in finding the axis.
_NEAR = 4
# So many equations at most are made again of nothing.
_FEW = 16


@dataclass(frozen=True, eq=False)
class Loop:
    """One pass over the blocks.

    Attributes:
      eqns: the equations of its body, in order.
      outputs: what others need of them: arrays that have the axis, and joined results that have not.
    """

    eqns: tuple[Eqn, ...]
    outputs: tuple[Value, ...]


@dataclass(eq=False)
class Region:
    """A part of a program that is computed in blocks.

    Attributes:
      size: elements along the axis.
      axis_of: for its equations, in the order of the program, the axis.
      dims: for the results that have the axis, the dimension.
      loops: in the order in which they run.
      ready: for each other equation of the program, how many loops have to be done before it.
    """

    size: int
    axis_of: dict[Eqn, Axis]
    dims: dict[Value, int]
    loops: list[Loop] = field(default_factory=list)
    ready: dict[Eqn, int] = field(default_factory=dict)

    @property
    def outputs(self) -> list[Value]:
        """What the loops compute for others, and for each other."""
        return [v for loop in self.loops for v in loop.outputs]

    @property
    def parallel(self) -> bool:
        """Whether blocks have nothing to do with each other."""
        busy = [loop for loop in self.loops if loop.eqns]
        return len(busy) == 1 and all(v in self.dims for v in busy[0].outputs)

    def operands(self, eqn: Eqn) -> Iterator[tuple[Value, int | None]]:
        """Operands with the dimension of which a block is taken, None where all is."""
        return zip(eqn.operands, self.axis_of[eqn].operands, strict=True)

    def has(self, value: Value, dim: int | None) -> bool:
        """Whether the value is computed in blocks of that dimension."""
        return dim is not None and self.dims.get(value) == dim


class Program:
    """A function, and what is asked of its equations again and again."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.definitions = {v: eqn for eqn in function.eqns for v in eqn.results}
        self.positions = {eqn: i for i, eqn in enumerate(function.eqns)}
        self.results = set(function.results)
        self.users: dict[Value, list[Eqn]] = {}
        for eqn in function.eqns:
            for v in dict.fromkeys(eqn.operands):
                self.users.setdefault(v, []).append(eqn)
        self._axes: dict[Eqn, tuple[Axis, ...]] = {}

    def axes(self, eqn: Eqn) -> tuple[Axis, ...]:
        found = self._axes.get(eqn)
        if found is None:
            found = self._axes[eqn] = axes(eqn)
        return found

    def of_nothing(self, value: Value) -> list[Eqn] | None:
        """The few cheap equations that make a value of constants and positions only; None where it needs more."""
        found: dict[Eqn, int] = {}
        pending = [value]
        while pending:
            eqn = self.definitions.get(pending.pop())
            if eqn is None or not cheap(eqn) or len(found) > _FEW:
                return None
            if eqn not in found:
                found[eqn] = self.positions[eqn]
                pending += eqn.operands
        return sorted(found, key=found.__getitem__)


def cheap(eqn: Eqn) -> bool:
    """Whether an equation has one result and costs little beside reading what it takes."""
    if eqn.op is constant:
        return bool(eqn.attrs["value"].shape == ())
    return len(eqn.results) == 1 and (eqn.op.elementwise or eqn.op in (broadcast_in_dim, iota, reshape))


def regions(program: Program, seed: Value) -> Iterator[Region]:
    """The regions around a large array, one for each of its axes for which there is one."""
    least = seed.type.size // _NEAR
    near = {v for eqn in program.function.eqns for v in eqn.results if v.type.size >= least}
    classes = _classes(program, near)
    for d, n in enumerate(seed.type.shape):
        if n > 1:
            members = classes[seed, d]
            dims = dict(members)
            # Rows and columns of one array that are one axis are no axis to part it by.
            if len(dims) == len(members):
                region = _grown(program, dims, n)
                # One that hands on arrays as large does not do without them.
                if region is not None and all(v.type.size < seed.type.size for v in region.outputs):
                    yield region


def _classes(program: Program, near: set[Value]) -> dict[tuple[Value, int], list[tuple[Value, int]]]:
    """For dimensions of large arrays, all that are the same axis."""
    groups = {(v, d): [(v, d)] for v in near for d in range(v.type.rank)}
    for eqn in program.function.eqns:
        if near.isdisjoint(eqn.operands) and near.isdisjoint(eqn.results):
            continue
        values = (*eqn.operands, *eqn.results)
        for axis in program.axes(eqn):
            same = [
                (v, d)
                for v, d in zip(values, (*axis.operands, *axis.results), strict=True)
                if d is not None and v in near
            ]
            for one, other in itertools.pairwise(same):
                a, b = groups[one], groups[other]
                if a is not b:
                    if len(a) < len(b):
                        a, b = b, a
                    a += b
                    for member in b:
                        groups[member] = a
    return groups


def _grown(program: Program, large: dict[Value, int], size: int) -> Region | None:
    axis_of, dims = _labelled(program, large)
    touched = _leading_to(axis_of, dims, large)
    axis_of = {eqn: axis for eqn, axis in axis_of.items() if eqn in touched}
    if not axis_of:
        return None
    absorbed = _absorb(program, axis_of)
    ordered = {eqn: axis_of[eqn] for eqn in program.function.eqns if eqn in axis_of}
    dims = {
        v: d
        for eqn, axis in ordered.items()
        for v, d in zip(eqn.results, axis.results, strict=True)
        if d is not None
    }
    if not dims:
        return None
    region = Region(size, ordered, dims)
    _schedule(program, region, absorbed | large.keys())
    return region


def _labelled(program: Program, large: dict[Value, int]) -> tuple[dict[Eqn, Axis], dict[Value, int]]:
    """Equations that can be computed in blocks, from the large arrays on; and the dimensions of their results."""
    axis_of: dict[Eqn, Axis] = {}
    dims: dict[Value, int] = {}
    for eqn in program.function.eqns:
        axis = _axis(program, eqn, large, dims)
        if axis is None:
            continue
        axis_of[eqn] = axis
        for v, d in zip(eqn.results, axis.results, strict=True):
            if d is not None:
                dims[v] = d
    return axis_of, dims


def _axis(program: Program, eqn: Eqn, large: dict[Value, int], dims: dict[Value, int]) -> Axis | None:
    wanted = [large.get(v) for v in eqn.results]
    has = [dims.get(v, large.get(v)) for v in eqn.operands]
    if all(d is None for d in wanted) and all(d is None for d in has):
        return None
    touches = any(d is not None for d in wanted) or any(v in large for v in eqn.operands)
    if eqn.op is dot_general and not touches:
        # Products of small arrays are better computed at once.
        return None
    for axis in program.axes(eqn):
        if any(d is not None for d in wanted):
            if list(axis.results) == wanted:
                return axis
        elif any(a is not None and a == d for a, d in zip(axis.operands, has, strict=True)):
            return axis
    return None


def _leading_to(axis_of: dict[Eqn, Axis], dims: dict[Value, int], large: dict[Value, int]) -> set[Eqn]:
    """The equations that touch large arrays, and those on the way between such."""
    needed: set[Value] = set()
    kept: set[Eqn] = set()
    for eqn in reversed(list(axis_of)):
        axis = axis_of[eqn]
        touches = any(v in large for v in eqn.results) or any(
            d is not None and large.get(v) == d for v, d in zip(eqn.operands, axis.operands, strict=True)
        )
        if touches or not needed.isdisjoint(eqn.results):
            kept.add(eqn)
            needed.update(
                v
                for v, d in zip(eqn.operands, axis.operands, strict=True)
                if d is not None and dims.get(v) == d
            )
    return kept


def _absorb(program: Program, axis_of: dict[Eqn, Axis]) -> set[Value]:
    """Add what is cheap to compute and used nowhere else, such as masks made of positions; what was added."""
    added = set()
    for eqn in reversed(program.function.eqns):
        if eqn in axis_of or not cheap(eqn) or eqn.results[0] in program.results:
            continue
        value = eqn.results[0]
        users = program.users.get(value, [])
        if not users or any(user not in axis_of for user in users):
            continue
        at = {
            d
            for user in users
            for v, d in zip(user.operands, axis_of[user].operands, strict=True)
            if v is value
        }
        if len(at) == 1 and None not in at:
            axis = next((a for a in program.axes(eqn) if a.results == tuple(at)), None)
            if axis is not None:
                axis_of[eqn] = axis
                added.add(value)
    return added


def _schedule(program: Program, region: Region, anew: Set[Value]) -> None:
    """Part the equations among loops, each of which computes what it needs of `anew` itself."""
    stage: dict[Eqn, int] = {}
    whole: dict[Value, int] = {}
    effects = 0
    for eqn in program.function.eqns:
        if eqn in region.axis_of:
            at = 0
            for v, d in region.operands(eqn):
                at = max(at, stage[program.definitions[v]] if region.has(v, d) else whole.get(v, 0))
            stage[eqn] = at
            whole.update(dict.fromkeys(eqn.results, at + 1))
        else:
            at = max((whole.get(v, 0) for v in eqn.operands), default=0)
            if has_effects(eqn):
                at = effects = max(at, effects)
            region.ready[eqn] = at
            whole.update(dict.fromkeys(eqn.results, at))
    last = max(stage.values())
    members: list[set[Eqn]] = [set() for _ in range(last + 1)]
    exported = _exported(program, region)
    for s in range(last, -1, -1):
        pending = [eqn for eqn, at in stage.items() if at == s and not exported.isdisjoint(eqn.results)]
        while pending:
            eqn = pending.pop()
            if eqn in members[s]:
                continue
            members[s].add(eqn)
            for v, d in region.operands(eqn):
                if region.has(v, d):
                    made = program.definitions[v]
                    if stage[made] == s or v in anew:
                        pending.append(made)
                    else:
                        exported.add(v)
    for s in range(last + 1):
        eqns = tuple(sorted(members[s], key=program.positions.__getitem__))
        outputs = [v for eqn in eqns if stage[eqn] == s for v in eqn.results if v in exported]
        region.loops.append(Loop(eqns, tuple(outputs)))


def _exported(program: Program, region: Region) -> set[Value]:
    """Results that something needs whole."""
    out = {v for eqn in region.axis_of for v in eqn.results if v in program.results}
    for eqn in region.axis_of:
        for v in eqn.results:
            for user in program.users.get(v, ()):
                inside = user in region.axis_of
                if not inside or any(u is v and not region.has(v, d) for u, d in region.operands(user)):
                    out.add(v)
    return out


__all__ = ["Loop", "Program", "Region", "regions"]
