"""Writing a region as loops over blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ir.core import Eqn, Function, Value
from ir.op import Builder, building, current_builder
from ir.ops.convert import convert
from ir.ops.elementwise import add
from ir.ops.loops import scan
from ir.ops.shape import (
    broadcast_in_dim,
    concatenate,
    constant,
    full,
    iota,
    permute,
    reshape_to,
)
from ir.passes.blocking.axes import Axis
from ir.passes.blocking.joins import Join, sliced, starts
from ir.passes.blocking.region import Loop, Program, Region
from ir.passes.replacing import renamed
from ir.passes.squeeze import squeeze_inside
from ir.types import TensorType, i32


def written(program: Program, region: Region, block: int, inside: Callable[[Function], Function]) -> Function:
    """The program with the region computed by loops over blocks of so many elements.

    Args:
      inside: applied to the bodies of the loops.
    """
    function = program.function
    env: dict[Value, Value] = {}
    eqns: list[Eqn] = []
    waiting: dict[int, list[Eqn]] = {}
    for eqn in function.eqns:
        if eqn not in region.axis_of:
            waiting.setdefault(region.ready[eqn], []).append(eqn)
    for s in range(len(region.loops) + 1):
        eqns += [renamed(eqn, env) for eqn in waiting.get(s, ())]
        if s < len(region.loops) and region.loops[s].eqns:
            builder = Builder(region.loops[s].eqns[0].source)
            with building(builder):
                _Writer(program, region, region.loops[s], env, inside).write(block)
            eqns += builder.eqns
    return function.replace(eqns=tuple(eqns), results=tuple([env.get(v, v) for v in function.results]))


class _Writer:
    """Writes one loop.

    Attributes:
      env: what stands for values of the program.
    """

    def __init__(
        self,
        program: Program,
        region: Region,
        loop: Loop,
        env: dict[Value, Value],
        inside: Callable[[Function], Function],
    ) -> None:
        self.program, self.region, self.loop, self.env, self.bodies = program, region, loop, env, inside
        self.inside = {v for eqn in loop.eqns for v in eqn.results}
        self.mapped = [v for v in loop.outputs if v in region.dims]
        self.joins = {
            eqn.results[0]: Join(eqn, combine)
            for eqn in loop.eqns
            if (combine := region.axis_of[eqn].combine) is not None
        }

    def write(self, block: int) -> None:
        """Write it, and give `env` what stands for its outputs."""
        count, rest = divmod(self.region.size, block)
        joined, mapped = self._scan(block, count)
        if rest:
            start = full((), block * count, i32)
            joined, more = self._block(start, rest, lambda v: self.env.get(v, v), joined)
            mapped = [
                concatenate(done, part, axis=self.region.dims[v])
                for v, done, part in zip(self.mapped, mapped, more, strict=True)
            ]
        for (v, join), x in zip(self.joins.items(), joined, strict=True):
            self.env[v] = join.last(x, self._base(join))
        self.env.update(zip(self.mapped, mapped, strict=True))
        for v in self.loop.outputs:
            if not self.env[v].name:
                self.env[v].name = v.name

    def _base(self, join: Join) -> Value | None:
        """What the blocks of a scatter are added to; None where that is zero."""
        if not join.scatters:
            return None
        base = join.eqn.operands[0]
        made = self.program.definitions.get(base)
        zero = made is not None and made.op is constant and not made.attrs["value"].array.any()
        return None if zero else self.env.get(base, base)

    def _scan(self, block: int, count: int) -> tuple[list[Value], list[Value]]:
        """Joined and mapped outputs of `count` blocks."""
        outer: dict[Value, Value] = {}

        def constant_of(value: Value) -> Value:
            return outer.setdefault(value, Value(value.type, value.name))

        body = Builder(self.loop.eqns[0].source)
        carries = [Value(join.type) for join in self.joins.values()]
        start = Value(TensorType((), i32))
        with building(body):
            totals, mapped = self._block(start, block, constant_of, carries)
        function = Function((*outer.values(), *carries, start), tuple(body.eqns), (*totals, *mapped), "block")
        function = self.bodies(squeeze_inside(function) if block == 1 else function)
        index = starts(count, block)
        out = scan(
            *[self.env.get(v, v) for v in outer], *[join.first() for join in self.joins.values()], index,
            function=function, num_consts=len(outer), num_carry=len(carries), length=count,
        )  # fmt: skip
        out = out if isinstance(out, tuple) else (out,)
        stacked = zip(self.mapped, out[len(carries) :], strict=True)
        return list(out[: len(carries)]), [_unstacked(x, self.region.dims[v]) for v, x in stacked]

    def _block(
        self, start: Value, size: int, given: Callable[[Value], Value], totals: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        """New totals of what is joined, and mapped outputs, of the block of so many elements from `start` on."""
        region = self.region
        before = dict(zip(self.joins, totals, strict=True))
        made: dict[Value, Value] = {}
        slices: dict[tuple[Value, int], Value] = {}
        alone: dict[Value, Value] = {}
        builder = current_builder()
        usual = builder.source

        def operand(v: Value, d: int | None) -> Value:
            if region.has(v, d) and v in self.inside:
                return made[v]
            if d is None:
                return self._made_of_nothing(v, alone) or given(v)
            if (v, d) not in slices:
                slices[v, d] = self._free(v, d, start, size) or sliced(given(v), d, start, size)
            return slices[v, d]

        for eqn in self.loop.eqns:
            builder.source = eqn.source
            axis = region.axis_of[eqn]
            operands = [operand(v, d) for v, d in zip(eqn.operands, axis.operands, strict=True)]
            if axis.combine is None:
                made.update(zip(eqn.results, computed(eqn, axis, operands, start, size), strict=True))
            else:
                result = eqn.results[0]
                made[result] = self.joins[result].added(before[result], operands, eqn.attrs)
        builder.source = usual
        return [made[v] for v in self.joins], [made[v] for v in self.mapped]

    def _made_of_nothing(self, value: Value, known: dict[Value, Value]) -> Value | None:
        """What is made of constants and positions only, such as a mask, made anew; None for other values."""
        if value not in known:
            eqns = self.program.of_nothing(value)
            if eqns is None:
                return None
            for eqn in eqns:
                if eqn.results[0] not in known:
                    operands = tuple([known[v] for v in eqn.operands])
                    known[eqn.results[0]] = current_builder().copy(eqn, operands)[0]
        return known[value]

    def _free(self, value: Value, dim: int, start: Value, size: int) -> Value | None:
        """A block of a constant or of positions, made anew; None for other values."""
        eqn = self.program.definitions.get(value)
        if eqn is None or eqn.op not in (constant, iota):
            return None
        for axis in self.program.axes(eqn):
            if axis.results == (dim,):
                return computed(eqn, axis, (), start, size)[0]
        return None


def computed(eqn: Eqn, axis: Axis, operands: Sequence[Value], start: Value, size: int) -> tuple[Value, ...]:
    """The results of an equation for a block."""
    builder = current_builder()
    attrs = eqn.attrs if axis.resized is None else axis.resized(size)
    if axis.counts:
        # Counted in full, and rounded once.
        counted = builder.emit(eqn.op, (), {**attrs, "dtype": i32})[0]
        counted = add(counted, broadcast_in_dim(start, shape=counted.type.shape, dims=()))
        dtype = eqn.results[0].type.dtype
        out: tuple[Value, ...] = (counted if dtype is i32 else convert(counted, dtype=dtype),)
    else:
        out = builder.emit(eqn.op, tuple(operands), attrs)
    for new, old in zip(out, eqn.results, strict=True):
        new.name = old.name
    return out


def _unstacked(x: Value, dim: int) -> Value:
    """Blocks, stacked in front, in their places along a dimension."""
    count, *shape = x.type.shape
    order = [d + 1 for d in range(len(shape))]
    order.insert(dim, 0)
    shape[dim] *= count
    return reshape_to(permute(x, tuple(order)), tuple(shape))
