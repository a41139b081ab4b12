"""Products of matrices that are put together from blocks, block by block.

    m = concatenate(A, B) {axis=1};  v = concatenate(x, y) {axis=0};  c = dot_general(m, v)
    becomes    p = dot_general(A, x);  q = dot_general(B, y);  c = add(p, q)

Nothing is put together then, and blocks of zeros are not multiplied. Blocks whose rows are chosen from fewer, or
repeated, are multiplied before that (`chosen`). Taken where the model of the machine says that this is quicker: more
products take longer to start, and parts of what is no concatenation have to be cut out.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ir.core import Eqn, Function, Value
from ir.machine import Machine, current
from ir.ops.contraction import dot_general, free_dims
from ir.ops.elementwise import add
from ir.ops.indexing import gather
from ir.ops.shape import broadcast_in_dim, concatenate, full, transpose
from ir.ops.shape import slice as slice_op
from ir.passes.nested import deep
from ir.passes.products.chosen import Chosen, chosen
from ir.passes.replacing import Write, replaced
from ir.remarks import remark
from ir.rewriter import constant_number

# Blocks of one concatenation, and concatenations inside each other, at most.
_BLOCKS, _DEPTH = 8, 4
# Block by block has to be quicker by this factor and by so many seconds.
_QUICKER, _SECONDS = 0.9, 1e-6


# What a derivative adds: of a product two more, one by each factor.
_WITH_DERIVATIVE = 3


@deep
def multiply_blocks(function: Function) -> Function:
    """Multiply block by block where that pays."""
    return _by_blocks(function, lambda plan: True, 1)


@deep
def multiply_rows(function: Function) -> Function:
    """Multiply before rows are chosen or repeated, where that pays with the derivatives that the products will have."""
    return _by_blocks(function, lambda plan: plan.chosen > 0, _WITH_DERIVATIVE)


def _by_blocks(function: Function, is_wanted: Callable[[_Plan], bool], times: int) -> Function:
    made = {v: e for e in function.eqns for v in e.results}
    users = Counter(itertools.chain(function.results, *[e.operands for e in function.eqns]))
    writes: dict[Value, Write] = {}
    for eqn in function.eqns:
        if eqn.op is dot_general and any(_op(made.get(v)) in _TOGETHER for v in eqn.operands):
            plan = _Product(eqn, made, users, current(), times).best()
            if plan is not None and is_wanted(plan):
                writes[eqn.results[0]] = functools.partial(_written, plan)
                remark("multiply_blocks", eqn.source, _said(plan))
    return replaced(function, writes) if writes else function


_TOGETHER = (broadcast_in_dim, concatenate, gather, transpose)


def _op(eqn: Eqn | None) -> object:
    return None if eqn is None else eqn.op


def _said(plan: _Plan) -> str:
    chosen = f", {plan.chosen} of them before rows are chosen or repeated" if plan.chosen else ""
    return f"{plan.products} product{'s' * (plan.products > 1)} of blocks{chosen}"


def _written(plan: _Plan, env: dict[Value, Value]) -> Value:
    made = plan.write(env)
    assert made is not None
    return made


@dataclass(frozen=True)
class _Part:
    """A block.

    Attributes:
      bounds: where it begins and ends along each axis of `value`; None for all of it.
    """

    value: Value
    bounds: tuple[tuple[int, int], ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        if self.bounds is None:
            return self.value.type.shape
        return tuple([stop - start for start, stop in self.bounds])

    def cut(self, axis: int, start: int, stop: int) -> _Part:
        """Of this, what is between two places of an axis."""
        bounds = list(self.bounds or [(0, n) for n in self.value.type.shape])
        begin = bounds[axis][0]
        bounds[axis] = begin + start, begin + stop
        return _Part(self.value, tuple(bounds))

    def write(self, env: dict[Value, Value]) -> Value:
        value = env.get(self.value, self.value)
        if self.bounds is None:
            return value
        starts, limits = zip(*self.bounds, strict=True)
        return slice_op(value, starts=starts, limits=limits, strides=(1,) * len(starts))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Plan:
    """How to compute a product.

    Attributes:
      seconds: that it takes.
      products: of blocks that are not zero.
      write: writes it; None for zeros.
      chosen: products of which rows are chosen or repeated.
    """

    seconds: float
    products: int
    write: Callable[[dict[Value, Value]], Value | None]
    chosen: int = 0


def _sum(
    seconds: float, plans: Sequence[_Plan], write: Callable[[dict[Value, Value]], Value | None]
) -> _Plan:
    """What several plans make."""
    return _Plan(seconds, sum(p.products for p in plans), write, sum(p.chosen for p in plans))


def _lengths(joined: Eqn) -> list[int]:
    """Of what a concatenation puts together."""
    return [v.type.shape[joined.attrs["axis"]] for v in joined.operands]


class _Product:
    """A product and its plans.

    Args:
      times: how often operations are done, with derivatives.
    """

    def __init__(
        self, eqn: Eqn, made: dict[Value, Eqn], users: Counter[Value], machine: Machine, times: int = 1
    ) -> None:
        self.eqn, self.made, self.users, self.machine, self.times = eqn, made, users, machine, times
        self.dtype = eqn.results[0].type.dtype
        # Sums of products are rounded once: not those of blocks, too.
        self.narrow = self.dtype.is_float and self.dtype.bits < 32
        self.plans: dict[tuple[_Part, _Part, int], _Plan] = {}
        attrs = eqn.attrs
        self.contract = attrs["lhs_contract"], attrs["rhs_contract"]
        self.batch = attrs["lhs_batch"], attrs["rhs_batch"]

    def best(self) -> _Plan | None:
        """The quickest plan, if it is quicker than the product as it stands."""
        left, right = (_Part(v) for v in self.eqn.operands)
        whole = self._whole(left, right)
        plan = self._plan(left, right, _DEPTH)
        if plan.products == 0 or whole.seconds - plan.seconds < _SECONDS:
            return None
        return plan if plan.seconds < _QUICKER * whole.seconds else None

    # Plans ----------------------------------------------------------------------------------------

    def _plan(self, left: _Part, right: _Part, depth: int) -> _Plan:
        key = left, right, depth
        if key not in self.plans:
            self.plans[key] = self._planned(left, right, depth)
        return self.plans[key]

    def _planned(self, left: _Part, right: _Part, depth: int) -> _Plan:
        if self._is_zero(left) or self._is_zero(right):
            return _Plan(0.0, 0, lambda env: None)
        plans = [self._whole(left, right)]
        if depth:
            for side, part in enumerate((left, right)):
                eqn = self._joined(part)
                if eqn is None:
                    continue
                axis = eqn.attrs["axis"]
                if axis in self.contract[side]:
                    if not self.narrow:
                        plans.append(self._summed(left, right, side, eqn, depth - 1))
                elif axis not in self.batch[side]:
                    plans.append(self._side_by_side(left, right, side, eqn, depth - 1))
        for side in (0, 1):
            if (plan := self._chosen(left, right, side)) is not None:
                plans.append(plan)
        return min(plans, key=lambda plan: plan.seconds)

    def _whole(self, left: _Part, right: _Part) -> _Plan:
        """One product; what is put together for it is written first, and so is what is cut out."""
        shape = self._shape(left, right)
        depth = math.prod([left.shape[d] for d in self.contract[0]])
        sizes = [math.prod(p.shape) * self.dtype.bits / 8 for p in (left, right)]
        nbytes = sum(sizes) + math.prod(shape) * self.dtype.bits / 8
        seconds = self.machine.seconds(2 * math.prod(shape) * depth * self.times, nbytes)
        seconds += self._making(left) + self._making(right)
        return _Plan(seconds, 1, lambda env: self._dot(left.write(env), right.write(env)))

    def _making(self, part: _Part) -> float:
        """Seconds to write what is put together, cut out, chosen or repeated for one product alone."""
        is_chosen = self.users[part.value] == 1 and self._rows(part) is not None
        if self._joined(part) is None and part.bounds is None and not is_chosen:
            return 0.0
        return self.machine.seconds(0, 2 * math.prod(part.shape) * self.dtype.bits / 8)

    def _chosen(self, left: _Part, right: _Part, side: int) -> _Plan | None:
        """The product of what rows are chosen from, or of what is repeated, and its rows."""
        part, other = (left, right) if side == 0 else (right, left)
        rows = self._rows(part)
        product = None if rows is None else rows.product(other.value, side, self.eqn.attrs)
        if rows is None or product is None or not min(rows.source.type.size, math.prod(part.shape)):
            return None
        if self.narrow and self.users[part.value] > 1:
            return None  # (measured: where rows are there for others, more of them take longer than their product)
        taken = math.prod(part.shape) / max(1, rows.source.type.size)
        shape = self._shape(left, right)
        depth = math.prod([left.shape[d] for d in self.contract[0]])
        itemsize, size = self.dtype.bits / 8, math.prod(shape)
        nbytes = itemsize * (rows.source.type.size + math.prod(other.shape) + size / taken)
        seconds = self.machine.seconds(2 * size / taken * depth * self.times, nbytes)
        seconds += self.machine.seconds(0, 2 * size * itemsize)
        seconds += self._making(other)

        def write(env: dict[Value, Value]) -> Value:
            index = env.get(rows.eqn.operands[1], rows.eqn.operands[1]) if rows.axis is not None else None
            source = env.get(rows.source, rows.source)
            return product.write(source, index, other.write(env), shape, guarded=self.times > 1)

        return _Plan(seconds, 1, write, 1)

    def _summed(self, left: _Part, right: _Part, side: int, eqn: Eqn, depth: int) -> _Plan:
        """Blocks along an axis that is summed over."""
        axis = eqn.attrs["axis"]
        other_axis = self.contract[1 - side][self.contract[side].index(axis)]
        cuts = self._cuts((right, left)[side], other_axis, eqn)
        plans = []
        for block, cut in zip(eqn.operands, cuts, strict=True):
            pair = (_Part(block), cut) if side == 0 else (cut, _Part(block))
            plans.append(self._plan(*pair, depth))
        size = math.prod(self._shape(left, right)) * self.dtype.bits / 8
        terms = sum(plan.products > 0 for plan in plans)
        seconds = sum(plan.seconds for plan in plans) + max(0, terms - 1) * self.machine.seconds(0, 3 * size)

        def write(env: dict[Value, Value]) -> Value | None:
            parts = [v for plan in plans if (v := plan.write(env)) is not None]
            return functools.reduce(add, parts) if parts else None

        return _sum(seconds, plans, write)

    def _side_by_side(self, left: _Part, right: _Part, side: int, eqn: Eqn, depth: int) -> _Plan:
        """Blocks along an axis that the product has."""
        free = [self._free(side, p) for side, p in enumerate((left, right))]
        axis = len(self.batch[0]) + (len(free[0]) if side else 0) + free[side].index(eqn.attrs["axis"])
        pairs = [(_Part(v), right) if side == 0 else (left, _Part(v)) for v in eqn.operands]
        plans = [self._plan(*pair, depth) for pair in pairs]
        shapes = [self._shape(*pair) for pair in pairs]
        size = sum(math.prod(shape) for shape in shapes) * self.dtype.bits / 8
        seconds = sum(plan.seconds for plan in plans) + self.machine.seconds(0, 2 * size)

        def write(env: dict[Value, Value]) -> Value | None:
            parts = [plan.write(env) for plan in plans]
            if all(v is None for v in parts):
                return None
            whole = [full(s, 0, self.dtype) if v is None else v for v, s in zip(parts, shapes, strict=True)]
            return concatenate(*whole, axis=axis)  # type: ignore[no-any-return]

        return _sum(seconds, plans, write)

    # Parts ----------------------------------------------------------------------------------------

    def _joined(self, part: _Part) -> Eqn | None:
        """The concatenation that a block is, if nothing else reads it."""
        eqn = self.made.get(part.value)
        if eqn is None or eqn.op is not concatenate or part.bounds is not None or self.users[part.value] > 1:
            return None
        return eqn if len(eqn.operands) <= _BLOCKS else None

    def _rows(self, part: _Part) -> Chosen | None:
        """What a block is chosen from or repeats."""
        return None if part.bounds is not None else chosen(part.value, self.made.get)

    def _is_zero(self, part: _Part) -> bool:
        """Whether it is a constant of zeros."""
        return bool(constant_number(self.made.get(part.value)) == 0)

    def _cuts(self, part: _Part, axis: int, by: Eqn) -> list[_Part]:
        """Parts of one operand along an axis, as long as the blocks of the other."""
        lengths = _lengths(by)
        eqn = self._joined(part)
        if eqn is not None and eqn.attrs["axis"] == axis and _lengths(eqn) == lengths:
            return [_Part(v) for v in eqn.operands]
        return [part.cut(axis, a, b) for a, b in itertools.pairwise(itertools.accumulate(lengths, initial=0))]

    def _shape(self, left: _Part, right: _Part) -> tuple[int, ...]:
        batch = [left.shape[d] for d in self.batch[0]]
        rest = [p.shape[d] for side, p in enumerate((left, right)) for d in self._free(side, p)]
        return (*batch, *rest)

    def _free(self, side: int, part: _Part) -> tuple[int, ...]:
        return free_dims(len(part.shape), self.contract[side], self.batch[side])

    def _dot(self, left: Value, right: Value) -> Value:
        return dot_general(left, right, **self.eqn.attrs)  # type: ignore[no-any-return]
