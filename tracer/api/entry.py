"""What a call of a jitted function goes through before JAX's C++ path: as little Python as there can be.

A wrapper costs about as much as five per cent of a small compiled call. Most of that is the packing of arguments
into a tuple and a dictionary, so functions of few parameters, all of them required, get a wrapper with just these.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType, MethodType
from typing import Any

from lowering.late import wait
from tracer.state import ACTIVE

# Stands for an argument that was not given.
_NOTHING: Any = object()

Compiled = Callable[..., Any]
General = Callable[[tuple[Any, ...], dict[str, Any]], Any]
Explained = Callable[[Exception, tuple[Any, ...], dict[str, Any]], None]


def entry(
    f: Callable[..., Any],
    compiled: Compiled,
    general: General,
    explained: Explained,
    *,
    direct: bool,
    late: Sequence[str] = (),
) -> Any:
    """A function with the name and the signature of `f` that calls `compiled` where no trace is active.

    Args:
      compiled: where no trace is active.
      general: takes positional arguments and keywords, anywhere.
      explained: raises a better error for one that `compiled` raised, if it knows any.
      direct: `compiled` may get by position what was given by keyword.
      late: where it is not empty, results are waited for, so that their errors are errors of the call.
    """
    names = _required(f) if direct else []
    make = _BY_COUNT.get(len(names))
    if make is None:
        return functools.wraps(f)(_of_any(compiled, general, explained, late))
    found = make(compiled, general, explained, late)
    code = found.__code__
    # Its parameters have the names of those of `f`, so that keywords work.
    found.__code__ = code.replace(co_varnames=(*names, *code.co_varnames[len(names) :]))
    return functools.wraps(f)(found)


def _required(f: Callable[..., Any]) -> list[str]:
    """The names of the parameters if all are required and may be given by position, else none.

    Of the function itself: what it says it wraps may take others.
    """
    bound = isinstance(f, MethodType)
    function = f.__func__ if isinstance(f, MethodType) else f
    if not isinstance(function, FunctionType) or function.__defaults__:
        return []
    code = function.__code__
    others = code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS)
    if others or code.co_kwonlyargcount or code.co_posonlyargcount:
        return []
    return list(code.co_varnames[bound : code.co_argcount])


def _given(*args: Any) -> tuple[Any, ...]:
    return tuple([x for x in args if x is not _NOTHING])


def _of_any(compiled: Compiled, general: General, explained: Explained, late: Sequence[str]) -> Any:
    active = ACTIVE

    def jitted(*args: Any, **kwargs: Any) -> Any:
        if active:
            return general(args, kwargs)
        try:
            outs = compiled(*args, **kwargs) if kwargs else compiled(*args)
            return wait(outs) if late else outs
        except (TypeError, ValueError, RuntimeError) as error:
            explained(error, args, kwargs)
            raise

    return jitted


# A parameter that is not given has a default, so that the error is ours.


def _of_one(compiled: Compiled, general: General, explained: Explained, late: Sequence[str]) -> FunctionType:
    active, nothing = ACTIVE, _NOTHING

    def jitted(a: Any = nothing) -> Any:
        if active:
            return general(_given(a), {})
        try:
            outs = compiled(a)
            return wait(outs) if late else outs
        except (TypeError, ValueError, RuntimeError) as error:
            explained(error, _given(a), {})
            raise

    return jitted  # type: ignore[return-value]


def _of_two(compiled: Compiled, general: General, explained: Explained, late: Sequence[str]) -> FunctionType:
    active, nothing = ACTIVE, _NOTHING

    def jitted(a: Any = nothing, b: Any = nothing) -> Any:
        if active:
            return general(_given(a, b), {})
        try:
            outs = compiled(a, b)
            return wait(outs) if late else outs
        except (TypeError, ValueError, RuntimeError) as error:
            explained(error, _given(a, b), {})
            raise

    return jitted  # type: ignore[return-value]


def _of_three(
    compiled: Compiled, general: General, explained: Explained, late: Sequence[str]
) -> FunctionType:
    active, nothing = ACTIVE, _NOTHING

    def jitted(a: Any = nothing, b: Any = nothing, c: Any = nothing) -> Any:
        if active:
            return general(_given(a, b, c), {})
        try:
            outs = compiled(a, b, c)
            return wait(outs) if late else outs
        except (TypeError, ValueError, RuntimeError) as error:
            explained(error, _given(a, b, c), {})
            raise

    return jitted  # type: ignore[return-value]


class _Attributes(dict[str, Any]):
    """The attributes of a function, of which wrappers copy all but some.

    JAX's transforms copy what is in the dictionary of a function, and `jax.jit` copies that over its own: of
    `jax.jit(jax.grad(f))` the method `lower` would be that of `f`. What has `staged` is what `jit` returned.
    """

    _OWN = frozenset({"lower", "eval_shape", "clear_cache", "staged"})

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> Any:
        return dict.fromkeys([name for name, _ in self.items() if name not in self._OWN]).keys()


def with_attributes(function: Any, **attributes: Any) -> Any:
    """The function, with these attributes."""
    function.__dict__ = _Attributes(function.__dict__)
    function.__dict__.update(attributes)
    return function


_BY_COUNT = {1: _of_one, 2: _of_two, 3: _of_three}

__all__ = ["entry", "with_attributes"]
