"""Trees of arrays (tuples, lists, dicts), flattened in JAX's order without JAX. May import: the standard library."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def leaves(tree: Any) -> list[Any]:
    """As `jax.tree_util.tree_leaves`: dictionaries sorted by key, None without leaves."""
    if tree is None:
        return []
    if isinstance(tree, Mapping):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def mapped(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """As `jax.tree_util.tree_map`; named tuples stay named."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {key: mapped(function, tree[key], *[other[key] for other in others]) for key in sorted(tree)}
    if isinstance(tree, tuple | list):
        parts = [mapped(function, *each) for each in zip(tree, *others, strict=True)]
        if isinstance(tree, tuple) and hasattr(tree, "_fields"):
            return type(tree)(*parts)
        return type(tree)(parts)
    return function(tree, *others)


def rebuilt(tree: Any, flat: Iterable[Any]) -> Any:
    """The tree with other leaves, in the order of `leaves`."""
    remaining = iter(flat)
    return mapped(lambda _: next(remaining), tree)


__all__ = ["leaves", "mapped", "rebuilt"]
