"""Which dtype a reference evaluation computes in, and what it rounds to.

Narrow floats (float16, bfloat16, float8, ...) are widened to float32, the way XLA accumulates them, and
rounded once at the end; integers stay integers and wrap.
"""

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
DType = np.dtype[Any]

# ml_dtypes knows NumPy's own types as well; it is not annotated.
iinfo: Any = ml_dtypes.iinfo
finfo: Any = ml_dtypes.finfo


def is_integer(dtype: DType) -> bool:
    """Whether `dtype` is a signed or unsigned integer, the sub-byte ones of ml_dtypes included."""
    return dtype.kind in "iu" or dtype.name.startswith(("int", "uint"))


def is_complex(dtype: DType) -> bool:
    """Whether `dtype` is complex64 or complex128."""
    return dtype.kind == "c"


def is_float(dtype: DType) -> bool:
    """Whether `dtype` is a real floating type, those of ml_dtypes included."""
    return not (is_integer(dtype) or is_complex(dtype) or dtype == np.bool_)


def wide_dtype(dtype: DType) -> DType:
    """The NumPy dtype that holds every value of `dtype` and in which sums of it are accumulated."""
    if is_float(dtype):
        return np.dtype(np.float32) if dtype.itemsize < 4 else dtype
    if is_integer(dtype) and dtype.kind not in "iu":
        return np.dtype(np.int32)
    return dtype


def widen(x: Array) -> Array:
    """`x` in `wide_dtype`; exact."""
    return x.astype(wide_dtype(x.dtype), copy=False)


def narrow(x: Array, dtype: DType) -> Array:
    """`x` rounded to `dtype`; integers wrap, and an overflowing float becomes what `dtype` has for it."""
    with np.errstate(all="ignore"):
        return x.astype(dtype, copy=False)


def lowest(dtype: DType) -> Any:
    """The identity of max: -inf, the smallest integer, or False."""
    if dtype == np.bool_:
        return False
    if is_integer(dtype):
        return int(iinfo(dtype).min)
    return complex(-np.inf, -np.inf) if is_complex(dtype) else -np.inf


def highest(dtype: DType) -> Any:
    """The identity of min: inf, the largest integer, or True."""
    if dtype == np.bool_:
        return True
    if is_integer(dtype):
        return int(iinfo(dtype).max)
    return complex(np.inf, np.inf) if is_complex(dtype) else np.inf
