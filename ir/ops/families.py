"""Constructors of op records. Elementwise families derive most rules from one line.

Rules that ops of every family share (batching by broadcasting, zero tangents, the application of
`LINEAR` and `MULTILINEAR`) live here or in `ir.transforms`. Imports the core of `ir` only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from ir.core import Function, Value
from ir.errors import DifferentiationError, IRTypeError, ShapeError
from ir.numerics.precision import widen
from ir.op import LINEAR, MULTILINEAR, REQUIRED, ZERO, Linear, Op, register
from ir.types import DType, TensorType, bool_

__all__ = [
    "ANY", "BITS", "COMPLEX", "FLOAT", "INEXACT", "INTEGER", "LINEAR", "MULTILINEAR", "NUMBER", "ORDERED",
    "REQUIRED", "ZERO", "Linear", "batch_axis_moved", "binary", "check", "compare", "materialize", "op",
    "require_dtype", "same_types", "sum_of_partials", "unary", "undefined", "widened",
]  # fmt: skip

Kinds = frozenset[str]
FLOAT: Final[Kinds] = frozenset({"float"})
COMPLEX: Final[Kinds] = frozenset({"complex"})
INEXACT: Final[Kinds] = frozenset({"float", "complex"})
INTEGER: Final[Kinds] = frozenset({"int", "uint"})
BITS: Final[Kinds] = frozenset({"bool", "int", "uint"})
ORDERED: Final[Kinds] = frozenset({"bool", "int", "uint", "float"})
NUMBER: Final[Kinds] = frozenset({"int", "uint", "float", "complex"})
ANY: Final[Kinds] = frozenset({"bool", "int", "uint", "float", "complex", "key"})


def check(held: bool, message: str) -> None:
    """IRTypeError with `message` unless `held`."""
    if not held:
        raise IRTypeError(message)


def require_dtype(name: str, type: TensorType, on: Kinds) -> None:
    """IRTypeError unless the element type is of one of the kinds."""
    if type.dtype.kind not in on:
        raise IRTypeError(f"{name}: expected elements of kind {' or '.join(sorted(on))}, got {type}")


def same_types(name: str, types: Sequence[TensorType]) -> TensorType:
    """The common type of all operands; ShapeError or IRTypeError where they differ."""
    first = types[0]
    for other in types[1:]:
        if other is not first:
            shown = ", ".join(map(str, types))
            if other.shape != first.shape:
                raise ShapeError(f"{name}: expected operands of equal shape, got {shown}")
            raise IRTypeError(f"{name}: expected operands of equal element type, got {shown}")
    return first


def _result_size(operands: Sequence[TensorType], results: Sequence[TensorType], **_: Any) -> int:
    return sum(r.size for r in results)


# A number for each operand, one number for the only operand, or a function of the attributes to the former.
Tame = float | tuple[float | None, ...] | Callable[..., tuple[float | None, ...]] | None


def _tamed(tame: Tame) -> Callable[..., tuple[float | None, ...]] | None:
    if tame is None or callable(tame):
        return tame
    numbers = tame if isinstance(tame, tuple) else (tame,)
    return lambda **_: numbers


def op(
    name: str,
    *,
    type: Callable[..., Any],
    eval: Callable[..., Any] | None,
    jvp: Any,
    attrs: dict[str, Any] | Sequence[str] = (),
    transpose: Callable[..., Any] | None = None,
    batch: Callable[..., Any] | None = None,
    flops: Callable[..., int] | None = None,
    elementwise: bool = False,
    tame: Tame = None,
    effect: bool = False,
    inline: Callable[..., Function] | None = None,
    differentiate: Callable[..., Any] | None = None,
    prune: Callable[..., Any] | None = None,
    unrun: Sequence[str] = (),
) -> Op:
    """Declare an op. `attrs` are names (all required) or names with defaults; see `ir.op.Op`."""
    declared = attrs if isinstance(attrs, dict) else dict.fromkeys(attrs, REQUIRED)
    return register(
        Op(
            name=name,
            attrs=declared,
            type_rule=type,
            eval=eval,
            jvp=jvp,
            transpose=transpose,
            batch=batch,
            flops=flops or _result_size,
            elementwise=elementwise,
            tame=_tamed(tame),
            effect=effect,
            inline=inline,
            differentiate=differentiate,
            prune=prune,
            unrun=frozenset(unrun),
        )
    )


def _elementwise_flops(weight: int | Callable[..., int]) -> Callable[..., int]:
    def flops(operands: Sequence[TensorType], results: Sequence[TensorType], **attrs: Any) -> int:
        return (weight if isinstance(weight, int) else weight(**attrs)) * results[0].size

    return flops


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy evaluation whose narrow floats and integers are widened first; the evaluator rounds back."""

    def evaluate(*arrays: Any, **attrs: Any) -> Any:
        return function(*map(widen, arrays), **attrs)

    return evaluate


def undefined(name: str, operand: str) -> Callable[..., Value]:
    """A partial derivative that does not exist: DifferentiationError where its operand has a tangent."""

    def partial(*_: Any, **__: Any) -> Value:
        raise DifferentiationError(f"{name} has no derivative rule with respect to its operand {operand!r}")

    return partial


