"""What the command line names: `module:function`, `file.py:function`, `module:object.method`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from ir.errors import ArgumentError, ArgumentTypeError
from tracer.api.arguments import function_name
from tracer.cli.arguments import Arguments


def load(target: str) -> Any:
    """The object that `module:name` is.

    Raises:
      ArgumentError: no such module or attribute, or no such form.
    """
    where, colon, path = target.rpartition(":")
    if not colon or not where or not path:
        raise ArgumentError(f"expected module:function or file.py:function, got {target!r}")
    found: Any = _module(where)
    at = where
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            names = [each for each in dir(found) if not each.startswith("_")]
            close = difflib.get_close_matches(name, names, 3)
            hint = (
                f"did you mean {' or '.join(close)}?"
                if close
                else f"it has {', '.join(names[:12]) or 'none'}"
            )
            raise ArgumentError(f"{at} has no attribute {name!r}; {hint}") from error
        at = f"{at}:{name}" if at == where else f"{at}.{name}"
    return found


def load_function(target: str) -> Callable[..., Any]:
    """The function that `module:name` is; ArgumentTypeError if it is none."""
    found = load(target)
    if not callable(found):
        raise ArgumentTypeError(f"expected a function at {target}, got {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def _module(where: str) -> ModuleType:
    directory = os.getcwd()
    if directory not in sys.path and "" not in sys.path:  # as for `python -m`
        sys.path.insert(0, directory)
    if where.endswith(".py") or os.sep in where:
        return _file(where)
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as error:
        # A module that it imports may be missing instead: that is its own error.
        if error.name is None or not (where == error.name or where.startswith(error.name + ".")):
            raise
        there = os.path.exists(where.replace(".", os.sep) + ".py")
        hint = f"; for a file write {where}.py:…" if there else f" on sys.path, which begins with {directory}"
        raise ArgumentError(f"no module named {error.name!r}{hint}") from error


def _file(path: str) -> ModuleType:
    full = os.path.abspath(path)
    if not os.path.isfile(full):
        raise ArgumentError(f"no file {path!r}")
    name = os.path.splitext(os.path.basename(full))[0]
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"expected a Python file, got {path!r}")
    module = importlib.util.module_from_spec(spec)
    # As when a script is run: what stands beside it can be imported.
    sys.path.insert(0, os.path.dirname(full))
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def made_arguments(target: str) -> Arguments:
    """What the function at `module:name` returns: a tuple or list of arguments, a dict of keywords, or both.

    Raises:
      ArgumentTypeError: something else.
    """
    made = load_function(target)()
    if isinstance(made, Mapping):
        return Arguments((), dict(made))
    if isinstance(made, (tuple, list)):
        if len(made) == 2 and isinstance(made[0], (tuple, list)) and isinstance(made[1], Mapping):
            return Arguments(tuple(made[0]), dict(made[1]))
        return Arguments(tuple(made), {})
    raise ArgumentTypeError(
        f"expected {target} to return a tuple of arguments, a dict of keywords, or (tuple, dict), "
        f"got {type(made).__name__}"
    )


def check_call(f: Callable[..., Any], arguments: Arguments) -> None:
    """ArgumentTypeError, with the signature and what to write, if the arguments do not fit."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*arguments.args, **arguments.kwargs)
    except TypeError as error:
        names = [
            p.name
            for p in signature.parameters.values()
            if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        note = f"write an --arg for each of {', '.join(names)}, such as --arg 'f32[3,4]'" if names else None
        raise ArgumentTypeError(
            f"{function_name(f)}{signature} was given {len(arguments.args)} positional arguments"
            + (f" and the keywords {', '.join(arguments.kwargs)}" if arguments.kwargs else "")
            + f": {error}",
            note=note,
        ) from error
