"""`and`, `or`, `not`, chained comparisons and `assert`."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax

from ir.source import Source, capture
from ir.types import bool_
from tracer.conversion.branches import chosen
from tracer.conversion.values import is_traced, truth
from tracer.numpy.elementwise import logical_and, logical_not, logical_or
from tracer.value import Tensor

Thunk = Callable[[], Any]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda a, b: a in b,
    "NotIn": lambda a, b: a not in b,
}


def and_(first: Thunk, *rest: Thunk) -> Any:
    """`first() and rest[0]() and ...`; operands after a false one are not evaluated, unless it is traced."""
    return _joined(first(), rest, True, capture(1))


def or_(first: Thunk, *rest: Thunk) -> Any:
    """`first() or rest[0]() or ...`; operands after a true one are not evaluated, unless it is traced."""
    return _joined(first(), rest, False, capture(1))


def _joined(value: Any, rest: tuple[Thunk, ...], conjunction: bool, source: Source) -> Any:
    for n, thunk in enumerate(rest):
        if is_traced(value):
            return _staged(value, rest[n:], conjunction, source)
        if bool(value) is not conjunction:
            return value
        value = thunk()
    return value


def _staged(value: Any, rest: tuple[Thunk, ...], conjunction: bool, source: Source) -> Any:
    """The other operands, where the first is traced: flags are combined, other values are chosen."""
    held = truth(value)
    word = "and" if conjunction else "or"

    def following() -> Any:
        return _joined(rest[0](), rest[1:], conjunction, source)

    if not _is_flag(value):
        yes: Thunk = following if conjunction else lambda: value
        no: Thunk = (lambda: value) if conjunction else following
        return chosen(held, yes, no, f"… {word} …", source)
    other = following()
    if _is_flag(other):
        return (logical_and if conjunction else logical_or)(held, truth(other))
    first, second = (other, value) if conjunction else (value, other)
    return chosen(held, lambda: first, lambda: second, f"… {word} …", source)


def _is_flag(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.value.type.dtype is bool_
    return isinstance(value, bool) or (hasattr(value, "dtype") and value.dtype == bool)


def not_(value: Any) -> Any:
    """`not value`."""
    return logical_not(truth(value)) if is_traced(value) else not value


def compare(left: Any, *links: tuple[str, Thunk]) -> Any:
    """`left < b <= c`, each operand evaluated once, and none after a comparison that fails, unless it is traced."""
    source = capture(1)
    state: list[Any] = [left]

    def link(name: str, thunk: Thunk) -> Any:
        before = state[0]
        state[0] = thunk()
        return _COMPARISONS[name](before, state[0])

    rest = [functools.partial(link, name, thunk) for name, thunk in links[1:]]
    return _joined(link(*links[0]), tuple(rest), True, source)


def assert_stmt(test: Any, message: Thunk, given: bool) -> None:
    """`assert test, message()`; of a traced condition, when the program runs.

    There the message is made beforehand, and the error is raised by JAX's runtime, which shows it.
    """
    if not is_traced(test):
        if not test:
            raise AssertionError(message()) if given else AssertionError
        return
    from tracer.api.bridge import from_jax

    text = str(message()) if given else ""
    where = capture(1)

    def check(holds: Any) -> None:
        if not bool(holds):
            raise AssertionError(f"{text} (at {where})" if text else f"at {where}")

    def checked(holds: Any) -> None:
        jax.debug.callback(check, holds)

    from_jax(checked)(truth(test))


__all__ = ["and_", "assert_stmt", "compare", "not_", "or_"]
