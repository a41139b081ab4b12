"""What staged code changes besides the variables that it assigns by name.

The body of a branch or loop runs once while it is recorded; a list that it appends to, or a variable that a
function called in it assigns, would keep values of a trace that has ended. So what the body can reach through
its closure is compared with what it was, and put back; whoever stages the body decides what the change becomes.
"""

from __future__ import annotations

import dis
import functools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from tracer.conversion.calls import is_library_code

# A list, dict or set, the attributes of an object, or the cell of a variable.
Container = list[Any] | dict[Any, Any] | set[Any] | CellType


class Watched:
    """What some functions can reach and change, as it was.

    Attributes:
      names: of the variables.
      objects: the containers.
    """

    def __init__(
        self, functions: Sequence[Callable[..., Any]], set_state: Callable[..., Any], names: Sequence[str]
    ) -> None:
        self.names: list[str] = []
        self.objects: list[Container] = []
        self._cells: list[tuple[str, CellType]] = []
        # What `d["k"] = x` does to `d` is known by the name of the variable `d["k"]`.
        self._named = {re.split(r"[.\[]", name)[0] for name in names if not name.isidentifier()}
        self._seen: set[int] = {id(cell) for cell in getattr(set_state, "__closure__", None) or ()}
        # What the code assigns by name is a variable of the branch or loop, or is not used after it.
        self._assigned = frozenset().union(*[_assigned(fn.__code__) for fn in functions])
        for fn in functions:
            self._function(fn)
        for name, cell in self._cells:
            if name not in self._assigned:
                self._add(name, cell)
        self._before = [_content(each) for each in self.objects]

    def _function(self, fn: Any) -> None:
        """Watch what a function closes over, and the functions among that."""
        code, cells = getattr(fn, "__code__", None), getattr(fn, "__closure__", None)
        if code is None or cells is None or is_library_code(code.co_filename, fn.__globals__["__name__"]):
            return
        for name, cell in zip(code.co_freevars, cells, strict=True):
            known = id(cell) in self._seen
            self._seen.add(id(cell))
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
            if not known:
                self._cells.append((name, cell))
            if id(value) in self._seen or name in self._named:
                continue
            self._seen.add(id(value))
            if type(value) in (list, dict, set):
                self._add(name, value)
            elif type(value) is FunctionType:
                self._function(value)
            elif type(value) is MethodType:
                self._function(value.__func__)
            elif _is_users(value):
                self._add(name, vars(value))

    def _add(self, name: str, container: Container) -> None:
        self.names.append(name)
        self.objects.append(container)

    def changes(self) -> dict[int, Any]:
        """What changed containers hold now, by position; all hold again what they did before."""
        changed = {}
        for k, (container, before) in enumerate(zip(self.objects, self._before, strict=True)):
            now = _content(container)
            if not _same(now, before):
                changed[k] = now
                fill(container, before)
        return changed

    def before(self, k: int) -> Any:
        """What a container held."""
        return self._before[k]


def fill(container: Container, content: Any) -> None:
    """Make a container hold exactly `content`, in place."""
    if isinstance(container, CellType):
        (container.cell_contents,) = content
        return
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def _content(container: Container) -> Any:
    return (container.cell_contents,) if isinstance(container, CellType) else container.copy()


@functools.lru_cache(4096)
def _assigned(code: CodeType) -> frozenset[str]:
    """The free variables that a function assigns, in code made for branches and loops in it too."""
    own = {i.argval for i in dis.get_instructions(code) if i.opname in ("STORE_DEREF", "DELETE_DEREF")}
    inner = [_assigned(c) for c in code.co_consts if isinstance(c, CodeType) and c.co_name == code.co_name]
    return frozenset(own).union(*inner)


def _is_users(value: Any) -> bool:
    """Whether a value is an object of a class of the user's, with attributes."""
    if isinstance(value, type) or not isinstance(getattr(value, "__dict__", None), dict):
        return False
    module = type(value).__module__
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return module != "builtins" and not is_library_code(file, module)


def _same(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    return all(x is y for x, y in zip(_flat(a), _flat(b), strict=True))


def _flat(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield value
    else:
        yield from content


__all__ = ["Container", "Watched", "fill"]
