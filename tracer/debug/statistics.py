"""What an array holds, in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import ir


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one array.

    Attributes:
      name: as the program prints it.
      type: element type and shape.
      min, max: of the finite elements, of complex ones by magnitude; `None` where there are none.
      nans, infs: how many elements are NaN, and infinite.
    """

    name: str
    type: ir.TensorType
    min: float | None
    max: float | None
    nans: int
    infs: int

    @classmethod
    def of(cls, name: str, type: ir.TensorType, array: Any) -> Statistics:
        """The statistics of an array of that type; of integers and bools their range, of keys nothing."""
        if type.dtype.kind == "key":
            return cls(name, type, None, None, 0, 0)
        held = np.asarray(array)
        wide = held.astype(np.complex128 if type.dtype.is_complex else np.float64)
        nan = np.isnan(wide)
        finite = np.abs(wide[np.isfinite(wide)]) if type.dtype.is_complex else wide[np.isfinite(wide)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
        return cls(name, type, low, high, int(nan.sum()), int((np.isinf(wide) & ~nan).sum()))

    def __str__(self) -> str:
        parts = []
        if self.min is not None and self.max is not None:
            many = self.min != self.max
            parts.append(f"{self.min:.6g} to {self.max:.6g}" if many else f"{self.min:.6g}")
        parts += [f"{n} {what}" for n, what in ((self.nans, "nan"), (self.infs, "inf")) if n]
        return f"{self.name}: {self.type}  {', '.join(parts)}".rstrip()


__all__ = ["Statistics"]
