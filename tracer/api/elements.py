"""Which element types derivatives are taken of and by, and what is said where they do not fit.

A function of complex numbers has a complex derivative only where it is holomorphic, and of a function that is not,
the number would mean something else. So complex arguments and results are taken for holomorphic functions that are
called so, and for products with the Jacobian (`jvp`, `vjp`), which are real-linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.errors import ArgumentTypeError
from ir.types import TensorType
from tracer.api.arguments import leaf_type, tree_flatten

_HOLOMORPHIC = "; of a holomorphic function, holomorphic=True gives the complex derivative"
_NOT_HOLOMORPHIC = "holomorphic=True is for functions of complex numbers with complex results"


def require_arguments(
    types: Sequence[TensorType],
    names: Sequence[str],
    what: str,
    *,
    holomorphic: bool,
    allow_int: bool = False,
) -> None:
    """ArgumentTypeError, which names the argument, unless derivatives by these types are defined in reverse mode.

    Args:
      types: of the arguments to differentiate by.
      names: of those arguments.
      what: of the caller.
      holomorphic: the derivative is that of a holomorphic function.
      allow_int: arguments without tangents may be among them.
    """
    for name, type_ in zip(names, types, strict=True):
        if not type_.dtype.is_inexact:
            if not allow_int:
                raise ArgumentTypeError(
                    f"{what}: expected float or complex arguments to differentiate, "
                    f"got {type_.dtype.kind} {type_} for {name}; integers have no tangents "
                    "(allow_int=True gives zeros of dtype float0)"
                )
        elif holomorphic and not type_.dtype.is_complex:
            raise ArgumentTypeError(
                f"{what}: expected complex arguments, got {type_} for {name}; {_NOT_HOLOMORPHIC}"
            )


def require_scalar_kind(type_: TensorType, name: str, *, holomorphic: bool) -> None:
    """ArgumentTypeError unless the result of `name` is real, or complex for a holomorphic function."""
    if holomorphic:
        if not type_.dtype.is_complex:
            raise ArgumentTypeError(
                f"grad: expected a complex result of {name}, got {type_}; {_NOT_HOLOMORPHIC}"
            )
    elif type_.dtype.kind != "float":
        hint = _HOLOMORPHIC if type_.dtype.is_complex else ""
        raise ArgumentTypeError(f"grad: expected a real float result of {name}, got {type_}{hint}")


def require_kinds(tree: Any, kinds: tuple[str, ...], what: str, *, holomorphic: bool = False) -> None:
    """ArgumentTypeError unless all arrays of a tree have elements of these kinds, or complex ones if `holomorphic`."""
    wanted = ("complex",) if holomorphic else kinds
    for leaf in tree_flatten(tree)[0]:
        type_ = leaf_type(leaf)[0]
        if type_.dtype.kind not in wanted:
            hint = f"; {_NOT_HOLOMORPHIC}" if holomorphic else _HOLOMORPHIC if type_.dtype.is_complex else ""
            raise ArgumentTypeError(
                f"{what}: expected elements of kind {' or '.join(wanted)}, got {type_}{hint}"
            )


__all__ = ["require_arguments", "require_kinds", "require_scalar_kind"]
