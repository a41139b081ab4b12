"""Arguments of transformed functions as flat leaves with types and names, and results back again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from ir.errors import ArgumentTypeError, TracerError
from ir.source import capture
from ir.types import TensorType
from tracer.types import type_of
from tracer.value import Tensor

tree_flatten = jax.tree_util.tree_flatten
tree_unflatten = jax.tree_util.tree_unflatten
tree_leaves = jax.tree_util.tree_leaves


def leaf_type(x: Any) -> tuple[TensorType, bool]:
    """(type, weak) of a traced or concrete leaf."""
    if type(x) is Tensor:
        return x.value.type, x.weak
    return type_of(x)


@dataclass(frozen=True, slots=True)
class Flat:
    """Flattened call arguments.

    Attributes:
      leaves: arrays, numbers or traced values.
      tree: structure of (args, kwargs).
      types, weak: of the leaves.
    """

    leaves: list[Any]
    tree: Any
    types: tuple[TensorType, ...]
    weak: tuple[bool, ...]


def flatten(args: Any, kwargs: Any, fn: Callable[..., Any]) -> Flat:
    """Flatten call arguments; ArgumentTypeError names the argument that is no array."""
    leaves, tree = tree_flatten((args, kwargs))
    types, weak = [], []
    for i, leaf in enumerate(leaves):
        try:
            type_, is_weak = leaf_type(leaf)
        except TracerError as error:
            error.message = f"argument {leaf_names(fn, tree)[i]} of {function_name(fn)}: {error.message}"
            error.source = error.source or capture(2)
            raise
        types.append(type_)
        weak.append(is_weak)
    return Flat(leaves, tree, tuple(types), tuple(weak))


def function_name(fn: Callable[..., Any]) -> str:
    """A printable name."""
    return str(getattr(fn, "__name__", type(fn).__name__)).replace("<lambda>", "fn")


def leaf_names(fn: Callable[..., Any], tree: Any) -> list[str]:
    """Names of flat arguments, such as `p_w` for `p["w"]`, from the signature of `fn`."""
    marked = tree_unflatten(tree, list(range(tree.num_leaves)))
    args, kwargs = marked
    try:
        bound = inspect.signature(fn).bind(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {f"arg{i}": a for i, a in enumerate(args)} | kwargs
    names = [""] * tree.num_leaves
    for name, value in bound.items():
        for path, index in jax.tree_util.tree_flatten_with_path(value)[0]:
            parts = [name, *(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path)]
            names[index] = "_".join(parts)
    return names


def positions(argnums: int | Sequence[int], count: int, what: str) -> tuple[tuple[int, ...], bool]:
    """Non-negative argument numbers, and whether a single one was given."""
    single = isinstance(argnums, int)
    given = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    for n in given:
        if not isinstance(n, int) or not -count <= n < count:
            raise ArgumentTypeError(
                f"{what}: argnums {argnums} do not fit a call with {count} positional arguments"
            )
    return tuple([n % count for n in given]), single
