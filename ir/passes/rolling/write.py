"""Writing a planned loop: reductions, batched equations and a scan in the place of its iterations."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ir.core import Eqn, Function, Value, attr_key
from ir.machine import current
from ir.op import Builder, building
from ir.ops.calls import optimization_barrier
from ir.ops.carries import results_of
from ir.ops.contraction import dot_general
from ir.ops.elementwise import add, sub
from ir.ops.families import materialize
from ir.ops.indexing import dynamic_slice, gather
from ir.ops.loops import scan
from ir.ops.reduce import reduce_sum
from ir.ops.shape import (
    concatenate,
    constant,
    expand_dims,
    full,
    reshape,
    reshape_to,
    slice_axis,
    zeros,
)
from ir.passes.rolling.dead import guard, harmless, table
from ir.passes.rolling.iterations import Before, Each, Fixed, Inside, Node, Origin
from ir.passes.rolling.plan import Fold, Plan
from ir.passes.rolling.powers import exponent_tables, pays, power, progression
from ir.passes.rolling.stacking import Stacker, index_table, slices, spans, strided
from ir.transforms.batch import apply_rule
from ir.types import TensorType, i32

Operand = tuple[Value, bool]  # and whether it has the iterations as its leading axis


# So many equations of an iteration, computed together, are worth a list of the caller's arrays put side by side: each
# of these has a slice of the gradient, for which XLA compiles a kernel of its own.
_WORTH_A_LIST = 6


class Unprofitable(Exception):
    """Something would have to be copied that is better left where it is."""


# Large products of so few iterations stay apart, where copies of their operands take more than so many launches each.
_FEW, _LAUNCHES = 64, 20


def _is_copied(value: Value, makers: Mapping[Value, Eqn]) -> bool:
    """Whether a value was put together from parts of others."""
    eqn = makers.get(value)
    while eqn is not None and eqn.op is reshape:
        eqn = makers.get(eqn.operands[0])
    return eqn is not None and eqn.op in (concatenate, gather)


class Writer:
    """Writes one loop into `builder`.

    Attributes:
      known: results of nodes outside the scan, with whether they have the iterations as leading axis.
      lists: how many lists, most of them arrays of the caller, were put side by side.
    """

    def __init__(self, plan: Plan, env: dict[Value, Value], stacker: Stacker, builder: Builder) -> None:
        self.plan, self.loop, self.env = plan, plan.loop, env
        self.stacker, self.builder = stacker, builder
        self.known: dict[tuple[int, int], Operand] = {}
        self.shifted: dict[Before, Value] = {}
        self.tables: dict[tuple[Value, ...], Value] = {}
        self.finals: dict[tuple[int, int], Value] = {}
        self.made: dict[object, tuple[tuple[Value, ...], tuple[bool, ...]]] = {}
        self.live: dict[bytes, Value] = {}
        self.lists, self.begin = 0, len(builder.eqns)

    def write(self) -> None:
        """Write it, and give `env` what is used of it afterwards.

        Raises:
          Unprofitable: it is better left as it is.
        """
        plan, copied = self.plan, self.stacker.copied
        skipped = plan.scanned | plan.folded
        for j in plan.order:
            if j not in skipped:
                self._copied(self.loop.nodes[j])
        for j in plan.order:
            if j not in skipped and j not in plan.late:
                self._together(j)
        if plan.scanned:
            _Scan(self).write()
        for j in plan.order:
            if j in plan.late:
                self._together(j)
        for fold in plan.folds:
            self._fold(fold)
        if (
            self.stacker.copied > copied
            and not plan.scanned | plan.folded
            and 2 * plan.apart >= plan.loop.trips
        ):
            raise Unprofitable("what it takes would have to be copied, and what it gives taken apart again")
        if not plan.scanned and len(self.loop.nodes) < _WORTH_A_LIST * self.lists:
            raise Unprofitable(
                "arrays of the caller would have to be copied, and their derivatives taken apart"
            )
        for (j, k), rows in plan.outside.items():
            for row in rows:
                self.env[self.loop.nodes[j].eqns[row].results[k]] = self._element(j, k, row)

    def _element(self, j: int, k: int, row: int) -> Value:
        # Elements of one array are put together again more easily than the last one beside the others.
        if (j, k) not in self.known and row == self.loop.trips - 1:
            return self.finals[j, k]
        value, batched = self.known[j, k]
        if not batched:
            return value
        return reshape_to(slice_axis(value, 0, row, row + 1), value.type.shape[1:])

    # All iterations together ---------------------------------------------------------------------------

    def _outer(self, value: Value) -> Value:
        return self.env.get(value, value)

    def _table(self, values: tuple[Value, ...], *, contracted: bool = False) -> Value:
        found = self.tables.get(values)
        if found is None:
            outer = [self._outer(v) for v in values]
            made = self.stacker.stacked(outer, contracted=contracted)
            if made is None:
                raise Unprofitable(f"each has its own {values[0].type}, and all would have to be copied")
            if not contracted and 2 * sum([v not in self.stacker.made_by for v in outer]) > len(outer):
                self.lists += 1
            found = self.tables[values] = made
        return found

    def _operand(self, origin: Origin) -> Operand:
        if isinstance(origin, Inside):
            return self.known[origin.node, origin.result]
        if isinstance(origin, Fixed):
            return self._outer(origin.value), False
        if isinstance(origin, Each):
            return self._table(origin.values), True
        found = self.shifted.get(origin)
        if found is None:
            value, batched = self.known[origin.node, origin.result]
            whole = materialize(value, batched, self.loop.trips)
            first = [expand_dims(self._outer(v), (0,)) for v in origin.first]
            rest = slice_axis(whole, 0, 0, self.loop.trips - origin.trips)
            found = self.shifted[origin] = concatenate(*first, rest, axis=0)
        return found, True

    def _copied(self, node: Node) -> None:
        """Put side by side what one product takes of every iteration, before anything else asks for it."""
        if node.eqn.op is dot_general:
            for one, other in (node.origins, node.origins[::-1]):
                fixed = isinstance(other, Fixed) or (
                    isinstance(other, Inside) and other.node in self.plan.fixed
                )
                if isinstance(one, Each) and fixed:
                    self._table(one.values, contracted=True)

    def _together(self, j: int) -> None:
        node = self.loop.nodes[j]
        self.builder.source = node.eqn.source
        operands = [self._operand(o) for o in node.origins]
        if j not in self.plan.fixed:
            operands = [
                (v, b) if n is None else (guard(materialize(v, b, self.loop.trips), self.live_in(j), n), True)
                for (v, b), n in zip(operands, harmless(node, self.plan.dead[j]), strict=True)
            ]
        if node.starts is not None:
            self.known[j, 0] = self._slices(node, *operands[0]), True
        elif node.exponents is not None:
            self.known[j, 0] = self._powers(node.exponents, *operands[0]), True
        else:
            ins, flags = tuple([v for v, _ in operands]), tuple([b for _, b in operands])
            self._check_copies(node.eqn, operands)
            # What a body computes twice is one operand of a scan.
            key = (node.eqn.op, ins, tuple([attr_key(a) for a in node.eqn.attrs.values()]))
            if key in self.made:
                outs, out_flags = self.made[key]
            elif any(flags):
                outs, out_flags = apply_rule(node.eqn, ins, flags, self.loop.trips)
            else:
                outs = self.builder.copy(node.eqn, ins)
                out_flags = (False,) * len(outs)
            if node.eqn.op is not optimization_barrier:
                self.made[key] = outs, out_flags
            for k, (out, flag) in enumerate(zip(outs, out_flags, strict=True)):
                self.known[j, k] = out, flag
        self.builder.source = None

    def _check_copies(self, eqn: Eqn, operands: Sequence[Operand]) -> None:
        """Large products side by side start once, which gains nothing if that takes copies of all that they multiply.

        Raises:
          Unprofitable: the copies take longer.
        """
        if eqn.op is not dot_general or self.loop.trips > _FEW or not all(b for _, b in operands):
            return
        new = {v: e for e in self.builder.eqns[self.begin :] for v in e.results}
        makers = ChainMap(new, self.stacker.made_by)
        nbytes = sum(v.type.nbytes for v, _ in operands if _is_copied(v, makers))
        machine = current()
        if machine.seconds(0, 2 * nbytes) > _LAUNCHES * self.loop.trips * machine.launch:
            raise Unprofitable("products of arrays that are long, and would all have to be copied")

    def live_in(self, j: int) -> Value:
        """In which iterations a node is not dead, as a constant."""
        rows = self.plan.dead[j]
        assert rows is not None
        key = rows.tobytes()
        if key not in self.live:
            self.live[key] = table(rows)
        return self.live[key]

    def _powers(self, exponents: npt.NDArray[np.int64], x: Value, batched: bool) -> Value:
        if not (batched or self.plan.exact) and pays(exponents, x.type):
            return progression(x, exponents)
        whole = materialize(x, batched, self.loop.trips)
        tables = exponent_tables(exponents, x.type.dtype, exact=self.plan.exact)
        return power(whole, tables, inverse=bool(exponents[0] < 0))

    def _slices(self, node: Node, x: Value, batched: bool) -> Value:
        assert node.starts is not None
        sizes, strides = node.eqn.results[0].type.shape, node.eqn.attrs["strides"]
        if not batched:
            return slices(x, node.starts, sizes, strides, scattered=node.scattered)
        index = [index_table(node.starts[:, axis]) for axis in range(len(sizes))]
        plain = [Value(TensorType((), i32)) for _ in index]
        of = Value(node.eqn.operands[0].type)
        eqn = _dynamic(node, of, plain)
        (out,), _ = apply_rule(eqn, (x, *index), (True,) * (1 + len(index)), self.loop.trips)
        return strided(out, (1, *strides))

    # Reductions -----------------------------------------------------------------------------------------

    def _fold(self, fold: Fold) -> None:
        nodes = [self.loop.nodes[j] for j in fold.nodes]
        self.builder.source = self.loop.nodes[fold.last].eqn.source
        combine = nodes[0].eqn.op if nodes[0].eqn.op is not sub else add
        total: Value | None = None
        minus: Value | None = None
        for node, carried in zip(nodes, fold.carried, strict=True):
            (term,) = [o for k, o in enumerate(node.origins) if k != carried]
            whole = materialize(*self._operand(term), self.loop.trips)
            if node.eqn.op is sub:
                minus = whole if minus is None else add(minus, whole)
            else:
                total = whole if total is None else combine(total, whole)
        axes = (0,)
        start = self._outer(fold.first)
        if total is not None and minus is not None:
            out = add(start, reduce_sum(sub(total, minus), axes=axes))
        elif minus is not None:
            out = sub(start, reduce_sum(minus, axes=axes))
        else:
            assert total is not None
            out = combine(start, fold.reduction(total, axes=axes))
        self.finals[fold.last, 0] = out
        self.builder.source = None


class _Scan:
    """The scan of a loop.

    Attributes:
      consts, xs: operands of the scan, by the params of its body that stand for them.
      states: params that hold a result of earlier iterations, the latest first.
      held: which of `states` have an operand that was made before.
      seen: operands that were made before, of what comes after the scan: params of every iteration side by side.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer, self.plan, self.loop = writer, writer.plan, writer.loop
        self.body = Builder()
        self.consts: dict[Value, Value] = {}
        self.xs: dict[Value, Value] = {}
        self.states: dict[Before, list[Value]] = {}
        self.held: dict[Before, Before] = {}
        self.seen: list[Before] = []
        self.inside: dict[tuple[int, int], Value] = {}
        self.indices: dict[bytes, Value] = {}

    def write(self) -> None:
        scanned = sorted(self.plan.scanned)
        self._hold(scanned)
        for j in scanned:
            self._node(j)
        wanted = self._wanted()
        stacked = [key for key, only_last in wanted.items() if not only_last]
        carried = self.carried
        extra = [key for key, only_last in wanted.items() if only_last and key not in carried]
        params: list[Value] = []
        starts: list[Value] = []
        news: list[Value] = []
        for before, states in self.states.items():
            params += states
            starts += [self.writer._outer(v) for v in reversed(before.first)]
            news += [self.inside[before.node, before.result], *states[:-1]]
        for key in extra:
            params.append(Value(self.inside[key].type))
            starts.append(zeros(self.inside[key].type))
            news.append(self.inside[key])
        function = Function(
            (*self.consts.values(), *params, *self.xs.values()),
            tuple(self.body.eqns),
            (*news, *[self.inside[key] for key in stacked], *[self._state(origin) for origin in self.seen]),
            "body",
        )
        self.writer.builder.source = self.loop.nodes[scanned[0]].eqn.source
        outs = results_of(
            scan(
                *self.consts, *starts, *self.xs,
                function=function, num_consts=len(self.consts), num_carry=len(params), length=self.loop.trips,
            )
        )  # fmt: skip
        self.writer.builder.source = None
        position = 0
        for before, states in self.states.items():
            self.writer.finals.setdefault((before.node, before.result), outs[position])
            position += len(states)
        for key in extra:
            self.writer.finals[key] = outs[position]
            position += 1
        rest = iter(outs[position:])
        for key in stacked:
            self.writer.known[key] = next(rest), True
        for origin in self.seen:
            self.writer.shifted[origin] = next(rest)

    def _hold(self, scanned: Sequence[int]) -> None:
        """Find what has to be carried: of results that are used several times later, as far back as any use is."""
        befores = {
            o: None
            for j in scanned
            for o in self.loop.nodes[j].origins
            if isinstance(o, Before) and o.node in self.plan.scanned
        }
        for origin in sorted(befores, key=lambda o: -o.trips):
            for other in self.states:
                same = (other.node, other.result) == (origin.node, origin.result)
                if same and other.first[-origin.trips :] == origin.first:
                    self.held[origin] = other
                    break
            else:
                type_ = origin.first[0].type
                self.states[origin] = [Value(type_) for _ in range(origin.trips)]
                self.held[origin] = origin

    @property
    def carried(self) -> set[tuple[int, int]]:
        """Results that the next iteration takes."""
        return {(b.node, b.result) for b in self.states}

    def _wanted(self) -> dict[tuple[int, int], bool]:
        """What is used of the scan, and whether in the last iteration only."""
        wanted: dict[tuple[int, int], bool] = {}
        last, carried = [self.loop.trips - 1], self.carried
        for (j, k), rows in self.plan.outside.items():
            if j in self.plan.scanned:
                # A carry of its own begins with zeros, which keys have not.
                carries = (j, k) in carried or self.inside[j, k].type.dtype.kind != "key"
                wanted[j, k] = rows == last and carries
        for j in (*self.plan.late, *self.plan.folded):
            for origin in self.loop.nodes[j].origins:
                if isinstance(origin, Before) and origin in self.held:
                    if origin not in self.seen:
                        self.seen.append(origin)
                elif isinstance(origin, (Inside, Before)) and origin.node in self.plan.scanned:
                    wanted[origin.node, origin.result] = False
        return wanted

    def _state(self, origin: Before) -> Value:
        """The param that holds an operand that was made before."""
        return self.states[self.held[origin]][origin.trips - 1]

    def _const(self, value: Value) -> Value:
        maker = self.writer.stacker.made_by.get(value)
        if maker is not None and maker.op is constant and maker.attrs["value"].shape == ():
            return self.body.copy(maker, ())[0]
        return self.consts.setdefault(value, Value(value.type, value.name))

    def _x(self, stacked: Value) -> Value:
        return self.xs.setdefault(stacked, Value(stacked.type.with_shape(stacked.type.shape[1:])))

    def _operand(self, origin: Origin) -> Value:
        if isinstance(origin, (Inside, Before)) and origin.node in self.plan.scanned:
            if isinstance(origin, Inside):
                return self.inside[origin.node, origin.result]
            return self._state(origin)
        value, batched = self.writer._operand(origin)
        return self._x(value) if batched else self._const(value)

    def _node(self, j: int) -> None:
        node = self.loop.nodes[j]
        if node.starts is not None:
            outs: tuple[Value, ...] = (self._slice(node),)
        elif node.exponents is not None:
            outs = (self._power(self._operands(j)[0], node.exponents),)
        else:
            outs = self.body.copy(node.eqn, tuple(self._operands(j)))
        for k, out in enumerate(outs):
            self.inside[j, k] = out

    def _operands(self, j: int) -> list[Value]:
        node = self.loop.nodes[j]
        operands = [self._operand(o) for o in node.origins]
        numbers = harmless(node, self.plan.dead[j])
        if all(n is None for n in numbers):
            return operands
        live = self._x(self.writer.live_in(j))
        with building(self.body):
            return [v if n is None else guard(v, live, n) for v, n in zip(operands, numbers, strict=True)]

    def _power(self, x: Value, exponents: npt.NDArray[np.int64]) -> Value:
        tables = exponent_tables(exponents, x.type.dtype, exact=self.plan.exact)
        tables = [self._x(table) for table in tables]
        with building(self.body):
            return power(x, tables, inverse=bool(exponents[0] < 0))

    def _slice(self, node: Node) -> Value:
        assert node.starts is not None
        (origin,) = node.origins
        depends = isinstance(origin, (Inside, Before)) and origin.node in self.plan.scanned
        if not depends:
            value, batched = self.writer._operand(origin)
            return self._x(self.writer._slices(node, value, batched))
        x = self._operand(origin)
        index = []
        for axis in range(node.starts.shape[1]):
            column = node.starts[:, axis]
            if (column == column[0]).all():
                with building(self.body):
                    index.append(full((), int(column[0]), i32))
            else:
                key = column.tobytes()
                if key not in self.indices:
                    self.indices[key] = index_table(column)
                index.append(self._x(self.indices[key]))
        eqn = _dynamic(node, x, index)
        self.body.append(eqn)
        with building(self.body):
            return strided(eqn.results[0], node.eqn.attrs["strides"])


def _dynamic(node: Node, x: Value, index: Sequence[Value]) -> Eqn:
    """The slice with starts that are values."""
    sizes, strides = node.eqn.results[0].type.shape, node.eqn.attrs["strides"]
    whole = spans(sizes, strides)
    return Eqn(
        dynamic_slice, (x, *index), {"sizes": whole}, (Value(x.type.with_shape(whole)),), node.eqn.source
    )


__all__ = ["Unprofitable", "Writer"]
