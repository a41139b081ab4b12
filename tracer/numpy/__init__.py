"""NumPy's functions on traced values; outside a trace they are those of `jax.numpy`.

Names, defaults and promotion are those of `jax.numpy`.
"""

from __future__ import annotations

from jax.numpy import (
    bfloat16,
    bool_,
    complex64,
    complex128,
    dtype,
    e,
    euler_gamma,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    inf,
    int8,
    int16,
    int32,
    int64,
    nan,
    newaxis,
    pi,
    uint8,
    uint16,
    uint32,
    uint64,
)

from tracer.numpy import contraction, creation, elementwise, indexing, manipulation, methods, reductions

_THEMES = (elementwise, reductions, creation, manipulation, contraction, indexing)
_public = {
    name: fn
    for theme in _THEMES
    for name, fn in vars(theme).items()
    if not name.startswith("_") and hasattr(fn, "eager")
}
globals().update(_public)
from tracer.numpy.elementwise import astype, log2, log10, positive  # noqa: E402

__all__ = sorted(
    {
        *_public, "astype", "bfloat16", "bool_", "complex64", "complex128", "dtype", "e", "euler_gamma", "finfo",
        "float16", "float32", "float64", "iinfo", "inf", "int8", "int16", "int32", "int64", "log2", "log10", "nan",
        "newaxis", "pi", "positive", "uint8", "uint16", "uint32", "uint64",
    }
)  # fmt: skip
del methods
