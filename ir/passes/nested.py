"""Passes over the functions inside a function: each is changed once, inner ones first.

Bodies are changed inside only: nothing moves into a nested function or out of it, so that what a
`checkpoint` recomputes stays what it was. No recursion, however deep functions nest.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from ir.core import Eqn, Function, holders, inner_first, map_nested

Pass = Callable[[Function], Function]


def deep(local: Pass) -> Pass:
    """The pass that applies `local` to every function inside, and then to the function itself."""

    @functools.wraps(local)
    def change(function: Function) -> Function:
        return local(inside(local, function))

    return change


def inside(local: Pass, function: Function) -> Function:
    """`function` with `local` applied to every function inside it."""
    if not holders(function):
        return function
    done: dict[int, Function] = {}
    for each in inner_first(function):
        changed = _with_nested(each, done)
        done[id(each)] = changed if each is function else local(changed)
    return done[id(function)]


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
