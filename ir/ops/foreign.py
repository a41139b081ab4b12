"""`foreign`: an operation that another system defines, kept whole, with all of its rules.

What is outside the op set (a kernel, a callback, a collective, a primitive that somebody else wrote)
becomes one equation. Its attribute holds an object with the protocol of `Primitive`, which tells types
and values and gives derivatives, transposes and batches as functions of the IR. Two such equations are
equal where they hold the same object.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ir.core import Function, Opaque
from ir.errors import IRTypeError
from ir.op import Linear, Op, current_builder, inline
from ir.ops.families import op
from ir.types import TensorType

Types = tuple[TensorType, ...]


class Primitive(Protocol):
    """What a foreign operation knows of itself."""

    in_types: Types
    out_types: Types

    def evaluate(self, *arrays: Any) -> tuple[Any, ...]:
        """Its results at NumPy arrays."""

    def jvp(self, nonzero: tuple[bool, ...]) -> tuple[Function, tuple[bool, ...]]:
        """(operands, tangents where `nonzero`) -> (results, tangents), and which results have a tangent."""

    def transpose(self, linear: tuple[bool, ...], seeded: tuple[bool, ...]) -> Function:
        """(other operands, cotangents where `seeded`) -> cotangents of the `linear` operands."""

    def batch(self, batched: tuple[bool, ...], size: int) -> Op | Function:
        """The function of operands with a leading axis where `batched`, all results with one."""


def _type(*types: TensorType, primitive: Opaque) -> Types:
    if types != primitive.obj.in_types:
        raise IRTypeError(f"{primitive.name}: expected operands {primitive.obj.in_types}, got {types}")
    return primitive.obj.out_types  # type: ignore[no-any-return]


def _results(out: Any) -> tuple[Any, ...]:
    return out if isinstance(out, tuple) else (out,)


def _differentiate(operands: Any, tangents: Any, *, primitive: Opaque) -> Any:
    """The results by the operation itself, so that they never depend on a tangent; tangents by its JVP."""
    this = foreign_effect if primitive.obj.effect else foreign
    nonzero = tuple([t is not None for t in tangents])
    if not any(t.dtype.is_inexact for t in primitive.obj.out_types):
        results = _results(this(*operands, primitive=primitive)) if primitive.obj.out_types else ()
        if not primitive.obj.out_types:
            current_builder().emit(this, tuple(operands), {"primitive": primitive})
        return results, (None,) * len(results)
    program, present = primitive.obj.jvp(nonzero)
    outs = inline(program, (*operands, *[t for t in tangents if t is not None]))
    count = len(primitive.obj.out_types)
    douts = iter(outs[count:])
    pushed = tuple([next(douts) if p else None for p in present])
    from ir.transforms.linearize import LinearBuilder

    builder = current_builder()
    if isinstance(builder, LinearBuilder) and not builder.linear.isdisjoint(outs[:count]):
        return _results(this(*operands, primitive=primitive)), pushed
    return outs[:count], pushed


def _transpose(cts: Any, operands: Any, *, primitive: Opaque) -> Any:
    linear = tuple([isinstance(x, Linear) for x in operands])
    back = primitive.obj.transpose(linear, tuple([ct is not None for ct in cts]))
    others = [x for x in operands if not isinstance(x, Linear)]
    outs = iter(inline(back, (*others, *[ct for ct in cts if ct is not None])))
    return tuple([next(outs) if is_linear else None for is_linear in linear])


def _batch(operands: Sequence[Any], batched: Sequence[bool], size: int, *, primitive: Opaque) -> Any:
    flags = tuple(batched)
    over = primitive.obj.batch(flags, size)
    outs = inline(over, operands)
    return outs, (True,) * len(outs)


def _declare(name: str, effect: bool) -> Op:
    return op(
        name,
        attrs=("primitive",),
        type=_type,
        eval=lambda *arrays, primitive: primitive.obj.evaluate(*arrays),
        jvp=None,
        differentiate=_differentiate,
        transpose=_transpose,
        batch=_batch,
        effect=effect,
    )


foreign = _declare("foreign", effect=False)
# Kept in order, and kept where no result is used.
foreign_effect = _declare("foreign_effect", effect=True)
