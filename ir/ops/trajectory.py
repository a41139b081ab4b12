"""`while_record` and `replay` as programs of plain `while_loop`s: what they are lowered to.

Buffers are carried from loop to loop, never made inside one, so that they are updated in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.core import Function, Value
from ir.op import build, inline
from ir.ops.carries import results_of
from ir.ops.elementwise import add, and_, div, gt, lt, max, min, mul, select, sub
from ir.ops.indexing import dynamic_slice, dynamic_update_slice
from ir.ops.replay import without_lanes
from ir.ops.shape import broadcast_in_dim, full, full_like, reshape
from ir.ops.while_loop import while_loop
from ir.ops.while_record import record_without_lanes
from ir.types import TensorType, i32

Values = Sequence[Any]


def number(n: int) -> Value:
    """A count."""
    return full((), n, i32)


def loop(consts: Values, carry: Values, test: Callable[..., Any], step: Callable[..., Values]) -> Values:
    """`while test(consts, carry): carry = step(consts, carry)`."""
    n = len(consts)
    types = [v.type for v in (*consts, *carry)]
    return results_of(
        while_loop(
            *consts,
            *consts,
            *carry,
            cond=build(types, lambda *vs: test(vs[:n], vs[n:]), "cond"),
            body=build(types, lambda *vs: step(vs[:n], vs[n:]), "body"),
            num_cond_consts=n,
            num_body_consts=n,
        )
    )


def count_up(
    count: Value, consts: Values, carry: Values, step: Callable[[Values, Value, Values], Values]
) -> Values:
    """`for k in range(count): carry = step(consts, k, carry)`."""
    return loop(
        (count, *consts),
        (number(0), *carry),
        lambda cs, vs: lt(vs[0], cs[0]),
        lambda cs, vs: (add(vs[0], number(1)), *step(cs[1:], vs[0], vs[1:])),
    )[1:]


def count_down(
    count: Value, consts: Values, carry: Values, step: Callable[[Values, Value, Values], Values]
) -> Values:
    """`for k in reversed(range(count)): carry = step(consts, k, carry)`."""

    def back(cs: Values, vs: Values) -> Values:
        k = sub(vs[0], number(1))
        return k, *step(cs, k, vs[1:])

    return loop(consts, (count, *carry), lambda cs, vs: gt(vs[0], number(0)), back)[1:]


def stack(x: Value, size: int) -> Any:
    """`size` copies of x: a buffer for keys as for numbers."""
    shape = x.type.shape
    return broadcast_in_dim(x, shape=(size, *shape), dims=tuple(range(1, len(shape) + 1)))


def put(buffers: Values, k: Value, xs: Values) -> list[Value]:
    """Write x at position k of each buffer."""
    return [
        dynamic_update_slice(b, reshape(x, shape=(1, *x.type.shape)), k, *[number(0)] * x.type.rank)
        for b, x in zip(buffers, xs, strict=True)
    ]


def get(buffers: Values, k: Value) -> list[Value]:
    """Read position k of each buffer."""
    return [
        reshape(
            dynamic_slice(b, k, *[number(0)] * (b.type.rank - 1), sizes=(1, *b.type.shape[1:])),
            shape=b.type.shape[1:],
        )
        for b in buffers
    ]


def _parts(count: Value, of: Value) -> Any:
    """How many segments of length `of` hold `count` steps."""
    return div(add(count, sub(of, number(1))), of)


# while_record -----------------------------------------------------------------------------------------


def record_program(types: Sequence[TensorType], attrs: dict[str, Any]) -> Function:
    """The loops that a `while_record` stands for."""
    if attrs["lanes"]:
        return record_without_lanes(types, attrs, safe=False)
    cond, body, kept = attrs["cond"], attrs["body"], attrs["kept"]
    size, _, first = attrs["slots"]
    a, b = attrs["num_cond_consts"], attrs["num_cond_consts"] + attrs["num_body_consts"]
    n = len(types) - b

    def going(cs: Values, carry: Values) -> Value:
        return inline(cond, (*cs[:a], *carry))[0]

    def program(*operands: Value) -> Values:
        consts, carry = operands[:b], operands[b:]

        def trip(cs: Values, vs: Values) -> Values:
            return add(vs[0], number(1)), *inline(body, (*cs[a:b], *vs[1:]))

        def segment(cs: Values, vs: Values) -> Values:
            """Keep the carry, then run `stride` trips."""
            count, trips, carry, buffers = vs[0], vs[1], vs[2 : n + 2], vs[n + 2 :]
            buffers = put(buffers, count, [carry[k] for k in kept])
            done, *carry = loop(
                cs,
                (number(0), *carry),
                lambda cs, vs: and_(lt(vs[0], cs[b]), going(cs, vs[1:])),
                trip,
            )
            return add(count, number(1)), add(trips, done), *carry, *buffers

        def fill(cs: Values, vs: Values) -> Values:
            """Double the stride, then fill the slots that this leaves."""
            stride, rest = vs[0], vs[1:]
            count, trips, carry, buffers = rest[0], rest[1], rest[2 : n + 2], rest[n + 2 :]
            stride = max(add(stride, stride), number(first))
            out = loop(
                (*cs, stride),
                (div(count, number(2)), trips, *carry, *_halved(buffers, count)),
                lambda cs, vs: and_(lt(vs[0], number(size)), going(cs, vs[2 : n + 2])),
                segment,
            )
            return stride, *out

        buffers = [stack(carry[k], size) for k in kept]
        start = (number(0), number(0), number(0), *carry, *buffers)
        stride, _, trips, *out = loop(consts, start, lambda cs, vs: going(cs, vs[3 : n + 3]), fill)
        return *out[:n], trips, max(stride, number(first)), *out[n:]

    return build(types, program, "while_record")


def _halved(buffers: Values, count: Value) -> Values:
    """Of so many slots, the first half takes every second one, in place; the others keep what they hold."""
    if not buffers:
        return buffers
    return count_up(div(count, number(2)), (), buffers, lambda cs, k, vs: put(vs, k, get(vs, add(k, k))))


# replay -----------------------------------------------------------------------------------------------


def replay_program(types: Sequence[TensorType], attrs: dict[str, Any]) -> Function:
    """The loops that a `replay` stands for."""
    if attrs["lanes"]:
        return without_lanes(types, attrs, safe=False)
    at = 2 + attrs["num_state"] if attrs["recorded"] else 1
    n, s = attrs["num_consts"], attrs["num_state"]

    def program(*operands: Value) -> Values:
        trips, checkpoints = operands[0], operands[1:at]
        consts, state = operands[at : at + n], operands[at + n : at + n + s]
        fold: Values = operands[at + n + s :]
        run = _Runner(attrs["forward"], attrs["step"], n, s, attrs["slots"])
        if attrs["reverse"]:
            fold = run.backwards(trips, checkpoints, consts, state, fold)
        else:
            fold = run.forwards(trips, consts, state, fold)
        # A count beyond 2^31 has wrapped around: no gradient is better than a wrong one.
        lost = lt(trips, number(0))
        return [_or_nan(lost, x) if x.type.dtype.is_inexact else x for x in fold]

    return build(types, program, "replay")


def _or_nan(lost: Value, x: Value) -> Any:
    return select(broadcast_in_dim(lost, shape=x.type.shape, dims=()), full_like(x, float("nan")), x)


class _Runner:
    """Builds the loops of one replay; `cs` below are its constants with those of a loop behind them."""

    def __init__(self, forward: Function, step: Function, n: int, s: int, slots: Any) -> None:
        self.forward, self.step, self.n, self.s = forward, step, n, s
        self.outer, self.middle, self.inner = slots

    def next(self, cs: Values, state: Values) -> Values:
        return inline(self.forward, (*cs[: self.n], *state))

    def advance(self, count: Value, cs: Values, state: Values) -> Values:
        """The state `count` trips later."""
        return count_up(count, cs[: self.n], state, lambda cs, k, state: self.next(cs, state))

    def forwards(self, trips: Value, consts: Values, state: Values, fold: Values) -> Values:
        s = self.s

        def trip(cs: Values, k: Value, vs: Values) -> Values:
            state, fold = vs[:s], vs[s:]
            return *self.next(cs, state), *inline(self.step, (*cs, *state, *fold))

        return count_up(trips, consts, (*state, *fold), trip)[s:]

    def backwards(
        self, trips: Value, checkpoints: Values, consts: Values, state: Values, fold: Values
    ) -> Values:
        """From the last segment to the first, each from its checkpoint."""
        s = self.s
        if not s:  # nothing to replay
            return count_up(trips, consts, fold, lambda cs, k, fold: inline(self.step, (*cs, *fold)))
        if checkpoints:
            stride, stacks = checkpoints[0], checkpoints[1:]
        else:
            stride = max(_parts(trips, number(self.outer)), number(self.inner))
            stacks = self.kept(
                trips, stride, self.outer, consts, state, [stack(x, self.outer) for x in state]
            )
        work = [stack(x, size) for size in (self.middle, self.inner) for x in state]

        def segment(cs: Values, k: Value, vs: Values) -> Values:
            trips, stride, stacks = cs[self.n], cs[self.n + 1], cs[self.n + 2 :]
            begin = mul(k, stride)
            return self.within(cs, get(stacks, k), min(sub(trips, begin), stride), vs)

        return count_down(_parts(trips, stride), (*consts, trips, stride, *stacks), (*work, *fold), segment)[
            2 * s :
        ]

    def kept(
        self, count: Value, stride: Value, size: int, cs: Values, state: Values, buffers: Values
    ) -> Values:
        """Buffers that hold every stride-th of `count` states."""
        s = self.s

        def part(cs: Values, k: Value, vs: Values) -> Values:
            count, stride = cs[self.n], cs[self.n + 1]
            state, buffers = vs[:s], put(vs[s:], k, vs[:s])
            # The last part need not be run.
            left = mul(add(k, number(1)), stride)
            going = select(lt(left, count), stride, number(0))
            return *self.advance(going, cs, state), *buffers

        parts = _parts(count, stride)
        return count_up(parts, (*cs[: self.n], count, stride), (*state, *buffers), part)[s:]

    def within(self, cs: Values, state: Values, count: Value, vs: Values) -> Values:
        """Back through `count` trips from `state`; vs are the buffers of both levels and the folds."""
        s = self.s
        stride = max(_parts(count, number(self.middle)), number(self.inner))
        buffers = self.kept(count, stride, self.middle, cs, state, vs[:s])

        def segment(cs: Values, k: Value, vs: Values) -> Values:
            count, stride = cs[self.n], cs[self.n + 1]
            begin = mul(k, stride)
            return *vs[:s], *self.blocks(cs, get(vs[:s], k), min(sub(count, begin), stride), vs[s:])

        return count_down(_parts(count, stride), (*cs[: self.n], count, stride), (*buffers, *vs[s:]), segment)

    def blocks(self, cs: Values, state: Values, count: Value, vs: Values) -> Values:
        """Back through `count` trips by blocks of states that all fit; one block where they do at once."""
        s = self.s

        def block(cs: Values, k: Value, vs: Values) -> Values:
            count, state = cs[self.n], cs[self.n + 1 :]
            begin = mul(k, number(self.inner))
            here = self.advance(begin, cs, state)
            length = min(sub(count, begin), number(self.inner))

            def save(cs: Values, k: Value, vs: Values) -> Values:
                return *self.next(cs, vs[:s]), *put(vs[s:], k, vs[:s])

            def back(cs: Values, k: Value, vs: Values) -> Values:
                return *vs[:s], *inline(self.step, (*cs, *get(vs[:s], k), *vs[s:]))

            buffers = count_up(length, cs[: self.n], (*here, *vs[:s]), save)[s:]
            return count_down(length, cs[: self.n], (*buffers, *vs[s:]), back)

        parts = _parts(count, number(self.inner))
        return count_down(parts, (*cs[: self.n], count, *state), vs, block)
