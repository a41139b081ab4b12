"""Lists, dicts and sets that staged code changes in place.

The body of a branch or loop runs once while it is recorded; a list that it appends to would keep values of
a trace that has ended. So the containers that the body closes over are compared with what they were, and put
back; whoever stages the body decides what the change becomes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Container = list[Any] | dict[Any, Any] | set[Any]


class Watched:
    """The containers that some functions close over, as they were.

    Attributes:
      names: of the variables.
      objects: the containers.
    """

    def __init__(self, functions: Sequence[Callable[..., Any]], names: Sequence[str] = ()) -> None:
        # What `d["k"] = x` does to `d` is known by the name of the variable `d["k"]`.
        known = {re.split(r"[.\[]", name)[0] for name in names if not name.isidentifier()}
        self.names: list[str] = []
        self.objects: list[Container] = []
        self._before: list[Container] = []
        seen: set[int] = set()
        for fn in functions:
            code = getattr(fn, "__code__", None)
            for name, cell in zip(
                code.co_freevars if code else (), getattr(fn, "__closure__", None) or (), strict=True
            ):
                try:
                    value = cell.cell_contents
                except ValueError:  # not assigned yet
                    continue
                if type(value) in (list, dict, set) and id(value) not in seen and name not in known:
                    seen.add(id(value))
                    self.names.append(name)
                    self.objects.append(value)
                    self._before.append(value.copy())

    def changes(self) -> dict[int, Container]:
        """What changed containers hold now, by position; all hold again what they did before."""
        changed = {}
        for k, (now, before) in enumerate(zip(self.objects, self._before, strict=True)):
            if not _same(now, before):
                changed[k] = now.copy()
                fill(now, before)
        return changed

    def before(self, k: int) -> Container:
        return self._before[k]


def fill(container: Container, content: Any) -> None:
    """Make a container hold exactly `content`, in place."""
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def _same(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    if isinstance(a, list):
        return all(x is y for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return all(k1 == k2 and x is y for (k1, x), (k2, y) in zip(a.items(), b.items(), strict=True))
    return bool(a == b)


__all__ = ["Container", "Watched", "fill"]
