"""Traced functions whose results must have a given structure and given types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.core import Function, Value
from ir.errors import ArgumentTypeError
from ir.op import Builder, building
from ir.ops.convert import convert
from ir.types import TensorType
from tracer.api.control import leaf_path
from tracer.trace import Traced


def conformed(name: str, traced: Traced, tree: Any, types: Sequence[TensorType]) -> Function:
    """The function with results of these types; Python numbers among them take theirs.

    It is checked after tracing, since a function that calls JAX is traced by JAX.

    Args:
      name: of the caller, for messages.
      tree: the structure to expect.
      types: of its leaves.

    Raises:
      ArgumentTypeError: another structure, or a leaf of another type; names the leaf and both types.
    """
    function = traced.function
    if traced.out_tree != tree:
        raise ArgumentTypeError(
            f"{name}: expected the result of {function.name} to have the structure {tree}, got {traced.out_tree}"
        )
    builder, results = Builder(), list[Value]()
    with building(builder):
        for k, (out, weak, want) in enumerate(zip(function.results, traced.out_weak, types, strict=True)):
            have = out.type
            fits = weak and have.shape == want.shape and want.dtype.is_complex >= have.dtype.is_complex
            if have is not want and not fits:
                raise ArgumentTypeError(
                    f"{name}: expected the result of {function.name} to have {want} as "
                    f"leaf{leaf_path(tree, k)}, got {have}"
                )
            results.append(out if have is want else convert(out, dtype=want.dtype))
    return function.replace(eqns=(*function.eqns, *builder.eqns), results=tuple(results))


def require_inexact(name: str, types: Sequence[TensorType], tree: Any, of: str = "") -> None:
    """ArgumentTypeError, which names the leaf, unless all types are floating point or complex."""
    for k, t in enumerate(types):
        if not t.dtype.is_inexact:
            raise ArgumentTypeError(
                f"{name}: expected floating point or complex arrays, got {t} as leaf{leaf_path(tree, k)}{of}"
            )


__all__ = ["conformed", "require_inexact"]
