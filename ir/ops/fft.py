"""Discrete Fourier transforms over the last one to three axes."""

from __future__ import annotations

import math
from typing import Any

from ir.core import Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics import fft as numerics
from ir.op import Op
from ir.ops import shape as shapes
from ir.ops.arithmetic import conj, mul
from ir.ops.families import LINEAR, check, op
from ir.ops.shape import full
from ir.types import DType, TensorType, c64, c128, f32, f64

_KINDS = ("fft", "ifft", "rfft", "irfft")
_COMPLEX: dict[DType, DType] = {f32: c64, f64: c128}


def _type(x: TensorType, *, kind: str, lengths: tuple[int, ...]) -> TensorType:
    check(kind in _KINDS, f"fft: expected a kind of {_KINDS}, got {kind!r}")
    check(
        1 <= len(lengths) <= min(3, x.rank) and all(type(n) is int and n >= 0 for n in lengths),
        f"fft: expected 1 to 3 lengths, for the last axes of {x}, got {lengths}",
    )
    on = (f32, f64) if kind == "rfft" else (c64, c128)
    if x.dtype not in on:
        raise IRTypeError(f"fft: expected {on[0]} or {on[1]} for kind {kind!r}, got {x}")
    half = lengths[-1] // 2 + 1 if lengths[-1] else 0
    outer = x.shape[: x.rank - len(lengths)]
    given = (*outer, *lengths[:-1], half) if kind == "irfft" else (*outer, *lengths)
    if x.shape != given:
        raise ShapeError(f"fft: expected shape {given} for kind {kind!r} of lengths {lengths}, got {x}")
    if kind == "rfft":
        return TensorType((*outer, *lengths[:-1], half), _COMPLEX[x.dtype])
    return TensorType((*outer, *lengths), x.dtype.real if kind == "irfft" else x.dtype)


def _weighted(x: Value, length: int, edge: float, inner: float) -> Value:
    """Non-negative frequencies times `inner`, or `edge` for those that are their own negative."""
    count = x.type.shape[-1]
    own_last = 1 if length % 2 == 0 and count > 1 else 0
    parts = [(1, edge), (count - 1 - own_last, inner), (own_last, edge)]
    weights = [full((n,), w, x.type.dtype) for n, w in parts if n]
    weight = shapes.concatenate(*weights, axis=0) if len(weights) > 1 else weights[0]
    spread = shapes.broadcast_in_dim(weight, shape=x.type.shape, dims=(x.type.rank - 1,))
    return mul(x, spread)  # type: ignore[no-any-return]


def _transpose(cts: Any, operands: Any, *, kind: str, lengths: tuple[int, ...]) -> Any:
    """A real transform holds half of the frequencies: the others count through their conjugates."""
    (ct,), (x,) = cts, operands
    if ct.type.size == 0 or x.type.size == 0:
        return (None,)
    total = math.prod(lengths)
    if kind == "rfft":
        out = fft(_weighted(conj(ct), lengths[-1], total, total / 2), kind="irfft", lengths=lengths)
    elif kind == "irfft":
        out = conj(_weighted(fft(ct, kind="rfft", lengths=lengths), lengths[-1], 1 / total, 2 / total))
    else:
        out = fft(ct, kind=kind, lengths=lengths)
    return (out,)


def _flops(operands: Any, results: Any, *, lengths: tuple[int, ...], **_: Any) -> int:
    """The usual count, 5 n log2 n."""
    return int(5 * results[0].size * math.log2(max(math.prod(lengths), 2)))


# "ifft" and "irfft" divide by the number of elements; "rfft" gives, and "irfft" takes, the non-negative
# frequencies of the last axis only. `lengths` are the sizes on the real side.
fft: Op = op(
    "fft",
    attrs=("kind", "lengths"),
    type=_type,
    eval=lambda x, *, kind, lengths: numerics.fft(x, kind, lengths),
    jvp=LINEAR,
    transpose=_transpose,
    batch=lambda operands, batched, size, **attrs: ((fft(operands[0], **attrs),), (True,)),
    flops=_flops,
)
