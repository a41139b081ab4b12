"""`while` and `for` statements."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ir.errors import ConcretizationError, ControlFlowError
from ir.source import Source, capture
from ir.types import TensorType
from tracer.api.control import leaf_path
from tracer.api.loops import record_while
from tracer.api.scan import record_scan
from tracer.conversion.branches import GetState, SetState, staged_if
from tracer.conversion.containers import Watched
from tracer.conversion.iteration import Range, Staged, staged
from tracer.conversion.raising import staged_code
from tracer.conversion.values import (
    Parts,
    Undefined,
    described,
    is_traced,
    parts,
    placeholder,
    same_object,
    shape_of,
    summary,
    truth,
    typed,
)
from tracer.trace import trace_flat

_ENDLESS = (itertools.count, itertools.cycle)


def while_stmt(
    test: Callable[[], Any],
    body: Callable[[], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    options: Any,
) -> None:
    """A `while` statement whose body assigns the variables `names`.

    It runs as Python's for as long as the condition is known, and is staged from where it is traced.

    Raises:
      ControlFlowError: a variable that changes type or structure from one trip to the next.
    """
    while True:
        go_on = test()
        if is_traced(go_on):
            loop = _Loop(body, get_state, set_state, names, capture(1))
            loop.run_while(lambda _: test(), lambda _: body(), None)
            return
        if not go_on:
            return
        body()


def for_stmt(
    items: Any,
    extra_test: Callable[[], Any] | None,
    body: Callable[[Any], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    options: Any,
) -> None:
    """A `for` statement whose body assigns the variables `names`; it ends when `extra_test` does not hold.

    Over traced arrays it is a `scan`, or a `while_loop` where it may be left early or the number of trips is
    traced; over anything else it runs as Python's.

    Raises:
      ControlFlowError: a variable that changes type or structure from one trip to the next.
    """
    over = staged(items)
    source = capture(1)
    if over is None:
        _python_for(items, extra_test, body, get_state, set_state, names, source)
        return
    _staged_for(over, extra_test, body, get_state, set_state, names, source)


def _staged_for(
    over: Staged,
    extra_test: Callable[[], Any] | None,
    body: Callable[[Any], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    source: Source,
) -> None:
    if over.length == 0:
        return
    if extra_test is not None:
        go_on = extra_test()
        if not is_traced(go_on) and not go_on:
            return
    loop = _Loop(body, get_state, set_state, names, source)
    if extra_test is None and over.length is not None:
        loop.run_scan(over, body)
        return
    count = over.count()

    def test(i: Any) -> Any:
        inside = i < count
        return inside if extra_test is None else inside & truth(extra_test())

    loop.run_while(test, lambda i: body(over.at(i)), 0)


def _python_for(
    items: Any,
    extra_test: Callable[[], Any] | None,
    body: Callable[[Any], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    source: Source,
) -> None:
    if extra_test is None:
        for item in items:
            body(item)
        return
    rest, trips = iter(items), 0
    while True:
        go_on = extra_test()
        if is_traced(go_on):
            break
        if not go_on:
            return
        for item in rest:
            body(item)
            trips += 1
            break
        else:
            return
    if isinstance(items, _ENDLESS):
        raise ControlFlowError(
            f"expected a loop of known length, got one over {type(items).__name__} that a traced condition ends",
            note="write it as a `while`",
            source=source,
        )
    if type(items) is range:
        left = items[trips:]
        try:
            _staged_for(
                Range(left.start, left.stop, left.step), extra_test, body, get_state, set_state, names, source
            )
        except ConcretizationError:
            # The body needs the number itself, as an index of a list perhaps: one branch for each trip.
            pass
        else:
            return
    _unrolled(rest, extra_test, body, get_state, set_state, names, source)


def _unrolled(
    rest: Iterator[Any],
    extra_test: Callable[[], Any],
    body: Callable[[Any], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    source: Source,
) -> None:
    """The other trips of a Python loop, each under the condition that the loop was not left before."""

    def nothing() -> None:
        pass

    for item in rest:
        go_on = extra_test()

        def trip(item: Any = item) -> None:
            body(item)

        staged_if(go_on, trip, nothing, get_state, set_state, names, len(names), source, [body])


class _Loop:
    """The variables of a staged loop as a carry.

    Attributes:
      parts: the variables before the loop, taken apart.
      fresh: those that are not assigned before, by position, with the marker that stands for them.
    """

    def __init__(
        self,
        body: Callable[..., None],
        get_state: GetState,
        set_state: SetState,
        names: Sequence[str],
        source: Source,
    ) -> None:
        self.get_state = get_state
        self.set_state = set_state
        self.names = names
        self.source = source
        self.watched = Watched([body], set_state, names)
        self._last: dict[str, Parts] = {}
        self.init = get_state()
        self.parts = [parts(v) for v in self.init]
        self.fresh = {k: p.undefined for k, p in enumerate(self.parts) if p.undefined is not None}

    def run_while(self, test: Callable[[Any], Any], body: Callable[[Any], None], counter: int | None) -> None:
        """Stage a loop; `test` and `body` take the number of the trip where there is a counter."""
        extra = [] if counter is None else [counter]

        def number(carry: list[Any]) -> Any:
            return carry[-1] if extra else None

        def step(carry: list[Any]) -> list[Any]:
            new = self._trip(carry, lambda: body(number(carry)))
            self._no_changes()
            return [*new, carry[-1] + 1] if extra else new

        def go_on(carry: list[Any]) -> Any:
            self._enter(carry)
            with staged_code():
                return truth(test(number(carry)))

        try:
            if self.fresh:
                self._probe(step, extra, None)
            out = record_while(go_on, step, [*self._arrays(), *extra], None, self._mismatch)
        except BaseException:
            self._restore()
            raise
        self._leave(out, False)

    def run_scan(self, over: Staged, body: Callable[[Any], None]) -> None:
        """Stage a loop over slices, of known length; lists may be appended to."""
        slices = over.slices()
        appended: dict[int, Parts] = {}

        def step(carry: list[Any], slice_: Any) -> tuple[list[Any], list[Any]]:
            new = self._trip(carry, lambda: body(over.item(slice_)))
            appended.clear()
            appended.update({k: self._appended(k, now) for k, now in self.watched.changes().items()})
            return new, [p.leaves[i] for p in appended.values() for i in p.arrays]

        try:
            if self.fresh:
                self._probe(lambda carry: step(carry, _first(slices))[0], [], slices)
            out, stacked = record_scan(step, self._arrays(), slices, over.length, mismatch=self._mismatch)
        except BaseException:
            self._restore()
            raise
        self._leave(out, True)
        columns = iter(stacked)
        for k, each in appended.items():
            arrays = [next(columns) for _ in each.arrays]
            for n in range(over.length or 0):
                self.watched.objects[k].extend(each.whole([a[n] for a in arrays]))  # type: ignore[union-attr]

    # The carry ----------------------------------------------------------------------------------------

    def _arrays(self) -> list[Any]:
        return [p.leaves[i] for p in self.parts for i in p.arrays]

    def _enter(self, carry: Sequence[Any]) -> None:
        """Set the variables at the beginning of a trip."""
        self.watched.changes()
        values = self._values(carry)
        for k, marker in self.fresh.items():
            if isinstance(marker, Undefined):
                values[k] = marker
        self.set_state(tuple(values))

    def _values(self, carry: Sequence[Any]) -> list[Any]:
        rest = iter(carry)
        return [p.whole([next(rest) for _ in p.arrays]) for p in self.parts]

    def _trip(self, carry: Sequence[Any], body: Callable[[], None]) -> list[Any]:
        """The arrays of the variables after one trip."""
        self._enter(carry)
        with staged_code():
            body()
        out = []
        for name, before, value in zip(self.names, self.parts, self.get_state(), strict=True):
            after = parts(value)
            self._last[name] = after
            self._require_alike(name, before, after)
            out.extend([after.leaves[i] for i in before.arrays])
        return out

    def _require_alike(self, name: str, before: Parts, after: Parts) -> None:
        if before.undefined is not None:
            return  # found out by the probe
        if after.undefined is not None:
            after.undefined.read()
        if before.tree != after.tree or before.arrays != after.arrays:
            raise self._changes(name, summary(before), summary(after))
        for k, (a, b) in enumerate(zip(before.leaves, after.leaves, strict=True)):
            if k not in before.arrays and not same_object(a, b):
                raise self._changes(name, shape_of(a), shape_of(b))

    def _probe(self, step: Callable[[list[Any]], Any], extra: list[Any], slices: Any) -> None:
        """Record one trip to learn the types of variables that are not assigned before the loop."""
        types = [typed(x) for x in (*self._arrays(), *extra)]
        trace_flat(
            lambda *carry: step(list(carry)), [t for t, _ in types], [w for _, w in types], name="probe"
        )
        for k in self.fresh:
            after = self._last[self.names[k]]
            if after.undefined is not None:
                self.parts[k] = after
            else:
                leaves = list(after.leaves)
                for i in after.arrays:
                    leaves[i] = placeholder(*typed(after.leaves[i]))
                self.parts[k] = Parts(after.tree, leaves, after.arrays)

    def _leave(self, carry: Sequence[Any], runs: bool) -> None:
        """Set the variables after the loop; `runs`: all trips of it, and at least one."""
        values = self._values(carry)
        for k, marker in self.fresh.items():
            if self.parts[k].undefined is None and not runs and isinstance(marker, Undefined):
                why = "a loop assigns it that may not run, as its condition is traced"
                values[k] = Undefined(self.names[k], marker.why or why, marker.source or self.source)
        self.set_state(tuple(values))

    def _restore(self) -> None:
        self.set_state(self.init)
        self.watched.changes()

    # Errors -------------------------------------------------------------------------------------------

    def _changes(self, name: str, before: str, after: str) -> ControlFlowError:
        return ControlFlowError(
            f"expected {described(name)} to keep its type in a loop that is staged: "
            f"got {before} before it and {after} after a trip",
            note="begin with a value of the final type and structure",
            source=self.source,
        )

    def _mismatch(self, leaf: int, before: TensorType, after: TensorType) -> ControlFlowError:
        for name, each in zip(self.names, self.parts, strict=True):
            if leaf < len(each.arrays):
                path = leaf_path(each.tree, each.arrays[leaf]) if len(each.leaves) > 1 else ""
                return self._changes(f"{name}{path}", str(before), str(after))
            leaf -= len(each.arrays)
        raise AssertionError("a leaf of the carry that no variable has")

    def _no_changes(self) -> None:
        for k in self.watched.changes():
            raise self._side_effect(k, "in a loop whose number of trips is traced")

    def _appended(self, k: int, now: Any) -> Parts:
        before = self.watched.before(k)
        kept = isinstance(now, list) and len(now) > len(before)
        if not kept or any(a is not b for a, b in zip(now, before, strict=False)):
            raise self._side_effect(k, "in a loop that is staged, other than by append")
        return parts(now[len(before) :])

    def _side_effect(self, k: int, where: str) -> ControlFlowError:
        return ControlFlowError(
            f"expected no side effects that cannot be staged, but {self.watched.names[k]!r} "
            f"({type(self.watched.before(k)).__name__}) is changed {where}",
            note="keep an array and assign x = x.at[i].set(...), or use tracer.scan",
            source=self.source,
        )


def _first(slices: Any) -> Any:
    import jax

    return jax.tree_util.tree_map(lambda a: a[0], slices)


__all__ = ["for_stmt", "while_stmt"]
