"""What an equation is, and what a function contains, nested functions included: effects, loops that may never end.

Answers are kept with the function. Imports `ir.core` only.
"""

from __future__ import annotations

from collections.abc import Callable

from ir.core import Eqn, Function, nested_functions


def has_effects(what: Function | Eqn) -> bool:
    """Whether an equation, or any of a function, has an effect, itself or in a nested function.

    Such an equation is kept although its results are unused, is not merged with an equal one, and
    runs as often as the program says.
    """
    if isinstance(what, Eqn) and not what.attrs:
        return what.op.effect
    return _contains(what, "has_effects", lambda eqn: eqn.op.effect)


def is_number(eqn: Eqn) -> bool:
    """Whether it is a constant that is one number, repeated or not."""
    return eqn.op.name == "constant" and eqn.attrs["value"].shape == ()


def has_checks(what: Function | Eqn) -> bool:
    """Whether an equation, or any of a function, is an assertion, itself or in a nested function."""
    return _contains(what, "has_checks", lambda eqn: eqn.op.name == "check")


def has_open_loops(what: Function | Eqn) -> bool:
    """Whether it contains a loop whose number of trips depends on values, so that it may not end."""
    return _contains(what, "has_open_loops", lambda eqn: eqn.op.name in _OPEN_LOOPS)


def exchanges(what: Function | Eqn) -> bool:
    """Whether it contains an op that lets the lanes of a named axis know of each other."""
    return _contains(what, "exchanges", lambda eqn: eqn.op.name in _COLLECTIVES)


_COLLECTIVES = frozenset({"all_gather", "all_to_all", "collective_permute"})
_OPEN_LOOPS = frozenset({"while_loop", "while_record", "replay"})


def _contains(what: Function | Eqn, name: str, holds: Callable[[Eqn], bool]) -> bool:
    if isinstance(what, Eqn):
        if holds(what):
            return True
        kinds = {type(a) for a in what.attrs.values()}  # asked of every equation
        if Function not in kinds and tuple not in kinds:
            return False
        return any(_contains(f, name, holds) for f in nested_functions(what))
    # Inner functions first, without recursion: programs may nest deeply.
    stack = [what]
    while stack:
        function = stack[-1]
        if name in function._cache:
            stack.pop()
            continue
        found = any(holds(eqn) for eqn in function.eqns)
        if not found:
            nested = [f for eqn in function.eqns if eqn.attrs for f in nested_functions(eqn)]
            open_ = [f for f in nested if name not in f._cache]
            if open_:
                stack.extend(open_)
                continue
            found = any(f._cache[name] for f in nested)
        function._cache[name] = found
        stack.pop()
    return bool(what._cache[name])
