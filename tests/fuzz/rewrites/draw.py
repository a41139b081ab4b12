"""Programs drawn from seeds: patterns of rules fed with each other's values, among other ops, loops and branches."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ir.core import Function, Value
from ir.errors import IRTypeError, ShapeError
from ir.op import inline
from ir.ops import elementwise as ew
from ir.ops.cond import cond
from ir.ops.loops import scan
from ir.ops.matrix import matmul
from ir.ops.reduce import reduce_max, reduce_sum
from ir.ops.shape import broadcast_in_dim, full_like, reshape, transpose
from ir.types import TensorType, f64, i32
from tests.fuzz.rewrites.fit import between, fit
from tests.fuzz.rewrites.patterns import MOST_ELEMENTS, patterns
from tests.fuzz.rewrites.scope import Scope, Untamed
from tests.passes.theorems import Instance

_INTERVALS = ((0.5, 2.0), (0.1, 0.9), (1.1, 2.0), (-0.9, 0.9))
_TRIPS = 3


@dataclass(frozen=True)
class Drawn:
    """A program and what it is run on.

    Attributes:
      loss: params -> a number that depends on every float result, and then the results.
      used: how often each rule's pattern occurs in it.
    """

    loss: Function
    inputs: tuple[Any, ...]
    used: Counter[str] = field(compare=False)

    @property
    def function(self) -> Function:
        """The program without the loss."""
        return self.loss.replace(results=self.loss.results[1:])

    @property
    def wrt(self) -> tuple[bool, ...]:
        """Which params are differentiated."""
        return tuple([p.type.dtype.is_inexact for p in self.loss.params])


def draw(seed: int, must: Sequence[str] = (), count: int = 6) -> Drawn:
    """The program of a seed.

    Args:
      must: rules whose patterns it should have, besides others.
      count: up to how many patterns it has.
    """
    rng = np.random.default_rng(seed)
    drawing = _Drawing(rng)
    scope = Scope(rng)
    names = list(must)
    names += [str(x) for x in rng.choice(list(patterns()), int(rng.integers(1, count + 1)))]
    rng.shuffle(names)
    for name in names:
        kind = rng.random()
        if kind < 0.1:
            drawing.loop(scope, name)
        elif kind < 0.2:
            drawing.branches(scope, name)
        else:
            drawing.pattern(scope, name)
        if rng.random() < 0.5:
            drawing.between(scope)
    for name in must:
        if not drawing.used[name]:  # what was there would not do for it, or for a loop
            drawing.pattern(scope, name)
    if not scope.values:
        scope.fresh(TensorType((2, 3), f64))
    return Drawn(*drawing.finished(scope), drawing.used)


class _Drawing:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.used: Counter[str] = Counter()

    # Patterns -----------------------------------------------------------------------------------------

    def pattern(self, scope: Scope, name: str) -> bool:
        """Append a pattern of the rule, of operands that are there already if they will do."""
        known = patterns()[name]
        for attempt in range(12):
            # The first ones are of floats: see `patterns`.
            few = self.rng.random() < 0.7
            chosen = known[int(self.rng.integers(min(len(known), 4) if few else len(known)))]
            try:
                scope.step(*self.applied(scope, chosen, attempt))
            except Untamed:
                continue
            self.used[name] += 1
            return True
        return False

    def applied(self, scope: Scope, each: Instance, attempt: int) -> tuple[Any, ...]:
        """The pattern as a function, and the values to apply it to."""
        fitting: list[tuple[Value, TensorType, bool]] = []
        for param in each.function.params:
            fitting.append((*self.operand(scope, param.type, attempt), attempt in (1, 2, 3)))
        interval = _INTERVALS[int(self.rng.integers(len(_INTERVALS)))]

        def build(*xs: Value) -> tuple[Value, ...]:
            operands = []
            for x, (_, to, moved) in zip(xs, fitting, strict=True):
                y = fit(x, to)
                operands.append(between(y, *interval) if moved and to.dtype.is_inexact else y)
            return inline(each.function, operands)

        return (build, *[x for x, _, _ in fitting])

    def operand(self, scope: Scope, type_: TensorType, attempt: int) -> tuple[Value, TensorType]:
        """A value that becomes one of that type: of it already, rather; or a param."""
        exact = [v for v in scope.values if v.type == type_]
        if attempt < 4 and exact and self.rng.random() < 0.75:
            return exact[-1 - int(self.rng.integers(min(len(exact), 5)))], type_
        rest = [v for v in scope.values if _convertible(v.type, type_)]
        if attempt < 4 and rest and self.rng.random() < 0.6:
            # What needs no sum comes first: the less there is between two patterns, the more they overlap.
            close = [v for v in rest if v.type.shape == type_.shape or v.type.dtype is type_.dtype] or rest
            return close[-1 - int(self.rng.integers(min(len(close), 5)))], type_
        return scope.fresh(type_, int(self.rng.integers(5))), type_

    # What is between them -------------------------------------------------------------------------------

    def between(self, scope: Scope) -> None:
        """Another op on values that are there."""
        floats = [v for v in scope.values if v.type.dtype is f64 and v.type.size]
        if not floats:
            return
        x = floats[int(self.rng.integers(len(floats)))]
        same = [v for v in floats if v.type == x.type]
        y = same[int(self.rng.integers(len(same)))]
        build = self.rng.choice(_OPS)  # type: ignore[arg-type]
        with contextlib.suppress(Untamed, IRTypeError, ShapeError):  # it may not take these operands
            scope.step(build, x, y)

    def loop(self, scope: Scope, name: str) -> None:
        """A scan whose body has the pattern and perhaps another."""
        body = Scope(self.rng, scope)
        floats = [v for v in scope.values if v.type.dtype is f64 and v.type.size <= MOST_ELEMENTS // _TRIPS]
        start = floats[-1] if floats else scope.fresh(TensorType((2, 3), f64))
        stacked = scope.fresh(TensorType((_TRIPS, *start.type.shape), f64), int(self.rng.integers(3)))
        carry = body.param(scope.at[start], scope.near[start], start.type)
        x = body.param(scope.at[stacked][0], scope.near[stacked][0], start.type)
        if floats and self.rng.random() < 0.5:
            body.constant(floats[int(self.rng.integers(len(floats)))])
        before = self.used.copy()
        if not self.body(body, name):
            return
        last = self.late(body)

        def ends(last: Value, carry: Value, x: Value) -> tuple[Value, ...]:
            moved = ew.add(between(fit(last, carry.type), 0.2, 0.9), ew.mul(carry, full_like(carry, 0.25)))
            return ew.add(moved, ew.mul(x, full_like(x, 0.125))), last

        try:
            next_, y = body.step(ends, last, carry, x)
        except Untamed:
            self.used = before
            return
        # Constants come first among the params of a body.
        params = [p for p in body.params if p not in (carry, x)]
        function = Function((*params, carry, x), tuple(body.eqns), (next_, y), "body")
        reverse = bool(self.rng.random() < 0.3)

        def build(*operands: Value) -> Any:
            return scan(
                *operands,
                function=function,
                num_consts=len(params),
                num_carry=1,
                length=_TRIPS,
                reverse=reverse,
            )

        try:
            scope.step(build, *body.given, start, stacked)
        except Untamed:
            self.used = before

    def branches(self, scope: Scope, name: str) -> None:
        """A branch with the pattern, and one with another."""
        before = self.used.copy()
        one, other = Scope(self.rng, scope), Scope(self.rng, scope)
        shared = [v for v in scope.values[-3:] if v.type.dtype.kind != "key"]
        for body in (one, other):
            for v in shared:
                body.constant(v)
        if not self.body(one, name) or not self.body(other, str(self.rng.choice(list(patterns())))):
            self.used = before
            return
        last = self.late(one)
        try:
            (second,) = other.step(lambda v: (fit(v, last.type),), self.late(other))
        except Untamed:
            self.used = before
            return
        params, given = [*one.params, *other.params], [*one.given, *other.given]
        functions = []
        for body, result in ((one, last), (other, second)):
            # Both take all operands.
            mine = [p if p in body.at else Value(p.type) for p in params]
            functions.append(Function(tuple(mine), tuple(body.eqns), (result,), "branch"))
        index = scope.fresh(TensorType((), i32))
        scope.at[index] = scope.near[index] = np.asarray(int(self.rng.integers(2)), np.int32)
        try:
            scope.step(lambda i, *xs: cond(i, *xs, branches=tuple(functions)), index, *given)
        except Untamed:
            self.used = before

    def body(self, body: Scope, name: str) -> bool:
        """Fill a body; whether the pattern is in it."""
        if not self.pattern(body, name):
            return False
        if self.rng.random() < 0.5:
            self.pattern(body, str(self.rng.choice(list(patterns()))))
        self.between(body)
        return True

    def late(self, scope: Scope) -> Value:
        """One of the last values."""
        few = [v for v in scope.values[-3:] if v.type.dtype.kind != "key"]
        floats = [v for v in few if v.type.dtype.is_inexact]
        some = floats or few
        return some[int(self.rng.integers(len(some)))]

    # The end ---------------------------------------------------------------------------------------------

    def finished(self, scope: Scope) -> tuple[Function, tuple[Any, ...]]:
        """All values that nothing reads are results, and some others: rules for single uses decline there."""
        read = {v for eqn in scope.eqns for v in eqn.operands}
        results = [v for v in scope.values if v not in read or self.rng.random() < 0.08]
        weighed = [v for v in results if v.type.dtype.is_inexact and v.type.size]
        weights = [float(w) for w in self.rng.uniform(0.4, 1.2, len(weighed))]

        def loss(*xs: Value) -> tuple[Value, ...]:
            total = None
            for x, w in zip(xs, weights, strict=True):
                scalar = fit(ew.sin(x) if x.type.dtype.kind == "float" else x, TensorType((), f64))
                term = ew.mul(scalar, full_like(scalar, w))
                total = term if total is None else ew.add(total, term)
            if total is None:
                some = scope.fresh(TensorType((), f64))
                total = ew.mul(some, some)
            return (total,)

        held = len(scope.values)
        (total,) = scope.step(loss, *weighed, wild=True)
        del scope.values[held:]
        inputs = tuple([scope.at[p] for p in scope.params])
        return scope.function((total, *results), "program"), inputs


def _convertible(have: TensorType, want: TensorType) -> bool:
    if have.dtype.kind == "key" or want.dtype.kind == "key":
        return have == want
    return have.size > 0 and want.size > 0


def _matrix(op: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    def build(x: Value, y: Value) -> Value:
        if x.type.rank != 2:
            raise ShapeError("no matrix")
        return op(x, y)

    return build


_OPS: tuple[Callable[[Value, Value], Value], ...] = (
    lambda x, y: ew.sin(x),
    lambda x, y: ew.tanh(y),
    lambda x, y: ew.neg(x),
    lambda x, y: ew.exp(ew.neg(ew.abs(x))),
    lambda x, y: ew.add(x, y),
    lambda x, y: ew.sub(x, y),
    lambda x, y: ew.mul(x, y),
    lambda x, y: ew.mul(x, full_like(x, 2)),
    lambda x, y: ew.max(x, y),
    lambda x, y: ew.div(x, ew.add(ew.square(y), full_like(y, 1))),
    lambda x, y: reduce_sum(x, axes=(0,)),
    lambda x, y: reduce_max(x, axes=(x.type.rank - 1,)),
    lambda x, y: reshape(x, shape=(x.type.size,)),
    lambda x, y: broadcast_in_dim(x, shape=(2, *x.type.shape), dims=tuple(range(1, x.type.rank + 1))),
    _matrix(lambda x, y: transpose(x, perm=(1, 0))),
    _matrix(lambda x, y: matmul(x, transpose(y, perm=(1, 0)))),
)
