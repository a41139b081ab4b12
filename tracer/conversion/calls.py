"""Which functions are converted as converted code calls them.

User code is, library code is not: there Python's own control flow is on known values. Everything else is
called as it stands: builtins, classes, generators, and what cannot be converted.
"""

from __future__ import annotations

import functools
import inspect
import sysconfig
import weakref
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import jax

from ir.errors import ConcretizationError, ConversionError
from ir.source import is_internal
from tracer.api.autograph import is_converted
from tracer.conversion.iteration import enumerate_, range_, zip_
from tracer.conversion.reductions import all_, any_, max_, min_
from tracer.conversion.transpile import convert

_STAGED: dict[Any, Callable[..., Any]] = {
    range: range_,
    enumerate: enumerate_,
    zip: zip_,
    min: min_,
    max: max_,
    any: any_,
    all: all_,
}
# Functions of these are called for what they are given, which the user sees as a call of his own.
_CALL_THEIR_ARGUMENTS = frozenset({map, filter, functools.reduce, jax.tree.map, jax.tree_util.tree_map})
_NEVER_CONVERTED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

_library: dict[tuple[str, str], bool] = {}
_refused: weakref.WeakKeyDictionary[CodeType, ConversionError] = weakref.WeakKeyDictionary()


def converted_call(f: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None, scope: Any = None) -> Any:
    """`f(*args, **kwargs)` from converted code, `f` converted where it is the user's."""
    kind = type(f)
    if kind is FunctionType:
        return _call_function(f, args, kwargs or {})
    if kind is MethodType:
        return converted_call(f.__func__, (f.__self__, *args), kwargs)
    if kind is functools.partial:
        return converted_call(f.func, (*f.args, *args), {**f.keywords, **(kwargs or {})})
    if kind in (BuiltinFunctionType, type):
        staged = _STAGED.get(f)
        if staged is not None:
            return staged(*args, **(kwargs or {}))
        if f in _CALL_THEIR_ARGUMENTS:
            args, kwargs = _converted_arguments(args, kwargs)
    elif not isinstance(f, type):
        method = inspect.getattr_static(kind, "__call__", None)
        if type(method) is FunctionType and not _is_library(method):
            return _call_function(method, (f, *args), kwargs or {})
        if is_internal(kind.__module__):
            args, kwargs = _converted_arguments(args, kwargs)
    return f(*args, **kwargs) if kwargs else f(*args)


def _call_function(fn: FunctionType, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not _is_convertible(fn):
        if fn.__globals__.get("__name__", "").partition(".")[0] == "tracer" or fn in _CALL_THEIR_ARGUMENTS:
            args, kwargs = _converted_arguments(args, kwargs)  # type: ignore[assignment]
        return fn(*args, **kwargs)
    reason = _refused.get(fn.__code__)
    if reason is None:
        try:
            converted = convert(fn)
        except ConversionError as error:
            reason = _refused[fn.__code__] = error.with_traceback(None)
        else:
            return converted(*args, **kwargs)
    try:
        return fn(*args, **kwargs)
    except ConcretizationError as error:
        error.add_note(f"{fn.__qualname__} was called without being converted: {reason}")
        raise


def requested_call(f: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`f(*args, **kwargs)`, `f` converted because the user said so.

    Raises:
      ConversionError: it cannot be.
    """
    fn = f.__func__ if type(f) is MethodType else f
    if type(fn) is FunctionType and not is_converted(fn):
        if fn.__code__.co_flags & _NEVER_CONVERTED:
            raise ConversionError(f"expected a function to convert, got the generator {fn.__qualname__}")
        if not is_internal(fn.__globals__.get("__name__", "")):
            args = (f.__self__, *args) if fn is not f else args
            return convert(fn)(*args, **kwargs)
    return converted_call(f, args, kwargs)


def _is_convertible(fn: FunctionType) -> bool:
    return not fn.__code__.co_flags & _NEVER_CONVERTED and not is_converted(fn) and not _is_library(fn)


def _is_library(fn: FunctionType) -> bool:
    return is_library_code(fn.__code__.co_filename, fn.__globals__.get("__name__") or "")


def is_library_code(file: str, module: str) -> bool:
    """Whether a file or module belongs to Python, to an installed package or to tracer."""
    key = (file, module)
    found = _library.get(key)
    if found is None:
        inside = file.startswith(_LIBRARIES) or file.startswith("<frozen")
        found = _library[key] = inside or is_internal(module) or module.partition(".")[0] == "malt"
    return found


def _converted_arguments(args: Any, kwargs: dict[str, Any] | None) -> tuple[Any, dict[str, Any] | None]:
    from tracer.api.autograph import autograph

    def each(x: Any) -> Any:
        fn = x.__func__ if type(x) is MethodType else x
        return autograph(x) if type(fn) is FunctionType and _is_convertible(fn) else x

    return tuple([each(x) for x in args]), kwargs and {k: each(x) for k, x in kwargs.items()}


__all__ = ["converted_call", "is_library_code", "requested_call"]
