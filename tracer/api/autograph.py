"""`autograph`: plain Python control flow on traced values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from ir.errors import ArgumentTypeError
from tracer.state import state

F = TypeVar("F", bound=Callable[..., Any])


def autograph(f: F) -> F:
    """`f` with its Python control flow converted: what is decided by traced values becomes part of the program.

    `if`, conditional expressions, `while`, `for` over arrays and `range` of traced bounds, `break`, `continue`,
    early `return`, `and`, `or`, `not`, chained comparisons and `assert` become `cond`, `while_loop` and `scan`
    where they depend on traced values. On anything else they keep the meaning that Python gives them. The
    functions that `f` calls are converted too, those of libraries excepted, and so are functions that are
    handed to tracer while it runs: `jit(value_and_grad(f), autograph=True)` converts `f`.

    Args:
      f: a function, method, lambda, `functools.partial`, callable object, or a function that tracer made.

    Returns:
      A function with the same signature. It can be called outside a trace, where it does what `f` does.

    Raises:
      ConversionError: when it is called: `f` has no source code, or something that cannot be converted.
      ControlFlowError: when it is called: a variable would differ between branches or trips of a loop in
        type or structure, or a side effect cannot be staged; names the variable and the line.
      UndefinedVariableError: when it is called: a variable is used that only some paths assign.
    """
    if is_converted(f):
        return f

    @functools.wraps(f)
    def converted(*args: Any, **kwargs: Any) -> Any:
        from tracer.conversion.calls import requested_call

        before, state.autograph = state.autograph, True
        try:
            return requested_call(f, args, kwargs)
        finally:
            state.autograph = before

    converted.autograph_info__ = converted.__code__  # type: ignore[attr-defined]
    return cast(F, converted)


def is_converted(f: Any) -> bool:
    """Whether a function is converted code already; decorators copy the mark, but not the code."""
    mark = getattr(f, "autograph_info__", None)
    return mark is not None and mark is getattr(f, "__code__", None)


def requested(f: F, wanted: bool) -> F:
    """`f`, converted if that is wanted; ArgumentTypeError if it is no function."""
    if not callable(f):
        raise ArgumentTypeError(
            f"expected a function, got {type(f).__name__}",
            note="write grad(f)(x), not grad(f(x)); likewise elsewhere",
        )
    return autograph(f) if wanted else f


def inherited(f: F) -> F:
    """`f`, converted if that was wanted of a transform around."""
    return autograph(f) if state.autograph else f


__all__ = ["autograph", "inherited", "is_converted", "requested"]
