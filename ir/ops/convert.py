"""Conversion between element types: by value, by bits, and rounding to a narrower float format."""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.core import Array, Value
from ir.errors import IRTypeError, ShapeError
from ir.numerics.precision import finfo, iinfo, is_complex, is_float, widen
from ir.op import Op
from ir.ops.families import FLOAT, LINEAR, NUMBER, ORDERED, ZERO, op, require_dtype, unary
from ir.types import DType, TensorType

# By value -----------------------------------------------------------------------------------------


def _convert_result(x: DType, *, dtype: Any) -> DType:
    if not isinstance(dtype, DType) or dtype.kind == "key":
        raise IRTypeError(f"convert: expected a numeric or bool element type, got {dtype!r}")
    return dtype


def _saturated(x: Array, dtype: np.dtype[Any]) -> Array:
    """Floats to integers: toward zero, to the nearest bound outside the range, nan to 0."""
    low, high = int(iinfo(dtype).min), int(iinfo(dtype).max)
    value = np.trunc(x.astype(np.float64))
    inside = (value > low) & (value < high)  # a bound that float64 rounds is rounded outward
    wide = np.uint64 if low == 0 else np.int64
    out = np.where(inside, value, 0).astype(wide)
    out[value >= high] = high
    out[value <= low] = low
    return out.astype(dtype)


def _convert_eval(x: Array, *, dtype: DType) -> Array:
    if dtype.kind == "bool":
        return np.asarray(widen(x) != 0)
    given = x.real if is_complex(x.dtype) and not dtype.is_complex else x
    if dtype.is_integer and is_float(given.dtype):
        return _saturated(given, dtype.np)
    return widen(given).astype(dtype.np)


def _convert_jvp(dx: Value, x: Value, y: Value, *, dtype: DType) -> Any:
    return convert(dx, dtype=dtype) if dtype.is_inexact else None


# convert(x, dtype=...): to bool asks for x != 0, of complex numbers too, either part of which may make
# them so; complex to other real types drops the imaginary part; floats to integers truncate and saturate;
# integers to narrower integers wrap.
convert: Op = unary(
    "convert",
    on=NUMBER | ORDERED,
    eval=_convert_eval,
    jvp=_convert_jvp,
    transpose=lambda ct, x, *, dtype: convert(ct, dtype=x.type.dtype),
    attrs=("dtype",),
    result=_convert_result,
)

# By bits ------------------------------------------------------------------------------------------


def _bitcast_type(x: TensorType, *, dtype: Any) -> TensorType:
    require_dtype("bitcast_convert", x, NUMBER | ORDERED)
    if not isinstance(dtype, DType) or dtype.kind == "key":
        raise IRTypeError(f"bitcast_convert: expected a numeric or bool element type, got {dtype!r}")
    if x.dtype is not dtype and {x.dtype.kind, dtype.kind} & {"bool", "complex"}:
        raise IRTypeError(
            f"bitcast_convert: expected equal types where one is bool or complex, got {x} to {dtype}"
        )
    if x.dtype.bits == dtype.bits or x.dtype is dtype:
        return x.with_dtype(dtype)
    if x.dtype.bits > dtype.bits:
        return TensorType((*x.shape, x.dtype.bits // dtype.bits), dtype)
    count = x.shape[-1] if x.shape else 1
    if count * x.dtype.bits != dtype.bits:
        raise ShapeError(
            f"bitcast_convert: expected a last axis of size {dtype.bits // x.dtype.bits} "
            f"to join {x.dtype} to {dtype}, got {x}"
        )
    return TensorType(x.shape[:-1], dtype)


def _storage_bits(dtype: np.dtype[Any]) -> int:
    """Bits of one element, less than its storage where elements are packed."""
    names = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}
    return names.get(dtype.name, dtype.itemsize * 8)


def _bitcast_eval(x: Array, *, dtype: DType) -> Array:
    """Low bits come first, as in memory of little endian."""
    if x.dtype == dtype.np:
        return x
    held, wanted = _storage_bits(x.dtype), dtype.bits
    raw = np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, x.dtype.itemsize)
    bits = np.unpackbits(raw, axis=-1, bitorder="little")[..., :held]
    if held >= wanted:
        bits = bits.reshape(*x.shape, held // wanted, wanted)
    else:
        bits = bits.reshape(*x.shape[:-1], 1, wanted)
    packed = np.packbits(bits, axis=-1, bitorder="little")
    if wanted < 8 and dtype.kind == "int":
        packed = ((packed << (8 - wanted)).view(np.int8) >> (8 - wanted)).view(np.uint8)
    out = packed.view(dtype.np)[..., 0]
    return out[..., 0] if held <= wanted else out


# bitcast_convert(x, dtype=...): the same bits read as another type. To a narrower type it adds a last
# axis, to a wider one it takes the last axis away. Not elementwise for that reason.
bitcast_convert: Op = op(
    "bitcast_convert",
    attrs=("dtype",),
    type=_bitcast_type,
    eval=_bitcast_eval,
    jvp=ZERO,
    batch=lambda operands, batched, size, *, dtype: ((bitcast_convert(operands[0], dtype=dtype),), (True,)),
    flops=lambda operands, results, **_: 0,
)

# Rounding to a narrower format --------------------------------------------------------------------


def _reduce_precision_result(x: DType, *, exponent_bits: int, mantissa_bits: int) -> DType:
    if type(exponent_bits) is not int or exponent_bits < 1:
        raise IRTypeError(f"reduce_precision: expected exponent_bits >= 1, got {exponent_bits!r}")
    if type(mantissa_bits) is not int or mantissa_bits < 0:
        raise IRTypeError(f"reduce_precision: expected mantissa_bits >= 0, got {mantissa_bits!r}")
    return x


def _reduce_precision_eval(x: Array, *, exponent_bits: int, mantissa_bits: int) -> Array:
    """Round the mantissa to nearest even; what the exponent cannot hold becomes inf or a signed zero.

    There are no subnormal numbers in the narrower format. nan stays nan.
    """
    info = finfo(x.dtype)
    held_mantissa, held_exponent = int(info.nmant), int(info.bits - 1 - info.nmant)
    word = np.dtype(f"u{x.dtype.itemsize}").type
    bits = np.asarray(x, order="C").view(word)  # ascontiguousarray would give a scalar an axis
    if mantissa_bits < held_mantissa:
        dropped = held_mantissa - mantissa_bits
        last = (bits >> word(dropped)) & word(1)
        bits = bits + last + word((1 << (dropped - 1)) - 1)
        bits = bits >> word(dropped) << word(dropped)
    if exponent_bits < held_exponent:
        bias, wanted_bias = (1 << (held_exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        exponent = word(((1 << held_exponent) - 1) << held_mantissa)
        sign = bits & word(1 << (info.bits - 1))
        over = bits & exponent > word((bias + wanted_bias) << held_mantissa)
        under = bits & exponent <= word((bias - wanted_bias) << held_mantissa)
        bits = np.where(over, sign | exponent, np.where(under, sign, bits))
    return np.where(np.isnan(x), x, np.asarray(bits).view(x.dtype))


# reduce_precision(x, exponent_bits=..., mantissa_bits=...): x rounded to that format, of the same type.
reduce_precision: Op = unary(
    "reduce_precision",
    on=FLOAT,
    eval=_reduce_precision_eval,
    jvp=LINEAR,
    transpose=lambda ct, x, **attrs: reduce_precision(ct, **attrs),
    attrs=("exponent_bits", "mantissa_bits"),
    result=_reduce_precision_result,
)
