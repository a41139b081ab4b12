"""Loops over blocks of rows compute only the columns that a mask lets through.

    for each of 32 blocks of 128 rows:  s = q_block @ k.T;  p = softmax(where(rows >= columns, s, -1e9));  o = p @ v
    becomes four loops, of 8 blocks each, over the first 1024, 2048, 3072 and 4096 columns

What a mask excludes is read off from the positions that it is made of (`ranges`), whatever it looks like: a triangle, a
band, a prefix, blocks; so are the iterations that take about the same columns (`spans`). That what is excluded does
not matter is derived equation by equation (`narrow`), and holds for usual operands, which is checked when the program
runs: where a row is so low that what is masked counts, or an operand is not finite, the loop as it was is run instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ir.contents import has_effects
from ir.core import Array, Dense, Eqn, Function, Value
from ir.cost import flops
from ir.machine import Machine, current
from ir.op import Builder, build, building, current_builder
from ir.ops import elementwise as ew
from ir.ops.calls import optimization_barrier
from ir.ops.loops import scan
from ir.ops.reduce import reduce_and
from ir.ops.shape import concatenate, constant, full, iota, slice_axis
from ir.ops.while_loop import while_loop
from ir.passes.masking.known import Known
from ir.passes.masking.labels import Labels
from ir.passes.masking.narrow import Narrow, Unfit
from ir.passes.masking.ranges import Ranges
from ir.passes.masking.spans import Group, groups, spans
from ir.passes.nested import deep
from ir.passes.replacing import rewritten
from ir.remarks import remark
from ir.types import TensorType, bool_, i32

# So many loops at most for one, and the share of the work that each further one has to save.
_GROUPS, _SHARE = 7, 0.01
# Loops are narrowed where at most this share of the work is left, and so many seconds are saved.
_LEFT, _SECONDS = 0.85, 1e-3
# Granules along the columns, and bounds of a value, at most.
_GRANULES, _BOUNDS = 128, 1 << 21


def skip_masked(function: Function) -> Function:
    """Leave out of loops the columns that a mask excludes, where that pays."""
    return skipping(function, current())


def skipping(function: Function, machine: Machine, seconds: float = _SECONDS) -> Function:
    """As `skip_masked`, on a kind of device, where so many seconds are saved."""
    known = functools.cache(lambda: Known(function))  # of all of it, and only where a loop is long enough
    return deep(functools.partial(_skipped, known=known, machine=machine, seconds=seconds))(function)


def _skipped(function: Function, *, known: Callable[[], Known], machine: Machine, seconds: float) -> Function:
    def write(eqn: Eqn) -> tuple[Value, ...] | None:
        if eqn.op is not scan or eqn.attrs["reverse"] or has_effects(eqn):
            return None
        work = eqn.attrs["length"] * flops(eqn.attrs["function"]) / machine.flops
        if work < seconds:
            return None
        loop = _Loop(eqn, known())
        for mask in loop.masks():
            left = mask.left
            if work * (1 - left) < seconds:
                return None
            made = _written(loop, mask)
            if made is not None:
                text = f"{left:.0%} of the columns of a mask are computed, in {len(mask.groups)} loops"
                remark("skip_masked", eqn.source, text)
                return made
        return None

    return rewritten(function, write, {})


# Masks -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mask:
    """What a mask excludes of a loop's columns.

    Attributes:
      value: of the body.
      columns: which dimension of values of the body the columns are.
      size: columns in all.
    """

    value: Value
    columns: dict[Value, int]
    size: int
    groups: list[Group]
    ranges: Ranges

    @property
    def left(self) -> float:
        """The share of columns that is computed."""
        count = self.groups[-1].last
        return sum(g.count * g.width for g in self.groups) / (count * self.size)

    def fixed(self, group: Group) -> Callable[[Value], float | None]:
        """The number that a value is outside the columns of a group, None where it is not one number."""
        granule = self.ranges.granule
        lows = np.arange(0, self.size, granule)
        highs = np.minimum(lows + granule, self.size)
        starts = np.asarray(group.starts)[:, None]
        outside = (lows < starts) | (highs > starts + group.width)

        @functools.cache
        def number(value: Value) -> float | None:
            found, dim = self.ranges.get(value), self.columns.get(value)
            if found is None or dim is None:
                return None
            others = tuple([d for d in range(1, found[0].ndim) if d != dim + 1])
            low, high = found[0].min(others), found[1].max(others)
            taken = [a[group.first : group.last] if len(a) > 1 else a for a in (low, high)]
            low, high = [np.broadcast_to(a, outside.shape)[outside] for a in taken]
            return float(low[0]) if (low == low[0]).all() and (high == low[0]).all() else None

        return number


class _Loop:
    """A loop, and the masks in it.

    Attributes:
      split: the number of constants and carries.
      known: params that are known, in each iteration along the first axis.
    """

    def __init__(self, eqn: Eqn, known: Known) -> None:
        self.eqn = eqn
        self.body: Function = eqn.attrs["function"]
        self.consts, self.carries = eqn.attrs["num_consts"], eqn.attrs["num_carry"]
        self.split = self.consts + self.carries
        self.length: int = eqn.attrs["length"]
        self.known: dict[Value, Array] = {}
        made: list[Eqn] = []
        for k, (param, v) in enumerate(zip(self.body.params, eqn.operands, strict=True)):
            if k < self.consts and v not in known.arrays:
                made += known.equations(param)
            elif v in known.arrays and not self.consts <= k < self.split:
                self.known[param] = known.arrays[v] if k >= self.split else known.arrays[v][None]
        # What makes masks is read with the body, wherever it is.
        self.eqns = tuple(dict.fromkeys([*made, *self.body.eqns]))
        self.labels = Labels(self.eqns)

    def masks(self) -> Iterator[_Mask]:
        """Masks that exclude some of the columns, in each set of columns those first that exclude most."""
        for size, columns in self._columns():
            rows = max([v.type.size // size for v in columns], default=1)
            granules = max(min(_GRANULES, _BOUNDS // (rows * self.length), size), 1)
            granule = -(-size // granules)
            ranges = Ranges(self.eqns, self.known, columns, granule)
            found = [mask for v in self._edge(ranges, columns) for mask in self._of(v, columns, size, ranges)]
            yield from sorted(found, key=lambda mask: mask.left)

    def _columns(self) -> Iterator[tuple[int, dict[Value, int]]]:
        """Axes along which positions are counted, or a constant lies."""
        places = [(eqn.results[0], eqn.attrs["axis"]) for eqn in self.eqns if eqn.op is iota]
        places += [(p, d) for p in self.known for d in range(p.type.rank)]
        seen: set[tuple[Value, int]] = set()
        for value, dim in places:
            size = value.type.shape[dim]
            columns = None if (value, dim) in seen or size < 2 else self.labels.of(value, dim)
            if columns is not None:
                seen.update(columns.items())
                yield size, columns

    def _edge(self, ranges: Ranges, columns: dict[Value, int]) -> list[Value]:
        """Values of positions that are joined to others."""
        found: dict[Value, None] = {}
        for eqn in self.body.eqns:
            bounds = [ranges.get(v) for v in eqn.operands]
            if any(b is None for b in bounds):
                for v, b in zip(eqn.operands, bounds, strict=True):
                    if b is not None and v in columns and b[0].shape[columns[v] + 1] > 1:
                        found[v] = None
        return list(found)

    def _of(self, value: Value, columns: dict[Value, int], size: int, ranges: Ranges) -> Iterator[_Mask]:
        bounds = ranges.get(value)
        assert bounds is not None
        low, high = bounds
        for number in (low.min(), high.max()):
            excluded = (low == number) & (high == number)
            excluded = np.broadcast_to(excluded, (self.length, *excluded.shape[1:]))
            found = spans(excluded, columns[value], ranges.granule, size)
            made = groups(found, _GROUPS, _SHARE)
            mask = _Mask(value, columns, size, made, ranges)
            if mask.left <= _LEFT:
                yield mask


# Writing ---------------------------------------------------------------------------------------------------


def _written(loop: _Loop, mask: _Mask) -> tuple[Value, ...] | None:
    """The results of loops over groups of iterations; None where the excluded columns matter."""
    factors: dict[Value, None] = {}
    try:
        bodies = [_body(loop, mask, group, factors) for group in mask.groups]
    except Unfit:
        return None
    eqn, operands = loop.eqn, loop.eqn.operands
    given = dict(zip(loop.body.params, operands, strict=True))
    carries = [*operands[loop.consts : loop.split], _finite([given[v] for v in factors])]
    parts: list[list[Value]] = []
    for group, body in zip(mask.groups, bodies, strict=True):
        rows = [slice_axis(x, 0, group.first, group.last) for x in operands[loop.split :]]
        if len(set(group.starts)) > 1:
            starts = np.asarray(group.starts, np.int32)
            rows.append(constant(value=Dense(starts), shape=starts.shape))
        out = scan(
            *operands[: loop.consts], *carries, *rows,
            function=body, num_consts=loop.consts, num_carry=len(carries), length=group.count,
            unroll=eqn.attrs["unroll"],
        )  # fmt: skip
        out = out if isinstance(out, tuple) else (out,)
        carries = list(out[: len(carries)])
        parts.append(list(out[len(carries) :]))
    joined = [ys[0] if len(ys) == 1 else concatenate(*ys, axis=0) for ys in zip(*parts, strict=True)]
    return _checked(loop, mask, carries[-1], (*carries[:-1], *joined))


def _body(loop: _Loop, mask: _Mask, group: Group, factors: dict[Value, None]) -> Function:
    """The body for the columns of a group; as its last carry, it takes and gives whether the others did not matter.

    Args:
      factors: is given the params that have to be finite.
    """
    body = loop.body
    params = [Value(p.type, p.name) for p in body.params]
    so_far = sure = Value(TensorType((), bool_))
    start = Value(TensorType((), i32), "start")
    builder = Builder(loop.eqn.source)
    with building(builder):
        if group.width == mask.size:
            env = dict(zip(body.params, params, strict=True))
            for eqn in body.eqns:
                made = builder.copy(eqn, tuple([env[v] for v in eqn.operands]))
                env.update(zip(eqn.results, made, strict=True))
            results = [env[v] for v in body.results]
        else:
            moves = len(set(group.starts)) > 1
            first = start if moves else full((), group.starts[0], i32)
            given = (*body.params[: loop.consts], *body.params[loop.split :])
            writer = Narrow(body, loop.labels, mask.columns, mask.fixed(group), group.width, first, given)
            results = writer.write(params)
            factors.update(dict.fromkeys(writer.factors))
            for each in writer.sure:
                sure = ew.and_(sure, each)
    extra = [start] if len(set(group.starts)) > 1 else []
    split, carries = loop.split, loop.carries
    return Function(
        (*params[:split], so_far, *params[split:], *extra),
        tuple(builder.eqns),
        (*results[:carries], sure, *results[carries:]),
        body.name,
    )


def _finite(values: Iterable[Value]) -> Value:
    """Whether all are finite: zero times others is not zero."""
    found = full((), 1, bool_)
    for v in values:
        finite = ew.is_finite(v)
        found = ew.and_(found, reduce_and(finite, axes=tuple(range(v.type.rank))) if v.type.rank else finite)
    return found


def _checked(loop: _Loop, mask: _Mask, sure: Value, results: tuple[Value, ...]) -> tuple[Value, ...]:
    """The results where they are sure, and otherwise those of the loop as it was.

    A loop of no trip or one, and not a branch: it leaves the results where they are.
    """
    operands, source = loop.eqn.operands, loop.eqn.source
    types = [v.type for v in (*results, sure)]

    def again(*given: Value) -> tuple[Value, ...]:
        attrs = {**loop.eqn.attrs, "function": _hidden(loop.body, mask.value)}
        made = current_builder().copy(loop.eqn, given[: len(operands)], attrs)
        return (*made, full((), 1, bool_))

    out = while_loop(
        *operands, *results, sure,
        cond=build(types, lambda *given: ew.not_(given[-1]), "unsure", source=source),
        body=build([*[v.type for v in operands], *types], again, "all_columns", source=source),
        num_cond_consts=0, num_body_consts=len(operands), rare=True,
    )  # fmt: skip
    return out[:-1]  # type: ignore[no-any-return]


def _hidden(body: Function, mask: Value) -> Function:
    """The body with a mask that nothing is known of, so that it is not narrowed again."""
    eqns: list[Eqn] = []
    env: dict[Value, Value] = {}
    for eqn in body.eqns:
        operands = tuple([env.get(v, v) for v in eqn.operands])
        eqns.append(Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source))
        if mask in eqn.results:
            env[mask] = Value(mask.type, mask.name)
            eqns.append(Eqn(optimization_barrier, (mask,), {}, (env[mask],), eqn.source))
    return body.replace(eqns=tuple(eqns))


__all__ = ["skip_masked", "skipping"]
