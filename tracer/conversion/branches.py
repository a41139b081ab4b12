"""`if` statements and conditional expressions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ir.errors import ControlFlowError
from ir.op import inline
from ir.source import Source, capture
from ir.types import TensorType
from tracer.api.control import cond, leaf_path
from tracer.conversion.containers import Watched, fill
from tracer.conversion.raising import staged_code
from tracer.conversion.values import (
    Parts,
    Undefined,
    UndefinedReturnValue,
    described,
    is_array,
    is_traced,
    parts,
    placeholder,
    same_object,
    shape_of,
    summary,
    truth,
    typed,
)
from tracer.numpy.dispatch import convert, lift
from tracer.state import state
from tracer.trace import Traced, trace_flat
from tracer.types import promote_dtypes
from tracer.value import Tensor

GetState = Callable[[], tuple[Any, ...]]
SetState = Callable[[tuple[Any, ...]], None]


def if_stmt(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    outputs: int,
) -> None:
    """An `if` statement whose branches assign the variables `names`, the first `outputs` of which are used later.

    Raises:
      ControlFlowError: branches that leave a variable with different types or structures, where the
        condition is traced.
    """
    if not is_traced(test):
        if test:
            body()
        else:
            orelse()
        return
    staged_if(test, body, orelse, get_state, set_state, names, outputs, capture(1))


@dataclass(frozen=True, slots=True)
class Branch:
    """A recorded branch.

    Attributes:
      traced: its function; the results are the arrays of all values.
      values: the variables after it.
      changed: containers that it changed, by position among those watched.
    """

    traced: Traced
    values: list[Parts]
    changed: dict[int, Parts]


def staged_if(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get_state: GetState,
    set_state: SetState,
    names: Sequence[str],
    outputs: int,
    source: Source,
    watch: Sequence[Callable[..., Any]] | None = None,
) -> None:
    """Record both branches and choose by `test`."""
    predicate = truth(test)
    init = get_state()
    watched = Watched([body, orelse] if watch is None else watch, set_state, names)
    branches = []
    try:
        for fn in (body, orelse):
            branches.append(_recorded(fn, init, get_state, set_state, outputs, watched))
            set_state(init)
    except BaseException:
        set_state(init)
        watched.changes()
        raise
    yes, no = branches
    merge = _Merge(predicate, yes, no, source)
    for k, name in enumerate(names[:outputs]):
        merge.variable(described(name), name, yes.values[k], no.values[k])
    touched = sorted({*yes.changed, *no.changed})
    for k in touched:
        before = parts(watched.before(k))
        name = watched.names[k]
        merge.variable(f"the variable {name!r}", name, yes.changed.get(k, before), no.changed.get(k, before))
    values = merge.finish()
    set_state((*values[:outputs], *init[outputs:]))
    for k, content in zip(touched, values[outputs:], strict=True):
        fill(watched.objects[k], content)


def _recorded(
    fn: Callable[[], None],
    init: tuple[Any, ...],
    get_state: GetState,
    set_state: SetState,
    outputs: int,
    watched: Watched,
) -> Branch:
    found: list[Any] = []

    def run() -> list[Any]:
        # Recording may begin anew, under JAX's tracing.
        watched.changes()
        set_state(init)
        with staged_code():
            fn()
        values = [parts(v) for v in get_state()[:outputs]]
        changed = {k: parts(v) for k, v in watched.changes().items()}
        found[:] = [values, changed]
        return [v.leaves[i] for v in (*values, *changed.values()) for i in v.arrays]

    traced = trace_flat(run, (), (), name=getattr(fn, "__name__", "branch"))
    return Branch(traced, *found)


@dataclass(frozen=True, slots=True)
class _Outer:
    """A leaf that a branch left as it was: a value of the trace around."""

    leaf: Any


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One result of the `cond`.

    Attributes:
      sides: for each branch, the position among its results, a value from outside, or None where any
        value does.
      type: shape and element type.
      weak: weakly typed.
    """

    sides: tuple[int | _Outer | None, int | _Outer | None]
    type: TensorType
    weak: bool


@dataclass(frozen=True, slots=True)
class _Result:
    """Stands for a result of the `cond` in the value of a variable."""

    position: int


