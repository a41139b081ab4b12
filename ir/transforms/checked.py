"""Assertions as results: which of them failed first, and on what.

    check(p, x); y = f(x); return y     becomes     y = f(x); return y, select(p, 0, 1), x

A program with checks returns, besides, a code (0 where all held, otherwise the number of the check that failed first)
and what each check shows. Loops carry both along, branches return them, so that nothing but the results says what
happened: no callback, on any device, under any transform. A `while` loop ends with the trip in which a check failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.contents import has_checks
from ir.core import Eqn, Function, Opaque, Value, inner_first
from ir.errors import IRTypeError
from ir.op import Builder, build, building, current_builder, inline
from ir.ops.calls import Rule, call, stop_gradient
from ir.ops.carries import results_of
from ir.ops.check import check
from ir.ops.cond import cond
from ir.ops.elementwise import and_, eq, ne, select
from ir.ops.lanes import blank
from ir.ops.loops import scan
from ir.ops.reduce import reduce_and
from ir.ops.replay import replay
from ir.ops.shape import broadcast_in_dim, full
from ir.ops.while_loop import while_loop
from ir.ops.while_record import while_record
from ir.passes.silent import silent
from ir.types import TensorType, i32


@dataclass(frozen=True, slots=True)
class Checked:
    """A program whose checks are results.

    Attributes:
      function: returns the results, then the code, then what each of the checks shows (for one with lanes, first
        the predicate).
      checks: the equations, in the order of their codes, from 1.
    """

    function: Function
    checks: tuple[Eqn, ...]


def checked(function: Function) -> Checked:
    """The program that returns what its checks say, instead of having an effect.

    Raises:
      IRTypeError: a check in a function that no loop or branch runs, such as that of a reduction.
    """
    numbers: dict[Eqn, int] = {}
    for each in inner_first(function):
        for eqn in each.eqns:
            if eqn.op is check:
                numbers.setdefault(eqn, len(numbers) + 1)
    checks = tuple(numbers)
    made, failure = _Rewriter(numbers).function(function)
    builder = Builder()
    with building(builder):
        code = full((), 0, i32) if failure.code is None else failure.code
        shown = [
            v if v is not None else blank(t)
            for eqn in checks
            for v, t in zip(failure.shown.get(eqn, [None] * len(_shown(eqn))), _types(eqn), strict=True)
        ]
    return Checked(
        made.replace(eqns=(*made.eqns, *builder.eqns), results=(*made.results, code, *shown)), checks
    )


def _shown(eqn: Eqn) -> tuple[Value, ...]:
    """What is kept of a check that failed."""
    return eqn.operands if eqn.attrs["lanes"] else eqn.operands[1:]


def _types(eqn: Eqn) -> list[TensorType]:
    return [v.type for v in _shown(eqn)]


@dataclass(slots=True)
class _Failure:
    """What is known of failures so far.

    Attributes:
      code: of the first one; `None` before any check.
      shown: what the checks that were met show, blank where they did not fail.
    """

    code: Value | None
    shown: dict[Eqn, Sequence[Value]]

    def flat(self) -> list[Value]:
        assert self.code is not None
        return [self.code, *[v for values in self.shown.values() for v in values]]

    def like(self, values: Sequence[Value]) -> _Failure:
        """The same checks with other values."""
        rest = iter(values[1:])
        return _Failure(values[0], {e: [next(rest) for _ in old] for e, old in self.shown.items()})

    def then(self, later: _Failure) -> _Failure:
        """The first of both."""
        if self.code is None or later.code is None:
            return later if self.code is None else self
        zero = full((), 0, i32)
        takes = and_(eq(self.code, zero), ne(later.code, zero))
        shown = dict(self.shown)
        for eqn, values in later.shown.items():
            old = shown.get(eqn)
            shown[eqn] = (
                values if old is None else [_chosen(takes, n, o) for n, o in zip(values, old, strict=True)]
            )
        return _Failure(_chosen(takes, later.code, self.code), shown)


def _chosen(pred: Value, x: Value, y: Value) -> Any:
    shape = x.type.shape
    return select(broadcast_in_dim(pred, shape=shape, dims=()) if shape else pred, x, y)


def _nothing(checks: Sequence[Eqn]) -> _Failure:
    return _Failure(full((), 0, i32), {e: [blank(t) for t in _types(e)] for e in checks})


class _Rewriter:
    """Writes functions anew; `numbers` are the codes of all checks."""

    def __init__(self, numbers: dict[Eqn, int]) -> None:
        self.numbers = numbers

    def function(self, function: Function) -> tuple[Function, _Failure]:
        """The function without checks, and values of it that say what failed."""
        if not has_checks(function):
            return function, _Failure(None, {})
        builder = Builder()
        env: dict[Value, Value] = {}
        failure = _Failure(None, {})
        with building(builder):
            for eqn in function.eqns:
                ins = tuple([env.get(v, v) for v in eqn.operands])
                builder.source = eqn.source
                outs, later = self._eqn(eqn, ins)
                env.update(zip(eqn.results, outs, strict=True))
                failure = failure.then(later)
        results = tuple([env.get(v, v) for v in function.results])
        return function.replace(eqns=tuple(builder.eqns), results=results), failure

    def _eqn(self, eqn: Eqn, ins: tuple[Value, ...]) -> tuple[Sequence[Value], _Failure]:
        none = _Failure(None, {})
        if eqn.op is check:
            return (), self._check(eqn, ins)
        if not has_checks(eqn):
            return _copied(eqn, ins), none
        if eqn.op is scan:
            return self._scan(eqn, ins)
        if eqn.op in (while_loop, while_record):
            return self._while(eqn, ins)
        if eqn.op is cond:
            return self._cond(eqn, ins)
        if eqn.op is replay:  # what it runs again was checked before
            return _copied(_silenced(eqn), ins), none
        body = eqn.attrs.get("function", eqn.attrs.get("solve"))
        if not isinstance(body, Function) or body.in_types != tuple([v.type for v in ins]):
            raise IRTypeError(f"check: expected none in a function that {eqn.op.name} applies to elements")
        if eqn.op is call:
            return _run(*self.function(body), ins)
        # Its derivative is another one than that of its body: what the checks need is computed beside it.
        made, failure = self.function(body)
        alone = made.replace(results=tuple(failure.flat()) if failure.code is not None else ())
        said = inline(alone, [stop_gradient(v) if v.type.dtype.is_inexact else v for v in ins])
        return _copied(_silenced(eqn), ins), failure.like(said) if said else none

    def _check(self, eqn: Eqn, ins: tuple[Value, ...]) -> _Failure:
        pred = ins[0]
        held = reduce_and(pred, axes=tuple(range(pred.type.rank))) if pred.type.rank else pred
        code = select(held, full((), 0, i32), full((), self.numbers[eqn], i32))
        return _Failure(code, {eqn: ins if eqn.attrs["lanes"] else ins[1:]})

    def _scan(self, eqn: Eqn, ins: tuple[Value, ...]) -> tuple[Sequence[Value], _Failure]:
        attrs = dict(eqn.attrs)
        n, c = attrs["num_consts"], attrs["num_carry"]
        made, failure = self.function(attrs["function"])
        start = _nothing(tuple(failure.shown)).flat()
        k = len(start)
        types = list(made.in_types)

        def step(*values: Value) -> Sequence[Value]:
            own, before = (*values[: n + c], *values[n + c + k :]), values[n + c : n + c + k]
            outs, after = _run(made, failure, own)
            said = failure.like(before).then(after).flat()
            return *outs[:c], *said, *outs[c:]

        body = build([*types[: n + c], *[v.type for v in start], *types[n + c :]], step, made.name)
        loop = {**attrs, "function": body, "num_carry": c + k}
        outs = results_of(scan(*ins[: n + c], *start, *ins[n + c :], **loop))
        return (*outs[:c], *outs[c + k :]), failure.like(outs[c : c + k])

    def _while(self, eqn: Eqn, ins: tuple[Value, ...]) -> tuple[Sequence[Value], _Failure]:
        """The loop ends where a check fails. Those of its test are made before every trip, and once after the last."""
        attrs = dict(eqn.attrs)
        a, b = attrs["num_cond_consts"], attrs["num_cond_consts"] + attrs["num_body_consts"]
        test, of_test = self.function(attrs["cond"])
        made, failure = self.function(attrs["body"])
        both = _nothing(tuple({**of_test.shown, **failure.shown}))
        start = both.flat()
        c = len(made.results)
        tests = of_test.code is not None
        shared = ins[:a] if tests else ()

        def going(*values: Value) -> Any:
            code = values[a + c]
            return and_(inline(test, values[: a + c])[0], eq(code, full((), 0, i32)))

        def step(*values: Value) -> Sequence[Value]:
            consts, own = values[: len(shared)], values[len(shared) :]
            carry, before = own[b - a : b - a + c], own[b - a + c :]
            said = both.like(before)
            if tests:
                said = said.then(_run(test, of_test, (*consts, *carry))[1])
            outs, after = _run(made, failure, own[: b - a + c])
            return *outs, *said.then(after).flat()

        types, extra = [v.type for v in ins], [v.type for v in start]
        loop = {
            **attrs,
            "cond": build([*types[:a], *types[b:], *extra], going, test.name),
            "body": build([*[v.type for v in shared], *types[a:], *extra], step, made.name),
            "num_body_consts": b - a + len(shared),
        }
        outs = results_of(eqn.op(*ins[:a], *shared, *ins[a:], *start, **loop))
        said = both.like(outs[c : c + len(start)])
        if tests:
            said = said.then(_run(test, of_test, (*ins[:a], *outs[:c]))[1])
        return (*outs[:c], *outs[c + len(start) :]), said

    def _cond(self, eqn: Eqn, ins: tuple[Value, ...]) -> tuple[Sequence[Value], _Failure]:
        each = [self.function(branch) for branch in eqn.attrs["branches"]]
        checks = tuple({e: None for _, failure in each for e in failure.shown})
        both = _nothing(checks)
        types = [v.type for v in ins[1:]]

        def with_failure(made: Function, failure: _Failure) -> Function:
            def body(*values: Value) -> Sequence[Value]:
                outs, said = _run(made, failure, values)
                blanks = _nothing(checks)
                shown = {e: said.shown.get(e, blanks.shown[e]) for e in checks}
                code = blanks.code if said.code is None else said.code
                return *outs, *_Failure(code, shown).flat()

            return build(types, body, made.name)

        branches = tuple([with_failure(*pair) for pair in each])
        outs = results_of(cond(*ins, **{**eqn.attrs, "branches": branches}))
        count = len(eqn.results)
        return outs[:count], both.like(outs[count:])


def _run(function: Function, failure: _Failure, values: Sequence[Value]) -> tuple[Sequence[Value], _Failure]:
    """The results of a function that was written anew, and what failed in it, at these operands."""
    if failure.code is None:
        return inline(function, values), failure
    count = len(function.results)
    outs = inline(function.replace(results=(*function.results, *failure.flat())), values)
    return outs[:count], failure.like(outs[count:])


def _copied(eqn: Eqn, ins: tuple[Value, ...]) -> tuple[Value, ...]:
    builder = current_builder()
    if ins == eqn.operands:
        builder.append(eqn)
        return eqn.results
    return builder.copy(eqn, ins)


def _silenced(eqn: Eqn) -> Eqn:
    """The equation without effects inside it; custom rules, which may call its function again, without checks."""
    (made,) = silent(Function(eqn.operands, (eqn,), eqn.results)).eqns
    return _with_plain_rules(made)


def _with_plain_rules(eqn: Eqn) -> Eqn:
    attrs = {
        name: Opaque(a.name, _PlainRule(a.obj)) if isinstance(a, Opaque) and isinstance(a.obj, Rule) else a
        for name, a in eqn.attrs.items()
    }
    return Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source)


class _PlainRule(Rule):
    """A derivative rule without checks; equal where the rules are."""

    def __init__(self, of: Rule) -> None:
        super().__init__(of.name, self._without_checks, of.captures)
        self.of = of

    def _without_checks(self, types: tuple[TensorType, ...]) -> Function:
        made = silent(self.of.function(types), check)
        eqns = tuple([_with_plain_rules(e) if "jvp" in e.attrs or "fwd" in e.attrs else e for e in made.eqns])
        return made.replace(eqns=eqns)

    def moving(self, moves: tuple[bool, ...]) -> Rule:
        of = self.of.moving(moves)
        return self if of is self.of else _PlainRule(of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PlainRule) and self.of == other.of

    def __hash__(self) -> int:
        return hash((_PlainRule, self.of))


__all__ = ["Checked", "checked"]
