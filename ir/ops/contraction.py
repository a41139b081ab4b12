"""Matrix products in general: `dot_general`, the product summed over paired dimensions.

The helpers that convolution shares with it (result element type, precision) live here too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ml_dtypes

from ir.core import Value
from ir.errors import ShapeError
from ir.numerics import contraction as numerics
from ir.ops import shape
from ir.ops.convert import convert
from ir.ops.families import MULTILINEAR, Linear, batch_axis_moved, check, op
from ir.types import DType, TensorType

Dims = tuple[int, ...]
Precision = str | tuple[str, str] | None

_PRECISIONS = (None, "default", "high", "highest")


# Element types and precision -----------------------------------------------------------------------


def check_precision(name: str, precision: Any) -> None:
    """IRTypeError unless `precision` is None, a name or a pair of names."""
    parts: Any = precision if isinstance(precision, tuple) and len(precision) == 2 else (precision,)
    check(
        all(p in _PRECISIONS for p in parts),
        f"{name}: expected a precision of {_PRECISIONS} or a pair of them, got {precision!r}",
    )


def swapped(precision: Precision) -> Precision:
    """The precision of the operands in exchanged order."""
    return (precision[1], precision[0]) if isinstance(precision, tuple) else precision


def _breadth(dtype: DType) -> tuple[bool, int, int, int, bool]:
    """Orders element types as XLA does: complex, then exponent, mantissa, bits, signed."""
    if not dtype.is_inexact:
        return False, -1, -1, dtype.bits, dtype.kind != "uint"
    info: Any = ml_dtypes.finfo(dtype.real.np)  # type: ignore[no-untyped-call]
    return dtype.is_complex, int(info.maxexp), int(info.nmant), dtype.real.bits, True


def product_dtype(name: str, lhs: DType, rhs: DType, preferred: DType | None) -> DType:
    """Element type of a sum of products: the preferred one, or the wider of the operands'."""
    check(lhs.kind != "key" and rhs.kind != "key", f"{name}: expected numbers, got {lhs} and {rhs}")
    check(
        lhs is rhs or _breadth(lhs) != _breadth(rhs),
        f"{name}: expected element types of which one is wider, got {lhs} and {rhs}",
    )
    natural = lhs if _breadth(lhs) >= _breadth(rhs) else rhs
    if preferred is None or preferred is natural:
        return natural
    check(
        preferred.kind != "key",
        f"{name}: expected an element type or None as preferred_type, got {preferred}",
    )
    check(
        preferred.is_complex == natural.is_complex and (preferred.is_float or not natural.is_float),
        f"{name}: expected a preferred_type of the kind of {natural}, or wider, got {preferred}",
    )
    check(
        natural.is_float or preferred.bits >= natural.bits,
        f"{name}: expected a preferred_type not narrower than {natural}, got {preferred}",
    )
    return preferred


def converted(x: Value, like: Value | Linear) -> Value:
    """`x` in the element type of `like`; of a complex number that becomes real, its real part."""
    return x if x.type.dtype is like.type.dtype else convert(x, dtype=like.type.dtype)


def moved_to_front(x: Value, axis: int) -> Value:
    """`x` with `axis` as its first axis, the others in order."""
    if axis == 0:
        return x
    return shape.transpose(x, perm=(axis, *(d for d in range(x.type.rank) if d != axis)))  # type: ignore[no-any-return]


# dot_general ----------------------------------------------------------------------------------------


def free_dims(rank: int, *used: Sequence[int]) -> Dims:
    """The dimensions that are in none of `used`."""
    gone = set().union(*used)
    return tuple([d for d in range(rank) if d not in gone])


def _check_dims(side: str, x: TensorType, contract: Dims, batch: Dims) -> None:
    dims = (*contract, *batch)
    check(
        all(type(d) is int and 0 <= d < x.rank for d in dims) and len(set(dims)) == len(dims),
        f"dot_general: expected distinct dimensions of {side} {x}, "
        f"got {side}_contract={contract} and {side}_batch={batch}",
    )


def _dot_type(
    lhs: TensorType,
    rhs: TensorType,
    *,
    lhs_contract: Dims,
    rhs_contract: Dims,
    lhs_batch: Dims,
    rhs_batch: Dims,
    precision: Precision,
    preferred_type: DType | None,
) -> TensorType:
    _check_dims("lhs", lhs, lhs_contract, lhs_batch)
    _check_dims("rhs", rhs, rhs_contract, rhs_batch)
    for kind, left, right in (("contract", lhs_contract, rhs_contract), ("batch", lhs_batch, rhs_batch)):
        check(
            len(left) == len(right),
            f"dot_general: expected as many lhs_{kind} as rhs_{kind} dimensions, got {left} and {right}",
        )
        if any(lhs.shape[i] != rhs.shape[j] for i, j in zip(left, right, strict=True)):
            raise ShapeError(
                f"dot_general: expected equal sizes along lhs_{kind}={left} and rhs_{kind}={right}, "
                f"got {lhs} and {rhs}"
            )
    check_precision("dot_general", precision)
    dtype = product_dtype("dot_general", lhs.dtype, rhs.dtype, preferred_type)
    batch = [lhs.shape[d] for d in lhs_batch]
    rows = [lhs.shape[d] for d in free_dims(lhs.rank, lhs_contract, lhs_batch)]
    columns = [rhs.shape[d] for d in free_dims(rhs.rank, rhs_contract, rhs_batch)]
    return TensorType((*batch, *rows, *columns), dtype)


