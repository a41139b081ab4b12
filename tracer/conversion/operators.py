"""What converted code calls, as `ag__`: AutoGraph's names."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tracer.conversion.branches import if_exp, if_stmt
from tracer.conversion.calls import converted_call
from tracer.conversion.logic import and_, assert_stmt, compare, not_, or_
from tracer.conversion.loops import for_stmt, while_stmt
from tracer.conversion.values import Undefined, UndefinedReturnValue, ld, ldu

# The options of the conversion, which the generated code hands about: there is one way to convert.
STD = None


class FunctionScope:
    """Around the body of a converted function; turns its result over."""

    def __init__(self, function_name: str, scope_name: str, options: Any) -> None:
        pass

    def __enter__(self) -> FunctionScope:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    def ret(self, value: Any, did_return: Any) -> Any:
        """The result of the function; `did_return` is a Python bool or a constant true."""
        return None if isinstance(value, UndefinedReturnValue) else value


def with_function_scope(body: Any, scope_name: str, options: Any) -> Any:
    """The same around the expression of a lambda."""
    return body(FunctionScope("lambda", scope_name, options))


def caught() -> BaseException | None:
    """The exception that the handler around is for."""
    return sys.exception()


def autograph_artifact(function: Any) -> Any:
    """Marks a function that is converted already."""
    function.autograph_info__ = function.__code__
    return function


__all__ = [
    "STD",
    "FunctionScope",
    "Undefined",
    "UndefinedReturnValue",
    "and_",
    "assert_stmt",
    "autograph_artifact",
    "caught",
    "compare",
    "converted_call",
    "for_stmt",
    "if_exp",
    "if_stmt",
    "ld",
    "ldu",
    "not_",
    "or_",
    "while_stmt",
    "with_function_scope",
]
