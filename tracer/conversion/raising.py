"""Exceptions that a program raises on purpose inside staged code.

Both branches of a staged `if` are recorded, whatever the condition will be, so that a `raise` in one of them
says nothing. It must not reach an `except` of the program as if it did.
"""

from __future__ import annotations

import contextlib
import dis
from collections.abc import Iterator
from types import TracebackType

from ir.errors import ControlFlowError, TracerError
from ir.source import Source
from tracer.conversion.calls import is_library_code

_RAISE = dis.opmap["RAISE_VARARGS"]


@contextlib.contextmanager
def staged_code() -> Iterator[None]:
    """Around the user's code under a traced condition.

    Raises:
      ControlFlowError: it left by a `raise` or `assert` of its own.
    """
    try:
        yield
    except TracerError:
        raise
    except Exception as error:
        where = _raised_at(error)
        if where is None:
            raise
        raise ControlFlowError(
            f"expected no exception to leave code that is staged, got {type(error).__name__}: {error}; "
            "whether it is raised depends on traced values",
            note="an assert is checked when the program runs",
            source=where,
        ) from error


def _raised_at(error: Exception) -> Source | None:
    """The user's `raise` or `assert` that an exception comes from."""
    last: TracebackType | None = error.__traceback__
    place = None
    while last is not None:
        code = last.tb_frame.f_code
        if not is_library_code(code.co_filename, last.tb_frame.f_globals.get("__name__") or ""):
            raises = last.tb_next is None and code.co_code[last.tb_lasti] == _RAISE
            if raises or (isinstance(error, AssertionError) and _only_assert(last.tb_next)):
                place = Source(code, last.tb_lasti)
        last = last.tb_next
    return place


def _only_assert(rest: TracebackType | None) -> bool:
    return rest is not None and rest.tb_next is None and rest.tb_frame.f_code.co_name == "assert_stmt"


__all__ = ["staged_code"]
