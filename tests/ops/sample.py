"""What a test sample of an op is. One or more samples stand for each op, in `tests/ops/samples/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

DTYPES = {
    "bool": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
    "f16": np.float16, "bf16": ml_dtypes.bfloat16, "f32": np.float32, "f64": np.float64,
    "c64": np.complex64, "c128": np.complex128,
    "f8e4m3fn": ml_dtypes.float8_e4m3fn, "f8e5m2": ml_dtypes.float8_e5m2,
}  # fmt: skip
REAL = ("bf16", "f16", "f32", "f64")
COMPLEX = ("c64", "c128")
INEXACT = (*REAL, *COMPLEX)
INTEGER = ("i8", "i32", "u8", "u32", "i64", "u64")
NUMBER = (*INTEGER, *INEXACT)
ORDERED = ("bool", *INTEGER, *REAL)


class Draw:
    """Draws arrays of one primary dtype for a sample."""

    def __init__(self, dtype: str, seed: int = 0) -> None:
        self.dtype = np.dtype(DTYPES[dtype])
        self.rng = np.random.default_rng(seed)

    def array(self, *shape: int, low: float = -2.0, high: float = 2.0, dtype: str | None = None) -> Any:
        """Uniform in [low, high) (both parts if complex; integers and bools likewise)."""
        to = self.dtype if dtype is None else np.dtype(DTYPES[dtype])
        if to == np.bool_:
            return self.rng.random(shape) < 0.5
        if to.kind == "u":
            low = max(low, 0)
        out = self.rng.uniform(low, high, shape)
        if to.kind == "c":
            out = out + 1j * self.rng.uniform(low, high, shape)
        return np.asarray(out).astype(to)

    def distinct(self, *shape: int) -> Any:
        """Values with no two equal or close, in random order: for sorting and for max."""
        size = int(np.prod(shape))
        return (self.rng.permutation(size).reshape(shape) * 0.37 - size * 0.17).astype(self.dtype)

    def ints(self, *shape: int, low: int, high: int, dtype: str = "i32") -> Any:
        """Integers in [low, high), whatever the primary dtype: indices."""
        return np.asarray(self.rng.integers(low, high, shape)).astype(DTYPES[dtype])


@dataclass(frozen=True)
class Sample:
    """One way to call an op.

    Attributes:
      op: the op's name.
      operands: draws the operands, kept away from kinks and poles, so that finite differences hold.
      reference: the same op written with public JAX functions, independent of the lowering rule.
      attrs: attributes of the op.
      dtypes: primary dtypes the op is defined for.
      label: tells samples of one op apart.
      special: further operand tuples with special values (nan, inf, zeros, poles), by dtype.
      rtol: wanted agreement of evaluation, lowering and reference, by dtype; see the harness.
      compare: maps results before they are compared, where they are unique only up to a sign or an
        order (`compare` must keep what defines the op).
      derivative_rtol: agreement with finite differences in f64 where 1e-6 is out of reach, with why; inf
        where results are unique only up to a choice that need not be continuous.
      tangent: projects a direction to one that keeps the structure of an operand (Hermitian, say) to
        which the derivative is restricted.
      why: the reason for any loosened tolerance or for `compare`.
    """

    op: str
    operands: Callable[[Draw], Sequence[Any]]
    reference: Callable[..., Any]
    attrs: dict[str, Any] = field(default_factory=dict)
    dtypes: tuple[str, ...] = INEXACT
    label: str = ""
    special: Callable[[Draw], Sequence[Sequence[Any]]] | None = None
    rtol: dict[str, float] = field(default_factory=dict)
    compare: Callable[..., Any] | None = None
    derivative_rtol: float = 1e-6
    tangent: Callable[[Any], Any] | None = None
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.op}:{self.label}" if self.label else self.op
