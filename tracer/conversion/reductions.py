"""`min`, `max`, `any` and `all`, which ask their items for a bool."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Iterable
from typing import Any

from tracer.conversion.values import is_traced, truth
from tracer.numpy.elementwise import logical_and, logical_or, where


def _extreme(python: Callable[..., Any], precedes: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def extreme(*args: Any, **options: Any) -> Any:
        if len(args) == 1 and not is_traced(args[0]):
            args = (list(args[0]),)
        items = list(args[0]) if len(args) == 1 else args
        if options or not any(is_traced(x) for x in items):
            return python(*args, **options)
        found = items[0]
        for x in items[1:]:  # the first of equal ones, and of what does not compare, as in Python
            found = where(truth(precedes(x, found)), x, found)
        return found

    return extreme


min_ = _extreme(builtins.min, operator.lt)
max_ = _extreme(builtins.max, operator.gt)


def any_(items: Iterable[Any]) -> Any:
    """`any`; items after a true one are not looked at, unless one before is traced."""
    return _quantified(items, False)


def all_(items: Iterable[Any]) -> Any:
    """`all`; items after a false one are not looked at, unless one before is traced."""
    return _quantified(items, True)


def _quantified(items: Iterable[Any], conjunction: bool) -> Any:
    found: Any = conjunction
    for x in items:
        if is_traced(x) or is_traced(found):
            found = (logical_and if conjunction else logical_or)(truth(found), truth(x))
        elif bool(x) is not conjunction:
            return not conjunction
    return found


__all__ = ["all_", "any_", "max_", "min_"]
