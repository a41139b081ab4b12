"""Passes over the functions inside a function: each is changed once, inner ones first.

Bodies are changed inside only: nothing moves into a nested function or out of it, so that what a
`checkpoint` recomputes stays what it was. No recursion, however deep functions nest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

from ir.core import Eqn, Function, map_nested, nested_functions

Pass = Callable[[Function], Function]


def deep(local: Pass) -> Pass:
    """The pass that applies `local` to every function inside, and then to the function itself."""

    @functools.wraps(local)
    def change(function: Function) -> Function:
        if not holders(function):
            return local(function)
        done: dict[int, Function] = {}
        for each in _inner_first(function):
            done[id(each)] = local(_with_nested(each, done))
        return done[id(function)]

    return change


def holders(function: Function) -> tuple[int, ...]:
    """Positions of the equations that hold functions."""
    found = function._cache.get("holders")
    if found is None:
        found = tuple(
            [
                i
                for i, eqn in enumerate(function.eqns)
                if eqn.attrs
                and any(type(a) is Function or type(a) is tuple for a in eqn.attrs.values())
                and next(nested_functions(eqn), None) is not None
            ]
        )
        function._cache["holders"] = found
    return found


def _below(function: Function) -> Iterator[Function]:
    return (nested for i in holders(function) for nested in nested_functions(function.eqns[i]))


def _inner_first(function: Function) -> Iterator[Function]:
    seen = {id(function)}
    stack = [(function, _below(function))]
    while stack:
        top, rest = stack[-1]
        below = next(rest, None)
        if below is None:
            stack.pop()
            yield top
        elif id(below) not in seen:
            seen.add(id(below))
            stack.append((below, _below(below)))


def _with_nested(function: Function, done: dict[int, Function]) -> Function:
    """`function` with the functions inside it replaced; the same object where none was."""
    eqns: list[Eqn] | None = None
    for i in holders(function):
        eqn = function.eqns[i]
        attrs = map_nested(eqn.attrs, lambda nested: done[id(nested)])
        if attrs is not eqn.attrs:
            eqns = list(function.eqns) if eqns is None else eqns
            eqns[i] = Eqn(eqn.op, eqn.operands, attrs, eqn.results, eqn.source)
    return function if eqns is None else function.replace(eqns=tuple(eqns))
