"""Arguments of transformed functions as flat leaves with types and names, and results back again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import Any, cast

import jax

from ir.errors import ArgumentTypeError, TracerError
from ir.source import capture
from ir.types import TensorType
from tracer.api.autograph import inherited
from tracer.leaves import merged
from tracer.state import state
from tracer.types import type_of
from tracer.value import Tensor

tree_flatten: Callable[..., tuple[list[Any], Any]] = jax.tree_util.tree_flatten
tree_unflatten = jax.tree_util.tree_unflatten
tree_leaves = jax.tree_util.tree_leaves


def leaf_type(x: Any) -> tuple[TensorType, bool]:
    """(type, weak) of a traced or concrete leaf."""
    if type(x) is Tensor:
        x.require_active()
        return x.value.type, x.weak
    if hasattr(x, "__jax_array__") and not isinstance(x, jax.Array):
        return leaf_type(x.__jax_array__())
    return type_of(x)


@dataclass(frozen=True, slots=True)
class Flat:
    """Flattened call arguments.

    Attributes:
      leaves: arrays, numbers or traced values.
      types, weak: of the leaves.
      names: of the leaves, such as `p_w` for `p["w"]`.
      tree: structure of (args, kwargs).
      fixed: leaves that are passed on as they are, by position among all.
    """

    leaves: list[Any]
    types: tuple[TensorType, ...]
    weak: tuple[bool, ...]
    names: list[str]
    tree: Any
    fixed: Mapping[int, Any] = field(default_factory=dict)

    def unflatten(self, leaves: Sequence[Any]) -> tuple[Any, Any]:
        """(args, kwargs) with other leaves."""
        if not self.fixed:
            return cast("tuple[Any, Any]", tree_unflatten(self.tree, leaves))
        every = merged(self.fixed, leaves, self.tree.num_leaves)
        return cast("tuple[Any, Any]", tree_unflatten(self.tree, every))


def _passes(x: Any) -> bool:
    """Whether a leaf that need not be traced stays a Python object: no array, or a Python int or bool."""
    if type(x) in (Tensor, float, complex):
        return False
    return isinstance(x, (bool, int, str)) or not (hasattr(x, "dtype") or hasattr(x, "__jax_array__"))


def flatten(args: Any, kwargs: Any, fn: Callable[..., Any], free: Sequence[bool] | None = None) -> Flat:
    """Flatten call arguments; ArgumentTypeError names the argument that is no array.

    Args:
      args, kwargs: of the call.
      fn: the function called, for the names.
      free: leaves that need not be traced: of those, Python ints, bools and what is no array stay as
        they are.
    """
    every, tree = tree_flatten((args, kwargs))
    names = leaf_names(fn, tree, args, kwargs)
    fixed: dict[int, Any] = {}
    if free is not None:
        fixed = {
            i: x for i, (x, is_free) in enumerate(zip(every, free, strict=True)) if is_free and _passes(x)
        }
    leaves = [x for i, x in enumerate(every) if i not in fixed] if fixed else every
    if fixed:
        names = [n for i, n in enumerate(names) if i not in fixed]
    types, weak = [], []
    for i, leaf in enumerate(leaves):
        try:
            type_, is_weak = leaf_type(leaf)
        except TracerError as error:
            error.message = f"argument {names[i]} of {function_name(fn)}: {error.message}"
            error.source = error.source or capture(2)
            raise
        types.append(type_)
        weak.append(is_weak)
    return Flat(leaves, tuple(types), tuple(weak), names, tree, fixed)


def call(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`fn(*args, **kwargs)`; ArgumentTypeError where the arguments do not fit its signature."""
    try:
        return inherited(fn)(*args, **kwargs) if state.autograph else fn(*args, **kwargs)
    except TypeError as error:
        if not isinstance(error, TracerError):
            check_signature(fn, args, kwargs, error)
        raise


def check_signature(
    fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], cause: Exception
) -> None:
    """ArgumentTypeError, caused by `cause`, where the arguments do not fit the signature of `fn`."""
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise ArgumentTypeError(
            f"{function_name(fn)}: expected arguments {signature}, got {len(args)} positional "
            f"and the keywords {sorted(kwargs)}: {error}"
        ) from cause


def function_name(fn: Callable[..., Any]) -> str:
    """A printable name."""
    return str(getattr(fn, "__name__", type(fn).__name__)).replace("<lambda>", "fn")


# Signatures are slow to inspect; a plain function's names follow from its code object alone.
_names: dict[tuple[CodeType, Any], list[str]] = {}


def leaf_names(fn: Callable[..., Any], tree: Any, args: Any, kwargs: Any) -> list[str]:
    """Names of flat arguments, such as `p_w` for `p["w"]`, from the signature of `fn`.

    Args:
      fn: the function called.
      tree: structure of (args, kwargs).
      args, kwargs: of the call.
    """
    if type(fn) is not FunctionType or fn.__dict__:
        return _leaf_names(fn, args, kwargs)
    key = (fn.__code__, tree)
    try:
        found = _names.get(key)
    except TypeError:  # a pytree node with unhashable metadata
        return _leaf_names(fn, args, kwargs)
    if found is None:
        if len(_names) > 4096:
            _names.clear()
        found = _names[key] = _leaf_names(fn, args, kwargs)
    return found


def _leaf_names(fn: Callable[..., Any], args: Any, kwargs: Any) -> list[str]:
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is p.VAR_POSITIONAL), "arg")
    out = []
    for path, _ in jax.tree_util.tree_flatten_with_path((tuple(args), dict(kwargs)))[0]:
        group, first, *inner = [
            str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path
        ]
        if group == "0":
            n = int(first)
            first = positional[n] if n < len(positional) else f"{rest}{n - len(positional)}"
        out.append("_".join([first, *inner]))
    return out


def positions(argnums: int | Sequence[int], count: int, what: str) -> tuple[tuple[int, ...], bool]:
    """Non-negative argument numbers, and whether a single one was given."""
    single = hasattr(argnums, "__index__")
    given: tuple[Any, ...] = (argnums,) if single else tuple(cast("Sequence[int]", argnums))
    for n in given:
        if not hasattr(n, "__index__") or not -count <= n.__index__() < count:
            raise ArgumentTypeError(
                f"{what}: argnums {argnums} do not fit a call with {count} positional arguments"
            )
    chosen = tuple([n.__index__() % count for n in given])
    if len(set(chosen)) != len(chosen):
        raise ArgumentTypeError(f"{what}: expected argnums that differ, got {argnums}")
    return chosen, single


def argument_mask(args: Sequence[Any], chosen: Sequence[int], count: int) -> tuple[bool, ...]:
    """Which of `count` leaves of (args, kwargs) belong to the chosen positional arguments."""
    mask: list[bool] = []
    for n, arg in enumerate(args):
        mask.extend([n in chosen] * len(tree_leaves(arg)))
    return (*mask, *[False] * (count - len(mask)))