def sum_of_partials(partials: Sequence[Callable[..., Any] | None]) -> Callable[..., Any]:
    """A JVP rule: the sum of `partial(tangent, *operands, result, **attrs)` over operands with tangents.

    `None` among the partials is a zero.
    """

    def rule(tangents: Any, operands: Any, results: Any, **attributes: Any) -> tuple[Value | None]:
        total = None
        for partial, tangent in zip(partials, tangents, strict=True):
            if partial is None or tangent is None:
                continue
            term = partial(tangent, *operands, results[0], **attributes)
            if term is not None:
                total = term if total is None else _add(total, term)
        return (total,)

    return rule


def unary(
    name: str,
    *,
    on: Kinds,
    eval: Callable[..., Any],
    jvp: Any,
    transpose: Callable[..., Any] | None = None,
    result: Callable[..., DType] | None = None,
    attrs: dict[str, Any] | Sequence[str] = (),
    weight: int | Callable[..., int] = 1,
    tame: Tame = None,
) -> Op:
    """An elementwise op of one operand.

    Args:
      name: as printed.
      on: kinds of element types it takes.
      eval: NumPy function of the array (and the attributes).
      jvp: `lambda dx, x, y, **attrs: tangent of y`, or a derived rule.
      transpose: `lambda ct, x, **attrs: cotangent of x` where `jvp` is `LINEAR`.
      result: element type of the result from that of the operand and the attributes, which it may
        check; equal by default.
      attrs: attribute names, or names with defaults.
      weight: flops an element, possibly from the attributes; about 10 for transcendental functions.
      tame: see `ir.op.Op`.
    """

    def type_rule(x: TensorType, **attributes: Any) -> TensorType:
        require_dtype(name, x, on)
        return x if result is None else x.with_dtype(result(x.dtype, **attributes))

    rule = jvp
    if callable(jvp):

        def rule(tangents: Any, operands: Any, results: Any, **attributes: Any) -> tuple[Value]:
            return (jvp(tangents[0], operands[0], results[0], **attributes),)

    back = None
    if transpose is not None:

        def back(cotangents: Any, operands: Any, **attributes: Any) -> tuple[Value]:
            return (transpose(cotangents[0], operands[0], **attributes),)

    return op(
        name,
        type=type_rule,
        eval=eval,
        jvp=rule,
        attrs=attrs,
        transpose=back,
        flops=_elementwise_flops(weight),
        elementwise=True,
        tame=tame,
    )


def binary(
    name: str,
    *,
    on: Kinds,
    eval: Callable[..., Any],
    jvp: Any,
    transpose: Callable[..., Any] | None = None,
    result: Callable[..., DType] | None = None,
    attrs: dict[str, Any] | Sequence[str] = (),
    weight: int | Callable[..., int] = 1,
    tame: Tame = None,
) -> Op:
    """An elementwise op of two operands of the same type.

    Args:
      name: as printed.
      on: kinds of element types it takes.
      eval: NumPy function of the two arrays (and the attributes).
      jvp: a derived rule, or a pair `(lambda dx, x, y, z: ..., lambda dy, x, y, z: ...)` whose
        contributions are added; `None` in the pair is a zero, `undefined(...)` raises.
      transpose: `(ct, x, y) -> (ct of x, ct of y)`; the operand that is not linear is a value.
      result: as of `unary`, from the element type of both operands.
      attrs: attribute names, or names with defaults.
      weight: flops an element, possibly from the attributes.
      tame: see `ir.op.Op`.
    """

    def type_rule(x: TensorType, y: TensorType, **attributes: Any) -> TensorType:
        if x is not y:
            same_types(name, (x, y))
        require_dtype(name, x, on)
        return x if result is None else x.with_dtype(result(x.dtype, **attributes))

    rule = sum_of_partials(jvp) if isinstance(jvp, tuple) else jvp
    back = None
    if transpose is not None:

        def back(cotangents: Any, operands: Any, **attributes: Any) -> Any:
            return transpose(cotangents[0], *operands, **attributes)

    return op(
        name,
        type=type_rule,
        eval=eval,
        jvp=rule,
        attrs=attrs,
        transpose=back,
        flops=_elementwise_flops(weight),
        elementwise=True,
        tame=tame,
    )


def compare(name: str, *, on: Kinds, eval: Callable[..., Any]) -> Op:
    """An elementwise comparison: operands of the same type, result `bool`, derivative zero."""
    return binary(name, on=on, eval=eval, jvp=ZERO, result=lambda _: bool_)


def _add(x: Value, y: Value) -> Value:
    from ir.ops.elementwise import add

    return add(x, y)  # type: ignore[no-any-return]


def materialize(operand: Value, batched: bool, size: int) -> Value:
    """`operand` with a leading batch axis of `size`, broadcast where it has none."""
    if batched:
        return operand
    from ir.ops.shape import broadcast_in_dim

    shape = operand.type.shape
    return broadcast_in_dim(operand, shape=(size, *shape), dims=tuple(range(1, len(shape) + 1)))  # type: ignore[no-any-return]


def batch_axis_moved(dims: Sequence[int]) -> tuple[int, ...]:
    """Axis numbers of an unbatched op, seen from operands with a leading batch axis."""
    return tuple([d + 1 for d in dims])


def evaluate_as(dtype: np.dtype[Any], array: Any) -> Any:
    """`array` as a NumPy array of exactly `dtype`."""
    return np.asarray(array).astype(dtype, copy=False)
