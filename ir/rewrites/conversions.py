"""Conversion between element types, and the parts of complex numbers."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The variables of a rule stand for patterns while it is declared and for what they match later on.

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np

from ir.ops.convert import bitcast_convert, convert, reduce_precision
from ir.ops.elementwise import complex, conj, imag, neg, real
from ir.rewrite import NOTHING, at, collected, rule
from ir.types import DType, dtype_named

# Element types ------------------------------------------------------------------------------------


def lossless(x: DType, y: DType) -> bool:
    """Whether every number of type `x`, nan, infinities and signs of zero included, is one of `y`."""
    if x is y or x.kind == "bool":
        return y.kind != "key"
    if x.kind == "key" or y.kind in ("bool", "key"):
        return False
    if x.is_complex or y.is_complex:
        return y.is_complex and lossless(x.real, y.real)
    if x.is_integer:
        given = ml_dtypes.iinfo(x.np)
        if y.is_integer:
            wanted = ml_dtypes.iinfo(y.np)
            return int(wanted.min) <= int(given.min) and int(given.max) <= int(wanted.max)
        digits = x.bits - (x.kind == "int")
        info = ml_dtypes.finfo(y.np)
        return digits <= info.nmant + 1 and float(info.max) >= 2.0**digits
    if y.is_integer:
        return False
    if x.bits > 8:
        return (x.name, y.name) in {
            ("f16", "f32"),
            ("f16", "f64"),
            ("bf16", "f32"),
            ("bf16", "f64"),
            ("f32", "f64"),
        }
    # Narrow formats differ in their subnormals, and some have no inf or no signed zero: try every number.
    with np.errstate(all="ignore"):
        wide = np.arange(2**x.bits).astype(np.uint8).view(x.np).astype(np.float64)
        there = wide.astype(y.np).astype(np.float64)
    equal = (there == wide) & (np.signbit(there) == np.signbit(wide)) | np.isnan(there) & np.isnan(wide)
    return bool(equal.all())


_LOSSLESS: dict[tuple[DType, DType], bool] = {}


def _is_lossless(x: DType, y: DType) -> bool:
    found = _LOSSLESS.get((x, y))
    if found is None:
        found = _LOSSLESS[x, y] = lossless(x, y)
    return found


def _through(x: DType, d: DType, e: DType) -> bool:
    """Whether numbers of type `x` convert to `e` through `d` as they do directly."""
    if not _is_lossless(x, d):
        return False
    # Integers wrap and floats saturate, so that a float between integers shows where some do not fit.
    return not (x.is_integer and d.is_inexact and e.is_integer) or _is_lossless(x, e)


_NAMES = ("bool", "i8", "i32", "u8", "u32", "i64", "bf16", "f16", "f32", "f64", "c64", "c128", "f8e4m3fn")
_CHAINS = [
    at((3, 3), d=dtype_named(d), e=dtype_named(e), dtypes=[x])
    for x, d, e in itertools.product(_NAMES, _NAMES, _NAMES)
    if d not in (x, e) and _through(dtype_named(x), dtype_named(d), dtype_named(e))
]


@rule(
    changes=NOTHING,
    guard=lambda x, d: x.type.dtype is d,
    examples=[at((3,), d=dtype_named(x), dtypes=[x]) for x in _NAMES],
    counterexamples=[at((3,), d=dtype_named("f64"), dtypes=["f32"])],
)
def conversion_to_own_type(x, *, d):
    """Nothing to convert."""
    return convert(x, dtype=d), x


@rule(
    changes=NOTHING,
    guard=lambda x, d, e: _through(x.type.dtype, d, e),
    examples=_CHAINS,
    counterexamples=[
        at((3,), d=dtype_named("bf16"), e=dtype_named("f32"), dtypes=["f32"]),
        at((3,), d=dtype_named("f64"), e=dtype_named("i8"), dtypes=["i32"]),
        at((3,), d=dtype_named("f16"), e=dtype_named("f32"), dtypes=["bf16"]),
        at((3,), d=dtype_named("f32"), e=dtype_named("bool"), dtypes=["c64"]),
    ],
)
def conversion_through_wider(x, *, d, e):
    """A type that holds every number of the first one changes nothing in between."""
    return convert(convert(x, dtype=d), dtype=e), lambda x, e: convert(x, dtype=e)


@rule(
    changes=NOTHING,
    guard=lambda x, d: x.type.dtype is d,
    examples=[at((3,), d=dtype_named("i32"), dtypes=["i32"])],
    counterexamples=[at((3,), d=dtype_named("i32"), dtypes=["f32"])],
)
def bits_as_own_type(x, *, d):
    """The same bits, read as what they are."""
    return bitcast_convert(x, dtype=d), x


@rule(
    changes=NOTHING,
    guard=lambda x, d, e: x.type.dtype.bits == d.bits == e.bits,
    examples=[
        at((3,), d=dtype_named("u32"), e=dtype_named(e), dtypes=[x])
        for x in ("f32", "i32")
        for e in ("f32", "i32")
    ],
    counterexamples=[at((4,), d=dtype_named("u8"), e=dtype_named("f32"), dtypes=["f32"])],
)
def bits_through_same_width(x, *, d, e):
    """The bits do not change on the way."""
    return bitcast_convert(bitcast_convert(x, dtype=d), dtype=e), lambda x, e: bitcast_convert(x, dtype=e)


@rule(changes=NOTHING, examples=[at((3,), e=5, m=3, dtypes=["f32"]), at((3,), e=8, m=7, dtypes=["f32"])])
def rounding_twice(x, *, e, m):
    """A rounded number is not rounded again."""
    return (
        reduce_precision(
            reduce_precision(x, exponent_bits=e, mantissa_bits=m), exponent_bits=e, mantissa_bits=m
        ),
        reduce_precision(x, exponent_bits=e, mantissa_bits=m),
    )


# Complex numbers ----------------------------------------------------------------------------------


@rule(changes=NOTHING)
def real_of_complex(x, y):
    """re(x + iy) = x."""
    return real(complex(x, y)), x


@rule(changes=NOTHING)
def imag_of_complex(x, y):
    """im(x + iy) = y."""
    return imag(complex(x, y)), y


@rule(changes=NOTHING)
def complex_of_parts(z):
    """re z + i im z = z."""
    return complex(real(z), imag(z)), z


@rule(changes=NOTHING)
def conj_of_conj(z):
    """The conjugate of the conjugate."""
    return conj(conj(z)), z


@rule(changes=NOTHING)
def real_of_conj(z):
    """re(conj z) = re z."""
    return real(conj(z)), real(z)


@rule(changes=NOTHING, single_use=True)
def imag_of_conj(z):
    """im(conj z) = -im z."""
    return imag(conj(z)), neg(imag(z))


@rule(
    changes=NOTHING,
    guard=lambda x, out: x.type is out.type,
    examples=[at((3,), d=dtype_named(d), dtypes=[x]) for x, d in (("f32", "c64"), ("f64", "c128"))],
    counterexamples=[at((3,), d=dtype_named("c64"), dtypes=["i32"])],
)
def real_of_converted(x, *, d):
    """A real number made complex has itself as its real part."""
    return real(convert(x, dtype=d)), x


RULES = collected(globals())
