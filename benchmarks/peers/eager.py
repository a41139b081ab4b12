"""Control flow of libraries that compute at once: Python's own. May import: trees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.trees import leaves, mapped

Stack = Callable[[list[Any]], Any]


def scan(stack: Stack, f: Callable[..., Any], init: Any, xs: Any, length: int | None = None) -> Any:
    """A loop, and its outputs stacked."""
    trips = leaves(xs)[0].shape[0] if length is None else length
    carry, outputs = init, []
    for k in range(trips):
        carry, y = f(carry, mapped(lambda x, k=k: x[k], xs))
        outputs.append(y)
    return carry, stacked(stack, outputs)


def stacked(stack: Stack, outputs: list[Any]) -> Any:
    """Trees as one tree of arrays with a first axis more."""
    return mapped(lambda *each: stack(list(each)), outputs[0], *outputs[1:]) if outputs else None


def while_loop(cond: Callable[..., Any], body: Callable[..., Any], init: Any) -> Any:
    state = init
    while cond(state):
        state = body(state)
    return state


def vmap(stack: Stack, f: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    """A loop over examples: along the first axis, or an axis for each argument; None: all of it."""

    def mapped_over(*args: Any) -> Any:
        axes = in_axes if isinstance(in_axes, tuple | list) else (in_axes,) * len(args)
        if any(axis not in (0, None) for axis in axes):
            raise NotImplementedError(f"vmap over axes {in_axes}: expected 0 or None")
        along = [arg for arg, axis in zip(args, axes, strict=True) if axis == 0]
        count = leaves(along)[0].shape[0]

        def example(k: int) -> Any:
            chosen = [
                mapped(lambda leaf: leaf[k], arg) if axis == 0 else arg
                for arg, axis in zip(args, axes, strict=True)
            ]
            return f(*chosen)

        return stacked(stack, [example(k) for k in range(count)])

    return mapped_over


__all__ = ["scan", "stacked", "vmap", "while_loop"]
