"""What makes functions equal: their structure, up to the names of values and the source locations.

Equal functions have one and the same `Structure`, kept in a table as long as anything refers to it. In
the key of a function, one nested inside it stands as its `Structure`. So a function that is nested many
times, in functions nested many times themselves, is looked at once, and nothing recurses, however deep
functions nest. Imports `ir.core` only.
"""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakValueDictionary

from ir.core import Function, attr_key, inner_first


class Structure:
    """Stands for all functions of one structure; compares by identity."""

    __slots__ = ("__weakref__",)


# By what tells structures apart. An entry goes with its structure, so that it is never found stale.
_STRUCTURES: WeakValueDictionary[tuple[Any, ...], Structure] = WeakValueDictionary()
_lock = threading.RLock()


def structure(function: Function) -> Structure:
    """The structure of `function`; linear in its equations and those of the distinct functions inside."""
    for each in inner_first(function, unless="structure"):
        parts = _parts(each)
        with _lock:
            found = _STRUCTURES.get(parts)
            if found is None:
                found = _STRUCTURES[parts] = Structure()
        each._cache["structure"] = found
    return function._cache["structure"]  # type: ignore[no-any-return]


def _parts(function: Function) -> tuple[Any, ...]:
    """What tells the structure apart; those of nested functions are known."""
    number: dict[Any, int] = {}
    for param in function.params:
        number[param] = len(number)
    flat: list[Any] = [tuple([p.type for p in function.params])]
    for eqn in function.eqns:
        flat.append(eqn.op)
        if eqn.attrs:
            flat.append(tuple([attr_key(v) for v in eqn.attrs.values()]))
        flat.append(tuple([number[v] for v in eqn.operands]))
        for result in eqn.results:
            number[result] = len(number)
            flat.append(result.type)
    flat.append(tuple([number[v] for v in function.results]))
    return tuple(flat)