class _Merge:
    """Variables after an `if`, from what they are after each branch."""

    def __init__(self, predicate: Any, yes: Branch, no: Branch, source: Source) -> None:
        self.predicate = predicate
        self.branches = (yes, no)
        self.source = source
        # Where the arrays of each variable begin among the results of a branch.
        self._starts = [_starts(b) for b in self.branches]
        self._wanted: list[_Wanted] = []
        self._values: list[Any] = []

    def variable(self, label: str, name: str, a: Parts, b: Parts) -> None:
        """Add a variable, which messages call `label`.

        Raises:
          ControlFlowError: the branches leave it with different structures or types.
        """
        if a.undefined is not None or b.undefined is not None:
            self._values.append(self._partly_defined(name, a, b))
            return
        if a.tree != b.tree:
            raise self._error(label, summary(a), summary(b), "")
        leaves: list[Any] = []
        for k, (x, y) in enumerate(zip(a.leaves, b.leaves, strict=True)):
            if same_object(x, y):
                leaves.append(x)
                continue
            path = leaf_path(a.tree, k) if len(a.leaves) > 1 else ""
            if not (is_array(x) and is_array(y)):
                raise self._error(label, shape_of(x), shape_of(y), path)
            type_, weak = self._common(label, x, y, path)
            leaves.append(self._result((self._at(0, a, k), self._at(1, b, k)), type_, weak))
        self._values.append(Parts(a.tree, leaves, ()))

    def _partly_defined(self, name: str, a: Parts, b: Parts) -> Any:
        markers = [m for m in (a.undefined, b.undefined) if m is not None]
        if len(markers) == 2:
            return next((m for m in markers if isinstance(m, Undefined) and m.why), markers[0])
        side = 0 if b.undefined is not None else 1
        given = (a, b)[side]
        if isinstance(markers[0], UndefinedReturnValue):
            # Read only where a flag says that there is a result: on the other path any value does.
            leaves: list[Any] = list(given.leaves)
            for k in given.arrays:
                type_, weak = typed(given.leaves[k])
                at = self._at(side, given, k)
                leaves[k] = self._result((at, None) if side == 0 else (None, at), type_, weak)
            return Parts(given.tree, leaves, ())
        if not name.isidentifier():
            raise ControlFlowError(
                f"expected {name} to be assigned by both branches or by none, since the condition is traced",
                note="assign it before",
                source=self.source,
            )
        why = markers[0].why or "only one branch on a traced condition assigns it"
        return Undefined(name, why, markers[0].source or self.source)

    def _at(self, side: int, given: Parts, k: int) -> int | _Outer:
        start = self._starts[side].get(id(given))
        return _Outer(given.leaves[k]) if start is None else start + given.arrays.index(k)

    def _result(self, sides: tuple[Any, Any], type_: TensorType, weak: bool) -> _Result:
        self._wanted.append(_Wanted(sides, type_, weak))
        return _Result(len(self._wanted) - 1)

    def _common(self, label: str, x: Any, y: Any, path: str) -> tuple[TensorType, bool]:
        """The type of both, weakly typed ones promoted."""
        (a, a_weak), (b, b_weak) = typed(x), typed(y)
        if a is b:
            return a, a_weak and b_weak
        if a.shape == b.shape and (a_weak or b_weak) and "key" not in (a.dtype.kind, b.dtype.kind):
            dtype, weak = promote_dtypes(a.dtype, a_weak, b.dtype, b_weak)
            return TensorType(a.shape, dtype), weak
        raise self._error(label, shape_of(x), shape_of(y), path)

    def _error(self, label: str, a: str, b: str, path: str) -> ControlFlowError:
        return ControlFlowError(
            f"expected {label}{path} to be alike after both branches, since the condition is traced: "
            f"got {a} where it holds and {b} where it does not",
            note="make them agree, or choose by a Python value",
            source=self.source,
        )

    def finish(self) -> list[Any]:
        """Record the `cond`; the variables, in the order in which they were added."""
        results: list[Any] = []
        if self._wanted:
            results = list(cond(self.predicate, self._side(0), self._side(1)))
            for k, (r, w) in enumerate(zip(results, self._wanted, strict=True)):
                if type(r) is Tensor:
                    results[k] = Tensor(r.owner, r.value, w.weak)
        out = []
        for held in self._values:
            if not isinstance(held, Parts):
                out.append(held)
                continue
            leaves = [results[x.position] if type(x) is _Result else x for x in held.leaves]
            out.append(Parts(held.tree, leaves, ()).whole(()))
        return out

    def _side(self, side: int) -> Callable[[], list[Any]]:
        """A branch again, as a function of nothing that gives the wanted results in their types."""
        traced = self.branches[side].traced

        def branch() -> list[Any]:
            trace = state.trace
            assert trace is not None
            values = inline(traced.function, [trace.lift(x).value for x in traced.captures])
            out = []
            for wanted in self._wanted:
                at = wanted.sides[side]
                if at is None:
                    result = lift(placeholder(wanted.type, wanted.weak))
                else:
                    result = lift(at.leaf) if isinstance(at, _Outer) else Tensor(trace, values[at])
                out.append(convert(result, wanted.type.dtype))
            return out

        branch.__name__ = traced.function.name
        return branch


def _starts(branch: Branch) -> dict[int, int]:
    out, start = {}, 0
    for each in (*branch.values, *branch.changed.values()):
        out[id(each)] = start
        start += len(each.arrays)
    return out


def if_exp(test: Any, yes: Callable[[], Any], no: Callable[[], Any], text: str) -> Any:
    """`yes() if test else no()`.

    Raises:
      ControlFlowError: results of different types, where the condition is traced.
    """
    if not is_traced(test):
        return yes() if test else no()
    return chosen(test, yes, no, text, capture(1))


def chosen(test: Any, yes: Callable[[], Any], no: Callable[[], Any], text: str, source: Source) -> Any:
    """The value of one of two functions, by a traced condition; `text` names it in messages."""
    predicate = truth(test)
    watched = Watched([yes, no], lambda _: None, ())
    branches = [_recorded_value(fn, watched) for fn in (yes, no)]
    if changed := [k for b in branches for k in b.changed]:
        raise ControlFlowError(
            f"expected a conditional expression without side effects, but {watched.names[changed[0]]!r} "
            "is changed in it, and the condition is traced",
            source=source,
        )
    merge = _Merge(predicate, branches[0], branches[1], source)
    merge.variable(f"`{text}`", text, branches[0].values[0], branches[1].values[0])
    return merge.finish()[0]


def _recorded_value(fn: Callable[[], Any], watched: Watched) -> Branch:
    held: list[Any] = []

    def run() -> None:
        held[:] = [fn()]

    return _recorded(run, (), lambda: tuple(held), lambda _: None, 1, watched)


__all__ = ["GetState", "SetState", "chosen", "if_exp", "if_stmt", "staged_if"]
