"""Array elements as text and back, to the bit.

A finite number is written with the fewest digits that read back as the same bits (integers of narrow
floats below 1e5 in full), with an exponent where Python's `repr` has one. What no decimal form gives back
(most NaNs, a bool that is neither 0 nor 1) is written as its bits, `0x7fc00001`.
Imports `ir.types` and `ir.core` only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.core import Array
from ir.types import DType, f32, f64

_MAX_DIGITS = 1000  # of an integer; far below where Python refuses to convert


class LiteralError(ValueError):
    """Text is not an element of the type. `index` is its position in the sequence."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


def words(dtype: DType) -> tuple[int, ...]:
    """The axes that arrays of the type have beyond those of a value: the raw words of keys."""
    return (dtype.bits // 32,) if dtype.kind == "key" else ()


# Printing -----------------------------------------------------------------------------------------


def element_texts(array: Array, dtype: DType) -> list[str]:
    """The text of each element, in C order."""
    flat = np.ascontiguousarray(array).reshape(-1)
    with np.errstate(all="ignore"):
        texts = _decimal_texts(flat, dtype)
    if None in texts:
        width = flat.dtype.itemsize
        raw = flat.tobytes()
        for i, text in enumerate(texts):
            if text is None:
                bits = int.from_bytes(raw[i * width : (i + 1) * width], "little")
                texts[i] = f"0x{bits:0{2 * width}x}"
    return texts  # type: ignore[return-value]


def _decimal_texts(flat: Array, dtype: DType) -> list[str | None]:
    """Texts where a decimal form reads back exactly, otherwise `None`."""
    if dtype.kind == "complex":
        part = f32 if dtype.name == "c64" else f64
        parts = _decimal_texts(flat.view(part.np), part)
        return [
            None if re is None or im is None else f"{re}{im if im[0] == '-' else '+' + im}j"
            for re, im in zip(parts[::2], parts[1::2], strict=True)
        ]
    if dtype.kind == "bool":
        names = ("False", "True")
        return [names[b] if b < 2 else None for b in flat.view(np.uint8).tolist()]
    if dtype.kind == "float":
        if dtype.bits == 64:
            texts = [repr(v) for v in flat.tolist()]
        elif dtype.bits == 32:
            # NumPy finds the digits; where they need an exponent changed with its versions.
            texts = [repr(float(str(v))) for v in flat]
        else:
            return _narrow_float_texts(flat)
        return _exact(flat, np.array([float(t) for t in texts], np.float64).astype(flat.dtype), texts)
    if dtype.bits >= 8:
        return list(map(str, flat.tolist()))
    values = flat.astype(np.int8)
    return _exact(flat, values.astype(flat.dtype), list(map(str, values.tolist())))


def _exact(flat: Array, back: Array, texts: Sequence[str]) -> list[str | None]:
    unsigned = f"u{flat.dtype.itemsize}"
    same = flat.view(unsigned) == back.view(unsigned)
    return (
        list(texts) if same.all() else [t if s else None for t, s in zip(texts, same.tolist(), strict=True)]
    )


def _narrow_float_texts(flat: Array) -> list[str | None]:
    """Element types with at most 16 bits have few values: find the text of each only once."""
    unsigned = f"u{flat.dtype.itemsize}"
    distinct, where = np.unique(flat.view(unsigned), return_inverse=True)
    values = distinct.view(flat.dtype).astype(np.float64).tolist()
    texts: list[str | None] = [None] * len(values)
    left = list(range(len(values)))
    for precision in range(10):
        tried = [_narrow_text(values[i], precision) for i in left]
        back = np.array([float(t) for t in tried], np.float64).astype(flat.dtype).view(unsigned)
        same = (back == distinct[left]).tolist()
        for i, text, found in zip(left, tried, same, strict=True):
            if found:
                texts[i] = text
        left = [i for i, found in zip(left, same, strict=True) if not found]
    return [texts[i] for i in where.tolist()]


def _narrow_text(value: float, precision: int) -> str:
    if value.is_integer() and abs(value) < 1e5:
        return repr(value)  # 448.0, although 4.5e+02 may read back as it too
    text = f"{value:.{max(precision, 1)}g}"
    return text if any(c in text for c in ".en") else text + ".0"


def python_text(value: float | complex) -> str:
    """A Python float or complex number as text."""
    if isinstance(value, float):
        return repr(value)
    im = repr(value.imag)
    return f"{value.real!r}{im if im[0] == '-' else '+' + im}j"


# Parsing ------------------------------------------------------------------------------------------


def parse_int(text: str) -> int:
    """The integer; ValueError where the text is none or has too many digits."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"expected at most {_MAX_DIGITS} digits, got {len(text)}")
    return int(text)


def parse_float(text: str) -> float:
    """The number; ValueError where the text is none or is too large for a 64-bit float."""
    value = float(text)
    if math.isinf(value) and "inf" not in text:
        raise ValueError(f"expected a number in the range of f64, got {_short(text)}")
    return value


def parse_complex(text: str) -> complex:
    """The number written as `re+imj`, each part kept to the bit."""
    split = max(i for i in range(1, len(text)) if text[i] in "+-" and text[i - 1] not in "eE")
    return complex(parse_float(text[:split]), parse_float(text[split:-1]))


def elements(texts: Sequence[str], dtype: DType) -> Array:
    """The flat array of the texts; LiteralError where one is not an element of `dtype`."""
    hexes = [(i, t) for i, t in enumerate(texts) if t.startswith("0x")]
    values = list(texts)
    for i, _ in hexes:
        values[i] = "False" if dtype.kind == "bool" else "0"
    flat = _decimal_array(values, dtype)
    if hexes:
        width = flat.dtype.itemsize
        raw = bytearray(flat.tobytes())
        for i, text in hexes:
            if len(text) > 2 + 2 * width:
                raise LiteralError(
                    f"expected at most {2 * width} hex digits for {dtype}, got {_short(text)}", i
                )
            raw[i * width : (i + 1) * width] = int(text, 16).to_bytes(width, "little")
        flat = np.frombuffer(bytes(raw), flat.dtype)
    return flat


def _decimal_array(texts: list[str], dtype: DType) -> Array:
    convert: Any
    if dtype.kind == "bool":
        convert = {"True": True, "False": False}.__getitem__
    elif dtype.kind == "float":
        convert = parse_float
    elif dtype.kind == "complex":
        convert = _complex_or_real
    else:
        convert = parse_int
    values = []
    for i, text in enumerate(texts):
        try:
            values.append(convert(text))
        except (ValueError, KeyError) as error:
            reason = str(error) if isinstance(error, ValueError) and "expected" in str(error) else None
            raise LiteralError(reason or f"expected an element of {dtype}, got {_short(text)}", i) from None
    if dtype.kind in ("int", "uint", "key"):
        bits = 32 if dtype.kind == "key" else dtype.bits
        low, high = (-1 << bits - 1, (1 << bits - 1) - 1) if dtype.kind == "int" else (0, (1 << bits) - 1)
        for i, value in enumerate(values):
            if not low <= value <= high:
                raise LiteralError(
                    f"expected an integer from {low} to {high} for {dtype}, got {_short(texts[i])}", i
                )
        wide: Any = np.uint64 if high >> 63 else np.int64
        return np.array(values, wide).astype(dtype.np)
    if dtype.kind == "bool":
        return np.array(values, np.bool_)
    exact = np.array(values, np.complex128 if dtype.kind == "complex" else np.float64)
    with np.errstate(all="ignore"):
        flat = exact.astype(dtype.np)
        lost = np.isfinite(exact) & ~np.isfinite(flat.astype(exact.dtype))
    if lost.any():
        i = int(np.argmax(lost))
        raise LiteralError(f"expected a number in the range of {dtype}, got {_short(texts[i])}", i)
    return flat


def _complex_or_real(text: str) -> complex:
    return parse_complex(text) if text.endswith("j") else complex(parse_float(text), 0.0)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
