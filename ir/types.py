"""Element types and tensor types. Interned: equal types are the same object.

Imports NumPy and ml_dtypes only. Interning makes equality and hashing of types as cheap as
those of any object, which is what keeps tracing and the caches of the rules fast.
"""

from __future__ import annotations

import math
from typing import Any, Final

import ml_dtypes
import numpy as np

from ir.errors import IRTypeError

Shape = tuple[int, ...]


class DType:
    """An element type.

    Attributes:
      name: as printed, for example `f32`, `bf16`, `bool`, `key<fry>`.
      kind: one of `bool`, `int`, `uint`, `float`, `complex`, `key`.
      bits: storage bits of one element.
      np: the NumPy dtype (of the raw data for keys).
    """

    __slots__ = ("bits", "kind", "name", "np")
    name: str
    kind: str
    bits: int
    np: np.dtype[Any]

    def __init__(self, name: str, kind: str, dtype: Any, bits: int | None = None) -> None:
        self.name = name
        self.kind = kind
        self.np = np.dtype(dtype)
        self.bits = self.np.itemsize * 8 if bits is None else bits

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return dtype_named, (self.name,)

    @property
    def is_float(self) -> bool:
        return self.kind == "float"

    @property
    def is_complex(self) -> bool:
        return self.kind == "complex"

    @property
    def is_inexact(self) -> bool:
        """Real or complex floating point: the element types that have tangents."""
        return self.kind in ("float", "complex")

    @property
    def is_integer(self) -> bool:
        return self.kind in ("int", "uint")

    @property
    def real(self) -> DType:
        """The real counterpart of a complex type, otherwise the type itself."""
        return {"c64": f32, "c128": f64}.get(self.name, self)


_BY_NAME: dict[str, DType] = {}
_BY_NUMPY: dict[np.dtype[Any], DType] = {}


def _declare(name: str, kind: str, dtype: Any, bits: int | None = None) -> DType:
    declared = DType(name, kind, dtype, bits)
    _BY_NAME[name] = _BY_NUMPY[declared.np] = declared
    return declared


bool_: Final = _declare("bool", "bool", np.bool_)
i2: Final = _declare("i2", "int", ml_dtypes.int2, 2)
i4: Final = _declare("i4", "int", ml_dtypes.int4, 4)
i8: Final = _declare("i8", "int", np.int8)
i16: Final = _declare("i16", "int", np.int16)
i32: Final = _declare("i32", "int", np.int32)
i64: Final = _declare("i64", "int", np.int64)
u2: Final = _declare("u2", "uint", ml_dtypes.uint2, 2)
u4: Final = _declare("u4", "uint", ml_dtypes.uint4, 4)
u8: Final = _declare("u8", "uint", np.uint8)
u16: Final = _declare("u16", "uint", np.uint16)
u32: Final = _declare("u32", "uint", np.uint32)
u64: Final = _declare("u64", "uint", np.uint64)
f16: Final = _declare("f16", "float", np.float16)
bf16: Final = _declare("bf16", "float", ml_dtypes.bfloat16)
f32: Final = _declare("f32", "float", np.float32)
f64: Final = _declare("f64", "float", np.float64)
c64: Final = _declare("c64", "complex", np.complex64)
c128: Final = _declare("c128", "complex", np.complex128)
f4e2m1fn: Final = _declare("f4e2m1fn", "float", ml_dtypes.float4_e2m1fn, 4)
f8e3m4: Final = _declare("f8e3m4", "float", ml_dtypes.float8_e3m4)
f8e4m3: Final = _declare("f8e4m3", "float", ml_dtypes.float8_e4m3)
f8e4m3fn: Final = _declare("f8e4m3fn", "float", ml_dtypes.float8_e4m3fn)
f8e4m3fnuz: Final = _declare("f8e4m3fnuz", "float", ml_dtypes.float8_e4m3fnuz)
f8e4m3b11fnuz: Final = _declare("f8e4m3b11fnuz", "float", ml_dtypes.float8_e4m3b11fnuz)
f8e5m2: Final = _declare("f8e5m2", "float", ml_dtypes.float8_e5m2)
f8e5m2fnuz: Final = _declare("f8e5m2fnuz", "float", ml_dtypes.float8_e5m2fnuz)
f8e8m0fnu: Final = _declare("f8e8m0fnu", "float", ml_dtypes.float8_e8m0fnu)

# Raw words of one key, by the implementation's tag.
KEY_WORDS: Final = {"fry": 2, "rbg": 4, "urbg": 4}
for _tag, _words in KEY_WORDS.items():
    _BY_NAME[f"key<{_tag}>"] = DType(f"key<{_tag}>", "key", np.uint32, 32 * _words)


def dtype_named(name: str) -> DType:
    """The element type that prints as `name`; IRTypeError when there is none."""
    try:
        return _BY_NAME[name]
    except KeyError:
        raise IRTypeError(f"unknown element type {name!r}; known: {', '.join(sorted(_BY_NAME))}") from None


def from_numpy(dtype: Any) -> DType:
    """The element type of a NumPy dtype (ml_dtypes included)."""
    found = _BY_NUMPY.get(dtype)
    if found is None:
        found = _BY_NUMPY.get(np.dtype(dtype))
    if found is None:
        raise IRTypeError(f"arrays of dtype {np.dtype(dtype)} have no counterpart in the IR")
    return found


def dtypes() -> tuple[DType, ...]:
    """All element types, keys included."""
    return tuple(_BY_NAME.values())


class TensorType:
    """Shape and element type of a value; `TensorType((2, 3), f32)` prints as `f32[2,3]`."""

    __slots__ = ("dtype", "shape")
    shape: Shape
    dtype: DType
    _interned: dict[tuple[Shape, DType], TensorType] = {}  # noqa: RUF012 (a cache, not a default)

    def __new__(cls, shape: Shape, dtype: DType) -> TensorType:
        key = (shape, dtype)
        found = cls._interned.get(key)
        if found is not None:
            return found
        if not isinstance(dtype, DType):
            raise IRTypeError(f"expected an element type, got {dtype!r}")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise IRTypeError(f"expected a shape of non-negative ints, got {shape!r}")
        made = super().__new__(cls)
        object.__setattr__(made, "shape", shape)
        object.__setattr__(made, "dtype", dtype)
        return cls._interned.setdefault(key, made)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("types are immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return TensorType, (self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of storage, sub-byte types packed."""
        return -(-self.size * self.dtype.bits // 8)

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(shape, self.dtype)

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(self.shape, dtype)