def _dot_eval(lhs: Any, rhs: Any, *, precision: Precision, preferred_type: DType | None, **dims: Dims) -> Any:
    return numerics.dot_general(
        lhs, rhs, preferred_type=None if preferred_type is None else preferred_type.np, **dims
    )


def _dot_cotangent(
    ct: Value,
    x: Linear,
    y: Value,
    *,
    x_contract: Dims,
    y_contract: Dims,
    x_batch: Dims,
    y_batch: Dims,
    precision: Precision,
    x_first: bool,
) -> Value:
    """Cotangent of `x`: the contraction of `ct` with `y` over the free dimensions of `y`."""
    x_free = free_dims(x.type.rank, x_contract, x_batch)
    y_free = free_dims(y.type.rank, y_contract, y_batch)
    start = len(x_batch) + (len(x_free) if x_first else 0)
    out = dot_general(
        ct,
        y,
        lhs_contract=tuple(range(start, start + len(y_free))),
        rhs_contract=y_free,
        lhs_batch=tuple(range(len(x_batch))),
        rhs_batch=y_batch,
        # The cotangent stands where `x` stood, with the precision asked for it.
        precision=precision if x_first else swapped(precision),
    )
    # Dimensions of `out`: batch, free of x, and the contracted ones in the order they have in y.
    by_y = sorted(range(len(y_contract)), key=lambda i: y_contract[i])
    order = (*x_batch, *x_free, *(x_contract[i] for i in by_y))
    perm = tuple(order.index(d) for d in range(x.type.rank))
    if perm != tuple(range(len(perm))):
        out = shape.transpose(out, perm=perm)
    return converted(out, x)


def _dot_transpose(
    cts: Any,
    operands: Any,
    *,
    lhs_contract: Dims,
    rhs_contract: Dims,
    lhs_batch: Dims,
    rhs_batch: Dims,
    precision: Precision,
    preferred_type: DType | None,
) -> tuple[Value | None, Value | None]:
    (ct,), (lhs, rhs) = cts, operands
    if isinstance(lhs, Linear):
        return _dot_cotangent(
            ct,
            lhs,
            rhs,
            x_contract=lhs_contract,
            y_contract=rhs_contract,
            x_batch=lhs_batch,
            y_batch=rhs_batch,
            precision=precision,
            x_first=True,
        ), None
    return None, _dot_cotangent(
        ct,
        rhs,
        lhs,
        x_contract=rhs_contract,
        y_contract=lhs_contract,
        x_batch=rhs_batch,
        y_batch=lhs_batch,
        precision=precision,
        x_first=False,
    )


def _dot_batch(
    operands: Any,
    batched: Any,
    size: int,
    *,
    lhs_contract: Dims,
    rhs_contract: Dims,
    lhs_batch: Dims,
    rhs_batch: Dims,
    **attrs: Any,
) -> Any:
    on_lhs, on_rhs = batched
    # Where the new axis lands: first batch dimension, first free one of lhs, or first free one of rhs.
    if on_lhs and on_rhs:
        at = 0
    elif on_lhs:
        at = len(lhs_batch)
    else:
        at = operands[0].type.rank - len(lhs_contract)
    if on_lhs:
        lhs_contract, lhs_batch = batch_axis_moved(lhs_contract), batch_axis_moved(lhs_batch)
    if on_rhs:
        rhs_contract, rhs_batch = batch_axis_moved(rhs_contract), batch_axis_moved(rhs_batch)
    if on_lhs and on_rhs:
        lhs_batch, rhs_batch = (0, *lhs_batch), (0, *rhs_batch)
    out = dot_general(
        *operands,
        lhs_contract=lhs_contract,
        rhs_contract=rhs_contract,
        lhs_batch=lhs_batch,
        rhs_batch=rhs_batch,
        **attrs,
    )
    return (moved_to_front(out, at),), (True,)


def _dot_flops(operands: Any, results: Any, *, lhs_contract: Dims, **_: Any) -> int:
    return 2 * int(results[0].size) * int(math.prod(operands[0].shape[d] for d in lhs_contract))


# Result dimensions: batch, free dimensions of lhs, free dimensions of rhs.
dot_general = op(
    "dot_general",
    attrs={
        "lhs_contract": (),
        "rhs_contract": (),
        "lhs_batch": (),
        "rhs_batch": (),
        "precision": None,
        "preferred_type": None,
    },
    type=_dot_type,
    eval=_dot_eval,
    jvp=MULTILINEAR,
    transpose=_dot_transpose,
    batch=_dot_batch,
    flops=_dot_flops,
)
