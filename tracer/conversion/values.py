"""Variables around staged code: which of their leaves are arrays, and what is not assigned yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import numpy as np

from ir.errors import ArgumentTypeError, ShapeError, UndefinedVariableError
from ir.source import Source, capture
from ir.types import KEY_WORDS, TensorType, bool_
from tracer.api.arguments import leaf_type, tree_flatten, tree_unflatten
from tracer.numpy.creation import zeros
from tracer.numpy.dispatch import lift
from tracer.random import wrap_key_data
from tracer.state import state
from tracer.types import KEY_IMPLS
from tracer.value import Tensor


class Undefined:
    """Stands for a variable that is not assigned.

    Attributes:
      symbol_name: of the variable.
      why: for the message, where only some paths through staged code assign it.
      source: of that code.
    """

    __slots__ = ("source", "symbol_name", "why")

    def __init__(self, symbol_name: str, why: str = "", source: Source | None = None) -> None:
        self.symbol_name = symbol_name
        self.why = why
        self.source = source

    def read(self) -> NoReturn:
        """What reading the variable raises."""
        if self.why:
            raise UndefinedVariableError(
                f"expected {self.symbol_name!r} to be assigned before it is used, but {self.why} "
                f"(at {self.source})",
                note="assign it before, on every path",
                source=capture(2),
            )
        raise UnboundLocalError(
            f"cannot access local variable {self.symbol_name!r} where it is not associated with a value"
        )


class UndefinedReturnValue:
    """Stands for the result of a function that has not returned yet."""


def ld(value: Any) -> Any:
    """The value of a variable that is read; an error where it is not assigned."""
    if type(value) is Undefined:
        value.read()
    return value


def ldu(load: Any, name: str) -> Any:
    """The value of `self.x`, `d["k"]` and the like, or `Undefined`."""
    try:
        return load()
    except (KeyError, AttributeError, NameError, IndexError, TypeError):
        return Undefined(name)


def is_undefined(value: Any) -> bool:
    """Whether a value only marks that there is none."""
    return isinstance(value, (Undefined, UndefinedReturnValue))


def described(name: str) -> str:
    """A variable as messages name it: those that hold what a function returns are AutoGraph's."""
    return "the returned value" if name.startswith("retval_") else f"the variable {name!r}"


def is_traced(value: Any) -> bool:
    """Whether the truth of `value` is not known while the program is being recorded."""
    if isinstance(value, (Tensor, jax.core.Tracer)):
        return True
    # Objects that stand for an array, such as the parameters of some libraries.
    return (
        hasattr(value, "__jax_array__")
        and not isinstance(value, (type, jax.Array))
        and isinstance(value.__jax_array__(), (Tensor, jax.core.Tracer))
    )


def truth(value: Any) -> Tensor:
    """`bool(value)` as a traced scalar.

    Raises:
      ShapeError: an array with more than one element has no truth value.
      ArgumentTypeError: a key has none.
    """
    if state.trace is None:
        from tracer.api.jacobians import _one_program

        return _one_program(truth)(value)  # type: ignore[no-any-return]
    x = lift(value)
    if x.size != 1:
        raise ShapeError(
            f"expected a scalar condition, got {x.value.type}: the truth value of an array is ambiguous",
            note="use .any() or .all()",
            source=capture(2),
        )
    if x.shape:
        x = x.reshape(())
    if x.value.type.dtype is bool_:
        return x
    if x.value.type.dtype.kind == "key":
        raise ArgumentTypeError(f"expected a condition, got {x.value.type}", source=capture(2))
    return x != 0  # type: ignore[no-any-return]


def is_array(leaf: Any) -> bool:
    """Whether a leaf may become a traced value."""
    if isinstance(leaf, (bool, int, float, complex, Tensor, jax.Array, np.generic)):
        return True
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind not in "OSUMm"
    return hasattr(leaf, "__jax_array__") and not isinstance(leaf, type)


@dataclass(frozen=True, slots=True)
class Parts:
    """The value of a variable, taken apart.

    Attributes:
      tree: its structure.
      leaves: all leaves; in traces that have ended, those that are arrays mean nothing.
      arrays: positions of the leaves that may be traced.
    """

    tree: Any
    leaves: Sequence[Any]
    arrays: tuple[int, ...]

    def whole(self, arrays: Sequence[Any]) -> Any:
        """The value with these in the place of its arrays."""
        leaves = list(self.leaves)
        for i, x in zip(self.arrays, arrays, strict=True):
            leaves[i] = x
        return tree_unflatten(self.tree, leaves)

    @property
    def undefined(self) -> Any:
        """The marker, where the variable is not assigned."""
        return self.leaves[0] if len(self.leaves) == 1 and is_undefined(self.leaves[0]) else None


def parts(value: Any) -> Parts:
    """A value, taken apart."""
    leaves, tree = tree_flatten(value)
    return Parts(tree, leaves, tuple([i for i, x in enumerate(leaves) if is_array(x)]))


def same_object(a: Any, b: Any) -> bool:
    """Whether two leaves are one value that can stay as it is."""
    if a is b:
        return True
    if type(a) is not type(b) or is_traced(a):
        return False
    if isinstance(a, (bool, int, str, bytes, type(None))):
        return bool(a == b)
    if isinstance(a, (float, complex)):
        return repr(a) == repr(b)  # zeros have signs
    if isinstance(a, (jax.Array, np.ndarray, np.generic)) or is_undefined(a):
        return False
    try:
        return bool(a == b)
    except Exception:  # noqa: BLE001 (whatever a user's __eq__ may raise: they are not known to be equal)
        return False


def typed(leaf: Any) -> tuple[TensorType, bool]:
    """(type, weakly typed) of a leaf that is an array; its trace may have ended."""
    return (leaf.value.type, leaf.weak) if type(leaf) is Tensor else leaf_type(leaf)


def placeholder(type_: TensorType, weak: bool) -> Any:
    """Some array of a type: the value of a variable on paths that do not use it."""
    if type_.dtype.kind != "key":
        made = zeros(type_.shape, type_.dtype.np)
        return Tensor(made.owner, made.value, weak) if type(made) is Tensor else made
    tag = type_.dtype.name[4:-1]
    words = zeros((*type_.shape, KEY_WORDS[tag]), np.uint32)
    return wrap_key_data(words, impl=KEY_IMPLS[tag])


def shape_of(leaf: Any) -> str:
    """A leaf for messages: its type, or what it is."""
    if is_undefined(leaf):
        return "nothing"
    if is_array(leaf):
        type_, weak = typed(leaf)
        return f"{type_} (weak)" if weak else str(type_)
    return f"{type(leaf).__name__} {leaf!r:.60}"


def summary(given: Parts) -> str:
    """The structure and types of a value, for messages."""
    if given.undefined is not None:
        return "nothing"
    shown = tree_unflatten(given.tree, [_Shown(shape_of(x)) for x in given.leaves])
    return repr(shown)


class _Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


__all__ = [
    "Parts",
    "Undefined",
    "UndefinedReturnValue",
    "described",
    "is_array",
    "is_traced",
    "is_undefined",
    "ld",
    "ldu",
    "parts",
    "placeholder",
    "same_object",
    "shape_of",
    "summary",
    "truth",
    "typed",
]
