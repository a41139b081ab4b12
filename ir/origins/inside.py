"""Entering an equation that holds functions: which of them, at which trip, on what operands.

A loop is run once more with some carries beside its own. They say at which trip the result that is looked into
became what it is, and hold what the loop carried when that trip began. Where a carry holds such a number at the
end, that is the trip from which on it always did; where a stacked result does, the first trip that gave one.
The trip may have been given it by a carry other than its own: then the trips before it are looked into for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ir.core import Eqn, Function, Value
from ir.op import build, inline
from ir.ops.carries import results_of
from ir.ops.cond import cond
from ir.ops.elementwise import add, and_, clamp, lt, max, min, not_, select, sub
from ir.ops.linear_solve import linear_solve
from ir.ops.loops import scan
from ir.ops.replay import groups, replay
from ir.ops.shape import broadcast_in_dim, full
from ir.ops.trajectory import count_up, get
from ir.ops.while_loop import while_loop
from ir.ops.while_record import while_record
from ir.origins.flagged import FLAG
from ir.origins.kinds import Kind, holds
from ir.types import TensorType, bool_, i32

Values = Sequence[Any]
COUNT = TensorType((), i32)
# Trips to look into where all are.
EVERY = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Given:
    """Where a param of an entered function comes from.

    Attributes:
      operand: position among those of the equation; of a carry, what it began with.
      carry: position among the results of the function, where a trip takes it from the one before.
      states: the carry is one of the loop that a `replay` runs again, whose trips are those before.
    """

    operand: int
    carry: int | None = None
    states: bool = False


@dataclass(frozen=True, slots=True)
class Inside:
    """What to look into.

    Attributes:
      program: (trips to look into, operands of the equation) -> (trip or branch, operands of the function); the
        trip is -1 where none gave such a number.
      functions: by branch, otherwise one.
      wanted: the result of the function that is looked into.
      given: where each param comes from.
      what: "iteration" or "branch", or nothing where the function is simply applied.
    """

    program: Function
    functions: tuple[Function, ...]
    wanted: int
    given: tuple[Given, ...]
    what: str


def inside(eqn: Eqn, wanted: int, kind: Kind, *, states: bool = False) -> Inside | None:
    """How to look into the equation for what its result `wanted` holds; None if it holds no functions."""
    make = _RULES.get(eqn.op.name)
    if make is None:
        return None
    if states:
        return _states(eqn, wanted, kind)
    return make(eqn, wanted, kind)


def holds_functions(eqn: Eqn) -> bool:
    """Whether `inside` knows how to enter it."""
    return eqn.op.name in _RULES


def _operands(eqn: Eqn, body: Callable[..., Values]) -> Function:
    """A program of the trips to look into and the operands."""
    return build([COUNT, *[v.type for v in eqn.operands]], body, f"in_{eqn.op.name}", source=eqn.source)


def _is_bad(x: Value, kind: Kind) -> Any:
    """Whether a result holds such a number; what `ir.origins.flagged.counted` adds says so itself."""
    return x if x.type is FLAG else holds(x, kind)


# What a loop carries besides ---------------------------------------------------------------------------


def _start(carry: Values) -> list[Any]:
    """(trip, whether it is bad now, trip at which that began, carries at that time)."""
    return [full((), 0, i32), full((), False, bool_), full((), -1, i32), *carry]


def _watched(limit: Value, notes: Values, carry: Values, bad: Value, *, lasting: bool) -> list[Any]:
    """The notes after a trip that began with `carry`; `bad`: whether it gave such a number.

    Args:
      lasting: forget what did not last.
    """
    trip, was, start, *kept = notes
    counts = lt(trip, limit)
    now = and_(bad, counts)
    begins = and_(now, not_(was))
    after = select(counts, bad, was) if lasting else select(now, bad, was)
    if lasting:  # (a run that ended leaves no trace)
        start = select(and_(counts, not_(bad)), full((), -1, i32), start)
    start = select(begins, trip, start)
    kept = [_chosen(begins, c, k) for c, k in zip(carry, kept, strict=True)]
    return [add(trip, full((), 1, i32)), after, start, *kept]


def _chosen(pred: Value, x: Value, y: Value) -> Any:
    shape = x.type.shape
    return select(broadcast_in_dim(pred, shape=shape, dims=()) if shape else pred, x, y)


# Rules ------------------------------------------------------------------------------------------------


def _scan(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    attrs = dict(eqn.attrs)
    body, n, c, length = attrs["function"], attrs["num_consts"], attrs["num_carry"], attrs["length"]
    split = n + c
    types = list(body.in_types)
    notes = [COUNT, TensorType((), bool_), COUNT, *types[n:split]]

    def step(*values: Value) -> Values:
        limit, consts, carry = values[0], values[1 : n + 1], values[n + 1 : split + 1]
        noted, x = values[split + 1 : split + 4 + c], values[split + 4 + c :]
        outs = inline(body, (*consts, *carry, *x))
        bad = _is_bad(outs[wanted], kind)
        return (*outs[:c], *_watched(limit, noted, carry, bad, lasting=wanted < c))

    def program(limit: Value, *operands: Value) -> Values:
        consts, carry, xs = operands[:n], operands[n:split], operands[split:]
        made = build([COUNT, *types[:split], *notes, *types[split:]], step, body.name)
        loop = {**attrs, "function": made, "num_consts": n + 1, "num_carry": 2 * c + 3}
        outs = results_of(scan(limit, *consts, *carry, *_start(carry), *xs, **loop))
        trip, kept = outs[c + 2], outs[c + 3 :]
        at = max(trip, full((), 0, i32))
        if attrs["reverse"]:
            at = sub(full((), length - 1, i32), at)
        return (trip, *consts, *kept, *(get(xs, at) if length else []))

    given = [Given(k, k - n if n <= k < split else None) for k in range(len(types))]
    return Inside(_operands(eqn, program), (body,), wanted, tuple(given), "iteration")


def _while(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    """A `while_loop`, or a `while_record`, which keeps some of its carries besides."""
    attrs = eqn.attrs
    test, body, a = attrs["cond"], attrs["body"], attrs["num_cond_consts"]
    split = a + attrs["num_body_consts"]
    c = len(body.results)
    lasting = wanted < c
    if not lasting:
        wanted = attrs["kept"][wanted - c - 2]
    types = [v.type for v in eqn.operands]
    notes = [COUNT, TensorType((), bool_), COUNT, *types[split:]]

    def step(limit: Value, *values: Value) -> Values:
        m = split - a
        consts, carry, noted = values[:m], values[m : m + c], values[m + c :]
        outs = inline(body, (*consts, *carry))
        return (*outs, *_watched(limit, noted, carry, _is_bad(outs[wanted], kind), lasting=lasting))

    def program(limit: Value, *operands: Value) -> Values:
        carry = operands[split:]
        outs = results_of(
            while_loop(
                *operands[:a],
                limit,
                *operands[a:],
                *_start(carry),
                cond=test.replace(params=(*test.params, *[Value(t) for t in notes])),
                body=build([COUNT, *types[a:], *notes], step, body.name),
                num_cond_consts=a,
                num_body_consts=split - a + 1,
            )
        )
        return (outs[c + 2], *operands[a:split], *outs[c + 3 :])

    given = [*[Given(a + k) for k in range(split - a)], *[Given(split + k, k) for k in range(c)]]
    return Inside(_operands(eqn, program), (body,), wanted, tuple(given), "iteration")


def _positions(eqn: Eqn) -> Any:
    return groups(list(range(len(eqn.operands))), eqn.attrs)


def _replay(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    """The fold of a `replay`, whose step reads a state of the loop that is run again."""
    attrs = dict(eqn.attrs)
    step, forward = attrs["step"], attrs["forward"]
    n, m = attrs["num_consts"], attrs["num_consts"] + attrs["num_state"]
    c = len(step.results)
    types = list(step.in_types)
    notes = [COUNT, TensorType((), bool_), COUNT, *types[m:]]
    _, _, const_at, state_at, fold_at = _positions(eqn)

    def turn(*values: Value) -> Values:
        limit, rest = values[0], values[1:]
        fold, noted = rest[m : m + c], rest[m + c :]
        outs = inline(step, rest[: m + c])
        return (*outs, *_watched(limit, noted, fold, _is_bad(outs[wanted], kind), lasting=True))

    def program(limit: Value, *operands: Value) -> Values:
        trips, checkpoints, consts, state, fold = groups(operands, attrs)
        made = {
            **attrs,
            "forward": forward.replace(params=(Value(COUNT), *forward.params)),
            "step": build([COUNT, *types, *notes], turn, step.name),
            "num_consts": n + 1,
        }
        outs = results_of(replay(trips, *checkpoints, limit, *consts, *state, *fold, *_start(fold), **made))
        trip = outs[c + 2]
        return trip, *consts, *_state(eqn, trips, trip, consts, state), *outs[c + 3 :]

    given = [
        *[Given(k) for k in const_at],
        *[Given(k, j, states=True) for j, k in enumerate(state_at)],
        *[Given(k, j) for j, k in enumerate(fold_at)],
    ]
    return Inside(_operands(eqn, program), (step,), wanted, tuple(given), "iteration")


def before_step(eqn: Eqn, trips: int, trip: int) -> int:
    """How many trips of the loop that a `replay` runs again gave the state which its step `trip` reads."""
    return trips - 1 - trip if eqn.attrs["reverse"] else trip


def _state(eqn: Eqn, trips: Value, trip: Value, consts: Values, state: Values) -> Values:
    forward, n = eqn.attrs["forward"], eqn.attrs["num_consts"]
    count = max(trip, full((), 0, i32))
    if eqn.attrs["reverse"]:
        count = sub(sub(trips, full((), 1, i32)), count)
    return count_up(count, consts, state, lambda cs, k, vs: inline(forward, (*cs[:n], *vs)))


def _states(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    """The states of a `replay`: the trips before that of the step that was looked into."""
    attrs = eqn.attrs
    forward, n = attrs["forward"], attrs["num_consts"]
    c = len(forward.results)
    _, _, const_at, state_at, _ = _positions(eqn)

    def program(limit: Value, *operands: Value) -> Values:
        trips, _, consts, state, _ = groups(operands, attrs)
        count = min(limit, trips)

        def step(cs: Values, k: Value, vs: Values) -> Values:
            carry, noted = vs[:c], vs[c:]
            outs = inline(forward, (*cs[:n], *carry))
            bad = _is_bad(outs[wanted], kind)
            return *outs, *_watched(cs[n], noted, carry, bad, lasting=True)

        outs = count_up(count, (*consts, count), (*state, *_start(state)), step)
        return outs[c + 2], *consts, *outs[c + 3 :]

    given = [*[Given(k) for k in const_at], *[Given(k, j, states=True) for j, k in enumerate(state_at)]]
    return Inside(_operands(eqn, program), (forward,), wanted, tuple(given), "iteration")


def _cond(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    branches = eqn.attrs["branches"]

    def program(limit: Value, index: Value, *operands: Value) -> Values:
        return clamp(full((), 0, i32), index, full((), len(branches) - 1, i32)), *operands

    given = tuple([Given(k + 1) for k in range(len(eqn.operands) - 1)])
    return Inside(_operands(eqn, program), branches, wanted, given, "branch")


def _solve(eqn: Eqn, wanted: int, kind: Kind) -> Inside:
    given = tuple([Given(k) for k in range(len(eqn.operands))])
    program = _operands(eqn, lambda limit, *operands: (full((), 0, i32), *operands))
    return Inside(program, (eqn.attrs["solve"],), wanted, given, "")


_RULES: dict[str, Callable[[Eqn, int, Kind], Inside]] = {
    scan.name: _scan,
    while_loop.name: _while,
    while_record.name: _while,
    replay.name: _replay,
    cond.name: _cond,
    linear_solve.name: _solve,
}

__all__ = ["EVERY", "Given", "Inside", "before_step", "holds_functions", "inside"]
