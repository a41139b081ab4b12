"""A function as a compiler sees it that has no linear systems: what solves one stands in the place of its equation.

Linear in the equations that stand there then. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ir.core import Eqn, Function, Value


@dataclass(frozen=True, slots=True)
class Inlined:
    """A function with its linear systems solved in place.

    Attributes:
      function: that function; the one given where there is no such system.
      positions: for each of its equations the index of that of the function given; at the end, how many these are.
      solutions: for a result that solves a system, that of the equation which stood there.
    """

    function: Function
    positions: tuple[int, ...]
    solutions: Mapping[Value, Value]


def inlined(function: Function) -> Inlined:
    """`function` with `solve` in the place of each `linear_solve`."""
    count = len(function.eqns)
    if all(eqn.op.name != "linear_solve" for eqn in function.eqns):
        return Inlined(function, tuple(range(count + 1)), {})
    env: dict[Value, Value] = {}
    eqns: list[Eqn] = []
    positions: list[int] = []
    solutions: dict[Value, Value] = {}
    for i, eqn in enumerate(function.eqns):
        for each in _solved(_with(eqn, env), env):
            eqns.append(each)
            positions.append(i)
        solutions.update({env[v]: v for v in eqn.results if v in env})
    results = tuple([env.get(v, v) for v in function.results])
    return Inlined(function.replace(eqns=tuple(eqns), results=results), (*positions, count), solutions)


def _solved(eqn: Eqn, env: dict[Value, Value]) -> Iterator[Eqn]:
    """The equation, or those that solve it, whose results `env` then has for its own."""
    todo: list[tuple[Iterator[Eqn], dict[Value, Value]]] = [(iter((eqn,)), {})]
    around: list[tuple[Eqn, Function, dict[Value, Value]]] = []
    while todo:
        rest, inner = todo[-1]
        each = next(rest, None)
        if each is None:
            todo.pop()
            if around:
                solved, body, outer = around.pop()
                outer.update({r: inner.get(v, v) for r, v in zip(solved.results, body.results, strict=True)})
            continue
        given = _with(each, inner)
        target = inner if len(todo) > 1 else env
        if each.op.name == "linear_solve":
            body = each.attrs["solve"]
            around.append((each, body, target))
            todo.append((iter(body.eqns), dict(zip(body.params, given.operands, strict=True))))
        elif len(todo) == 1:
            yield given
        else:  # the same body may stand in several places
            fresh = tuple([Value(v.type, v.name) for v in each.results])
            inner.update(zip(each.results, fresh, strict=True))
            yield Eqn(given.op, given.operands, given.attrs, fresh, given.source)


def _with(eqn: Eqn, env: Mapping[Value, Value]) -> Eqn:
    operands = tuple([env.get(v, v) for v in eqn.operands])
    return eqn if operands == eqn.operands else Eqn(eqn.op, operands, eqn.attrs, eqn.results, eqn.source)


__all__ = ["Inlined", "inlined"]
